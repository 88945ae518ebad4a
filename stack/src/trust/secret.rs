//! A secret that all hosts of a cluster share: whoever holds it may send, and may receive.

use core::fmt;
use thiserror::Error;
use zeroize::Zeroize;

/// Shortest line that is taken, in characters. 32 characters of base64 carry 192 bits; of
/// hexadecimal digits, 128, which is as much as the handshake's own keys resist (RFC 7748,
/// section 7).
const MIN_LINE: usize = 32;

/// From the line to the key that all others are derived from.
const OF_A_LINE: &str = "tcpxm 2026 secret of a line";
/// From that key to the handshake's pre-shared key (Noise, section 9).
const PSK: &str = "tcpxm 2026 psk";
/// From that key to the one that authenticates what stands outside of any association.
const FRAMES: &str = "tcpxm 2026 key of frames";

/// A secret that is no good. The fault of whoever made it; the message does not repeat it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SecretError {
    /// Fewer characters than are needed.
    #[error("the secret has {0} characters, at least {MIN_LINE} are needed")]
    TooShort(usize),
    /// The character at this place, counted from 1, is no printable ASCII character.
    #[error("character {0} of the secret is not a printable ASCII character")]
    Unprintable(usize),
}

/// A shared secret, as the two keys that are derived from it. Each holder may send as well.
#[derive(Clone)]
pub struct Secret(Box<Keys>); // in one place of the memory: a move leaves no copy behind

#[derive(Clone)]
struct Keys {
    psk: [u8; 32],
    frames: [u8; 32],
}

impl Secret {
    /// Takes a line: at least 32 printable ASCII characters, the blanks and line ends around them
    /// aside. It is hashed, not stretched: a line from a random source needs no more, and a
    /// sentence that somebody made up is no secret.
    pub fn from_line(line: &[u8]) -> Result<Self, SecretError> {
        let line = line.trim_ascii();
        let printable = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
        if let Some(at) = line.iter().position(|byte| !printable(byte)) {
            return Err(SecretError::Unprintable(at + 1));
        }
        if line.len() < MIN_LINE {
            return Err(SecretError::TooShort(line.len()));
        }
        let mut key = blake3::derive_key(OF_A_LINE, line);
        let mut keys = Box::new(Keys { psk: [0; 32], frames: [0; 32] });
        derive(PSK, &key, &mut keys.psk);
        derive(FRAMES, &key, &mut keys.frames);
        key.zeroize();
        Ok(Self(keys))
    }

    /// The handshake's pre-shared key.
    pub(crate) fn psk(&self) -> &[u8; 32] {
        &self.0.psk
    }

    /// The key of what is sent and answered outside of any association.
    pub(crate) fn frame_key(&self) -> &[u8; 32] {
        &self.0.frames
    }
}

/// Derives a key to where it stays.
fn derive(context: &str, from: &[u8; 32], to: &mut [u8; 32]) {
    blake3::Hasher::new_derive_key(context).update(from).finalize_xof().fill(to);
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.psk.zeroize();
        self.frames.zeroize();
    }
}

/// In constant time.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        blake3::Hash::from_bytes(self.0.psk) == blake3::Hash::from_bytes(other.0.psk)
    }
}

impl Eq for Secret {}

/// Nothing of it.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LINE: &[u8] = b"Tm90IGEgc2VjcmV0OiBpdCBzdGFuZHMgaW4gYSB0ZXN0";

    #[test]
    fn the_keys_are_those_of_the_document() {
        let secret = Secret::from_line(LINE).unwrap();
        let key = blake3::derive_key("tcpxm 2026 secret of a line", LINE);
        assert_eq!(*secret.psk(), blake3::derive_key("tcpxm 2026 psk", &key));
        assert_eq!(*secret.frame_key(), blake3::derive_key("tcpxm 2026 key of frames", &key));
    }

    #[test]
    fn blanks_and_line_ends_around_it_do_not_count() {
        let bare = Secret::from_line(LINE).unwrap();
        for (before, after) in [("", "\n"), ("", "\r\n"), (" \t", " "), ("\n\n", "")] {
            let line = [before.as_bytes(), LINE, after.as_bytes()].concat();
            assert_eq!(Secret::from_line(&line).unwrap(), bare, "{before:?} {after:?}");
        }
        let short = [&[b' '; 40], &LINE[..31]].concat();
        assert_eq!(Secret::from_line(&short).unwrap_err(), SecretError::TooShort(31));
    }

    #[test]
    fn what_is_no_line_is_refused() {
        let at_20 = |byte| [&LINE[..20], &[byte], &LINE[20..]].concat();
        for byte in [0, b'\n', b'\r', b'\t', 0x1f, 0x7f, 0x80, 0xff] {
            let refused = Secret::from_line(&at_20(byte)).unwrap_err();
            assert_eq!(refused, SecretError::Unprintable(21), "{byte}");
        }
        assert!(Secret::from_line(&at_20(b' ')).is_ok());
        assert_eq!(Secret::from_line(b"").unwrap_err(), SecretError::TooShort(0));
        let said = Secret::from_line(&LINE[..31]).unwrap_err().to_string();
        assert_eq!(said, "the secret has 31 characters, at least 32 are needed");
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Secret::from_line(LINE).unwrap()), "Secret(..)");
    }

    proptest! {
        #[test]
        fn any_printable_line_is_taken_and_each_is_another(
            a in "[!-~][ -~]{30,80}[!-~]",
            b in "[!-~][ -~]{30,80}[!-~]",
        ) {
            let keys = [&a, &b].map(|line| Secret::from_line(line.as_bytes()).unwrap());
            prop_assert_eq!(keys[0] == keys[1], a == b);
            prop_assert_eq!(keys[0].frame_key() == keys[1].frame_key(), a == b);
            prop_assert_ne!(keys[0].psk(), keys[0].frame_key());
        }

        #[test]
        fn no_bytes_make_it_panic(line in proptest::collection::vec(any::<u8>(), 0..100)) {
            let taken = Secret::from_line(&line).is_ok();
            let line = line.trim_ascii();
            let good = line.len() >= 32 && line.iter().all(|byte| (b' '..=b'~').contains(byte));
            prop_assert_eq!(taken, good);
        }
    }
}
