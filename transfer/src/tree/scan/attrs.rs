//! Extended attributes and access control lists of what is looked at.

use super::{Options, ScanError};
use crate::tree::attrs::{ACCESS, Ace, Attrs, DEFAULT, List, MAX_BYTES, MAX_COUNT, parse_acl};
use crate::tree::owners::Owners;
use crate::xattr::{Class, Of, class};
use rustix::io::Errno;

/// Asks for what is to be kept of them.
#[derive(Debug)]
pub(super) struct Reader {
    xattrs: bool,
    acls: bool,
    /// This process may read what is root's.
    root: bool,
    owners: Owners,
}

impl Reader {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            xattrs: options.xattrs,
            acls: options.acls,
            root: rustix::process::geteuid().is_root(),
            owners: Owners::new(options.owners),
        }
    }

    /// Whether there is anything to ask for.
    pub(super) fn asks(&self) -> bool {
        self.xattrs || self.acls
    }

    /// What there is.
    pub(super) fn of(&mut self, of: &Of<'_>) -> Result<Attrs, ScanError> {
        let mut list = List::default();
        let failed = |errno: Errno| match errno {
            Errno::NOENT => ScanError::Vanished,
            errno => ScanError::Attributes(errno.into()),
        };
        for name in of.names().map_err(failed)? {
            let acl = name == ACCESS || name == DEFAULT;
            let wanted = match class(&name) {
                _ if acl => self.acls,
                Class::User => self.xattrs,
                Class::Trusted | Class::Capability => self.xattrs && self.root,
                Class::System => false,
            };
            if !wanted {
                continue;
            }
            // Another may have removed it by now.
            let Some(value) = of.get(&name).map_err(failed)? else { continue };
            if acl {
                let parsed = parse_acl(&value).ok_or(ScanError::NoList)?;
                let named = parsed.into_iter().map(|ace| self.named(ace)).collect();
                *(if name == ACCESS { &mut list.access } else { &mut list.default }) = named;
            } else {
                list.xattrs.push((name, value));
            }
            if list.bytes() > MAX_BYTES || list.count() > MAX_COUNT {
                return Err(ScanError::ManyAttributes);
            }
        }
        list.xattrs.sort();
        Ok(list.into())
    }

    fn named(&mut self, mut ace: Ace) -> Ace {
        if ace.is_user() {
            ace.name = self.owners.of(ace.id, 0).user;
        } else if ace.is_group() {
            ace.name = self.owners.of(0, ace.id).group;
        }
        ace
    }
}
