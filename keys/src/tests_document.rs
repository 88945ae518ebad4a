//! The files that `docs/security.md` shows are such as are read.

use crate::{AuthorizedKeys, HostName, KnownHosts, Secrets, identity_file};
use std::path::Path;
use std::time::{Duration, SystemTime};
use tcpxm::trust::Identity;

const DOCUMENT: &str = include_str!("../../docs/security.md");

/// The block that holds this, without its fences.
fn block(with: &str) -> &'static str {
    let mut blocks = DOCUMENT.split("```").skip(1).step_by(2);
    let block = blocks.find(|block| block.starts_with("text\n") && block.contains(with));
    &block.unwrap_or_else(|| panic!("there is no block with {with}"))["text\n".len()..]
}

#[test]
fn the_secret_is_one() {
    let secret = block("KiOU=");
    assert!(Secrets::parse(Path::new("secret"), secret.as_bytes()).is_ok());
    assert_eq!(secret.trim().len(), crate::secret_file::line().unwrap().len());
}

#[test]
fn the_identity_has_the_lines_that_are_read() {
    let identity = Identity::generate([7; 64]);
    let key = |_| "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=".to_owned();
    let lines = block("mcp identity").lines();
    let text: Vec<String> = lines
        .map(|line| match line.split_once(" <") {
            Some((name, rest)) => format!("{name} {}", key(rest)),
            None => line.to_owned(),
        })
        .collect();
    let path = Path::new("identity");
    assert!(identity_file::parse(path, text.join("\n").as_bytes()).is_ok(), "{text:?}");
    // And as many as are written.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("identity");
    identity_file::create(&path, &identity).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), text.len());
}

#[test]
fn the_authorized_keys_are_those_described() {
    let text = block("who may send to this host");
    let list = AuthorizedKeys::parse(Path::new("authorized_keys"), text.as_bytes()).unwrap();
    let permits: Vec<_> = list.keys().map(|(_, permit)| permit).collect();
    assert_eq!(permits.len(), 2);
    let ci = permits.iter().find(|permit| permit.comment == "ci").unwrap();
    assert_eq!(ci.root.as_deref(), Some(Path::new("/srv/in/ci")));
    assert_eq!((ci.rate, ci.size), (Some(900_000_000), Some(10_000_000_000)));
    // 2027-01-31, as the table says.
    let expiry = SystemTime::UNIX_EPOCH + Duration::from_secs(1_801_353_600);
    assert_eq!(ci.expiry, Some(expiry));
}

#[test]
fn the_known_hosts_are_known() {
    let text = block("[node02]:8738");
    let hosts = KnownHosts::parse(Path::new("known_hosts"), text.as_bytes()).unwrap();
    for (host, port) in [("node01", 8737), ("node02", 8738)] {
        assert!(hosts.key(&HostName::new(host, port).unwrap()).is_some(), "{host}");
    }
}
