//! `mcp key` and `mcpd key`: make and show an identity, or make a secret.

use crate::identity_file::{self, IdentityFileError};
use crate::new_file::WriteError;
use crate::places::Environment;
use crate::quote::quoted;
use crate::secret_file;
use std::path::Path;
use zeroize::Zeroizing;

/// Said wherever a secret is made.
const HOLDERS: &str = "whoever holds it may send to every host that has it";

/// Whose identity it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// The user's, who sends (`mcp key`).
    User,
    /// The host's, which receives (`mcpd key`).
    Host,
}

/// What to print. No `Debug`: the output may be a secret.
pub struct Shown {
    /// The one line on standard output, without its end; empty if there is none.
    pub output: Zeroizing<String>,
    /// Lines for standard error.
    pub notes: Vec<String>,
}

/// Shows the identity in that file; makes it if there is none. `owner` is what stands behind the
/// key for people, [`owner`].
pub fn identity(whose: Whose, path: &Path, owner: &str) -> Result<Shown, IdentityFileError> {
    let (identity, made) = identity_file::read_or_create(path)?;
    let public = identity.public();
    let file = quoted(path);
    let place =
        if made { format!("a new identity: {file}") } else { format!("the identity in {file}") };
    let next = match whose {
        Whose::User => "a host takes what you send once this line is in its authorized_keys",
        Whose::Host => {
            "a sender knows this host from the start if its known_hosts has the host's name and \
             this key"
        }
    };
    let fingerprint = format!("fingerprint: {}", public.fingerprint());
    Ok(Shown {
        output: Zeroizing::new(format!("{public} {owner}")),
        notes: vec![place, fingerprint, next.to_owned()],
    })
}

/// Makes a secret file, which must not exist yet.
pub fn secret_file(path: &Path) -> Result<Shown, WriteError> {
    secret_file::create(path)?;
    let copy = format!(
        "a new secret: {}: copy it to every host, for its owner alone (chmod 600)",
        quoted(path)
    );
    Ok(Shown { output: Zeroizing::default(), notes: vec![copy, HOLDERS.to_owned()] })
}

/// Makes a secret that is kept nowhere.
pub fn secret() -> Result<Shown, WriteError> {
    Ok(Shown { output: secret_file::line()?, notes: vec![HOLDERS.to_owned()] })
}

/// `user@host`, as people tell keys apart; blanks and what steers a terminal are left out.
pub fn owner(environment: &Environment) -> String {
    let system = rustix::system::uname();
    owner_on(environment, &system.nodename().to_string_lossy())
}

fn owner_on(environment: &Environment, host: &str) -> String {
    let number = environment.uid.to_string();
    let user = match (&environment.user, environment.uid) {
        (_, 0) => "root",
        (Some(user), _) => user,
        (None, _) => &number,
    };
    let word = |text: &str| text.replace(|c: char| c.is_whitespace() || c.is_control(), "");
    format!("{}@{}", word(user), word(host))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AuthorizedKeys, Secrets};
    use std::time::SystemTime;

    #[test]
    fn an_identity_is_made_once_and_shown_as_authorized_keys_wants_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mcp").join("identity");
        let first = identity(Whose::User, &path, "ann@here").unwrap();
        assert!(first.notes[0].starts_with("a new identity: /"), "{:?}", first.notes);
        let again = identity(Whose::User, &path, "ann@here").unwrap();
        assert!(again.notes[0].starts_with("the identity in /"), "{:?}", again.notes);
        assert_eq!((&first.output, &first.notes[1]), (&again.output, &again.notes[1]));
        let public = identity_file::read(&path).unwrap().unwrap().public();
        assert_eq!(*first.output, format!("{public} ann@here"));
        assert_eq!(first.notes[1], format!("fingerprint: {}", public.fingerprint()));
        let list = AuthorizedKeys::parse(Path::new("list"), first.output.as_bytes()).unwrap();
        assert_eq!(list.permit(&public, SystemTime::UNIX_EPOCH).unwrap().comment, "ann@here");
        let host = identity(Whose::Host, &path, "").unwrap();
        assert!(host.notes[2].contains("known_hosts"), "{:?}", host.notes);
    }

    #[test]
    fn a_secret_is_written_or_shown_and_never_both() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let written = secret_file(&path).unwrap();
        assert_eq!(*written.output, "");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(written.notes.iter().all(|note| !note.contains(text.trim())));
        assert!(matches!(secret_file(&path), Err(WriteError::Exists(_))));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        let shown = secret().unwrap();
        assert!(Secrets::parse(Path::new("s"), shown.output.as_bytes()).is_ok());
        for notes in [written.notes, shown.notes] {
            assert!(notes.iter().any(|note| note.contains("may send")), "{notes:?}");
        }
    }

    #[test]
    fn an_owner_is_one_word() {
        let of = |uid, user: Option<&str>| {
            let user = user.map(str::to_owned);
            owner_on(&Environment { uid, user, ..Environment::default() }, "no de\n7")
        };
        assert_eq!(of(0, Some("ann")), "root@node7");
        assert_eq!(of(7, Some("a nn\u{1b}")), "ann@node7");
        assert_eq!(of(7, None), "7@node7");
        assert!(!owner(&Environment::default()).ends_with('@'));
    }
}
