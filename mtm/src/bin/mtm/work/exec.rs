//! The command that receivers run once they have the tree: who is told to, when again, and what is noted of it.

use super::{AGAIN, Event, Looked, Running, Work, now_unix, said};
use crate::args::{self, When};
use anyhow::{Context, Result};
use mcp::mirror::Answer;
use mcp_cli::say::plain;
use mcp_keys::private::{self, MAX_SECRET, Rule};
use mtm::exec::{Credential, Outcome, first_line};
use mtm::ledger::{Receiver, ReceiverId};
use mtm::words::{self, OfReceiver, ToReceiver};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// A receiver where the command runs still, or that cannot be reached, is asked again after so long …
const FIRST: Duration = Duration::from_secs(5);
/// … and then after twice as long each time, up to this: an end is known a minute late, at most.
const LONGEST: Duration = Duration::from_secs(60);
/// While nothing but commands is waited for the tree is looked at so often, if that does not take long.
const LOOK: Duration = Duration::from_secs(5);

/// What receivers have answered, or why there was no session.
pub(super) struct Answered {
    asked: Vec<ReceiverId>,
    revision: u32,
    answers: Result<Vec<Answer>, String>,
}

/// It.
pub(super) struct Exec {
    command: String,
    options: args::Exec,
    turns: BTreeMap<ReceiverId, Turn>,
    /// They do not have what they are known to have: the whole tree is listed for them once more.
    whole: BTreeSet<ReceiverId>,
}

/// When a receiver is asked.
#[derive(Debug, Clone)]
struct Turn {
    revision: u32,
    /// It is being asked.
    busy: bool,
    at: Instant,
    wait: Duration,
    /// It is noted as late, since it does not answer as it should.
    late: bool,
    /// The command runs there.
    runs: bool,
}

impl Turn {
    fn new(revision: u32, now: Instant) -> Self {
        Self { revision, busy: false, at: now, wait: FIRST, late: false, runs: false }
    }

    /// It has no outcome yet.
    fn again(&mut self, now: Instant) {
        (self.busy, self.at) = (false, now + self.wait);
        self.wait = (self.wait * 2).min(LONGEST);
    }

    /// The command runs: whatever held it up before that does not make its end known later.
    fn runs(&mut self, now: Instant) {
        if !std::mem::replace(&mut self.runs, true) {
            self.wait = FIRST;
            self.again(now);
        }
    }
}

impl args::Exec {
    /// Finds out whether the password can be read, before there is a job.
    pub(crate) fn check(&self) -> Result<()> {
        self.credential.as_deref().map_or(Ok(()), |path| read(path).map(drop))
    }

    fn password(&self) -> Result<Credential> {
        self.credential.as_deref().map_or(Ok(Credential::default()), read)
    }
}

/// The password in a file.
fn read(path: &Path) -> Result<Credential> {
    let bytes = private::read(path, Rule::Private, MAX_SECRET).context("--exec-credential")?;
    let shown = || format!("--exec-credential: {}", path.display());
    first_line(&bytes).map_err(anyhow::Error::msg).with_context(shown)
}

impl Exec {
    /// If there is a command.
    pub(super) fn of(options: args::Exec) -> Option<Self> {
        let command = options.command.clone()?;
        Some(Self { command, options, turns: BTreeMap::new(), whole: BTreeSet::new() })
    }

    /// Who of these is to be asked now; each has or gets its turn.
    fn due(&mut self, all: &[Receiver], newest: u32, now: Instant) -> Vec<Receiver> {
        self.turns.retain(|id, _| all.iter().any(|receiver| receiver.id == *id));
        let has_all = |receiver: &&Receiver| receiver.complete >= newest && !receiver.verify;
        if self.options.when == When::All && !all.iter().all(|receiver| has_all(&receiver)) {
            return Vec::new();
        }
        let (turns, whole) = (&mut self.turns, &self.whole);
        let mut due = |receiver: &&Receiver| {
            let turn = turns.entry(receiver.id).or_insert_with(|| Turn::new(newest, now));
            if turn.revision != newest && !turn.busy {
                *turn = Turn { late: turn.late, ..Turn::new(newest, now) };
            }
            !turn.busy && turn.at <= now && !whole.contains(&receiver.id)
        };
        let wants = all.iter().filter(|receiver| !has_outcome(receiver, newest));
        wants.filter(has_all).filter(|receiver| due(receiver)).cloned().collect()
    }
}

/// Whether it is known what became of the command there.
fn has_outcome(receiver: &Receiver, newest: u32) -> bool {
    receiver.exec.as_ref().is_some_and(|(revision, _)| *revision >= newest)
}

