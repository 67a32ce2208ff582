//! Writing presence: an app's session, and the preferred presence.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use jiff::{SignedDuration, SpanRelativeTo, Timestamp, Unit};
use serde_json::{Map, Value};

use super::book::{Setting, Write};
use super::person::{Choice, Pair, Person, Session};
use super::read::{admit, bad, object_id};
use crate::simulator::errors::{GraphError, GraphResult};
use crate::simulator::people;
use crate::simulator::state::Shared;
use crate::simulator::subscriptions::bearer::Caller;

const ROLES: &[&str] = &["Presence.ReadWrite.All"];
const SHORTEST: SignedDuration = SignedDuration::from_mins(5);
const LONGEST: SignedDuration = SignedDuration::from_hours(4);
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// What a session may say.
const SESSION_PAIRS: &[(&str, &str)] = &[
    ("Available", "Available"),
    ("Busy", "InACall"),
    ("Busy", "InAConferenceCall"),
    ("Away", "Away"),
    ("DoNotDisturb", "Presenting"),
];
/// What may be preferred.
const PREFERRED_PAIRS: &[(&str, &str)] = &[
    ("Available", "Available"),
    ("Busy", "Busy"),
    ("DoNotDisturb", "DoNotDisturb"),
    ("BeRightBack", "BeRightBack"),
    ("Away", "Away"),
    ("Offline", "OffWork"),
];

/// What is to be done to a person.
enum Deed {
    Session(Pair, SignedDuration),
    EndSession,
    Prefer(Pair, SignedDuration),
    PreferNothing,
}

