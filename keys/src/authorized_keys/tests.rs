//! Whole files: what they grant.

use super::*;
use proptest::prelude::*;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use tcpxm::trust::Identity;

const PATH: &str = "/etc/mcp/authorized_keys";

fn key(n: u8) -> PublicKey {
    Identity::generate([n; 64]).public()
}

fn parse(text: &str) -> Result<AuthorizedKeys, AuthorizedKeysError> {
    AuthorizedKeys::parse(Path::new(PATH), text.as_bytes())
}

#[test]
fn each_key_may_what_its_line_says() {
    let text = format!(
        "# who may send\r\n\n{} ann@here, since 2026\n\
         root=\"/srv/b b\",rate=900M,size=10G,allow=owner,expiry=\"2027-01-31\" \t {}\n",
        key(1),
        key(2).to_string().replace(' ', "\t  "),
    );
    let keys = parse(&text).unwrap();
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_801_353_599);
    let plain = Permit {
        root: None,
        rate: None,
        size: None,
        expiry: None,
        allow: BTreeSet::new(),
        comment: "ann@here, since 2026".to_owned(),
        line: 3,
    };
    assert_eq!(keys.permit(&key(1), now), Ok(&plain));
    let limited = Permit {
        root: Some("/srv/b b".into()),
        rate: Some(900_000_000),
        size: Some(10_000_000_000),
        expiry: Some(now + Duration::from_secs(1)),
        allow: [Right::Owner].into(),
        comment: String::new(),
        line: 4,
    };
    assert_eq!(keys.permit(&key(2), now), Ok(&limited));
    assert_eq!(keys.keys().count(), 2);
    assert_eq!(parse("# nobody\n").unwrap().keys().count(), 0);
}

#[test]
fn who_may_not_is_told_apart() {
    let keys = parse(&format!("expiry=2027-01-31 {}\n", key(1))).unwrap();
    let end = SystemTime::UNIX_EPOCH + Duration::from_secs(1_801_353_600);
    let why = |key: &PublicKey, now| keys.permit(key, now).unwrap_err().to_string();
    assert!(keys.permit(&key(1), end - Duration::from_secs(1)).is_ok());
    let begins = |n| format!("the key {} may not send here: it ", key(n).fingerprint());
    let expired = format!("has expired on 2027-01-31T00:00:00Z: line 1 of {PATH} says so");
    assert_eq!(why(&key(1), end), begins(1) + &expired);
    let unknown = format!("is not in {PATH}: if it may, add this line there: {}", key(2));
    assert_eq!(why(&key(2), end), begins(2) + &unknown);
    // Whom it concerns is told the same without what is on this disk.
    for n in [1, 2] {
        let told = keys.permit(&key(n), end).unwrap_err().to_sender();
        assert!(told.contains(&key(n).fingerprint()) && !told.contains("/etc"), "{told}");
        assert!(!told.contains("line 1"), "{told}");
    }
}

#[test]
fn expiries_come_one_after_the_other() {
    let lines = [("2027-01-31", 1), ("2027-03-01", 2), ("2027-02-01", 3)];
    let mut text = key(4).to_string();
    for (day, n) in lines {
        text = format!("{text}\nexpiry={day} {}", key(n));
    }
    let keys = parse(&text).unwrap();
    let day = |n: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(1_801_353_600 + n * 86_400);
    let mut since = SystemTime::UNIX_EPOCH;
    for (expected, n) in [(day(0), 1), (day(1), 3), (day(29), 2)] {
        assert_eq!(keys.next_expiry(since), Some(expected));
        assert_eq!(keys.expired(since, expected - Duration::from_secs(1)), []);
        let expired = keys.expired(since, expected);
        assert!(
            matches!(expired[..], [Refusal::Expired { key: k, .. }] if k == key(n)),
            "{expired:?}"
        );
        since = expected;
    }
    assert_eq!(keys.next_expiry(since), None);
    assert_eq!(keys.expired(SystemTime::UNIX_EPOCH, since).len(), 3);
}

#[test]
fn a_file_that_others_can_write_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("authorized_keys");
    let uid = rustix::process::geteuid().as_raw();
    let environment = Environment { uid, ..Environment::default() };
    let read = || AuthorizedKeys::read(&path, &environment);
    assert_eq!(read().unwrap(), None);
    std::fs::write(&path, key(1).to_string()).unwrap();
    std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    assert_eq!(read().unwrap().unwrap().keys().count(), 1);
    std::fs::set_permissions(&path, Permissions::from_mode(0o664)).unwrap();
    let why = read().unwrap_err().to_string();
    assert_eq!(why, format!("{0}: others can write it: run chmod go-w {0}", path.display()));
}

proptest! {
    #[test]
    fn a_changed_byte_is_a_fault_or_another_key(at in 0..56_usize, to: u8) {
        let mut line = key(1).to_string().into_bytes();
        // Not a comment, nor a tab for the blank between the words.
        prop_assume!(line[at] != to && !(at == 0 && to == b'#') && !(at == 11 && to == b'\t'));
        line[at] = to;
        if let Ok(keys) = AuthorizedKeys::parse(Path::new(PATH), &line) {
            prop_assert!(keys.permit(&key(1), SystemTime::UNIX_EPOCH).is_err());
        }
    }
}