fn all_have_outcome(all: &[Receiver], newest: u32) -> bool {
    newest == 0 || all.iter().all(|receiver| has_outcome(receiver, newest))
}

/// Whether a session with it runs.
fn in_session(running: &BTreeMap<u64, Running>, id: ReceiverId) -> bool {
    running.values().any(|session| session.hosts.iter().any(|(other, _)| *other == id))
}

impl Work {
    /// Has those run the command that are to. Whether it is known of all what became of it.
    pub(super) fn execute(&mut self, now: Instant) -> Result<bool> {
        let (Some(exec), newest) = (&mut self.exec, self.ledger.revision()) else {
            return Ok(true);
        };
        let all = self.ledger.receivers()?;
        if all_have_outcome(&all, newest) {
            return Ok(true);
        }
        if self.looked.is_none() {
            return Ok(false); // there may be a newer tree
        }
        let mut due = exec.due(&all, newest, now);
        due.retain(|receiver| !in_session(&self.running, receiver.id));
        if due.is_empty() {
            return Ok(false);
        }
        let credential = match exec.options.password() {
            Ok(credential) => credential,
            Err(error) => {
                self.told.waits(&format!("{error:#}"));
                let due: Vec<ReceiverId> = due.iter().map(|receiver| receiver.id).collect();
                let turns = exec.turns.iter_mut().filter(|(id, _)| due.contains(id));
                turns.for_each(|(_, turn)| turn.at = now + AGAIN);
                return Ok(false);
            }
        };
        let root = self.job.source.file_name().unwrap_or(self.job.source.as_os_str());
        let (job, command) = (self.job.id, exec.command.clone());
        let revision = self.ledger.newest()?;
        let root = words::cut(&root.to_string_lossy()).to_owned();
        let description = words::cut(&self.job.description).to_owned();
        let mex = said::word((&self.installation, job), move |host| ToReceiver::Mex {
            job,
            revision,
            command: command.clone(),
            credential: credential.clone(),
            root: root.clone(),
            description: description.clone(),
            host: host.to_owned(),
        });
        let asked: Vec<ReceiverId> = due.iter().map(|receiver| receiver.id).collect();
        let hosts: Vec<String> = due.into_iter().map(|one| one.name).collect();
        let (copying, over) = (Arc::clone(&self.copying), self.events.0.clone());
        exec.turns
            .iter_mut()
            .filter(|(id, _)| asked.contains(id))
            .for_each(|(_, turn)| turn.busy = true);
        let tell = move || {
            let answers = copying.tell(&hosts, &mex);
            // Nobody listens once the job has ended.
            let _ = over.send(Event::Answered(Answered { asked, revision: newest, answers }));
        };
        thread::Builder::new()
            .name("command".to_owned())
            .spawn(tell)
            .context("cannot start a thread")?;
        Ok(false)
    }

    /// Everybody has the tree, and commands are waited for, which may take hours: whether it is time to look whether the
    /// tree has changed meanwhile.
    pub(super) fn is_look_due(&self, now: Instant) -> Result<bool> {
        let late = |looked: &Looked| now >= looked.ended + LOOK;
        let is_time = self.looked.as_ref().is_some_and(late) && self.may_look(now, false);
        Ok(is_time
            && self.exec.is_some()
            && !all_have_outcome(&self.ledger.receivers()?, self.ledger.revision()))
    }

    /// When somebody is to be asked again; of those that cannot be asked before something else happens it is past.
    pub(super) fn exec_due(&self) -> Option<Instant> {
        let turns = self.exec.iter().flat_map(|exec| exec.turns.values());
        turns.filter(|turn| !turn.busy).map(|turn| turn.at).filter(|at| *at > Instant::now()).min()
    }

    /// A receiver says hello: what it `lacks` is sent, and the command is asked for, without waiting.
    pub(super) fn called(&mut self, id: ReceiverId, lacks: bool, now: Instant) {
        if lacks {
            self.schedule.hello(id, now);
        }
        if let Some(turn) = self.exec.as_mut().and_then(|exec| exec.turns.get_mut(&id)) {
            (turn.at, turn.wait) = (now, FIRST);
        }
    }

    /// What a receiver lacks, or is to be listed once more.
    pub(super) fn lacking(&mut self, id: ReceiverId) -> Vec<u32> {
        if self.exec.as_mut().is_some_and(|exec| exec.whole.remove(&id)) {
            return self.tree.all();
        }
        self.ledger.lacking(id)
    }

