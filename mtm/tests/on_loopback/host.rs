//! A receiver in this process, which can go off and come back.

use crate::job::LONG;
use crate::keeping::Kept;
use mtm::installation::{Folder, Installation, Role, Shown};
use mtm::revision::Revision;
use mtm::words::{self, JobId, OfReceiver, Said, ToReceiver};
use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Instant;
use tcpxm::api::{Closer, ListenOptions, Listener};
use tcpxm::trust::ListenTrust;
use tempfile::TempDir;
use transfer::destination::Root;
use transfer::jobs::{From, Jobs};
use transfer::limits::{Allow, Limits, Rate};
use transfer::message::OfJob;

/// Takes part in mirror jobs: what it answers to the words to run a command, one after the other, the last one for ever,
/// and which words came.
#[derive(Debug)]
struct Script {
    /// What its installation's key is made of.
    drawn: [u8; 32],
    answers: Mutex<VecDeque<OfReceiver>>,
    heard: Mutex<Vec<ToReceiver>>,
    /// What it keeps of its jobs, if it does.
    kept: Mutex<Option<Kept>>,
    /// Whether it takes sessions of jobs.
    refuses: AtomicBool,
    /// Whether it has all of the last one.
    has_all: AtomicBool,
    /// Whether it gives no verdict on them.
    judges_late: Mutex<bool>,
    judges: Condvar,
}

impl Jobs for Script {
    fn may_begin(&self, _: &From, _: &OfJob, _: &Path) -> Result<(), String> {
        Ok(())
    }

    fn begin(&self, _: &From, job: &OfJob, place: &Path) -> Result<(), String> {
        if let Some(kept) = &mut *self.kept.lock().unwrap() {
            kept.begin(job, place);
        }
        if self.refuses.load(Ordering::SeqCst) { Err("not here".to_owned()) } else { Ok(()) }
    }

    fn shows(&self, from: &From, job: &OfJob) -> Vec<u8> {
        let kept = self.kept.lock().unwrap();
        let has = kept.as_ref().map(|kept| kept.has(job.id, &job.host));
        words::encode(&words::Met {
            shown: self.shown(from, &job.id),
            word: has.unwrap_or_default(),
        })
    }

    fn end(&self, job: &OfJob, ok: bool) {
        if let Some(kept) = &mut *self.kept.lock().unwrap() {
            kept.end(job, ok);
        }
        self.has_all.store(ok, Ordering::SeqCst);
        let late = self.judges_late.lock().unwrap();
        drop(self.judges.wait_while(late, |late| *late).unwrap());
    }

    fn hear(&self, from: &From, word: &[u8]) -> Vec<u8> {
        let Said { shown: _, word } = words::decode(word).unwrap();
        let job = ToReceiver::job(&word);
        let mut answer = OfReceiver::Done;
        if let Some(kept) = &mut *self.kept.lock().unwrap() {
            answer = kept.hear(&word);
        } else if let ToReceiver::Mex { .. } = word {
            let mut answers = self.answers.lock().unwrap();
            answer = answers.pop_front().unwrap();
            if answers.is_empty() {
                answers.push_back(answer.clone());
            }
        } else if let ToReceiver::Ask { .. } = word {
            answer = OfReceiver::Has { revision: None, begun: None };
        }
        self.heard.lock().unwrap().push(word);
        words::encode(&Said { shown: self.shown(from, &job), word: answer })
    }
}

impl Script {
    fn new(drawn: [u8; 32]) -> Self {
        Self {
            drawn,
            answers: Mutex::default(),
            heard: Mutex::default(),
            kept: Mutex::default(),
            refuses: AtomicBool::default(),
            has_all: AtomicBool::default(),
            judges_late: Mutex::default(),
            judges: Condvar::new(),
        }
    }

    fn shown(&self, from: &From, job: &JobId) -> Shown {
        let role = Role::Receiver(Folder::default());
        Installation::new(&self.drawn).shows(role, job, &from.binding)
    }
}

