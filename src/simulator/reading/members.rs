//! Who is in a group: `members` of a kept group lists ids of users and of groups within.

use std::collections::HashSet;

use axum::http::StatusCode;
use serde_json::Value;

use crate::simulator::errors::{GraphError, GraphResult};
use crate::simulator::objects::{Objects, View};
use crate::simulator::people;

/// The row of the table that is answered from here.
pub const PATH: &str = "groups/*/transitiveMembers";

/// The users in a group and in the groups within it, in the order in which they are listed. Groups themselves, which
/// Graph lists as well, are left out.
pub fn of<'a>(objects: &'a Objects, tenant: &str, path: &str) -> GraphResult<Vec<&'a Value>> {
    let id = path.split('/').nth(1).unwrap_or_default();
    let groups = View::One("groups".into());
    if objects.get(tenant, &groups, id).is_none() {
        let text =
            format!("Resource '{id}' does not exist or one of its queried reference-property objects are not present.");
        return Err(GraphError::new(StatusCode::NOT_FOUND, "Request_ResourceNotFound", text));
    }
    let (mut seen, mut open, mut found) = (HashSet::from([id]), vec![id], Vec::new());
    while let Some(next) = open.pop() {
        let group = objects.get(tenant, &groups, next);
        let members = group.and_then(|group| group["members"].as_array());
        for member in members.into_iter().flatten().filter_map(Value::as_str) {
            if !seen.insert(member) {
                continue;
            }
            match people::user(objects, tenant, member) {
                Some(user) => found.push(user),
                None => open.push(member),
            }
        }
    }
    Ok(found)
}
