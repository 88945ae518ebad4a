//! What one receiver has of all entries, as runs of neighbours: most entries of a tree are in the same state.
//!
//! A run speaks of its entries as they were in one revision of the tree. An entry that has changed since is pending,
//! and so is one that is in no run: that a file has changed touches no receiver's runs.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// What became of an entry's version at a receiver; what is in none of these states is pending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// The receiver was told of it.
    Announced,
    /// All its bytes have left.
    Sent,
    /// The receiver has verified it, and has it on its disk.
    Done,
    /// The receiver could not take it.
    Failed,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Announced, Self::Sent, Self::Done, Self::Failed];

    /// As the job's file has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Announced => "announced",
            Self::Sent => "sent",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }

    /// The one of this name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }
}

/// Number of a reason in the job's file.
pub(crate) type Reason = u32;

/// A status, and how often the same version has failed there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) status: Status,
    pub(crate) failures: u32,
    /// Of the last failure.
    pub(crate) reason: Option<Reason>,
}

/// What is noted of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    Pending,
    Announced,
    Sent,
    Done,
    Failed(Reason),
}

impl Mark {
    /// The state that follows, after one of the same version. That it was announced or sent, which may be told late, does
    /// not undo what is done.
    fn after(self, before: Option<State>) -> Option<State> {
        let (failures, reason) = before.map_or((0, None), |state| (state.failures, state.reason));
        let step = |status| {
            let done = before.filter(|state| state.status == Status::Done);
            Some(done.unwrap_or(State { status, failures, reason }))
        };
        match self {
            Self::Pending => None,
            Self::Announced => step(Status::Announced),
            Self::Sent => step(Status::Sent),
            Self::Done => Some(State { status: Status::Done, failures: 0, reason: None }),
            Self::Failed(reason) => {
                let failures = failures.saturating_add(1);
                Some(State { status: Status::Failed, failures, reason: Some(reason) })
            }
        }
    }
}

/// Entries from one to `last` that are in the same state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) last: u32,
    /// Of the tree: what it says holds for versions up to this one.
    pub(crate) revision: u32,
    pub(crate) state: State,
}

/// The runs of one receiver, by their first entry. No two overlap, and neighbours that say the same are one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Runs(BTreeMap<u32, Run>);

impl Runs {
    /// As it stands in the job's file; whether it overlaps none that is there.
    pub(crate) fn load(&mut self, first: u32, run: Run) -> bool {
        let free = first <= run.last
            && self.0.range(..=run.last).next_back().is_none_or(|(_, before)| before.last < first);
        if free {
            self.0.insert(first, run);
        }
        free
    }

    /// What is known of an entry in this version.
    pub(crate) fn state(&self, entry: u32, version: u32) -> Option<State> {
        let (_, run) = self.0.range(..=entry).next_back()?;
        (run.last >= entry && run.revision >= version).then_some(run.state)
    }

    /// The runs that begin within these bounds.
    pub(crate) fn within(&self, bounds: RangeInclusive<u32>) -> impl Iterator<Item = (u32, Run)> {
        self.0.range(bounds).map(|(first, run)| (*first, *run))
    }

    /// Notes `mark` of these entries in the versions that they had in this revision; `versions` are those that they
    /// have now. Returns within which bounds runs have changed, those that are not any more included.
    pub(crate) fn mark(
        &mut self,
        entries: RangeInclusive<u32>,
        revision: u32,
        mark: Mark,
        versions: &BTreeMap<u32, u32>,
    ) -> RangeInclusive<u32> {
        let (first, last) = entries.into_inner();
        let old = self.cut(first, last);
        let mut next = Some(first);
        for (at, run) in old {
            if let Some(from) = next.filter(|from| *from < at) {
                self.put(from, at - 1, revision, mark.after(None));
            }
            self.renew(at, run, (revision, mark), versions);
            next = run.last.checked_add(1).filter(|from| *from <= last);
        }
        if let Some(from) = next {
            self.put(from, last, revision, mark.after(None));
        }
        self.join(first, last)
    }

