//! The groups that the spec selects people by.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::MOST_PAGES;
use crate::graph::{Failure, Graph, Kind};

/// Who is in them.
#[derive(Default)]
pub(super) struct Groups {
    /// Object ids in lower case; `None`: the spec names no group.
    pub(super) members: Option<BTreeSet<String>>,
    /// Groups that the spec names and Entra does not have.
    pub(super) absent: Vec<String>,
}

impl Groups {
    /// Reads them. A group that does not exist has no members: deleting one must not stop the others.
    pub(super) async fn read(graph: &Graph, names: &[String], deadline: Timestamp) -> Result<Self, Failure> {
        let mut groups = Self::default();
        for name in names {
            let members = groups.members.get_or_insert_default();
            match read(graph, name, deadline).await {
                Ok(read) => members.extend(read),
                Err(failure) if failure.kind == Kind::NotFound => groups.absent.push(name.clone()),
                Err(failure) => {
                    let message = format!("group {name}: {}", failure.message);
                    return Err(Failure { message, ..failure });
                }
            }
        }
        Ok(groups)
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
