//! Every input in every state, also those that mean nothing there.

use super::{Life, Which};
use crate::proto::conn::Names;
use crate::proto::conn::handshake::{
    Opening, RoundTrip, Third, blank_names, parse_hello, parse_third, syn_ack,
};
use crate::proto::send::space::INITIAL_RTO;
use crate::proto::time::Instant;
use crate::seal::{Credentials, Keys, MAX_MESSAGE, Responder, Suite};
use crate::trust::{NoiseKey, SenderTrust};
use crate::wire::{Descriptor, Features, Header, Seq};
use core::mem::discriminant;
use core::time::Duration;
use std::sync::Arc;

/// The states, by the names that they have in the table.
const STATES: [&str; 4] = ["SynSent", "Answered", "Established", "Ended"];
/// What can happen.
const INPUTS: [&str; 3] = ["Answer", "Proof", "End"];

/// Every step there is: in a state, on an input, to a state.
pub(crate) const STEPS: &[(&str, &str, &str)] = &[
    ("SynSent", "Answer", "Answered"),
    ("SynSent", "End", "Ended"),
    ("Answered", "Answer", "Answered"),
    ("Answered", "Proof", "Established"),
    ("Answered", "End", "Ended"),
];

const ROUND_TRIP: Duration = Duration::from_millis(3);

fn answered_at() -> Instant {
    Instant::ZERO + ROUND_TRIP
}

fn names() -> Names {
    blank_names("127.0.0.1:1".parse().unwrap(), 4000, 1, Seq(5))
}

fn descriptor() -> Descriptor {
    Descriptor {
        features: Features::XM,
        first_offset: 0,
        segment_size: 1400,
        group_cid: 0,
        group: None,
        group_from: None,
    }
}

/// A life whose SYN has just been sent, and that SYN.
fn syn_sent() -> (Life, Vec<u8>) {
    let trust = Arc::new(SenderTrust::Loopback);
    let opening = Opening::new(
        Instant::ZERO,
        &names(),
        &descriptor(),
        (&trust, &NoiseKey::drawn(&[1; 32]), [1; 32]),
    );
    let mut life = Life::initiator(opening);
    let mut buf = vec![0; 2000];
    let len = life.emit_syn(Instant::ZERO, &mut buf).expect("the first SYN is due at once");
    buf.truncate(len);
    (life, buf)
}

/// Who answers a SYN, by its random bytes: what it waits for, and its answer.
struct Answering {
    responder: Responder,
    answer: Vec<u8>,
}

fn responder(syn: &[u8], random: u8) -> Answering {
    let (header, at) = Header::parse(syn).unwrap();
    let hello = parse_hello(&header, at, syn).unwrap();
    let credentials = Credentials::Fresh(NoiseKey::drawn(&[random; 32]));
    let own = (&credentials, [random; 32]);
    let (responder, answer) = syn_ack(&names(), &descriptor(), own, &hello, 77).unwrap();
    Answering { responder, answer }
}

/// Gives a life an answer.
fn answer(life: &mut Life, by: &Answering) -> Option<Which> {
    let (header, at) = Header::parse(&by.answer).unwrap();
    let hello = parse_hello(&header, at, &by.answer).unwrap();
    life.on_answer(answered_at(), &names(), &hello).ok().map(|taken| taken.which)
}

fn proves(third: &Third, to: &mut Answering) -> bool {
    let (header, at) = Header::parse(third).unwrap();
    let (prefix, message) = parse_third(&header, at, third).unwrap();
    to.responder.third(prefix, message).is_ok()
}

/// A life that was answered by the first of these; the second may answer as well.
fn answered() -> (Life, [Answering; 2]) {
    let (mut life, syn) = syn_sent();
    let responders = [responder(&syn, 2), responder(&syn, 3)];
    assert_eq!(
        answer(&mut life, &responders[0]),
        Some(Which::First(RoundTrip::Sample(ROUND_TRIP)))
    );
    (life, responders)
}

fn keys() -> Keys {
    Keys::new(Suite::Xx, ([1; 32], [2; 32]), [0; 32])
}

fn name(life: &Life) -> &'static str {
    match life {
        Life::SynSent(_) => "SynSent",
        Life::Answered(_) => "Answered",
        Life::Established(_) => "Established",
        Life::Ended(_) => "Ended",
    }
}

/// A life in a state, and who may answer it.
fn in_state(state: &str) -> (Life, Answering) {
    let (mut life, syn) = syn_sent();
    let other = responder(&syn, 3);
    let first = |life: &mut Life| assert!(answer(life, &responder(&syn, 2)).is_some());
    match state {
        "SynSent" => {}
        "Answered" => first(&mut life),
        "Established" => {
            first(&mut life);
            life.on_proof();
        }
        _ => life.end(),
    }
    assert_eq!(name(&life), state);
    (life, other)
}

#[test]
fn every_input_in_every_state_does_what_the_table_says() {
    for state in STATES {
        for input in INPUTS {
            let (mut life, responder) = in_state(state);
            let before = discriminant(&life);
            match input {
                "Answer" => drop(answer(&mut life, &responder)),
                "Proof" => life.on_proof(),
                _ => life.end(),
            }
            let step = STEPS.iter().find(|(from, on, _)| *from == state && *on == input);
            let to = step.map_or(state, |(_, _, to)| to);
            assert_eq!(name(&life), to, "{state}, {input}");
            assert!(step.is_some() || discriminant(&life) == before, "{state}, {input}");
        }
    }
}

