//! Where Graph tells afterwards what changed, so that a gap can be filled and silent loss be found.
//!
//! Sources: delta queries <https://learn.microsoft.com/graph/delta-query-overview>, call records
//! <https://learn.microsoft.com/graph/api/callrecords-cloudcommunications-list-callrecords>, latencies
//! <https://learn.microsoft.com/graph/change-notifications-overview#latency>.

use jiff::{SignedDuration, Timestamp};

/// How to find out what changed at a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// Graph has no such query. Why, as the end of a sentence.
    Nothing(&'static str),
    /// `{resource}/delta`, followed by the link that each answer ends with.
    Delta {
        /// Query that begins it now, without what there is already.
        now: &'static str,
        /// Whether notifications are about the resource as a whole and name no item, as those of drives and lists.
        whole: bool,
    },
    /// The delta query of the collection, narrowed to the one object that the resource names.
    DeltaOfOne,
    /// `{resource}/delta`, begun at a time.
    DeltaSince,
    /// `{resource}` with a filter on a time.
    List {
        /// The time that is filtered on.
        field: &'static str,
        /// How long before its last change an object may carry that time, in minutes.
        before: i64,
    },
    /// `{resource}` as it is now. What changed, and when, it does not tell.
    State,
}

/// From where on changes are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// From now on.
    Now,
    /// Since a time. Where only everything can be asked for, the answers are sorted out afterwards.
    Since(Timestamp),
}

/// Why a resource with a filter is left alone.
const FILTERED: Truth = Truth::Nothing("the resource has a filter, which Graph's queries for changes cannot repeat");

impl Truth {
    /// What holds for a resource path: a filter of the subscription cannot be repeated in a query.
    #[must_use]
    pub fn of(self, resource: &str) -> Self {
        let query = resource.split_once('?').map_or("", |(_, query)| query);
        if query.to_ascii_lowercase().contains("$filter") {
            FILTERED
        } else {
            self
        }
    }

    /// Whether a link of an earlier answer is needed to see what changed since.
    pub fn follows_a_link(self) -> bool {
        matches!(self, Self::Delta { .. } | Self::DeltaOfOne)
    }

    /// Whether it tells what changed, so that it is worth asking without cause.
    pub fn tells_changes(self) -> bool {
        !matches!(self, Self::Nothing(_) | Self::State)
    }

    /// Whether it tells of deletions.
    pub fn tells_deletions(self) -> bool {
        matches!(self, Self::Delta { .. } | Self::DeltaOfOne | Self::DeltaSince)
    }

    /// Path and query of the first request, below the version: `users/delta?$deltatoken=latest`.
    pub fn first(self, resource: &str, start: Start) -> Option<String> {
        let path = path(resource);
        Some(match (self, start) {
            (Self::Nothing(_), _) => return None,
            (Self::Delta { now, .. }, Start::Now) => format!("{}?{now}", delta(&path)),
            (Self::Delta { .. }, Start::Since(_)) | (Self::DeltaSince, Start::Now) => delta(&path),
            (Self::DeltaOfOne, _) => {
                let (collection, id) = path.rsplit_once('/')?;
                format!("{}?$filter={}", delta(collection), encoded(&format!("id eq '{id}'")))
            }
            (Self::DeltaSince, Start::Since(since)) => {
                let filter = format!("lastModifiedDateTime gt {}", second_before(since));
                format!("{}?$filter={}", delta(&path), encoded(&filter))
            }
            (Self::List { .. }, Start::Now) | (Self::State, _) => path,
            (Self::List { field, before }, Start::Since(since)) => {
                let since = since.checked_sub(SignedDuration::from_mins(before)).unwrap_or(since);
                format!(
                    "{path}?$filter={}",
                    encoded(&format!("{field} gt {}", second_before(since)))
                )
            }
        })
    }
}

/// The path alone, without a slash at its ends.
pub fn path(resource: &str) -> String {
    let path = resource.split('?').next().unwrap_or(resource);
    let path = path.replace("('", "/").replace("')", "");
    path.trim_matches('/').to_owned()
}

/// The notifications of a list are about the list, its delta query is about the items.
fn delta(path: &str) -> String {
    let segments: Vec<&str> = path.split('/').collect();
    match segments[..] {
        ["sites", _, "lists", _] => format!("{path}/items/delta"),
        _ => format!("{path}/delta"),
    }
}

/// The whole second before: many objects carry whole seconds, and what happened in the same one must not be left out.
fn second_before(at: Timestamp) -> String {
    Timestamp::from_second(at.as_second() - 1).unwrap_or(at).to_string()
}

/// The few characters of the filters above that a query cannot hold as they are.
fn encoded(filter: &str) -> String {
    filter
        .replace('%', "%25")
        .replace(' ', "%20")
        .replace('+', "%2B")
        .replace('#', "%23")
        .replace('&', "%26")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::resource::rule_for;

    fn first(resource: &str, start: Start) -> Option<String> {
        rule_for(resource).truth.of(resource).first(resource, start)
    }

    #[test]
    fn asks_each_kind_of_resource_its_own_way() {
        let since = Start::Since("2026-11-20T10:00:00.5Z".parse().unwrap());
        let cases = [
            ("users", Start::Now, Some("users/delta?$deltatoken=latest")),
            ("users", since, Some("users/delta")),
            ("users/8f0c", Start::Now, Some("users/delta?$filter=id%20eq%20'8f0c'")),
            ("groups('8f0c')", since, Some("groups/delta?$filter=id%20eq%20'8f0c'")),
            ("drives/1/root", Start::Now, Some("drives/1/root/delta?token=latest")),
            (
                "sites/1/lists/2",
                Start::Now,
                Some("sites/1/lists/2/items/delta?token=latest"),
            ),
            (
                "chats/1/messages",
                since,
                Some("chats/1/messages/delta?$filter=lastModifiedDateTime%20gt%202026-11-20T09:59:59Z"),
            ),
            // A record carries the time its call began.
            (
                "communications/callRecords",
                since,
                Some("communications/callRecords?$filter=startDateTime%20gt%202026-11-19T03:59:59Z"),
            ),
            (
                "users/1/messages?$select=id",
                since,
                Some("users/1/messages?$filter=lastModifiedDateTime%20gt%202026-11-20T09:59:59Z"),
            ),
            ("chats/1", since, Some("chats/1")),
            ("chats/getAllMessages", since, None),
            (
                "communications/callRecords?$filter=participants/any(p:p/id eq 'x')",
                since,
                None,
            ),
            ("something/new", since, None),
        ];
        for (resource, start, expected) in cases {
            assert_eq!(first(resource, start).as_deref(), expected, "{resource}");
        }
    }

    #[test]
    fn only_what_follows_a_link_begins_now() {
        for resource in crate::policy::resource::Rule::samples() {
            let truth = rule_for(&resource).truth;
            assert_eq!(
                first(&resource, Start::Since(Timestamp::UNIX_EPOCH)).is_some(),
                !matches!(truth, Truth::Nothing(_)),
                "{resource}"
            );
            assert!(!truth.follows_a_link() || truth.tells_changes(), "{resource}");
        }
    }
}
