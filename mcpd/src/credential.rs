//! Passwords of commands: `mcpd credential` makes of one what the configuration file has of it, a salted hash as a PHC
//! string (Argon2id, RFC 9106), by which nobody finds out the password.

use crate::report::say;
use anyhow::{Context, Result};
use argon2::password_hash::phc::{PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier};
use mcp_cli::Exit;
use mtm::exec::{Credential, MAX_CREDENTIAL, first_line};
use std::fmt;
use std::io::{self, IsTerminal, Read, Write};
use zeroize::Zeroizing;

/// Bytes of a salt: as many as RFC 9106 (section 3.1) recommends.
const SALT: usize = 16;

/// Reads a password from standard input, and prints its hash.
pub(crate) fn run() -> Result<Exit> {
    let input = io::stdin();
    if input.is_terminal() {
        say("type the password, which is shown, and enter");
    }
    let mut line = Zeroizing::new(Vec::with_capacity(MAX_CREDENTIAL + 2));
    let mut one = Zeroizing::new([0]);
    // No further than its end: what follows is for somebody else.
    let mut input = input.lock();
    while line.len() < MAX_CREDENTIAL + 2 && input.read(&mut *one).context("the password")? > 0 {
        line.push(one[0]);
        if one[0] == b'\n' {
            break;
        }
    }
    let password = first_line(&line).map_err(anyhow::Error::msg).context("standard input")?;
    writeln!(io::stdout().lock(), "{}", hash(&password)?).context("cannot print the hash")?;
    Ok(Exit::Ok)
}

/// The hash of a password, with a new salt.
pub(crate) fn hash(password: &Credential) -> Result<String> {
    let mut salt = [0; SALT];
    getrandom::fill(&mut salt).context("the system gives no random numbers")?;
    let salt = Salt::new(&salt).context("the salt")?;
    let made: PasswordHash = Argon2::default()
        .hash_password_with_salt(password.as_bytes(), &salt)
        .context("the password")?;
    Ok(made.to_string())
}

/// The hash of a command's password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Hash(PasswordHash);

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hash")
    }
}

impl Hash {
    /// Reads a PHC string; what is wrong with it is told without it.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let wrong = "this is no hash as mcpd credential prints them";
        let hash = PasswordHash::new(text).map_err(|_| wrong)?;
        let known = Algorithm::try_from(hash.algorithm.as_str()).is_ok();
        let whole = hash.salt.is_some() && hash.hash.is_some();
        if known && whole && Params::try_from(&hash).is_ok() { Ok(Self(hash)) } else { Err(wrong) }
    }

    /// Whether it is that password's.
    pub(crate) fn fits(&self, password: &Credential) -> bool {
        Argon2::default().verify_password(password.as_bytes(), &self.0).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_fits_its_password_alone_and_is_another_each_time() {
        let of = |text: &str| Credential::new(text.to_owned());
        let text = hash(&of("right")).unwrap();
        assert!(text.starts_with("$argon2id$v=19$"), "{text}");
        assert_ne!(hash(&of("right")).unwrap(), text);
        let hash = Hash::parse(&text).unwrap();
        assert!(hash.fits(&of("right")));
        for wrong in ["", "Right", "right ", "wrong"] {
            assert!(!hash.fits(&of(wrong)), "{wrong}");
        }
        assert_eq!(format!("{hash:?}"), "Hash");
    }

    #[test]
    fn what_is_no_hash_of_a_password_is_refused() {
        let text = hash(&Credential::new("x".to_owned())).unwrap();
        let (params, _) = text.rsplit_once('$').unwrap();
        let other = text.replace("argon2id", "scrypt");
        for bad in ["", "right", params, &other, &format!("{text} ")] {
            assert!(Hash::parse(bad).is_err(), "{bad}");
        }
    }
}
