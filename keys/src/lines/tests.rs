//! Lists of both kinds: what is wrong with a line, and that one wrong line spoils the file.

use super::*;
use crate::authorized_keys::AuthorizedKeysError;
use crate::known_hosts::KnownHostsError;
use crate::{AuthorizedKeys, KnownHosts};
use proptest::prelude::*;
use tcpxm::trust::{Identity, PublicKey};

const PATH: &str = "/etc/mcp/list";
const LISTS: [List; 2] = [List::Authorized, List::Known];

fn key(n: u8) -> PublicKey {
    Identity::generate([n; 64]).public()
}

/// Reads a whole file of that kind; gives how many keys it has.
fn parse(list: List, bytes: &[u8]) -> Result<usize, LineFault> {
    let path = Path::new(PATH);
    match list {
        List::Authorized => match AuthorizedKeys::parse(path, bytes) {
            Ok(keys) => Ok(keys.keys().count()),
            Err(AuthorizedKeysError::Line(fault)) => Err(fault),
            Err(other) => panic!("{other}"),
        },
        List::Known => match KnownHosts::parse(path, bytes) {
            Ok(known) => Ok(known.len()),
            Err(KnownHostsError::Line(fault)) => Err(fault),
            Err(other) => panic!("{other}"),
        },
    }
}

/// A good line of that kind.
fn good(list: List, n: u8) -> String {
    match list {
        List::Authorized => key(n).to_string(),
        List::Known => format!("host{n} {}", key(n)),
    }
}

#[test]
fn blank_lines_and_comments_count_and_are_left_out() {
    let bytes = b"a b\r\n\n  # c \xff\n\t\n d\t\r\ne \xff\nf \0\n";
    let found: Vec<_> = numbered(bytes).collect();
    let faulty = [(6, Err(Fault::Encoding)), (7, Err(Fault::Control('\0')))];
    assert_eq!(found[..2], [(1, Ok("a b")), (5, Ok("d"))]);
    assert_eq!(found[2..], faulty);
    assert_eq!(numbered(b"").count(), 0);
}

#[test]
fn a_fault_is_named_with_its_line() {
    let (one, two) = (key(1).to_string(), key(2).to_string());
    let option = |fault: OptionFault| Fault::Option(fault);
    let host = |text: &str| Fault::Host(text.parse::<crate::HostName>().unwrap_err());
    let table: Vec<(List, String, usize, Fault)> = vec![
        (
            List::Authorized,
            format!("{one}\ncommand=\"ls\" {two}\n"),
            2,
            option(OptionFault::Reserved("command".to_owned())),
        ),
        (List::Authorized, format!("\n{one} a\n{one} b\n"), 3, Fault::Twice(2)),
        (List::Authorized, "mcp-ed25519\n".to_owned(), 1, PublicKeyError::Text.into()),
        (List::Authorized, "mcp-ed25519 AAAA\n".to_owned(), 1, PublicKeyError::Text.into()),
        (List::Authorized, "root=/a mcp-rsa AAAA\n".to_owned(), 1, PublicKeyError::Kind.into()),
        (List::Authorized, "root=/a\n".to_owned(), 1, PublicKeyError::Kind.into()),
        (
            List::Authorized,
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI a@b\n".to_owned(),
            1,
            option(OptionFault::Unknown("ssh-ed25519".to_owned())),
        ),
        (List::Known, "a\n".to_owned(), 1, PublicKeyError::Kind.into()),
        (List::Known, "a mcp-ed25519 AAAA\n".to_owned(), 1, PublicKeyError::Text.into()),
        (List::Known, format!("a {one}\n\na {one}\nA {two}\n"), 4, Fault::Contradiction(1)),
        (List::Known, format!("*.example {one}"), 1, host("*.example")),
        (List::Known, format!("a {one}\n|1|x= {two}"), 2, host("|1|x=")),
    ];
    for (list, text, line, fault) in table {
        let found = parse(list, text.as_bytes()).unwrap_err();
        assert_eq!((found.line, &found.fault), (line, &fault), "{text}");
    }
    for list in LISTS {
        let good = good(list, 1).into_bytes();
        for (bad, fault) in
            [(0xff, Fault::Encoding), (0x1b, Fault::Control('\u{1b}')), (0, Fault::Control('\0'))]
        {
            let found = parse(list, &[&good[..], b"\n", &good, &[bad]].concat()).unwrap_err();
            assert_eq!((found.line, found.fault), (2, fault), "{list:?}");
        }
    }
}

#[test]
fn what_does_not_hold_is_said() {
    let why = |list, text: &[u8]| parse(list, text).unwrap_err().to_string();
    assert_eq!(
        why(List::Authorized, b"rot=/a\n"),
        format!(
            "{PATH}:1: there is no option \"rot\": there are root, rate, size, expiry and allow; a key begins with \
             mcp-ed25519: no key of this file is taken until that line is right"
        )
    );
    let known = why(List::Known, b"|1|x= y\n");
    assert!(known.starts_with(&format!("{PATH}:1: \"|1|x=\" names no host")), "{known}");
    assert!(known.ends_with(": no host of this file is known until that line is right"), "{known}");
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = LISTS.map(|list| parse(list, &bytes));
    }

    #[test]
    fn one_bad_line_spoils_the_file(
        list in prop::sample::select(LISTS.to_vec()),
        bad in "[!-~][ -~]{0,60}",
        before in 0..5_u8,
        after in 0..5_u8,
    ) {
        prop_assume!(!bad.starts_with('#') && !bad.contains("mcp-ed25519"));
        let mut lines: Vec<String> = (1..=before + after).map(|n| good(list, n)).collect();
        prop_assert_eq!(parse(list, lines.join("\n").as_bytes()), Ok(lines.len()));
        lines.insert(usize::from(before), bad);
        let found = parse(list, lines.join("\n").as_bytes()).unwrap_err();
        prop_assert_eq!(found.line, usize::from(before) + 1);
    }
}
