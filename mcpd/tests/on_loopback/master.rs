//! The master of a mirror job, as its receivers know it.

use mtm::installation::{Installation, Role, Shown};
use mtm::words::{self, JobId, OfReceiver, Said, ToReceiver};
use std::net::SocketAddr;
use tcpxm::api::SenderOptions;
use tcpxm::seal::Binding;
use tcpxm::trust::SenderTrust;
use transfer::message::Offer;
use transfer::send::Delivered;
use transfer::session::open_session;
use transfer::talk;
use transfer::tree::source::TreeSource;

/// It: which installation it is, and whom it trusts.
#[derive(Debug, Clone)]
pub(crate) struct Master {
    drawn: [u8; 32],
    trust: SenderTrust,
    /// What it shows instead of itself.
    instead: Option<Shown>,
}

impl Master {
    pub(crate) fn new(drawn: u8) -> Self {
        Self::trusting(drawn, SenderTrust::Loopback)
    }

    pub(crate) fn trusting(drawn: u8, trust: SenderTrust) -> Self {
        Self { drawn: [drawn; 32], trust, instead: None }
    }

    /// The same, but it shows this, wherever it speaks.
    pub(crate) fn showing(&self, shown: Shown) -> Self {
        Self { instead: Some(shown), ..self.clone() }
    }

    /// What shows who it is, over the association of this binding.
    pub(crate) fn shown(&self, job: &JobId, binding: &Binding) -> Shown {
        let own = || Installation::new(&self.drawn).shows(Role::Master, job, binding);
        self.instead.clone().unwrap_or_else(own)
    }

    fn options(&self) -> SenderOptions {
        SenderOptions::new(self.trust.clone())
    }

    /// Sends a tree for a job.
    pub(crate) fn send(&self, to: SocketAddr, source: &TreeSource, offer: Offer) -> Delivered {
        let sender = open_session(self.options(), &[vec![to]]).unwrap().sender;
        let shows = |job: &JobId, binding: &Binding| words::encode(&self.shown(job, binding));
        let offered = (&[offer][..], &shows as &_);
        let mut outcome = transfer::send_for_job(&sender, source, offered, &|_| {});
        outcome.members.remove(0)
    }

    /// Says a word; the answer and which installation gives it, or why there is none.
    pub(crate) fn asks(
        &self,
        to: SocketAddr,
        word: &ToReceiver,
    ) -> Result<([u8; 16], OfReceiver), String> {
        let job = word.job();
        let words = |_, binding: &Binding| {
            words::encode(&Said { shown: self.shown(&job, binding), word: word.clone() })
        };
        let said = talk::say(self.options(), &[vec![to]], &words).unwrap().remove(0);
        let answer = said.answer?;
        let Said { shown, word } = words::decode(&answer.word).unwrap();
        Ok((shown.instance(&job, &answer.binding).expect("it shows who it is"), word))
    }

    /// The answer.
    pub(crate) fn says(&self, to: SocketAddr, word: &ToReceiver) -> OfReceiver {
        self.asks(to, word).unwrap().1
    }
}
