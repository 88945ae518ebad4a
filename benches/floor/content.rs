//! What is sent: eight bytes at every multiple of eight that follow from their offset alone, so
//! that any piece can be made, and any piece checked, without the rest.

/// `SplitMix64`'s output function (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number
/// Generators", 2014): neighbouring offsets give unrelated words, so a shifted piece never matches.
pub(crate) fn word(index: u64) -> u64 {
    let mut z = index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Calls `each` with every run of `bytes` that lies in one word, and that part of the word.
fn runs<'a>(
    offset: u64,
    len: usize,
    mut each: impl FnMut(core::ops::Range<usize>, &[u8]) -> bool + 'a,
) -> bool {
    let mut at = 0;
    while at < len {
        let here = offset + at as u64;
        let skip = (here % 8) as usize;
        let take = (8 - skip).min(len - at);
        if !each(at..at + take, &word(here / 8).to_be_bytes()[skip..skip + take]) {
            return false;
        }
        at += take;
    }
    true
}

/// Fills `bytes` with the content that stands at `offset`.
pub(crate) fn fill(offset: u64, bytes: &mut [u8]) {
    runs(offset, bytes.len(), |range, word| {
        bytes[range].copy_from_slice(word);
        true
    });
}

/// Whether `bytes` are the content that stands at `offset`.
pub(crate) fn matches(offset: u64, bytes: &[u8]) -> bool {
    runs(offset, bytes.len(), |range, word| bytes[range] == *word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_piece_is_the_same_piece() {
        let mut whole = [0; 64];
        fill(0, &mut whole);
        for from in 0..24 {
            for to in from..64 {
                let mut piece = vec![0; to - from];
                fill(from as u64, &mut piece);
                assert_eq!(piece, whole[from..to]);
                assert!(matches(from as u64, &piece));
            }
        }
    }

    #[test]
    fn a_wrong_place_or_byte_shows() {
        let mut piece = [0; 1420];
        fill(1 << 20, &mut piece);
        assert!(!matches((1 << 20) + 8, &piece));
        assert!(!matches(0, &piece));
        piece[1419] ^= 1;
        assert!(!matches(1 << 20, &piece));
    }
}
