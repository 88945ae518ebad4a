//! Hears receivers that say hello.

use crate::say::say;
use anyhow::{Context, Result};
use mcp_cli::listen::Listen;
use mcp_cli::say::plain;
use mtm::installation::{Installation, Role};
use mtm::ledger::ReceiverId;
use mtm::revision::Revision;
use mtm::words::{self, ChannelTold, JobId, OfMaster, Said, ToMaster};
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use tcpxm::api::{ListenOptions, Listener, Receiver};
use tcpxm::trust::ListenTrust;
use transfer::talk;

/// So many are heard at a time; who comes then comes again.
const AT_A_TIME: usize = 64;

/// A receiver of the job, as it may say hello.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    pub(crate) id: ReceiverId,
    /// Which installation it is, once that is known.
    pub(crate) instance: Option<[u8; 16]>,
    /// What it is told of the job's announcements.
    pub(crate) told: Option<ChannelTold>,
}

/// Receivers of the job by their names.
pub(crate) type Hosts = BTreeMap<String, Host>;

/// A receiver that said hello.
#[derive(Debug)]
pub(crate) struct Hello {
    pub(crate) id: ReceiverId,
    /// Which installation it says that it is.
    pub(crate) instance: [u8; 16],
    /// The newest revision of which it says that it has everything.
    pub(crate) has: Option<Revision>,
    /// The one of which it says that it may have something.
    pub(crate) begun: Option<Revision>,
    /// The announcement that it took last.
    pub(crate) last: Option<Vec<u8>>,
}

/// It.
pub(crate) struct Ear {
    listener: Arc<Listener>,
    hosts: Arc<Mutex<Option<Hosts>>>,
    told: (Option<IpAddr>, u16),
}

/// What each thread has.
struct Work {
    installation: Arc<Installation>,
    job: JobId,
    /// `None`: they are not known yet.
    hosts: Arc<Mutex<Option<Hosts>>>,
    heard: Box<dyn Fn(Hello) + Send + Sync>,
    /// Announcements are new from that counter on.
    floor: Option<Arc<AtomicU64>>,
    busy: AtomicUsize,
}

impl Work {
    /// With the counter of this moment: nothing that was announced before is new to who was not here.
    fn newest(&self, told: &ChannelTold) -> ChannelTold {
        let floor = self.floor.as_ref().map(|floor| floor.load(Ordering::SeqCst));
        ChannelTold { floor: floor.unwrap_or(told.floor), ..told.clone() }
    }
}

impl Ear {
    /// Listens there, else on the port that was kept, else on any that is free; `heard` is called with who says hello.
    pub(crate) fn start(
        (asked, kept): (Option<Listen>, Option<u16>),
        trust: &ListenTrust,
        ((installation, job), floor): ((Arc<Installation>, JobId), Option<Arc<AtomicU64>>),
        heard: impl Fn(Hello) + Send + Sync + 'static,
    ) -> Result<Self> {
        let ip = asked.and_then(Listen::ip);
        let port = kept.unwrap_or(0);
        let listener = match asked {
            Some(asked) => {
                let port = asked.port(port);
                bind(ip, port, trust)
                    .with_context(|| format!("cannot listen on port {port} (--listen)"))?
            }
            None => bind(ip, port, trust)
                .or_else(|_| bind(ip, 0, trust))
                .context("cannot listen for receivers that say hello")?,
        };
        let listener = Arc::new(listener);
        let told = (ip.filter(|ip| !ip.is_unspecified()), listener.local_addr().port());
        let hosts = Arc::<Mutex<Option<Hosts>>>::default();
        let busy = AtomicUsize::new(0);
        let heard = Box::new(heard);
        let work = Work { installation, job, hosts: Arc::clone(&hosts), heard, floor, busy };
        let work = Arc::new(work);
        let own = Arc::clone(&listener);
        thread::Builder::new()
            .name("hello".to_owned())
            .spawn(move || accept(&own, &work))
            .context("cannot start a thread")?;
        Ok(Self { listener, hosts, told })
    }

