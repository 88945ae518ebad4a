//! A receiver in this process.

use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use tcpxm::api::{Closer, ListenOptions, Listener};
use tcpxm::trust::ListenTrust;
use tempfile::TempDir;
use transfer::destination::Root;
use transfer::limits::Limits;

/// It takes every session, each in a thread of its own, until it is dropped.
pub(crate) struct Receiver {
    pub(crate) addr: SocketAddr,
    pub(crate) folder: TempDir,
    closer: Closer,
}

impl Receiver {
    /// One at 127.0.0.`last`.
    pub(crate) fn new(last: u8) -> Self {
        Self::with(ListenOptions::new(
            (Ipv4Addr::new(127, 0, 0, last), 0).into(),
            ListenTrust::Loopback,
        ))
    }

    /// One that listens so.
    pub(crate) fn with(options: ListenOptions) -> Self {
        Self::within(options, Limits::default(), || {})
    }

    /// One that listens so and takes what the limits allow, in threads that follow from one that begins so.
    pub(crate) fn within(
        options: ListenOptions,
        limits: Limits,
        begin: impl FnOnce() + Send + 'static,
    ) -> Self {
        let listener = Listener::bind(options).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (addr, closer) = (listener.local_addr(), listener.closer());
        let root = Root::open(folder.path()).unwrap();
        thread::spawn(move || {
            begin();
            while let Ok(session) = listener.accept() {
                let (root, limits) = (root.clone(), limits.clone());
                thread::spawn(move || transfer::receive(&session, &root, &limits)); // the sender reports it
            }
        });
        Self { addr, folder, closer }
    }

    /// As it is typed, with a path.
    pub(crate) fn host(&self, path: &str) -> String {
        format!("{}:{}:{path}", self.addr.ip(), self.addr.port())
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.closer.close();
    }
}
