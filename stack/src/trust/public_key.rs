//! The public half of an identity, as files and people write it.

use super::identity::{SIGNATURE, in_context};
use base64ct::{Base64, Base64Unpadded, Encoding};
use core::fmt;
use core::str::FromStr;
use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest, Sha256};
use thiserror::Error;

/// 32 bytes in base64 with its padding (RFC 4648, section 4).
const TEXT_LEN: usize = 44;
/// A SHA-256 digest in base64 without padding.
const FINGERPRINT_LEN: usize = 43;

/// What is no public key. The fault of whoever wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PublicKeyError {
    /// The first word is another.
    #[error("a public key begins with {}", PublicKey::KIND)]
    Kind,
    /// The second word is not 32 bytes in base64, or more follows.
    #[error(
        "{} is followed by 32 bytes in base64: 44 characters, the last of them =",
        PublicKey::KIND
    )]
    Text,
    /// Nobody can have the private half, or everybody can.
    #[error("these 32 bytes are no Ed25519 public key")]
    Point,
}

/// An Ed25519 public key (RFC 8032): a point of the curve that is not of small order.
///
/// Its text form, for `Display` and `FromStr`, is `mcp-ed25519` and the 32 bytes in base64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// The first word of a key's text form.
    pub const KIND: &str = "mcp-ed25519";

    /// Takes the 32 bytes of RFC 8032, section 5.1.5.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, PublicKeyError> {
        verifying(&bytes).map(|_| Self(bytes))
    }

    /// The 32 bytes of RFC 8032, section 5.1.5.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether its holder has signed this message in this context ([`super::Identity::sign`]).
    ///
    /// # Panics
    ///
    /// The context is longer than 100 bytes.
    pub fn has_signed(&self, context: &str, message: &[u8], signature: &[u8; SIGNATURE]) -> bool {
        let Ok(key) = verifying(&self.0) else { return false };
        let signature = Signature::from_bytes(signature);
        // Strict: one signature is either good for everybody or for nobody (no small-order points).
        key.verify_strict(&in_context(context, message), &signature).is_ok()
    }

    /// What people compare, in the form that ssh gives it: `SHA256:` and the digest of the 32
    /// bytes in base64 without padding.
    pub fn fingerprint(&self) -> String {
        let mut text = [0; FINGERPRINT_LEN];
        let digest = Sha256::digest(self.0);
        let text = Base64Unpadded::encode(&digest, &mut text).unwrap_or_default();
        format!("SHA256:{text}")
    }
}

/// The point that the bytes stand for.
pub(super) fn verifying(bytes: &[u8; 32]) -> Result<VerifyingKey, PublicKeyError> {
    // Of small order is what eight times itself vanishes: signatures by such a "key" fit anything.
    VerifyingKey::from_bytes(bytes).ok().filter(|key| !key.is_weak()).ok_or(PublicKeyError::Point)
}

impl From<&VerifyingKey> for PublicKey {
    fn from(key: &VerifyingKey) -> Self {
        Self(key.to_bytes())
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; TEXT_LEN];
        let text = Base64::encode(&self.0, &mut text).map_err(|_| fmt::Error)?;
        write!(f, "{} {text}", Self::KIND)
    }
}

/// As text, which can be searched for in files.
impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl FromStr for PublicKey {
    type Err = PublicKeyError;

    /// Takes the two words with blanks or tabs between and around them.
    fn from_str(text: &str) -> Result<Self, PublicKeyError> {
        let mut words = text.split_ascii_whitespace();
        if words.next() != Some(Self::KIND) {
            return Err(PublicKeyError::Kind);
        }
        let (Some(word), None) = (words.next(), words.next()) else {
            return Err(PublicKeyError::Text);
        };
        let mut bytes = [0; 32];
        let whole = word.len() == TEXT_LEN && Base64::decode(word, &mut bytes).is_ok();
        if !whole {
            return Err(PublicKeyError::Text);
        }
        Self::from_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::SigningKey;
    use proptest::prelude::*;

    /// RFC 8032, section 7.1, test 1.
    const SEED: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    const TEXT: &str = "mcp-ed25519 11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

    fn hex(text: &str) -> [u8; 32] {
        core::array::from_fn(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap())
    }

    fn key(seed: [u8; 32]) -> PublicKey {
        PublicKey::from(&SigningKey::from_bytes(&seed).verifying_key())
    }

    #[test]
    fn the_text_and_the_fingerprint_are_those_of_a_known_key() {
        let key = key(hex(SEED));
        assert_eq!(key.to_string(), TEXT);
        assert_eq!(format!("{key:?}"), format!("PublicKey({TEXT})"));
        assert_eq!(TEXT.parse(), Ok(key));
        assert_eq!(
            " mcp-ed25519\t\t11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo= \n".parse(),
            Ok(key)
        );
        assert_eq!(key.fingerprint(), "SHA256:If4x36FUomFia/hUBG/SJxt77UtqvkWqWId+9H+XIbk");
    }

    #[test]
    fn other_texts_are_refused() {
        let refused = |text: &str| text.parse::<PublicKey>().unwrap_err();
        let word = &TEXT[12..];
        for text in ["", "mcp", word, "MCP-ED25519 x", &TEXT.replacen("mcp", "ssh", 1)] {
            assert_eq!(refused(text), PublicKeyError::Kind, "{text}");
        }
        for text in [
            "mcp-ed25519",
            &TEXT[..TEXT.len() - 1],   // no padding
            &TEXT.replace("o=", "p="), // bits that belong to no byte
            &TEXT.replace('/', "_"),   // the alphabet of addresses
            &format!("{TEXT} more"),
            &format!("mcp-ed25519 {word}{word}"),
            &format!("mcp-ed25519 {}", &word[4..]), // 29 bytes
            &TEXT.replace('Q', "é"),
        ] {
            assert_eq!(refused(text), PublicKeyError::Text, "{text}");
        }
    }

    #[test]
    fn what_is_no_point_or_of_small_order_is_refused() {
        // RFC 8032, section 5.1.3: y = 2 has no x. The identity is 1; -1 has order 2, 0 order 4;
        // the last, of order 8, is from the list in curve25519-dalek's constants.
        let mut minus_one = [0xff; 32];
        (minus_one[0], minus_one[31]) = (0xec, 0x7f);
        let y = |low| core::array::from_fn(|at| if at == 0 { low } else { 0 });
        let order_8 = hex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a");
        for bytes in [y(2), y(1), y(0), minus_one, order_8] {
            assert_eq!(PublicKey::from_bytes(bytes), Err(PublicKeyError::Point), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn a_key_comes_back_from_its_text(seed: [u8; 32]) {
            let key = key(seed);
            prop_assert_eq!(key.to_string().parse(), Ok(key));
            prop_assert_eq!(PublicKey::from_bytes(*key.as_bytes()), Ok(key));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".*", word in "[ -~]{44}", bytes: [u8; 32]) {
            let _ = text.parse::<PublicKey>();
            let _ = format!("mcp-ed25519 {text}").parse::<PublicKey>();
            let _ = format!("mcp-ed25519 {word}").parse::<PublicKey>();
            let _ = PublicKey::from_bytes(bytes);
        }
    }
}
