//! Which owner or group of this host an owner or group of the sender is.

use nix::unistd::{Group, User};
use std::collections::HashMap;
use std::io;

/// Names that are remembered, at most: who sends more of them has each looked up again.
const KEPT: usize = 10_000;

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
    ///
    /// # Errors
    /// The system cannot say who has the name: its number may be somebody else's here.
    pub fn owner(&mut self, number: u32, name: Option<&[u8]>) -> io::Result<u32> {
        let find = |name: &str| Ok(User::from_name(name)?.map(|user| user.uid.as_raw()));
        let Some(name) = self.asked(number, name) else { return Ok(number) };
        Ok(look_up(&mut self.users, name, find)?.unwrap_or(number))
    }

    /// The same of a group.
    ///
    /// # Errors
    /// As those of [`Self::owner`].
    pub fn group(&mut self, number: u32, name: Option<&[u8]>) -> io::Result<u32> {
        let find = |name: &str| Ok(Group::from_name(name)?.map(|group| group.gid.as_raw()));
        let Some(name) = self.asked(number, name) else { return Ok(number) };
        Ok(look_up(&mut self.groups, name, find)?.unwrap_or(number))
    }

    fn asked<'a>(&self, number: u32, name: Option<&'a [u8]>) -> Option<&'a [u8]> {
        name.filter(|_| !self.numeric && number != 0)
    }
}

fn look_up(
    known: &mut HashMap<Vec<u8>, Option<u32>>,
    name: &[u8],
    find: impl FnOnce(&str) -> io::Result<Option<u32>>,
) -> io::Result<Option<u32>> {
    if let Some(found) = known.get(name) {
        return Ok(*found);
    }
    // A zero byte would end the name early for the system.
    let found = match str::from_utf8(name) {
        Ok(name) if !name.contains('\0') => find(name)?,
        _ => None,
    };
    if known.len() < KEPT {
        known.insert(name.to_vec(), found);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_looked_up_and_unknown_ones_leave_the_number() {
        let mut ids = Ids::new(false);
        assert_eq!(ids.owner(77, Some(b"root")).unwrap(), 0);
        assert_eq!(ids.group(77, Some(b"root")).unwrap(), 0);
        assert_eq!(ids.owner(77, Some(b"nobody of that name")).unwrap(), 77);
        assert_eq!(ids.owner(77, Some(b"root\0")).unwrap(), 77);
        assert_eq!(ids.owner(77, None).unwrap(), 77);
        assert_eq!(ids.owner(0, Some(b"daemon")).unwrap(), 0);
        assert_eq!(Ids::new(true).owner(77, Some(b"root")).unwrap(), 77);
    }
}
