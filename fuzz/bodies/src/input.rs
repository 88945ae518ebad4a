//! An input, taken apart from its front: what is missing at its end is zero.

/// The bytes that were not used yet.
pub(crate) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn u8(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or_default()
    }

    pub(crate) fn u16(&mut self) -> u16 {
        u16::from(self.u8()) << 8 | u16::from(self.u8())
    }

    /// At most so many bytes.
    pub(crate) fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }

    /// Changes at most eight bytes: a count, then place and difference of each.
    pub(crate) fn alter(&mut self, bytes: &mut [u8]) {
        for _ in 0..self.u8() % 8 {
            let (at, difference) = (self.u16(), self.u8());
            if !bytes.is_empty() {
                bytes[usize::from(at) % bytes.len()] ^= difference;
            }
        }
    }
}
