//! Whose presence a subscription watches: `communications/presences?$filter=id in ('a','b')`.

use std::collections::HashSet;

use url::form_urlencoded;

use super::paths;
use crate::simulator::errors::{GraphError, GraphResult};
use crate::simulator::presence::read::MOST_IDS;

const PRESENCES: &str = "communications/presences";

/// Whether it is about presence.
pub fn is_presence(resource: &str) -> bool {
    let path = paths::path(resource);
    paths::fits(PRESENCES, &path) || paths::fits("communications/presences/*", &path)
}

/// The people who are listed, if it is about presence of several and well formed.
pub fn ids(resource: &str) -> Option<HashSet<String>> {
    let listed = listed(resource)?;
    Some(listed.into_iter().collect())
}

/// Presence of many needs a filter with 1 to 650 ids. The original's words are not known.
pub fn check(resource: &str) -> GraphResult<()> {
    if !paths::fits(PRESENCES, &paths::path(resource)) {
        return Ok(());
    }
    let refused = |text: &str| Err(GraphError::invalid(format!("Invalid 'resource' attribute: {text}")));
    match listed(resource) {
        None => refused("presences need a filter such as $filter=id in ('a','b')."),
        Some(ids) if ids.is_empty() || ids.len() > MOST_IDS => {
            refused(&format!("the filter must hold 1 to {MOST_IDS} user ids."))
        }
        Some(ids) if ids.iter().any(|id| id.is_empty() || id.contains('@')) => refused("users go by their object id."),
        Some(_) => Ok(()),
    }
}

fn listed(resource: &str) -> Option<Vec<String>> {
    let (path, query) = resource.split_once('?')?;
    if !paths::fits(PRESENCES, path.trim_matches('/')) {
        return None;
    }
    let mut options = form_urlencoded::parse(query.as_bytes());
    let (name, filter) = options.next()?;
    if name != "$filter" || options.next().is_some() {
        return None;
    }
    let list = filter
        .trim()
        .strip_prefix("id in")?
        .trim()
        .strip_prefix('(')?
        .strip_suffix(')')?;
    let quoted = |id: &str| Some(id.trim().strip_prefix('\'')?.strip_suffix('\'')?.to_string());
    list.split(',').map(quoted).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_read_strictly() {
        let many = |number: usize| {
            let ids: Vec<String> = (0..number).map(|n| format!("'{n}'")).collect();
            format!("communications/presences?$filter=id in ({})", ids.join(","))
        };
        for good in [
            "communications/presences?$filter=id in ('a')",
            "communications/presences?$filter=id in ('a', 'b')",
            "communications/presences?$filter=id+in+(%27a%27)",
            "communications/presences/a",
            "users",
            &many(650),
        ] {
            assert!(check(good).is_ok(), "{good}");
        }
        for wrong in [
            "communications/presences",
            "communications/presences?$filter=id in (a)",
            "communications/presences?$filter=id eq 'a'",
            "communications/presences?$filter=id in ()",
            "communications/presences?$filter=id in ('a@b.c')",
            "communications/presences?$filter=id in ('a')&$top=1",
            &many(651),
        ] {
            assert!(check(wrong).is_err(), "{wrong}");
        }
        assert_eq!(ids(&many(650)).unwrap().len(), 650);
        assert_eq!(ids("communications/presences/a"), None);
    }
}
