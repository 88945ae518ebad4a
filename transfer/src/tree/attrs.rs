//! Extended attributes and access control lists of an entry, as they are told.
//!
//! Lists are told by what they say and not as the bytes that a system keeps them in: those have numbers alone, and an
//! owner of the same name may have another number at the receiver.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::sync::Arc;

/// Bytes of names and values of one entry, at most: two of the longest values that Linux takes (`XATTR_SIZE_MAX`,
/// limits.h). What has more fails by name.
pub const MAX_BYTES: usize = 128 << 10;
/// Attributes of one entry, and entries of its lists, at most. A list of names (`XATTR_LIST_MAX`, limits.h) has 64 KiB: of
/// the shortest, `user.` with a letter and a zero, 9,362. What has more than 8,192 fails by name.
pub const MAX_COUNT: usize = 8192;

/// The attributes that hold the lists (`linux/posix_acl_xattr.h`).
pub const ACCESS: &[u8] = b"system.posix_acl_access";
/// That of a folder for what is created in it.
pub const DEFAULT: &[u8] = b"system.posix_acl_default";
/// What a program may that is started from the file (capabilities(7)).
pub const CAPABILITY: &[u8] = b"security.capability";

/// Version of the format that the system takes a list in.
const VERSION: u32 = 2;
/// A list's entry in that format: tag, permissions, id.
const ENTRY: usize = 8;
/// What stands in place of an id where the tag says who is meant (`ACL_UNDEFINED_ID`).
const NO_ID: u32 = u32::MAX;
/// The tags of entries that name a user, and a group (`ACL_USER`, `ACL_GROUP`).
const USER: u16 = 0x02;
const GROUP: u16 = 0x08;

/// One entry of an access control list (acl(5)).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ace {
    /// What it is about.
    pub tag: u16,
    /// The user or group that it names, if it names one.
    pub id: u32,
    /// What that one may: reading 4, writing 2, executing 1.
    pub perm: u16,
    /// What the user or group is called at the sender; empty: nothing, or it names none.
    pub name: Vec<u8>,
}

impl Ace {
    /// Whether it names a user.
    pub fn is_user(&self) -> bool {
        self.tag == USER
    }

    /// Whether it names a group.
    pub fn is_group(&self) -> bool {
        self.tag == GROUP
    }
}

/// Reads a list as the system gives it, sorted; `None` where it is none.
pub fn parse_acl(bytes: &[u8]) -> Option<Vec<Ace>> {
    let (version, entries) = bytes.split_first_chunk::<4>()?;
    let (entries, rest) = entries.as_chunks::<ENTRY>();
    if u32::from_le_bytes(*version) != VERSION || !rest.is_empty() {
        return None;
    }
    let ace = |entry: &[u8; ENTRY]| {
        let [t0, t1, p0, p1, id @ ..] = *entry;
        let tag = u16::from_le_bytes([t0, t1]);
        let id = if tag == USER || tag == GROUP { u32::from_le_bytes(id) } else { NO_ID };
        Ace { tag, id, perm: u16::from_le_bytes([p0, p1]), name: Vec::new() }
    };
    let mut list: Vec<Ace> = entries.iter().map(ace).collect();
    list.sort();
    Some(list)
}

/// A list as the system takes it.
pub fn acl_bytes(list: &[Ace]) -> Vec<u8> {
    let mut bytes = VERSION.to_le_bytes().to_vec();
    for ace in list {
        bytes.extend(ace.tag.to_le_bytes());
        bytes.extend(ace.perm.to_le_bytes());
        bytes.extend(ace.id.to_le_bytes());
    }
    bytes
}

/// What an entry has beside what every one has.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct List {
    /// Names and values of extended attributes (xattr(7)), in the order of their names.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// The access control list; empty: none.
    pub access: Vec<Ace>,
    /// That of a folder for what is created in it.
    pub default: Vec<Ace>,
}

impl List {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.xattrs.is_empty() && self.access.is_empty() && self.default.is_empty()
    }

    /// Bytes of names and values.
    pub fn bytes(&self) -> usize {
        let values: usize = self.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum();
        let aces = self.access.iter().chain(&self.default);
        values + aces.map(|ace| ENTRY + ace.name.len()).sum::<usize>()
    }

    /// Attributes, and entries of lists.
    pub fn count(&self) -> usize {
        self.xattrs.len() + self.access.len() + self.default.len()
    }

    /// The value of an attribute.
    pub fn xattr(&self, name: &[u8]) -> Option<&[u8]> {
        self.xattrs.iter().find(|(own, _)| own == name).map(|(_, value)| &value[..])
    }
}

/// The same, once for all entries that have it; nearly none has any.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Attrs(Option<Arc<List>>);

impl Attrs {
    /// What there is, if there is anything.
    pub fn list(&self) -> Option<&Arc<List>> {
        self.0.as_ref()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

impl From<List> for Attrs {
    fn from(list: List) -> Self {
        Self((!list.is_empty()).then(|| Arc::new(list)))
    }
}

impl From<Arc<List>> for Attrs {
    fn from(list: Arc<List>) -> Self {
        Self((!list.is_empty()).then_some(list))
    }
}

impl Serialize for Attrs {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.as_deref().serialize(to)
    }
}

impl<'de> Deserialize<'de> for Attrs {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Option::<List>::deserialize(from)?.map(Self::from).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_as_the_system_writes_it_and_written_back() {
        let ace = |tag, perm, id| Ace { tag, id, perm, name: Vec::new() };
        let list = [
            ace(1, 6, NO_ID),
            ace(2, 7, 5),
            ace(2, 1, 1000),
            ace(4, 4, NO_ID),
            ace(0x10, 7, NO_ID),
        ];
        let bytes = acl_bytes(&list);
        assert_eq!(&bytes[..12], [2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255]);
        assert_eq!(parse_acl(&bytes).unwrap(), list);
        // Users in another order are the same list.
        let mut turned = list.clone();
        turned.swap(1, 2);
        assert_eq!(parse_acl(&acl_bytes(&turned)).unwrap(), list);
    }

    #[test]
    fn what_is_no_list_is_none() {
        let good = acl_bytes(&[]);
        for bytes in [&[][..], &[2, 0, 0], &[3, 0, 0, 0], &[&good[..], &[0]].concat()] {
            assert_eq!(parse_acl(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn nothing_takes_no_list() {
        assert!(Attrs::from(List::default()).is_empty());
        let some = List { xattrs: vec![(b"user.a".to_vec(), Vec::new())], ..List::default() };
        let some = Attrs::from(some);
        let bytes = postcard::to_stdvec(&some).unwrap();
        assert_eq!(postcard::from_bytes::<Attrs>(&bytes).unwrap(), some);
    }
}
