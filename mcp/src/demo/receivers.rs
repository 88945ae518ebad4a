//! The demo's receivers, each as a daemon would run it.

use super::interrupt::Watch;
use anyhow::{Context, Result};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::thread::{self, JoinHandle};
use tcpxm::api::{Closer, ListenOptions, Listener};
use tcpxm::stats::Sent;
use tcpxm::trust::ListenTrust;
use tempfile::TempDir;
use transfer::destination::Root;
use transfer::limits::Limits;
use transfer::receive::Received;

/// Their addresses; all of 127.0.0.0/8 is loopback (RFC 6890, section 2.2.2).
const ADDRS: [Ipv4Addr; 3] =
    [Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 3), Ipv4Addr::new(127, 0, 0, 4)];

/// Where the copy stands, or why there is none; and what the receiver sent.
type Copied = (Result<PathBuf, String>, Sent);

/// Running receivers. Their folders go when they go.
pub(super) struct Receivers {
    addrs: Vec<SocketAddr>,
    closers: Vec<Closer>,
    threads: Vec<JoinHandle<Copied>>,
    folders: Vec<TempDir>,
}

/// The copies of all receivers, as long as they are held.
pub(super) struct Copies {
    /// In the order of the receivers.
    pub(super) paths: Vec<Result<PathBuf, String>>,
    /// What all receivers sent: acknowledgements and control.
    pub(super) answered: Sent,
    _folders: Vec<TempDir>,
}

impl Receivers {
    /// Starts three, each with a socket on a port of its own and a folder of its own.
    pub(super) fn start(watch: &Watch) -> Result<Self> {
        let mut this = Self {
            addrs: Vec::new(),
            closers: Vec::new(),
            threads: Vec::new(),
            folders: Vec::new(),
        };
        for addr in ADDRS {
            this.add(addr, watch)?;
        }
        Ok(this)
    }

    fn add(&mut self, addr: Ipv4Addr, watch: &Watch) -> Result<()> {
        let folder = tempfile::Builder::new().prefix("mcp-demo-").tempdir();
        let folder = folder.context("cannot create a temporary folder")?;
        let listener = Listener::bind(ListenOptions::new((addr, 0).into(), ListenTrust::Loopback));
        let listener = listener.with_context(|| format!("cannot listen on {addr}"))?;
        watch.guard_listener(listener.closer(), folder.path());
        self.addrs.push(listener.local_addr());
        self.closers.push(listener.closer());
        let root = Root::open(folder.path()).context("cannot open a temporary folder")?;
        let work = move || match listener.accept() {
            Ok(session) => {
                let copy = match transfer::receive(&session, &root, &Limits::default()) {
                    Ok(Received { failure: Some(why), .. }) => Err(why),
                    Ok(Received { path, .. }) => Ok(path),
                    Err(error) => Err(error.to_string()),
                };
                (copy, session.sent())
            }
            Err(error) => (Err(format!("no session came: {error}")), Sent::default()),
        };
        let thread = thread::Builder::new().name(format!("receiver-{addr}")).spawn(work);
        self.threads.push(thread.context("cannot start a thread")?);
        self.folders.push(folder);
        Ok(())
    }

    /// Where they listen.
    pub(super) fn addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }

    /// Waits for their results, after the sender has its own. One that no session reached stops
    /// listening.
    pub(super) fn finish(mut self) -> Copies {
        self.closers.iter().for_each(Closer::close);
        let mut answered = Sent::default();
        let mut paths = Vec::new();
        for thread in self.threads.drain(..) {
            let stopped = || (Err("its thread stopped".to_owned()), Sent::default());
            let (copy, sent) = thread.join().unwrap_or_else(|_| stopped());
            answered.datagrams += sent.datagrams;
            answered.datagram_bytes += sent.datagram_bytes;
            paths.push(copy);
        }
        Copies { paths, answered, _folders: std::mem::take(&mut self.folders) }
    }
}

impl Drop for Receivers {
    /// After a failure on the way: no thread may still write when its folder goes.
    fn drop(&mut self) {
        self.closers.iter().for_each(Closer::close);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
