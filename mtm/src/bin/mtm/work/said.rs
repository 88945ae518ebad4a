//! Words as they are said and heard over the association with a receiver, where each side shows who it is.

use mcp::mirror::Answer;
use mtm::installation::{Installation, Role};
use mtm::revision::Revision;
use mtm::words::{self, JobId, Met, OfReceiver, Said, ToReceiver};
use std::sync::Arc;
use tcpxm::seal::Binding;
use transfer::send;

/// A word of this master's for the host of each name, as it is said over whatever association.
pub(super) fn word(
    (installation, job): (&Arc<Installation>, JobId),
    word: impl Fn(&str) -> ToReceiver + Send + Sync + 'static,
) -> impl Fn(&str, &Binding) -> Vec<u8> + Send + Sync + 'static {
    let installation = Arc::clone(installation);
    move |host, binding| {
        let shown = installation.shows(Role::Master, &job, binding);
        words::encode(&Said { shown, word: word(host) })
    }
}

/// What a receiver has answered, and which installation it is.
pub(super) fn answer(job: &JobId, answer: Answer) -> Result<([u8; 16], OfReceiver), String> {
    let answer = answer?;
    let said = words::decode(&answer.word).map_err(|error| error.to_string());
    let Said { shown, word } = said?;
    let instance = shown.instance(job, &answer.binding);
    let instance =
        instance.ok_or_else(|| "it does not show which installation it is".to_owned())?;
    Ok((instance, word))
}

/// Which installation a member of a session is, if it has shown that, and what it had before the session.
pub(super) fn met(job: &JobId, said: &send::Said) -> Option<([u8; 16], [Option<Revision>; 2])> {
    let Met { shown, word: has } = words::decode(&said.shown).ok()?;
    Some((shown.instance(job, &said.binding?)?, has))
}
