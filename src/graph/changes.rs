//! What changed, as Graph tells it afterwards: delta queries, lists, and the state as it is.
//! <https://learn.microsoft.com/graph/delta-query-overview>

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::client::Graph;
use super::error::{Failure, Kind};
use super::subscription::parse_time;
use crate::policy::backfill::Change;

/// One answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangePage {
    /// What it tells.
    pub changes: Vec<Change>,
    /// Where it goes on.
    pub next: Option<String>,
    /// Where later changes will be told: the end of a delta query.
    pub link: Option<String>,
}

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    value: Option<Vec<Value>>,
    #[serde(default, rename = "@odata.nextLink")]
    next: Option<String>,
    #[serde(default, rename = "@odata.deltaLink")]
    link: Option<String>,
}

impl Graph {
    /// One page of changes. `address` is a path and query below the version, or a link of an earlier page. Among waiting
    /// questions the earliest `deadline` goes first; all of them keep to the budget of [`Graph::set_changes_budget`].
    /// [`Kind::ResyncRequired`]: the link is too old, begin anew.
    pub async fn changes(&self, address: &str, deadline: Timestamp) -> Result<ChangePage, Failure> {
        let url = self.changes_url(address)?;
        let answer = self.read_changes(&url, deadline).await.map_err(|failure| {
            let old_link = failure.kind == Kind::NotFound && has_token(&url);
            // 410 Gone: what the token stands for is gone, not the resource.
            if old_link { resync() } else { failure }
        })?;
        read(&answer)
    }

    /// The token of the app must not follow a link to elsewhere.
    pub(super) fn changes_url(&self, address: &str) -> Result<Url, Failure> {
        let own = self.version_url()?;
        let url = if address.contains("://") {
            Url::parse(address)
        } else {
            own.join(address)
        };
        url.ok()
            .filter(|url| url.origin() == own.origin() && url.username().is_empty())
            .ok_or_else(|| Failure::of(Kind::Protocol, "Graph's answer continues at another address."))
    }
}

fn resync() -> Failure {
    Failure::of(
        Kind::ResyncRequired,
        "Graph no longer knows what the link to later changes stands for.",
    )
}

fn has_token(url: &Url) -> bool {
    url.query_pairs().any(|(name, _)| {
        let name = name.trim_start_matches('$');
        name == "deltatoken" || name == "skiptoken" || name == "token"
    })
}

fn read(body: &[u8]) -> Result<ChangePage, Failure> {
    let unreadable = || Failure::of(Kind::Protocol, "Graph's answer about changes cannot be read.");
    let object: Value = serde_json::from_slice(body).map_err(|_| unreadable())?;
    let page = Body::deserialize(&object).map_err(|_| unreadable())?;
    let changes = match page.value {
        Some(values) => values.iter().filter_map(change).collect(),
        // A single object, as it is.
        None => vec![change(&object).ok_or_else(unreadable)?],
    };
    Ok(ChangePage {
        changes,
        next: page.next,
        link: page.link,
    })
}

fn change(value: &Value) -> Option<Change> {
    let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let time = |names: &[&str]| names.iter().find_map(|name| parse_time(value.get(name)?.as_str()?));
    let present = |name: &str| value.get(name).is_some_and(|member| !member.is_null());
    Some(Change {
        id: text("id")?,
        odata_type: text("@odata.type"),
        created: time(&["createdDateTime", "startDateTime"]),
        modified: time(&["lastModifiedDateTime", "lastUpdateDateTime", "lastUpdatedDateTime"]),
        removed: present("@removed") || present("deleted") || present("deletedDateTime"),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_pages_objects_and_deletions() {
        let body = json!({
            "@odata.context": "x", "@odata.deltaLink": "https://graph.example/v1.0/users/delta?$deltatoken=a",
            "value": [
                { "id": "1", "displayName": "A" },
                { "id": "2", "@removed": { "reason": "deleted" } },
                { "id": "3", "deleted": { "state": "deleted" } },
                { "id": "4", "lastModifiedDateTime": "2026-11-20T10:00:00.123Z", "createdDateTime": null },
                { "displayName": "no id" },
            ],
        });
        let page = read(body.to_string().as_bytes()).unwrap();
        let seen: Vec<_> = page
            .changes
            .iter()
            .map(|change| (change.id.as_str(), change.removed))
            .collect();
        assert_eq!(seen, [("1", false), ("2", true), ("3", true), ("4", false)]);
        assert_eq!(page.changes[3].modified, "2026-11-20T10:00:00.123Z".parse().ok());
        assert_eq!(page.changes[3].created, None);
        assert!(page.link.unwrap().ends_with("$deltatoken=a") && page.next.is_none());
        let chat = read(br#"{"id":"c","lastUpdatedDateTime":"2026-11-20T10:00:00Z"}"#).unwrap();
        assert_eq!(chat.changes.len(), 1);
        for body in ["", "[]", "{}", "{\"value\":7}"] {
            assert_eq!(read(body.as_bytes()).unwrap_err().kind, Kind::Protocol, "{body}");
        }
    }

    #[test]
    fn links_with_tokens_are_known() {
        let url = |text: &str| Url::parse(text).unwrap();
        assert!(has_token(&url("https://g/v1.0/users/delta?$deltatoken=x")));
        assert!(has_token(&url("https://g/v1.0/drives/1/root/delta?token=x")));
        assert!(has_token(&url("https://g/v1.0/users/delta?%24skiptoken=x")));
        assert!(!has_token(&url("https://g/v1.0/users/delta?$filter=id eq 'x'")));
    }
}