#[test]
fn a_syn_is_repeated_until_it_is_answered() {
    let (mut life, syn) = syn_sent();
    let mut buf = vec![0; 2000];
    assert!(life.is_opening() && life.keys().is_none() && !life.is_proven());
    assert_eq!(life.opening_deadline(), Some(Instant::ZERO + INITIAL_RTO));
    assert!(life.emit_syn(Instant::ZERO, &mut buf).is_none(), "it has just been sent");
    let len = life.emit_syn(Instant::ZERO + INITIAL_RTO, &mut buf).unwrap();
    assert_eq!(buf[..len], syn);
    let answered = answer(&mut life, &responder(&syn, 2));
    assert!(
        matches!(answered, Some(Which::First(RoundTrip::AtLeast(_)))),
        "Karn's rule: {answered:?}"
    );
    assert!(!life.is_opening() && life.keys().is_some() && !life.is_proven());
    assert!(life.opening_deadline().is_none());
    assert!(life.emit_syn(Instant::ZERO + 9 * INITIAL_RTO, &mut buf).is_none());
}

#[test]
fn a_bad_answer_changes_nothing() {
    let (mut life, syn) = syn_sent();
    let bytes = responder(&syn, 2).answer;
    let (header, at) = Header::parse(&bytes).unwrap();
    let mut hello = parse_hello(&header, at, &bytes).unwrap();
    hello.message = &[9; MAX_MESSAGE - 1];
    assert!(life.on_answer(answered_at(), &names(), &hello).is_err());
    assert!(life.is_opening());
    assert!(answer(&mut life, &responder(&syn, 2)).is_some());
    assert!(life.on_answer(answered_at(), &names(), &hello).is_err());
    assert_eq!(name(&life), "Answered");
}

#[test]
fn the_third_message_is_due_once_and_again_when_it_may_be_lost() {
    let (mut life, [mut first, _]) = answered();
    assert!(life.is_third_due());
    assert!(proves(&life.take_third().unwrap(), &mut first));
    assert!(!life.is_third_due());
    life.repeat_third();
    assert!(life.is_third_due());
    life.on_proof();
    assert!(!life.is_third_due() && life.take_third().is_none());
}

#[test]
fn the_third_message_leads_each_flight_until_the_proof() {
    let (mut life, _) = answered();
    assert!(life.lead_flight().is_some());
    assert!(!life.is_third_due(), "it has been sent");
    assert!(life.lead_flight().is_none(), "this flight has been led");
    life.on_data_sent();
    assert!(life.lead_flight().is_some());
    life.on_data_sent();
    life.on_proof();
    assert!(life.lead_flight().is_none());
}

#[test]
fn another_answer_gives_other_keys_until_the_proof() {
    let (mut life, [mut first, mut second]) = answered();
    life.take_third();
    assert_eq!(answer(&mut life, &second), Some(Which::Another));
    assert!(life.is_third_due());
    let third = life.take_third().unwrap();
    assert!(!proves(&third, &mut first) && proves(&third, &mut second));
    life.on_proof();
    assert!(life.is_proven() && life.keys().is_some());
}

#[test]
fn the_syn_is_sent_again_when_the_answer_is_not_proven() {
    let (mut life, _) = answered();
    let (_, syn) = syn_sent();
    let mut buf = vec![0; 2000];
    assert!(life.emit_syn(answered_at(), &mut buf).is_none());
    life.begin_again();
    let len = life.emit_syn(answered_at(), &mut buf).unwrap();
    assert_eq!(buf[..len], syn);
    assert!(life.emit_syn(answered_at(), &mut buf).is_none(), "once");
    life.on_proof();
    assert!(life.emit_syn(answered_at(), &mut buf).is_none());
}

#[test]
fn what_is_proven_keeps_its_keys_and_nothing_else() {
    let (mut life, [_, second]) = answered();
    life.begin_again();
    life.on_proof();
    assert!(life.opening().is_none(), "what made the keys is forgotten");
    life.begin_again();
    assert!(life.emit_syn(answered_at(), &mut [0; 2000]).is_none());
    assert!(answer(&mut life, &second).is_none());
    assert!(life.is_proven() && life.keys().is_some());
}

#[test]
fn what_ends_before_its_proof_keeps_its_keys_and_nothing_else() {
    let (mut life, [_, second]) = answered();
    life.begin_again();
    life.end();
    assert!(life.keys().is_some() && !life.is_proven() && !life.is_opening());
    assert!(!life.is_third_due() && life.lead_flight().is_none() && life.take_third().is_none());
    assert!(life.emit_syn(answered_at(), &mut [0; 2000]).is_none());
    assert!(answer(&mut life, &second).is_none());
    let (mut life, _) = syn_sent();
    life.end();
    assert!(life.keys().is_none() && !life.is_opening() && life.opening_deadline().is_none());
}

#[test]
fn a_responder_is_established_and_stays_so() {
    let mut life = Life::responder(keys());
    assert!(life.is_proven() && !life.is_opening() && life.opening_deadline().is_none());
    life.repeat_third();
    life.begin_again();
    life.on_data_sent();
    assert!(!life.is_third_due() && life.lead_flight().is_none());
    assert!(life.emit_syn(answered_at(), &mut [0; 2000]).is_none());
    life.end();
    assert!(life.is_proven(), "its keys serve until the entry goes");
}
