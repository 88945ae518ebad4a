//! Which cryptography seals an association. The first byte of every handshake message names it, and
//! each end takes part in the one alone that it was set up for: nothing is negotiated, so nothing
//! can be talked down.

use super::SealError;

/// The kinds of seal there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Suite {
    /// None: see [`super::null`].
    Null = 0,
    /// `Noise_XX_25519_AESGCM_SHA256`, then AES-256-GCM.
    Xx = 1,
    /// `Noise_XXpsk0_25519_AESGCM_SHA256` (a secret that both ends hold), then AES-256-GCM.
    XxPsk0 = 2,
}

impl Suite {
    /// The suite that a handshake message names, and the message itself.
    pub(crate) fn split(named: &[u8]) -> Result<(Self, &[u8]), SealError> {
        let (first, message) = named.split_first().ok_or(SealError::Length)?;
        let suite = match first {
            0 => Self::Null,
            1 => Self::Xx,
            2 => Self::XxPsk0,
            _ => return Err(SealError::Suite),
        };
        Ok((suite, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_named_by_its_number_and_others_are_refused() {
        for suite in [Suite::Null, Suite::Xx, Suite::XxPsk0] {
            assert_eq!(Suite::split(&[suite as u8, 7]), Ok((suite, &[7][..])));
        }
        for other in 3..=u8::MAX {
            assert_eq!(Suite::split(&[other, 7]), Err(SealError::Suite));
        }
        assert_eq!(Suite::split(&[]), Err(SealError::Length));
    }
}
