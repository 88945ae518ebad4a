//! Words that are said to hosts beside all copies.

use super::rounds::{host_of, rounds};
use super::{Copying, Stop};
use crate::hosts::Target;
use std::collections::HashMap;
use tcpxm::api::SenderOptions;
use tcpxm::config::SessionConfig;
use tcpxm::seal::Binding;
use transfer::talk;

/// Hosts that a word is said to at a time, at most: a session has room for 1024.
const AT_A_TIME: usize = 1000;

/// Makes a word for the host of that name, as it was typed, and for the association of that binding.
pub type Word<'a> = dyn Fn(&str, &Binding) -> Vec<u8> + Sync + 'a;

/// What a host answered to a word, or why it did not.
pub type Answer = Result<talk::Answer, String>;

impl Copying {
    /// Says a word to each of these hosts, which is made for it and the association with it. What each answered, or why
    /// it did not.
    ///
    /// # Errors
    ///
    /// There was no session: the fault of this side.
    pub fn tell(&self, hosts: &[String], word: &Word<'_>) -> Result<Vec<Answer>, String> {
        let mut answers: Vec<Option<Answer>> = vec![None; hosts.len()];
        let mut silent: HashMap<String, String> = HashMap::new();
        for mut round in rounds(hosts) {
            // Who has not answered for one path does not for the next, and would hold up the others once more.
            round.retain(|at| {
                let why = silent.get(&host_of(&hosts[*at]));
                why.map(|why| answers[*at] = Some(Err(why.clone()))).is_none()
            });
            for some in round.chunks(AT_A_TIME) {
                let texts: Vec<String> = some.iter().map(|at| hosts[*at].clone()).collect();
                let said = self.talk(&texts, word).map_err(|error| format!("{error:#}"))?;
                for (at, said) in some.iter().zip(said) {
                    if let Err(why) = &said {
                        silent.insert(host_of(&hosts[*at]), why.clone());
                    }
                    answers[*at] = Some(said);
                }
            }
        }
        let none = || Err("it was not asked".to_owned());
        Ok(answers.into_iter().map(|answer| answer.unwrap_or_else(none)).collect())
    }

    fn talk(&self, hosts: &[String], word: &Word<'_>) -> anyhow::Result<Vec<Answer>> {
        let (common, stop) = (&self.options.common, &Stop::default());
        let texts: Vec<&str> = hosts.iter().map(String::as_str).collect();
        let (ground, plan, seats) = self.seated(&texts, stop)?;
        let mut answers = Vec::new();
        if !seats.members.is_empty() {
            let trust = ground.trust(seats.named(&plan), common.port);
            let session = SessionConfig {
                connect_timeout: common.patience(),
                rate: common.rate,
                ..SessionConfig::default()
            };
            let options = SenderOptions { session, ..SenderOptions::new(trust) };
            let word = |member: usize, binding: &Binding| {
                let target = seats.target(&plan, member);
                target.map(|target| word(&target.text, binding)).unwrap_or_default()
            };
            answers = talk::say(options, &seats.addrs(), &word)?;
        }
        let answer = |(seat, target): (Result<usize, String>, &Target)| {
            let said =
                answers.get(seat?).ok_or_else(|| "it had no place in the session".to_owned())?;
            said.answer.clone().map_err(|why| match &said.report.outcome {
                Some(Err(reason)) => ground
                    .why(target, &[target], (said.report.addr, common.port), reason)
                    .unwrap_or(why),
                _ => why,
            })
        };
        Ok(seats.of.into_iter().zip(&plan.targets).map(answer).collect())
    }
}
