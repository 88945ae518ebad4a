//! Whom access control lists name here.

use super::Below;
use crate::tree::attrs::{Attrs, List};
use crate::tree::ground::Why;
use std::sync::Arc;

impl Below<'_> {
    /// Says whom access control lists name here, by the numbers that they have here.
    pub(super) fn name_here(&mut self, attrs: &mut Attrs) -> Result<(), Why> {
        let has_lists = |list: &List| !list.access.is_empty() || !list.default.is_empty();
        let Some(list) = attrs.list().filter(|list| self.rules.keep.acls && has_lists(list)) else {
            return Ok(());
        };
        if let Some((told, here)) = &self.lists
            && Arc::ptr_eq(told, list)
        {
            *attrs = here.clone();
            return Ok(());
        }
        let failed = |e| format!("the system does not say whom its access control list names: {e}");
        let (told, mut here) = (Arc::clone(list), List::clone(list));
        for ace in here.access.iter_mut().chain(&mut here.default) {
            let name = std::mem::take(&mut ace.name);
            let name = (!name.is_empty()).then_some(&name[..]);
            if ace.is_user() {
                ace.id = self.ids.owner(ace.id, name).map_err(failed)?;
            } else if ace.is_group() {
                ace.id = self.ids.group(ace.id, name).map_err(failed)?;
            }
        }
        here.access.sort();
        here.default.sort();
        *attrs = here.into();
        self.lists = Some((told, attrs.clone()));
        Ok(())
    }
}
