//! Joins that the system was asked for and has not answered: a group may be announced anew meanwhile, and only the
//! answer to the last one tells of the group as it is now.

/// Joins of one session's group.
#[derive(Debug, Default)]
pub(crate) struct Joins {
    open: u32,
    anew: bool,
}

impl Joins {
    /// The system is asked.
    pub(crate) fn ask(&mut self) {
        self.open += 1;
    }

    /// It has answered, in the order in which it was asked; `true` if that was the last.
    pub(crate) fn answer(&mut self) -> bool {
        self.open = self.open.saturating_sub(1);
        self.open == 0 && !self.anew
    }

    /// The group was announced anew.
    pub(crate) fn begin_anew(&mut self) {
        self.anew = true;
    }

    /// Whether the system is to leave it and to be asked again; told once.
    pub(crate) fn take_anew(&mut self) -> bool {
        core::mem::take(&mut self.anew)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_answer_to_the_last_counts() {
        let mut joins = Joins::default();
        joins.ask();
        assert!(joins.answer());
        joins.ask();
        joins.begin_anew();
        assert!(!joins.answer(), "it is not yet asked for what was announced");
        joins.ask();
        assert!(joins.take_anew() && !joins.take_anew());
        joins.ask();
        assert!(!joins.answer());
        assert!(joins.answer());
    }
}