    /// Notes what receivers have answered.
    pub(super) fn answered(&mut self, answered: Answered) -> Result<()> {
        let Answered { asked, revision, answers } = answered;
        let Some(mut exec) = self.exec.take() else { return Ok(()) };
        let noted = self.note_answers(&mut exec, (&asked, revision), &answers);
        self.exec = Some(exec);
        noted
    }

    fn note_answers(
        &mut self,
        exec: &mut Exec,
        (asked, revision): (&[ReceiverId], u32),
        answers: &Result<Vec<Answer>, String>,
    ) -> Result<()> {
        let all: BTreeMap<ReceiverId, Receiver> =
            self.ledger.receivers()?.into_iter().map(|one| (one.id, one)).collect();
        let mut ended: BTreeMap<(bool, String), Vec<String>> = BTreeMap::new();
        let mut late = Vec::new();
        for (index, id) in asked.iter().enumerate() {
            let (Some(receiver), Some(turn)) = (all.get(id), exec.turns.get_mut(id)) else {
                continue; // it is no host of the job any more
            };
            let first = turn.wait == FIRST;
            turn.again(Instant::now());
            let answer = match answers {
                Ok(answers) => answers
                    .get(index)
                    .cloned()
                    .unwrap_or_else(|| Err("it was not asked".to_owned())),
                Err(why) => Err(why.clone()),
            };
            let answer = said::answer(&self.job.id, answer);
            let why = match outcome(answer, receiver.instance) {
                Heard::Ended(outcome, said) => {
                    if let Some(instance) = receiver.instance {
                        self.ledger.note_exec((*id, instance), revision, &outcome)?;
                    }
                    let how = (outcome.is_success(), format!("{outcome}{said}"));
                    ended.entry(how).or_default().push(receiver.name.clone());
                    None
                }
                Heard::Runs => {
                    turn.runs(Instant::now());
                    None
                }
                // It may have all of it after that.
                Heard::Lacks if in_session(&self.running, *id) => None,
                Heard::Lacks => {
                    exec.whole.insert(*id);
                    if first {
                        turn.at = Instant::now(); // once that is done
                    }
                    self.schedule.goes_on(*id, Instant::now());
                    None
                }
                Heard::Nothing(why) => Some(why),
            };
            let before = receiver.late.as_ref();
            if let Some(why) = why {
                if before.is_none_or(|(_, before)| *before != why) {
                    let since = before.map_or_else(now_unix, |(since, _)| *since);
                    self.ledger.set_late(*id, Some((since, &why)))?;
                }
                turn.late = true;
                late.push((*id, receiver.name.clone(), why));
            } else if std::mem::take(&mut turn.late) {
                self.ledger.set_late(*id, None)?;
                self.told.served(*id);
                self.hook.served(&receiver.name);
            }
        }
        for ((success, how), hosts) in &ended {
            self.told.ran(&exec.command, (*success, how), hosts);
        }
        self.told.late(&late);
        Ok(())
    }
}

/// What a receiver has answered.
enum Heard {
    /// What became of the command, and, for people, what it wrote last where it did not succeed.
    Ended(Outcome, String),
    Runs,
    /// It does not have the tree.
    Lacks,
    /// Nothing that tells of the command, and why.
    Nothing(String),
}

/// By whom it was told which installation `known` is the one that has the tree: another one is sent it first.
fn outcome(answer: Result<([u8; 16], OfReceiver), String>, known: Option<[u8; 16]>) -> Heard {
    let answered = answer.map(|(instance, word)| (known == Some(instance)).then_some(word));
    let word = match answered {
        Ok(None) => return Heard::Lacks,
        Ok(Some(word)) => Ok(word),
        Err(why) => Err(why),
    };
    match word {
        Ok(OfReceiver::Ran { status, tail }) => {
            let said = if status.is_success() { String::new() } else { last_line(&tail) };
            Heard::Ended(Outcome::Ran(status), said)
        }
        Ok(OfReceiver::Dnpwd) => {
            let why =
                ": it has no such command, or the password is another one; mtm resume asks again";
            Heard::Ended(Outcome::Dnpwd, why.to_owned())
        }
        Ok(OfReceiver::Busy) => Heard::Runs,
        Ok(OfReceiver::Incomplete) => Heard::Lacks,
        Ok(OfReceiver::Refused(why)) => {
            Heard::Nothing(format!("it does not run the command: {}", words::cut(&why)))
        }
        Ok(OfReceiver::Done | OfReceiver::Has { .. }) => {
            Heard::Nothing("it answers something else than it was asked".to_owned())
        }
        Err(why) => Heard::Nothing(format!("it cannot be told to run the command: {why}")),
    }
}

