//! Hears receivers that say hello.

use crate::say::say;
use anyhow::{Context, Result};
use mcp_cli::listen::Listen;
use mcp_cli::say::plain;
use mtm::ledger::ReceiverId;
use mtm::words::{self, ChannelTold, JobId, OfMaster, ToMaster};
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

/// Receivers of the job by their names, each with what it is told of the job's announcements.
pub(crate) type Hosts = BTreeMap<String, (ReceiverId, Option<ChannelTold>)>;

/// A receiver that said hello.
#[derive(Debug)]
pub(crate) struct Hello {
    pub(crate) id: ReceiverId,
    /// Which installation it says that it is.
    pub(crate) instance: [u8; 16],
    /// The newest revision of which it says that it has everything.
    pub(crate) has: Option<u32>,
    /// The announcement that it took last.
    pub(crate) last: Option<Vec<u8>>,
}

/// It.
pub(crate) struct Ear {
    listener: Arc<Listener>,
    hosts: Arc<Mutex<Hosts>>,
    told: (Option<IpAddr>, u16),
}

/// What each thread has.
struct Work {
    job: JobId,
    hosts: Arc<Mutex<Hosts>>,
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
        (job, floor): (JobId, Option<Arc<AtomicU64>>),
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
        let hosts = Arc::<Mutex<Hosts>>::default();
        let busy = AtomicUsize::new(0);
        let work =
            Arc::new(Work { job, hosts: Arc::clone(&hosts), heard: Box::new(heard), floor, busy });
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

    /// Names of the receivers.
    pub(crate) fn names(&self) -> Vec<String> {
        lock(&self.hosts).keys().cloned().collect()
    }

    /// These are the receivers now, and they are trusted so.
    pub(crate) fn set(&self, hosts: Hosts, trust: ListenTrust) {
        *lock(&self.hosts) = hosts;
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
        let answer = match words::decode(word) {
            Ok(ToMaster::Hello { job, host, instance, has, last }) if job == work.job => {
                match lock(&work.hosts).get(&host).cloned() {
                    Some((id, told)) => {
                        said = Some(Hello { id, instance, has, last });
                        let channel = told.as_ref().map(|told| work.newest(told));
                        OfMaster::Welcome { channel }
                    }
                    None => OfMaster::Unknown,
                }
            }
            _ => OfMaster::Unknown,
        };
        words::encode(&answer)
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
