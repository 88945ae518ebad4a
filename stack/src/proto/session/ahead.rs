//! What is read ahead of a source whose receivers say what they lack: that, and nothing else. What nobody
//! lacks would be read, and looked through by the application, for nothing; of what is undeclared it is
//! not known yet.

use super::Session;
use super::plan::Target;

impl Session {
    /// Wants what is to be sent to a target after what it has just been sent.
    pub(super) fn read_ahead(&mut self, target: Target) {
        let Some(block) = self.store.take_passed() else { return };
        // Once for each block: every segment and every train of it comes by here.
        if self.read_ahead_of == Some((target, block)) {
            return;
        }
        let Self { members, channels, store, .. } = self;
        let whole = match target {
            Target::Group(id) => {
                store.read_ahead(block, |from| channels[id.0].first_needed_from(from, members))
            }
            Target::Member(index) => {
                let m = &members[index];
                let at = m.channel().map_or(0, |id| channels[id.0].at());
                store.read_ahead(block, |from| m.first_needed_from(from, at))
            }
        };
        self.read_ahead_of = whole.then_some((target, block));
    }
}
