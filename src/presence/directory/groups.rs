//! The groups that the spec selects people by.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::MOST_PAGES;
use crate::graph::{Failure, Graph, Kind};

/// A group is gone once it was not there so often in a row: what Entra says once may be wrong, and all its people would be let go.
const GONE: u32 = 3;

/// Who is in them.
#[derive(Default)]
pub(super) struct Groups {
    /// Object ids of all members, in lower case; `None`: the spec names no group.
    pub(super) members: Option<BTreeSet<String>>,
    by_name: BTreeMap<String, Group>,
}

#[derive(Clone, Default)]
struct Group {
    members: BTreeSet<String>,
    /// How often in a row Entra did not have it.
    absences: u32,
}

impl Groups {
    /// Reads them. A group that does not exist keeps the members that it had for a while, and then has none: deleting one must not
    /// stop the others.
    pub(super) async fn read(
        graph: &Graph,
        names: &[String],
        before: Option<&Self>,
        deadline: Timestamp,
    ) -> Result<Self, Failure> {
        let mut groups = Self::default();
        for name in names {
            let group = match read(graph, name, deadline).await {
                Ok(members) => Group { members, absences: 0 },
                Err(failure) if failure.kind == Kind::NotFound => {
                    let known = before.and_then(|before| before.by_name.get(name));
                    known.cloned().unwrap_or_default().absent()
                }
                Err(failure) => {
                    let message = format!("group {name}: {}", failure.message);
                    return Err(Failure { message, ..failure });
                }
            };
            let members = groups.members.get_or_insert_default();
            members.extend(group.members.iter().cloned());
            groups.by_name.insert(name.clone(), group);
        }
        Ok(groups)
    }

    /// Groups that the spec names and Entra does not have.
    pub(super) fn absent(&self) -> Vec<&str> {
        let absent = self.by_name.iter().filter(|(_, group)| group.absences > 0);
        absent.map(|(name, _)| name.as_str()).collect()
    }
}

impl Group {
    fn absent(self) -> Self {
        let absences = self.absences.saturating_add(1);
        let members = if absences < GONE { self.members } else { BTreeSet::new() };
        Self { members, absences }
    }
}

async fn read(graph: &Graph, name: &str, deadline: Timestamp) -> Result<BTreeSet<String>, Failure> {
    let mut members = BTreeSet::new();
    let mut next: Option<String> = None;
    for _ in 0..MOST_PAGES {
        let page = graph.members(name, next.as_deref(), deadline).await?;
        members.extend(page.people.iter().map(|news| news.id.to_ascii_lowercase()));
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    Ok(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_that_is_not_there_once_keeps_its_members() {
        let mut group = Group {
            members: BTreeSet::from(["ada".to_owned()]),
            absences: 0,
        };
        for left in [1, 1, 0, 0] {
            group = group.absent();
            assert_eq!(group.members.len(), left, "{}", group.absences);
        }
    }
}
