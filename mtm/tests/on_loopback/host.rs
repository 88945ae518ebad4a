//! A receiver in this process, which can go off and come back.

use mtm::words::{self, OfReceiver, ToReceiver};
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use tcpxm::api::{Closer, ListenOptions, Listener};
use tcpxm::trust::ListenTrust;
use tempfile::TempDir;
use transfer::destination::Root;
use transfer::jobs::{From, Jobs};
use transfer::limits::{Allow, Limits, Rate};
use transfer::message::OfJob;

/// Takes part in mirror jobs: what it answers to the words to run a command, one after the other, the last one for ever,
/// and which words came.
#[derive(Debug, Default)]
struct Script {
    answers: Mutex<VecDeque<OfReceiver>>,
    heard: Mutex<Vec<ToReceiver>>,
    /// Whether it takes sessions of jobs.
    refuses: AtomicBool,
}

impl Jobs for Script {
    fn may_begin(&self, _: &From, _: &OfJob, _: &Path) -> Result<(), String> {
        Ok(())
    }

    fn begin(&self, _: &From, _: &OfJob, _: &Path) -> Result<(), String> {
        if self.refuses.load(Ordering::SeqCst) { Err("not here".to_owned()) } else { Ok(()) }
    }

    fn end(&self, _: &OfJob, _: bool) {}

    fn hear(&self, _: &From, word: &[u8]) -> Vec<u8> {
        let word = words::decode(word).unwrap();
        let mut answer = OfReceiver::Done;
        if let ToReceiver::Mex { .. } = word {
            let mut answers = self.answers.lock().unwrap();
            answer = answers.pop_front().unwrap();
            if answers.is_empty() {
                answers.push_back(answer.clone());
            }
        }
        self.heard.lock().unwrap().push(word);
        words::encode(&answer)
    }
}

/// It.
pub(crate) struct Host {
    addr: SocketAddr,
    folder: TempDir,
    instance: [u8; 16],
    rate: Option<u64>,
    deletes: bool,
    running: Option<(Closer, JoinHandle<()>)>,
    /// Bytes of files that each of its sessions has written.
    taken: Arc<Mutex<Vec<u64>>>,
    script: Option<Arc<Script>>,
}

impl Host {
    /// One at 127.0.0.`last`, which is there.
    pub(crate) fn new(last: u8) -> Self {
        let mut host = Self::off(last);
        host.start();
        host
    }

    /// One that is off; its port is free.
    pub(crate) fn off(last: u8) -> Self {
        let addr = SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0));
        let listener = Listener::bind(ListenOptions::new(addr, ListenTrust::Loopback)).unwrap();
        let (addr, closer) = (listener.local_addr(), listener.closer());
        drop(listener);
        closer.wait_closed();
        let folder = tempfile::tempdir().unwrap();
        let taken = Arc::default();
        Self {
            addr,
            folder,
            instance: [last; 16],
            rate: None,
            deletes: true,
            running: None,
            taken,
            script: None,
        }
    }

    /// It takes no more than so many bits a second.
    pub(crate) fn slow(mut self, bits: u64) -> Self {
        self.rate = Some(bits);
        self
    }

    /// It answers so to the words to run a command, one after the other; it is there.
    pub(crate) fn answering(mut self, answers: &[OfReceiver]) -> Self {
        let script: &Arc<Script> = self.script.get_or_insert_default();
        *script.answers.lock().unwrap() = answers.iter().cloned().collect();
        self.stop();
        self.start();
        self
    }

    /// The words to run a command that came.
    pub(crate) fn asked(&self) -> Vec<ToReceiver> {
        let heard = self.script.as_ref().unwrap().heard.lock().unwrap();
        heard.iter().filter(|word| matches!(word, ToReceiver::Mex { .. })).cloned().collect()
    }

    /// It takes no sessions of jobs, and hears words; it is there.
    pub(crate) fn refusing(self) -> Self {
        let host = self.answering(&[]);
        host.script.as_ref().unwrap().refuses.store(true, Ordering::SeqCst);
        host
    }

    /// Whether it was told that the job is over.
    pub(crate) fn heard_the_end(&self) -> bool {
        let heard = self.script.as_ref().unwrap().heard.lock().unwrap();
        heard.iter().any(|word| matches!(word, ToReceiver::Over { .. }))
    }

    /// Whether its daemon lets senders delete, from its next start on.
    pub(crate) fn set_deletes(&mut self, deletes: bool) {
        self.deletes = deletes;
    }

    /// It is there.
    pub(crate) fn start(&mut self) {
        let options = ListenOptions::new(self.addr, ListenTrust::Loopback);
        let listener = Listener::bind(options).unwrap();
        let closer = listener.closer();
        let root = Root::open(self.folder.path()).unwrap();
        let allow = Allow { owner: true, setuid: true, delete: self.deletes, device: true };
        let rate = self.rate.map(|bits| Arc::new(Rate::new(Some(bits))));
        let jobs = self.script.clone().map(|script| -> Arc<dyn Jobs> { script });
        let instance = Some(self.instance);
        let limits = Limits { allow, rate, instance, jobs, ..Limits::default() };
        let taken = Arc::clone(&self.taken);
        let accepting = thread::spawn(move || {
            let mut sessions = Vec::new();
            while let Ok(session) = listener.accept() {
                let (root, limits, taken) = (root.clone(), limits.clone(), Arc::clone(&taken));
                sessions.push(thread::spawn(move || {
                    // The sender reports it.
                    if let Ok(Some(received)) = transfer::receive_or_hear(&session, &root, &limits)
                    {
                        taken.lock().unwrap().push(received.report.bytes);
                    }
                }));
            }
            for session in sessions {
                session.join().unwrap();
            }
        });
        self.running = Some((closer, accepting));
    }

    /// It is gone, without a word.
    pub(crate) fn stop(&mut self) {
        if let Some((closer, accepting)) = self.running.take() {
            closer.close();
            accepting.join().unwrap();
        }
    }

    /// It is another installation from now on, with nothing of what the last one had.
    pub(crate) fn reinstall(&mut self) {
        self.stop();
        self.instance[0] ^= 0xff;
        self.folder = tempfile::tempdir().unwrap();
        self.start();
    }

    /// As it is typed.
    pub(crate) fn name(&self) -> String {
        format!("{}:{}:mirror", self.addr.ip(), self.addr.port())
    }

    /// Where the job's folder of this name stands.
    pub(crate) fn mirror(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join("mirror").join(name)
    }

    /// Its own folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Bytes of files that its sessions have written.
    pub(crate) fn taken(&self) -> u64 {
        self.taken.lock().unwrap().iter().sum()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stop();
    }
}