    /// Where receivers say hello: an address, if it is another than their sessions come from, and the port.
    pub(crate) fn told(&self) -> (Option<IpAddr>, u16) {
        self.told
    }

    /// The receivers as they were last told.
    pub(crate) fn roster(&self) -> Vec<(String, ReceiverId)> {
        let hosts = lock(&self.hosts);
        hosts.iter().flatten().map(|(name, host)| (name.clone(), host.id)).collect()
    }

    /// These are the receivers now, and they are trusted so.
    pub(crate) fn set(&self, hosts: Hosts, trust: ListenTrust) {
        *lock(&self.hosts) = Some(hosts);
        if let Err(error) = self.listener.set_trust(trust) {
            say(format_args!(
                "receivers may not be able to say hello: {}",
                plain(&error.to_string())
            ));
        }
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.listener.closer().close();
    }
}

fn bind(ip: Option<IpAddr>, port: u16, trust: &ListenTrust) -> io::Result<Listener> {
    let at = |ip: IpAddr| Listener::bind(ListenOptions::new((ip, port).into(), trust.clone()));
    match (ip, trust) {
        (Some(ip), _) => at(ip),
        (None, ListenTrust::Loopback) => at(Ipv4Addr::LOCALHOST.into()),
        (None, _) => match at(Ipv6Addr::UNSPECIFIED.into()) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(error),
            // A host without IPv6.
            Err(_) => at(Ipv4Addr::UNSPECIFIED.into()),
            bound => bound,
        },
    }
}

fn accept(listener: &Listener, work: &Arc<Work>) {
    loop {
        match listener.accept() {
            Ok(receiver) if work.busy.load(Ordering::Relaxed) < AT_A_TIME => {
                work.busy.fetch_add(1, Ordering::Relaxed);
                let own = Arc::clone(work);
                let started = thread::Builder::new().spawn(move || {
                    hear(&receiver, &own);
                    own.busy.fetch_sub(1, Ordering::Relaxed);
                });
                if started.is_err() {
                    work.busy.fetch_sub(1, Ordering::Relaxed);
                }
            }
            Ok(receiver) => drop(receiver),
            Err(error) if error.kind() == io::ErrorKind::NotConnected => return, // closed
            Err(error) => {
                let why = plain(&error.to_string());
                say(format_args!("receivers cannot say hello any more: {why}"));
                return;
            }
        }
    }
}

fn hear(receiver: &Receiver, work: &Work) {
    let mut said = None;
    let answer = |word: &[u8]| {
        let binding = receiver.binding()?;
        let Said { shown, word: ToMaster::Hello { job, host, has, begun, last } } =
            words::decode(word).ok()?;
        let instance = shown.instance(&job, &binding)?;
        // What is said of another job, whose port this was or is, ends nothing of that job.
        let known = lock(&work.hosts).as_ref().filter(|_| job == work.job)?.get(&host).cloned();
        let answer = match known {
            None => OfMaster::Unknown,
            // Whoever holds the secret can call himself what that host is called: he is told nothing.
            Some(Host { instance: Some(known), .. }) if known != instance => return None,
            Some(Host { id, instance: known, told }) => {
                said = Some(Hello { id, instance, has, begun, last });
                // Of one that was not met yet its name alone is known; its session tells it.
                let told = told.filter(|_| known.is_some());
                OfMaster::Welcome { channel: told.as_ref().map(|told| work.newest(told)) }
            }
        };
        let shown = work.installation.shows(Role::Master, &job, &binding);
        Some(words::encode(&Said { shown, word: answer }))
    };
    // Whoever was not heard to its end says it again.
    let heard = talk::hear(receiver, answer);
    if let (Some(said), Ok(())) = (said, heard) {
        (work.heard)(said);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