    /// Marks what was one run, by stretches of entries for which both speak of the same versions.
    fn renew(
        &mut self,
        first: u32,
        run: Run,
        (revision, mark): (u32, Mark),
        versions: &BTreeMap<u32, u32>,
    ) {
        let fits = |version: u32| (version <= run.revision, version <= revision);
        let mut begun = None;
        let mut stretches = Vec::new();
        for (entry, version) in versions.range(first..=run.last) {
            let fits = fits(*version);
            if begun != Some(fits) {
                // Numbers that no entry has belong to the stretch before them, at first to the one after them.
                stretches.push((if begun.is_none() { first } else { *entry }, fits));
                begun = Some(fits);
            }
        }
        if stretches.is_empty() {
            stretches.push((first, (true, true)));
        }
        for (n, (from, fits)) in stretches.iter().enumerate() {
            let to = stretches.get(n + 1).map_or(run.last, |(next, _)| next - 1);
            match fits {
                (true, true) => {
                    let newest = revision.max(run.revision);
                    self.put(*from, to, newest, mark.after(Some(run.state)));
                }
                (false, true) => self.put(*from, to, revision, mark.after(None)),
                // It is about an older version.
                (_, false) => self.put(*from, to, run.revision, Some(run.state)),
            }
        }
    }

    fn put(&mut self, first: u32, last: u32, revision: u32, state: Option<State>) {
        if let Some(state) = state {
            self.0.insert(first, Run { last, revision, state });
        }
    }

    /// Takes out what lies within; runs across the bounds are cut there.
    fn cut(&mut self, first: u32, last: u32) -> Vec<(u32, Run)> {
        self.split(first);
        if let Some(after) = last.checked_add(1) {
            self.split(after);
        }
        let inside: Vec<_> = self.within(first..=last).collect();
        for (at, _) in &inside {
            self.0.remove(at);
        }
        inside
    }

    /// No run crosses the border before this entry any more.
    fn split(&mut self, at: u32) {
        if let Some((_, run)) = self.0.range_mut(..at).next_back()
            && run.last >= at
        {
            let rest = *run;
            run.last = at - 1;
            self.0.insert(at, rest);
        }
    }

    /// Joins neighbours that say the same, from the run before `first` to the one after `last`; between which bounds
    /// they lie.
    fn join(&mut self, first: u32, last: u32) -> RangeInclusive<u32> {
        let before = self.0.range(..first).next_back().map_or(first, |(at, _)| *at);
        let after = self.0.range(last..).find(|(at, _)| **at > last).map_or(last, |(at, _)| *at);
        let mut kept: Option<(u32, Run)> = None;
        for (at, run) in self.within(before..=after).collect::<Vec<_>>() {
            match &mut kept {
                Some((start, last)) if last.goes_on(at, run) => {
                    last.last = run.last;
                    self.0.remove(&at);
                    self.0.insert(*start, *last);
                }
                _ => kept = Some((at, run)),
            }
        }
        before..=after
    }

    /// Whether an entry is done in this version.
    pub(crate) fn is_done(&self, entry: u32, version: u32) -> bool {
        self.state(entry, version).is_some_and(|state| state.status == Status::Done)
    }

    /// What is known of entries, which come in their order with the versions that they have.
    pub(crate) fn states(
        &self,
        entries: impl Iterator<Item = (u32, u32)>,
    ) -> impl Iterator<Item = (u32, Option<State>)> {
        let mut runs = self.0.iter().peekable();
        entries.map(move |(entry, version)| {
            while runs.next_if(|(_, run)| run.last < entry).is_some() {}
            let run =
                runs.peek().filter(|(first, run)| **first <= entry && run.revision >= version);
            (entry, run.map(|(_, run)| run.state))
        })
    }
}

impl Run {
    /// Whether a run that begins at `at` only goes on with this one.
    fn goes_on(&self, at: u32, next: Self) -> bool {
        self.last.checked_add(1) == Some(at)
            && (self.revision, self.state) == (next.revision, next.state)
    }
}
