//! Which owner or group of this host an owner or group of the sender is.

use nix::unistd::{Group, User};
use std::collections::HashMap;

/// Looks names up once each.
#[derive(Debug, Default)]
pub struct Ids {
    numeric: bool,
    users: HashMap<Vec<u8>, Option<u32>>,
    groups: HashMap<Vec<u8>, Option<u32>>,
}

impl Ids {
    /// With `numeric`, numbers are taken as they are.
    pub fn new(numeric: bool) -> Self {
        Self { numeric, ..Self::default() }
    }

    /// The local number of an owner that is told by number and, if it has one, by name. A name that nobody has here
    /// leaves the number, as in rsync(1); root is root whatever its name is.
    pub fn owner(&mut self, number: u32, name: Option<&[u8]>) -> u32 {
        let found = |name: &str| User::from_name(name).ok().flatten().map(|user| user.uid.as_raw());
        self.asked(number, name)
            .map_or(number, |name| look_up(&mut self.users, name, found).unwrap_or(number))
    }

    /// The same of a group.
    pub fn group(&mut self, number: u32, name: Option<&[u8]>) -> u32 {
        let found =
            |name: &str| Group::from_name(name).ok().flatten().map(|group| group.gid.as_raw());
        self.asked(number, name)
            .map_or(number, |name| look_up(&mut self.groups, name, found).unwrap_or(number))
    }

    fn asked<'a>(&self, number: u32, name: Option<&'a [u8]>) -> Option<&'a [u8]> {
        name.filter(|_| !self.numeric && number != 0)
    }
}

fn look_up(
    known: &mut HashMap<Vec<u8>, Option<u32>>,
    name: &[u8],
    find: impl FnOnce(&str) -> Option<u32>,
) -> Option<u32> {
    if let Some(found) = known.get(name) {
        return *found;
    }
    // A zero byte would end the name early for the system.
    let text = std::str::from_utf8(name).ok().filter(|text| !text.contains('\0'));
    let found = text.and_then(find);
    known.insert(name.to_vec(), found);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_looked_up_and_unknown_ones_leave_the_number() {
        let mut ids = Ids::new(false);
        assert_eq!(ids.owner(77, Some(b"root")), 0);
        assert_eq!(ids.group(77, Some(b"root")), 0);
        assert_eq!(ids.owner(77, Some(b"nobody of that name")), 77);
        assert_eq!(ids.owner(77, Some(b"root\0")), 77);
        assert_eq!(ids.owner(77, None), 77);
        assert_eq!(ids.owner(0, Some(b"daemon")), 0);
        assert_eq!(Ids::new(true).owner(77, Some(b"root")), 77);
    }
}
