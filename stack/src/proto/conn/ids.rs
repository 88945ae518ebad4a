//! Connection ids that a sender chooses at random for itself, each of which nobody here has yet.

use crate::proto::rng::Rng;

/// Where random numbers come from, and which ids are in use.
pub(crate) struct Ids<'a> {
    pub(crate) rng: &'a mut Rng,
    /// Whether an id is somebody's at this endpoint.
    pub(crate) taken: &'a dyn Fn(u64) -> bool,
}

impl Ids<'_> {
    /// One that neither is in use nor is `other`wise about to be.
    pub(crate) fn draw(&mut self, other: impl Fn(u64) -> bool) -> u64 {
        let Self { rng, taken } = self;
        free(|| rng.u64(), |id| taken(id) || other(id))
    }
}

/// The first of these that is not taken.
fn free(mut draw: impl FnMut() -> u64, taken: impl Fn(u64) -> bool) -> u64 {
    loop {
        let id = draw();
        if !taken(id) {
            return id;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::free;

    #[test]
    fn an_id_that_is_taken_is_drawn_anew() {
        let mut next = 0;
        let draw = || {
            next += 1;
            next
        };
        assert_eq!(free(draw, |id| id < 5), 5);
    }
}
