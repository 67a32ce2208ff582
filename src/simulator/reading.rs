//! What can be read from Graph besides subscriptions: objects, lists and what changed. Just enough for backfill and for
//! who is who.

mod delta;
mod list;
mod members;
mod query;
mod token;

use axum::extract::{RawPathParams, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Map, Value, json};

use super::errors::{GraphError, GraphResult};
use super::families::{Family, Served, TABLE};
use super::objects::{self, View};
use super::state::Shared;
use super::subscriptions::bearer::{self, Caller};
use super::throttle::{Kind, Size};
pub use query::refused;

/// What a user has and Graph prints only if it is selected.
const SELECTED_ONLY: &[&str] = &[
    "accountEnabled",
    "assignedLicenses",
    "assignedPlans",
    "mailNickname",
    "onPremisesDistinguishedName",
    "onPremisesSamAccountName",
    "onPremisesUserPrincipalName",
];

/// The routes: each row of the table has up to three.
pub fn routes() -> Router<Shared> {
    TABLE.iter().fold(Router::new(), with_row)
}

fn with_row(router: Router<Shared>, served: &'static Served) -> Router<Shared> {
    let mut names = ["{a}", "{b}", "{c}"].into_iter();
    let segments = served.path.split('/');
    let path: Vec<&str> = segments
        .map(|segment| {
            if segment == "*" {
                names.next().unwrap_or(segment)
            } else {
                segment
            }
        })
        .collect();
    let path = format!("/v1.0/{}", path.join("/"));
    let mut router = router;
    if served.list.is_some() {
        let answer = async move |state: State<Shared>, place: RawPathParams, query: RawQuery, headers: HeaderMap| {
            list::answer(&state, &Asked::new(served, &place, query, headers))
        };
        router = router.route(&path, get(answer));
    }
    if served.delta.is_some() {
        let answer = async move |state: State<Shared>, place: RawPathParams, query: RawQuery, headers: HeaderMap| {
            delta::answer(&state, &Asked::new(served, &place, query, headers))
        };
        router = router.route(&format!("{path}/delta"), get(answer));
    }
    if served.item {
        let answer = async move |state: State<Shared>, place: RawPathParams, query: RawQuery, headers: HeaderMap| {
            item(&state, &Asked::new(served, &place, query, headers))
        };
        router = router.route(&format!("{path}/{{id}}"), get(answer));
    }
    router
}

/// A request for a collection, or for something in it.
struct Asked {
    served: &'static Served,
    /// Path below `/v1.0`, with ids.
    path: String,
    view: View,
    /// Of one object, if that is what is wanted.
    id: Option<String>,
    query: String,
    headers: HeaderMap,
}

impl Asked {
    fn new(served: &'static Served, place: &RawPathParams, query: RawQuery, headers: HeaderMap) -> Self {
        let mut ids = place.iter();
        let segments = served.path.split('/');
        let path: Vec<&str> = segments
            .map(|segment| {
                if segment == "*" {
                    ids.next().map_or("", |(_, id)| id)
                } else {
                    segment
                }
            })
            .collect();
        let path = path.join("/");
        Self {
            served,
            view: objects::view(&path),
            path,
            id: ids.next().map(|(_, id)| id.to_string()),
            query: query.0.unwrap_or_default(),
            headers,
        }
    }

    /// Token, limits and permission.
    fn admit(&self, shared: &Shared) -> GraphResult<Caller> {
        let caller = bearer::caller(shared, &self.headers)?;
        self.count(shared, &caller)?;
        permitted(&caller, self.served.roles)?;
        if shared.state().tenant(&caller.tenant).is_none() {
            return Err(GraphError::not_found());
        }
        Ok(caller)
    }

    fn count(&self, shared: &Shared, caller: &Caller) -> GraphResult<()> {
        match self.served.family {
            Family::CallRecords => {
                shared.throttle(caller, Kind::AnyCallRecord)?;
                match &self.id {
                    Some(id) => shared.throttle_on(caller, Kind::OneCallRecord, id),
                    None => shared.throttle(caller, Kind::CallRecords),
                }
            }
            Family::Directory => {
                let users = shared.state().objects.size(&caller.tenant, "users");
                shared.throttle(caller, Kind::Directory(Size::of(users)))
            }
            Family::Outlook => {
                let mailbox = self.path.split('/').nth(1).unwrap_or_default().to_ascii_lowercase();
                shared.throttle_on(caller, Kind::Mailbox, &mailbox)
            }
            // No limits are known for these.
            Family::ChatMessages | Family::Teams | Family::Drive | Family::List | Family::Alerts => Ok(()),
            Family::Presence => shared.throttle(caller, Kind::Presence),
        }
    }

    fn is_of_users(&self) -> bool {
        ["users", members::PATH].contains(&self.served.path)
    }

    /// The object as it is printed: with its type, and what `$select` leaves of it.
    fn print(&self, object: &Value, select: &[String]) -> Value {
        let mut printed: Map<String, Value> = object.as_object().cloned().unwrap_or_default();
        if select.is_empty() && self.is_of_users() {
            printed.retain(|name, _| !SELECTED_ONLY.contains(&name.as_str()));
        }
        if self.served.path == "groups" {
            printed.remove("members");
        }
        if !select.is_empty() {
            printed.retain(|name, _| name == "id" || name.starts_with('@') || select.iter().any(|one| one == name));
        }
        if !self.served.type_name.is_empty() {
            printed
                .entry("@odata.type")
                .or_insert_with(|| json!(self.served.type_name));
        }
        Value::Object(printed)
    }
}

/// 403 unless one of these permissions is granted.
pub fn permitted(caller: &Caller, roles: &[&str]) -> GraphResult<()> {
    if caller.may(roles) {
        return Ok(());
    }
    let text = "Insufficient privileges to complete the operation.";
    Err(GraphError::new(
        StatusCode::FORBIDDEN,
        "Authorization_RequestDenied",
        text,
    ))
}

/// `GET {collection}/{id}`
fn item(shared: &Shared, asked: &Asked) -> GraphResult<Json<Value>> {
    let caller = asked.admit(shared)?;
    let options = query::read_item(&asked.query)?;
    let id = asked.id.as_deref().unwrap_or_default();
    let state = shared.state();
    let known = state.objects.get(&caller.tenant, &asked.view, id);
    let found = known.or_else(|| {
        // Users go by their principal name as well.
        let is_named = |user: &&Value| user["userPrincipalName"].as_str().is_some_and(|name| name == id);
        let users = (asked.served.path == "users").then(|| state.objects.live(&caller.tenant, &asked.view));
        users?.into_iter().find(is_named)
    });
    found
        .map(|object| Json(asked.print(object, &options.select)))
        .ok_or_else(|| missing(asked.served.family, id))
}

fn missing(family: Family, id: &str) -> GraphError {
    let (code, text) = match family {
        Family::Directory => (
            "Request_ResourceNotFound",
            format!("Resource '{id}' does not exist or one of its queried reference-property objects are not present."),
        ),
        Family::CallRecords => ("NotFound", format!("call record {id} not found")),
        Family::Outlook => (
            "ErrorItemNotFound",
            "The specified object was not found in the store.".into(),
        ),
        _ => ("NotFound", format!("'{id}' was not found.")),
    };
    GraphError::new(StatusCode::NOT_FOUND, code, text)
}