/// The last line of an output that has anything in it, as it is appended to what is said.
fn last_line(tail: &[u8]) -> String {
    let text = String::from_utf8_lossy(tail);
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty());
    line.map(|line| format!(": {}", plain(line))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mtm::exec::ExitStatusWord;

    const NOBODY: [ReceiverId; 0] = [];

    fn receiver(id: ReceiverId, complete: u32) -> Receiver {
        let (name, instance) = (format!("h{id}"), Some([1; 16]));
        let (late, rate, verify, exec) = (None, None, false, None);
        Receiver { id, name, instance, complete, late, rate, verify, exec }
    }

    fn exec(when: When) -> Exec {
        let command = Some("reload".to_owned());
        Exec::of(args::Exec { command, when, credential: None }).unwrap()
    }

    fn ids(receivers: &[Receiver]) -> Vec<ReceiverId> {
        receivers.iter().map(|receiver| receiver.id).collect()
    }

    #[test]
    fn each_is_asked_when_it_has_the_tree_and_all_when_everybody_has() {
        let now = Instant::now();
        let mut all = vec![receiver(1, 2), receiver(2, 1), receiver(3, 2)];
        all[2].exec = Some((2, Outcome::Dnpwd));
        assert_eq!(ids(&exec(When::Each).due(&all, 2, now)), [1]);
        assert_eq!(ids(&exec(When::All).due(&all, 2, now)), NOBODY);
        all[1].complete = 2;
        assert_eq!(ids(&exec(When::All).due(&all, 2, now)), [1, 2]);
        all[0].verify = true;
        assert_eq!(ids(&exec(When::Each).due(&all, 2, now)), [2]);
        all[2].exec = Some((1, Outcome::Ran(ExitStatusWord::Exited(0))));
        assert_eq!(ids(&exec(When::Each).due(&all, 2, now)), [2, 3]);
    }

    #[test]
    fn who_has_no_outcome_is_asked_again_ever_later_and_for_a_new_tree_at_once() {
        let (mut now, mut exec) = (Instant::now(), exec(When::Each));
        let all = |complete| [receiver(1, complete)];
        for wait in [5, 10, 20, 40, 60, 60] {
            assert_eq!(ids(&exec.due(&all(1), 1, now)), [1]);
            exec.turns.get_mut(&1).unwrap().busy = true;
            assert_eq!(ids(&exec.due(&all(1), 1, now)), NOBODY, "it is being asked");
            exec.turns.get_mut(&1).unwrap().again(now);
            let before = now + Duration::from_millis(wait * 1000 - 1);
            now += Duration::from_secs(wait);
            assert_eq!(ids(&exec.due(&all(1), 1, before)), NOBODY);
        }
        let turn = exec.turns.get_mut(&1).unwrap();
        for at in [5, 10] {
            turn.again(now);
            turn.runs(now);
            assert_eq!(turn.at, now + Duration::from_secs(at));
        }
        assert_eq!(ids(&exec.due(&all(2), 2, now)), [1]);
        exec.whole.insert(1);
        assert_eq!(ids(&exec.due(&all(2), 2, now)), NOBODY, "it is sent the tree before");
    }

    #[test]
    fn what_a_receiver_answers_is_an_outcome_or_none() {
        let known = Some([1; 16]);
        let of = |word: &OfReceiver| outcome(Ok(([1; 16], word.clone())), known);
        let tail = b"one\n two \x1b\n\n".to_vec();
        let bad = OfReceiver::Ran { status: ExitStatusWord::Exited(2), tail };
        let Heard::Ended(ended, said) = of(&bad) else { panic!("it has ended") };
        assert_eq!((ended.to_string().as_str(), said.as_str()), ("exited 2", ": two \\u{1b}"));
        assert!(matches!(of(&OfReceiver::Busy), Heard::Runs));
        assert!(matches!(of(&OfReceiver::Incomplete), Heard::Lacks));
        assert!(matches!(of(&OfReceiver::Dnpwd), Heard::Ended(Outcome::Dnpwd, _)));
        for nothing in [of(&OfReceiver::Done), of(&OfReceiver::Refused("no".to_owned()))] {
            assert!(matches!(nothing, Heard::Nothing(_)));
        }
        assert!(matches!(outcome(Ok(([2; 16], bad)), known), Heard::Lacks), "another one");
        assert!(
            matches!(outcome(Err("off".to_owned()), known), Heard::Nothing(why) if why.contains("off"))
        );
    }
}
