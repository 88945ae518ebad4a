//! Replies to a SYN by somebody with the same secret, and by others.

use super::Session;
use super::tests::{at, peers};
use crate::config::SessionConfig;
use crate::error::Reason;
use crate::proto::conn::ids::Ids;
use crate::proto::rng::Rng;
use crate::seal::FrameKey;
use crate::trust::{NoiseKey, Secret, SenderTrust};
use crate::wire::{Reply, Said, TAG_LEN, VERSION};
use std::sync::Arc;

/// A session that has sent the SYN to its only member, and the tag of that.
fn asked(secret: &Arc<Secret>) -> (Session, [u8; TAG_LEN]) {
    let (trust, mut rng) = (SenderTrust::Secret(Arc::clone(secret)), Rng::new([3; 32]));
    let mut ids = Ids { rng: &mut rng, taken: &|_| false };
    let mut session = Session::new(
        at(0),
        SessionConfig::default(),
        (trust, NoiseKey::drawn(&[3; 32])),
        &[peers(1)],
        4000,
        &mut ids,
    )
    .unwrap();
    let mut buf = vec![0; 1 << 16];
    let syn = session.poll_transmit(at(0), &mut buf).unwrap();
    (session, *buf[..syn.len].last_chunk().unwrap())
}

/// What becomes of the member when a host of this version replies, from there, signed so.
fn replied(from: usize, sign: impl FnOnce(&mut [u8], &[u8; TAG_LEN])) -> Option<Reason> {
    let secret = Arc::new(Secret::from_line(&[b's'; 32]).unwrap());
    let (mut session, tag) = asked(&secret);
    let cid = session.members[0].conn().names().local_cid;
    let reply = Reply { version: VERSION + 1, cid, said: Said::OtherVersion };
    let mut bytes = [0; Reply::MAX_LEN];
    let len = reply.emit(&mut bytes);
    sign(&mut bytes[..len], &tag);
    session.on_reply(at(1), 0, peers(2)[from], (&reply, &bytes[..len]));
    session.on_timer(at(1));
    session.report(at(1), 0).outcome.map(|outcome| outcome.unwrap_err())
}

#[test]
fn who_holds_the_secret_is_believed_at_once_that_it_speaks_another_version() {
    let key = || {
        let secret = Secret::from_line(&[b's'; 32]).unwrap();
        FrameKey::new(*secret.frame_key())
    };
    let theirs = Some(Reason::Version { theirs: VERSION + 1, ours: VERSION });
    assert_eq!(replied(0, |reply, tag| key().sign_answer(reply, tag)), theirs);
    assert_eq!(replied(1, |reply, tag| key().sign_answer(reply, tag)), None, "from elsewhere");
    assert_eq!(replied(0, |reply, _| key().sign_answer(reply, &[0; 16])), None, "to another SYN");
    assert_eq!(replied(0, |reply, tag| FrameKey::open().sign_answer(reply, tag)), None);
    assert_eq!(replied(0, |_, _| ()), None);
}