/// It.
pub(crate) struct Host {
    addr: SocketAddr,
    trust: ListenTrust,
    folder: TempDir,
    rate: Option<u64>,
    deletes: bool,
    running: Option<(Closer, JoinHandle<()>)>,
    /// Bytes of files that each of its sessions has written.
    taken: Arc<Mutex<Vec<u64>>>,
    /// Bytes that came for each, with its lists.
    came: Arc<Mutex<Vec<u64>>>,
    script: Arc<Script>,
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
        let (taken, came) = (Arc::default(), Arc::default());
        Self {
            addr,
            trust: ListenTrust::Loopback,
            folder,
            rate: None,
            deletes: true,
            running: None,
            taken,
            came,
            script: Arc::new(Script::new([last; 32])),
        }
    }

    /// Who may send to it.
    pub(crate) fn trusting(mut self, trust: ListenTrust) -> Self {
        self.trust = trust;
        if self.running.is_some() {
            self.stop();
            self.start();
        }
        self
    }

    /// It takes no more than so many bits a second.
    pub(crate) fn slow(mut self, bits: u64) -> Self {
        self.rate = Some(bits);
        self
    }

    /// It answers so to the words to run a command, one after the other; it is there.
    pub(crate) fn answering(mut self, answers: &[OfReceiver]) -> Self {
        *self.script.answers.lock().unwrap() = answers.iter().cloned().collect();
        self.stop();
        self.start();
        self
    }

    /// It keeps what it has of its jobs, and runs their commands.
    pub(crate) fn keeping(self) -> Self {
        let kept = Kept::open(&self.folder.path().join("kept"));
        *self.script.kept.lock().unwrap() = Some(kept);
        self
    }

    /// The revisions for which it has run a command.
    pub(crate) fn ran(&self) -> Vec<Revision> {
        self.script.kept.lock().unwrap().as_ref().map(|kept| kept.ran.clone()).unwrap_or_default()
    }

    /// The words to run a command that came.
    pub(crate) fn asked(&self) -> Vec<ToReceiver> {
        let heard = self.script.heard.lock().unwrap();
        heard.iter().filter(|word| matches!(word, ToReceiver::Mex { .. })).cloned().collect()
    }

    /// It takes no sessions of jobs, and hears words; it is there.
    pub(crate) fn refusing(self) -> Self {
        let host = self.answering(&[]);
        host.script.refuses.store(true, Ordering::SeqCst);
        host
    }

    /// Whether it was told that the job is over.
    pub(crate) fn heard_the_end(&self) -> bool {
        let heard = self.script.heard.lock().unwrap();
        heard.iter().any(|word| matches!(word, ToReceiver::Over { .. }))
    }

    /// Whether it has all of its last session.
    pub(crate) fn has_all(&self) -> bool {
        self.script.has_all.load(Ordering::SeqCst)
    }

    /// Whether it gives no verdict on what has come, until it is said otherwise.
    pub(crate) fn set_judges_late(&self, late: bool) {
        *self.script.judges_late.lock().unwrap() = late;
        self.script.judges.notify_all();
    }

    /// Whether its daemon lets senders delete, from its next start on.
    pub(crate) fn set_deletes(&mut self, deletes: bool) {
        self.deletes = deletes;
    }

    /// It is there.
    pub(crate) fn start(&mut self) {
        let listener = bind(self.addr, &self.trust);
        let closer = listener.closer();
        let root = Root::open(self.folder.path()).unwrap();
        let allow = Allow { owner: true, setuid: true, delete: self.deletes, device: true };
        let rate = self.rate.map(|bits| Arc::new(Rate::new(Some(bits))));
        let jobs: Option<Arc<dyn Jobs>> = Some(self.script.clone());
        let limits = Limits { allow, rate, jobs, ..Limits::default() };
        let (taken, came) = (Arc::clone(&self.taken), Arc::clone(&self.came));
        let accepting = thread::spawn(move || {
            let mut sessions = Vec::new();
            while let Ok(session) = listener.accept() {
                let (root, limits) = (root.clone(), limits.clone());
                let (taken, came) = (Arc::clone(&taken), Arc::clone(&came));
                sessions.push(thread::spawn(move || {
                    // The sender reports it.
                    if let Ok(Some(received)) = transfer::receive_or_hear(&session, &root, &limits)
                    {
                        taken.lock().unwrap().push(received.report.bytes);
                        came.lock().unwrap().push(received.arrived.total());
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
        let mut drawn = self.script.drawn;
        drawn[0] ^= 0xff;
        let answers = std::mem::take(&mut *self.script.answers.lock().unwrap());
        self.script = Arc::new(Script { answers: Mutex::new(answers), ..Script::new(drawn) });
        self.folder = tempfile::tempdir().unwrap();
        self.start();
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// As it is typed.
    pub(crate) fn name(&self) -> String {
        self.at("mirror")
    }

    /// The same, with another path.
    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}:{}:{path}", self.addr.ip(), self.addr.port())
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

    /// Bytes that came for its sessions.
    pub(crate) fn came(&self) -> u64 {
        self.came.lock().unwrap().iter().sum()
    }
}

/// Takes the port again. A process that another test starts has all sockets of this one for a moment, until it is the
/// other program.
fn bind(addr: SocketAddr, trust: &ListenTrust) -> Listener {
    let begin = Instant::now();
    loop {
        match Listener::bind(ListenOptions::new(addr, trust.clone())) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && begin.elapsed() < LONG => {
                thread::yield_now();
            }
            bound => return bound.unwrap(),
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stop();
    }
}
