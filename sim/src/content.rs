//! What is sent: bytes that follow from a seed and their offset alone, so that any range can be
//! made, and checked, anywhere, without keeping it.

/// The eight bytes at word `index`: the index-th output of `SplitMix64` seeded with `seed`.
fn word(seed: u64, index: u64) -> [u8; 8] {
    let mut z = seed.wrapping_add(index.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (z ^ (z >> 31)).to_le_bytes()
}

/// Calls `visit` with every piece of `[offset, offset + len)` that lies within one word: the
/// place in the range and the piece's bytes, until it gives `false`.
fn pieces(seed: u64, offset: u64, len: usize, mut visit: impl FnMut(usize, &[u8]) -> bool) -> bool {
    let mut at = 0;
    let skip = (offset % 8) as usize;
    let mut index = offset / 8;
    if skip != 0 && len != 0 {
        let take = (8 - skip).min(len);
        if !visit(0, &word(seed, index)[skip..skip + take]) {
            return false;
        }
        at = take;
        index += 1;
    }
    while at + 8 <= len {
        if !visit(at, &word(seed, index)) {
            return false;
        }
        at += 8;
        index += 1;
    }
    at == len || visit(at, &word(seed, index)[..len - at])
}

/// Writes the bytes that stand at `offset` into `out`.
pub fn fill(seed: u64, offset: u64, out: &mut [u8]) {
    pieces(seed, offset, out.len(), |at, piece| {
        out[at..at + piece.len()].copy_from_slice(piece);
        true
    });
}

/// Whether `bytes` are the bytes that stand at `offset`.
pub fn matches(seed: u64, offset: u64, bytes: &[u8]) -> bool {
    pieces(seed, offset, bytes.len(), |at, piece| bytes[at..at + piece.len()] == *piece)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_range_is_a_part_of_the_whole() {
        let mut whole = [0; 200];
        fill(7, 0, &mut whole);
        for start in 0..40 {
            for len in 0..40 {
                let mut part = vec![0; len];
                fill(7, start as u64, &mut part);
                assert_eq!(part, whole[start..start + len]);
                assert!(matches(7, start as u64, &part));
            }
        }
    }

    #[test]
    fn every_wrong_byte_is_seen() {
        let mut bytes = [0; 61];
        fill(7, 1 << 40 | 3, &mut bytes);
        for i in 0..bytes.len() {
            bytes[i] ^= 1;
            assert!(!matches(7, 1 << 40 | 3, &bytes), "byte {i}");
            bytes[i] ^= 1;
        }
        assert!(!matches(8, 1 << 40 | 3, &bytes), "another seed");
        assert!(!matches(7, 1 << 40 | 4, &bytes), "another offset");
    }
}
