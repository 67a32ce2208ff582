//! Whom the spec selects.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Everybody, Somebody};
use crate::api::presence::UserSelection;
use crate::policy::presence::matching::Person;

/// Who is selected: all who can sign in, less those whom each given line leaves out.
pub(super) fn selected(
    selection: &UserSelection,
    members: Option<&BTreeSet<String>>,
    all: &Everybody,
) -> BTreeSet<Arc<str>> {
    let selection = Selection::of(selection, members);
    let selected = all.iter().filter(|(id, somebody)| selection.holds(id, somebody));
    selected.map(|(id, _)| id.clone()).collect()
}

/// What selects.
pub(super) struct Selection<'a> {
    /// In lower case; empty: everybody.
    list: BTreeSet<String>,
    /// `None`: everybody.
    members: Option<&'a BTreeSet<String>>,
}

impl<'a> Selection<'a> {
    pub(super) fn of(selection: &UserSelection, members: Option<&'a BTreeSet<String>>) -> Self {
        Self {
            list: selection.list.iter().map(|name| name.trim().to_lowercase()).collect(),
            members,
        }
    }

    pub(super) fn holds(&self, id: &str, somebody: &Somebody) -> bool {
        let is_named = |name: &String| self.list.contains(&name.to_lowercase());
        let is_listed = || {
            let name = somebody.person.user_principal_name.as_ref();
            self.list.is_empty() || self.list.contains(id) || name.is_some_and(is_named)
        };
        somebody.enabled && self.members.is_none_or(|members| members.contains(id)) && is_listed()
    }
}

/// Guests have a user principal name that Entra made of their address elsewhere.
/// <https://learn.microsoft.com/entra/external-id/user-properties>
pub(super) fn is_guest(person: &Person) -> bool {
    let name = person.user_principal_name.as_deref().unwrap_or_default();
    name.to_ascii_uppercase().contains("#EXT#")
}
