//! The files of secrets and keys.

use crate::input::Input;
use mcp_keys::{AuthorizedKeys, KnownHosts, Secrets, identity_file};
use std::path::Path;

/// Reads bytes as a file of the kind that the first one names. What is refused names the file, and a
/// secret shows nowhere.
pub fn key_files(input: &[u8]) {
    let mut input = Input::new(input);
    let kind = input.u8() % 4;
    let (path, bytes) = (Path::new("/file"), input.rest());
    let refused = match kind {
        0 => Secrets::parse(path, bytes).map(|s| format!("{s:?}")).map_err(|e| e.to_string()),
        1 => identity_file::parse(path, bytes)
            .map(|identity| format!("{identity:?}"))
            .map_err(|e| e.to_string()),
        2 => AuthorizedKeys::parse(path, bytes).map(|_| String::new()).map_err(|e| e.to_string()),
        _ => KnownHosts::parse(path, bytes).map(|_| String::new()).map_err(|e| e.to_string()),
    };
    let (Ok(said) | Err(said)) = &refused;
    if refused.is_err() {
        assert!(said.starts_with("/file"), "{said}");
    }
    let secret = String::from_utf8_lossy(bytes);
    // What has blanks may be our own words.
    let shows = |line: &str| line.len() >= 32 && !line.contains(' ') && said.contains(line);
    assert!(kind != 0 || !secret.split('\n').map(str::trim).any(shows), "{said}");
}