/// `POST …/presence/setPresence`
pub async fn set_presence(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> GraphResult<StatusCode> {
    act(&shared, &headers, &id, "setPresence", &body, |caller, body| {
        own_session(caller, body)?;
        let lasting = lasting(body)?.unwrap_or(SHORTEST);
        if lasting < SHORTEST || lasting > LONGEST {
            return Err(bad("expirationDuration must be between PT5M and PT4H."));
        }
        Ok(Deed::Session(pair(body, SESSION_PAIRS)?, lasting))
    })
}

/// `POST …/presence/clearPresence`
pub async fn clear_presence(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> GraphResult<StatusCode> {
    act(&shared, &headers, &id, "clearPresence", &body, |caller, body| {
        own_session(caller, body)?;
        Ok(Deed::EndSession)
    })
}

/// `POST …/presence/setUserPreferredPresence`
pub async fn set_preferred(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> GraphResult<StatusCode> {
    act(&shared, &headers, &id, "setUserPreferredPresence", &body, |_, body| {
        let pair = pair(body, PREFERRED_PAIRS)?;
        let usual = match pair.availability.as_str() {
            "Busy" | "DoNotDisturb" => DAY,
            _ => DAY * 7,
        };
        let lasting = lasting(body)?.unwrap_or(usual);
        if lasting <= SignedDuration::ZERO {
            return Err(bad("expirationDuration must be positive."));
        }
        Ok(Deed::Prefer(pair, lasting))
    })
}

/// `POST …/presence/clearUserPreferredPresence`
pub async fn clear_preferred(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> GraphResult<StatusCode> {
    act(&shared, &headers, &id, "clearUserPreferredPresence", &body, |_, _| {
        Ok(Deed::PreferNothing)
    })
}

/// Reads, performs and logs a write. 200 in all cases, also where 204 is documented, as was seen in the field.
fn act(
    shared: &Shared,
    headers: &HeaderMap,
    id: &str,
    operation: &'static str,
    body: &Bytes,
    read: impl FnOnce(&Caller, &mut Map<String, Value>) -> GraphResult<Deed>,
) -> GraphResult<StatusCode> {
    let caller = admit(shared, headers, ROLES)?;
    let result = read_body(headers, body).and_then(|mut fields| {
        let deed = read(&caller, &mut fields)?;
        if let Some(name) = fields.keys().next() {
            return Err(bad(&format!("The property '{name}' does not exist on this action.")));
        }
        perform(shared, &caller, id, deed)
    });
    let write = Write {
        seq: 0,
        time: String::new(),
        real_ms: 0,
        user: id.into(),
        app: caller.app,
        operation,
        body: serde_json::from_slice(body).unwrap_or_default(),
        status: result
            .as_ref()
            .map_or_else(GraphError::status, |()| StatusCode::OK)
            .as_u16(),
    };
    let now = shared.clock.now();
    shared.state().presence.writes.add(write, now);
    result.map(|()| StatusCode::OK)
}

fn read_body(headers: &HeaderMap, body: &Bytes) -> GraphResult<Map<String, Value>> {
    let kind = headers.get("content-type").and_then(|kind| kind.to_str().ok());
    if !kind.is_some_and(|kind| kind.to_ascii_lowercase().starts_with("application/json")) {
        return Err(bad("Entity only allows writes with a JSON Content-Type header."));
    }
    serde_json::from_slice(body).map_err(|_| bad("Unable to read JSON request payload."))
}

fn perform(shared: &Shared, caller: &Caller, id: &str, deed: Deed) -> GraphResult<()> {
    object_id(id)?;
    let now = shared.clock.now();
    let mut guard = shared.state();
    let state = &mut *guard;
    if !people::exists(&state.objects, &caller.tenant, id) {
        return Err(GraphError::not_found());
    }
    let setting = Setting {
        now,
        objects: &mut state.objects,
        vague: state.settings.presence.vague_echo,
    };
    let deed = |person: &mut Person| apply(person, caller, deed, now);
    state.presence.change(&caller.tenant, id, setting, deed)
}

fn apply(person: &mut Person, caller: &Caller, deed: Deed, now: Timestamp) -> GraphResult<()> {
    let after = |lasting| now.saturating_add(lasting).unwrap_or(Timestamp::MAX);
    match deed {
        Deed::Session(pair, lasting) => {
            let session = Session {
                pair,
                set: now,
                ends: Some(after(lasting)),
            };
            person.sessions.insert(caller.app.clone(), session);
        }
        Deed::EndSession => {
            if person.sessions.remove(&caller.app).is_none() {
                return Err(GraphError::not_found());
            }
        }
        Deed::Prefer(pair, lasting) => {
            person.choice = Some(Choice {
                pair,
                ends: after(lasting),
                by: Some(caller.app.clone()),
            });
        }
        Deed::PreferNothing => person.choice = None,
    }
    Ok(())
}

/// The id of an app's session is the app's id.
fn own_session(caller: &Caller, body: &mut Map<String, Value>) -> GraphResult<()> {
    let session = text(body, "sessionId")?.ok_or_else(|| bad("The property 'sessionId' is required."))?;
    if session.eq_ignore_ascii_case(&caller.app) {
        Ok(())
    } else {
        Err(bad(
            "The property 'sessionId' must be the application id of the caller.",
        ))
    }
}

fn pair(body: &mut Map<String, Value>, accepted: &[(&str, &str)]) -> GraphResult<Pair> {
    let availability = text(body, "availability")?.unwrap_or_default();
    let activity = text(body, "activity")?.unwrap_or_default();
    if accepted.contains(&(availability.as_str(), activity.as_str())) {
        return Ok(Pair { availability, activity });
    }
    Err(bad(&format!(
        "The combination of availability '{availability}' and activity '{activity}' is not supported."
    )))
}

/// An ISO 8601 duration, if one is given.
fn lasting(body: &mut Map<String, Value>) -> GraphResult<Option<SignedDuration>> {
    let Some(given) = text(body, "expirationDuration")? else {
        return Ok(None);
    };
    let read = |text: &str| {
        let span: jiff::Span = text.strip_prefix('P').and_then(|_| text.parse().ok())?;
        let seconds = span.total((Unit::Second, SpanRelativeTo::days_are_24_hours())).ok()?;
        SignedDuration::try_from_secs_f64(seconds).ok()
    };
    read(&given).map(Some).ok_or_else(|| {
        bad(&format!(
            "Cannot convert the literal '{given}' to the expected type 'Edm.Duration'."
        ))
    })
}

fn text(body: &mut Map<String, Value>, name: &str) -> GraphResult<Option<String>> {
    match body.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(bad(&format!("The property '{name}' must be text."))),
    }
}
