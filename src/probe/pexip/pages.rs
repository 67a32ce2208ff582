//! Lists, page by page.

use std::collections::HashSet;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::get::Getter;
use crate::policy::connector::pexip::{Answer, ApiFault};

/// Objects that are asked for at once, and the most pages.
const PAGE: usize = 500;
const PAGES: usize = 40;
/// Most objects of one list.
const OBJECTS: usize = 10_000;

/// The envelope of a list. How many there are in all is not read: it may be out of date.
#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    objects: Vec<&'a RawValue>,
    #[serde(default)]
    meta: Meta,
}

#[derive(Default, Deserialize)]
struct Meta {
    #[serde(default)]
    next: Option<serde::de::IgnoredAny>,
}

/// What tells an object from others.
#[derive(Deserialize)]
struct Identity {
    #[serde(default)]
    resource_uri: Option<String>,
    #[serde(default)]
    id: Option<serde_json::Value>,
}

/// Reads a whole list. Each object counts once, whatever page it is on: lists change while they are read. The address of the next
/// page is never followed; it could lead elsewhere.
pub(super) async fn list<T: DeserializeOwned>(
    getter: &Getter,
    path: &[&str],
    filter: &[(&str, &str)],
    deadline: Instant,
) -> Answer<Vec<T>> {
    let (mut found, mut seen) = (Vec::new(), HashSet::new());
    let mut offset = 0;
    for _ in 0..PAGES {
        let (limit, from) = (PAGE.to_string(), offset.to_string());
        let mut query = vec![("format", "json"), ("limit", limit.as_str()), ("offset", from.as_str())];
        query.extend_from_slice(filter);
        let body = getter.get(path, &query, deadline).await?;
        let page: Page<'_> = serde_json::from_slice(&body).map_err(|_| ApiFault::Malformed)?;
        let known = seen.len();
        for object in &page.objects {
            if seen.insert(identity(object)) {
                found.push(serde_json::from_str(object.get()).map_err(|_| ApiFault::Malformed)?);
            }
        }
        if found.len() > OBJECTS {
            return Err(ApiFault::TooLarge);
        }
        if page.meta.next.is_none() || seen.len() == known {
            return Ok(found);
        }
        offset += page.objects.len();
    }
    Err(ApiFault::TooLarge)
}

/// Some resources have no id: those are told apart by all they say.
fn identity(object: &RawValue) -> String {
    let identity: Option<Identity> = serde_json::from_str(object.get()).ok();
    let named = identity.and_then(|one| {
        one.resource_uri
            .filter(|uri| !uri.is_empty())
            .or_else(|| Some(one.id?.to_string()))
    });
    named.unwrap_or_else(|| object.get().to_owned())
}
