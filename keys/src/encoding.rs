//! 32 bytes of a key as text, and back; what passes through here is overwritten afterwards.

use base64ct::{Base64, Encoding};
use zeroize::Zeroizing;

/// Bytes of every key here.
pub(crate) const KEY: usize = 32;
/// As base64, with padding.
const BASE64: usize = 44;

/// The bytes in base64: 44 characters.
pub(crate) fn to_base64(key: &[u8; KEY]) -> Zeroizing<String> {
    let mut buf = Zeroizing::new([0; BASE64]);
    let text = Base64::encode(key, buf.as_mut_slice()).unwrap_or_default();
    Zeroizing::new(text.to_owned())
}

/// The bytes of a text in base64 that stands for exactly so many.
pub(crate) fn from_base64(text: &str) -> Option<Zeroizing<[u8; KEY]>> {
    let mut key = Zeroizing::new([0; KEY]);
    let whole = text.len() == BASE64 && Base64::decode(text, key.as_mut_slice()).is_ok();
    whole.then_some(key)
}

/// The bytes in hexadecimal digits: 64 characters.
pub(crate) fn to_hex(key: &[u8; KEY]) -> Zeroizing<String> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = Zeroizing::new(String::with_capacity(2 * KEY));
    for byte in key {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 0xf)]));
    }
    text
}

/// The bytes of 64 hexadecimal digits.
pub(crate) fn from_hex(text: &[u8]) -> Option<Zeroizing<[u8; KEY]>> {
    let mut key = Zeroizing::new([0; KEY]);
    let (pairs, []) = text.as_chunks::<2>() else { return None };
    if pairs.len() != KEY {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    for (byte, [high, low]) in key.iter_mut().zip(pairs) {
        *byte = (digit(*high)? << 4 | digit(*low)?) as u8;
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_key_comes_back_from_either_text(key: [u8; KEY]) {
            prop_assert_eq!(from_base64(&to_base64(&key)).map(|k| *k), Some(key));
            prop_assert_eq!(from_hex(to_hex(&key).as_bytes()).map(|k| *k), Some(key));
            prop_assert!(from_hex(to_hex(&key).to_uppercase().as_bytes()).is_some());
        }

        #[test]
        fn other_texts_are_none(
            text in ".{0,70}",
            bytes in proptest::collection::vec(any::<u8>(), 0..70),
        ) {
            let back = |key: Zeroizing<[u8; KEY]>| to_base64(&key);
            prop_assert!(from_base64(&text).is_none_or(|key| *back(key) == text));
            let hex = from_hex(&bytes);
            prop_assert!(hex.is_none() || bytes.iter().all(u8::is_ascii_hexdigit));
        }
    }

    #[test]
    fn signs_are_no_digits() {
        assert!(from_hex(&[b'0'; 64]).is_some());
        assert!(from_hex(&[&b"+1"[..], &[b'0'; 62]].concat()).is_none());
        assert!(from_hex(&[b'0'; 63]).is_none() && from_hex(&[b'0'; 66]).is_none());
    }
}
