//! Xsi-Events: subscriptions.

use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use uuid::Uuid;

use super::channels::granted;
use super::guard::{Caller, Place, XsiError, XsiResult, answer, body, named};
use super::host::{Host, Subscription, Target};
use super::xml;
use crate::simulator::state::Shared;

const PACKAGES: [&str; 4] = ["Basic Call", "Standard Call", "Advanced Call", "Do Not Disturb"];

/// `POST …/user/{user}`
pub async fn of_user(
    State(shared): State<Shared>,
    Path(place): Path<Place>,
    headers: HeaderMap,
    bytes: Bytes,
) -> XsiResult {
    let mut state = shared.state();
    let caller = Caller::read(&state.xsi, &place, &headers)?;
    let user = named(&place, "user");
    caller.may_see(&state.xsi, user)?;
    subscribe(&mut state.xsi, caller, Target::User(user.into()), &headers, &bytes)
}

/// `POST …/serviceprovider/{provider}`
pub async fn of_provider(
    State(shared): State<Shared>,
    Path(place): Path<Place>,
    headers: HeaderMap,
    bytes: Bytes,
) -> XsiResult {
    let mut state = shared.state();
    let caller = Caller::read(&state.xsi, &place, &headers)?;
    caller.must_be_admin()?;
    if named(&place, "provider") != state.xsi.setup.service_provider {
        return Err(XsiError::missing("no such service provider"));
    }
    subscribe(&mut state.xsi, caller, Target::Provider, &headers, &bytes)
}

fn subscribe(host: &mut Host, caller: Caller, target: Target, headers: &HeaderMap, bytes: &Bytes) -> XsiResult {
    let document = body(bytes, headers, "Subscription")?;
    let text = |name: &str| document.fields.get(name).cloned().unwrap_or_default();
    let (set, event) = (text("channelSetId"), text("event"));
    if !PACKAGES.contains(&event.as_str()) {
        return Err(XsiError::bad("no such event package"));
    }
    if !host.channels.values().any(|channel| channel.set == set) {
        host.breach("subscription", "the channel set has no channel");
        return Err(XsiError::missing("no such channel set"));
    }
    let seconds = granted(host, &document)?;
    let id = Uuid::new_v4().to_string();
    let subscription = Subscription {
        set,
        subscriber: caller.id,
        target,
        event,
        ends: Instant::now() + Duration::from_secs(seconds),
        count: 0,
    };
    host.subscriptions.insert(id.clone(), subscription);
    host.tell_initial(&id);
    let expires = seconds.to_string();
    Ok(answer(xml::document(
        "Subscription",
        &[("subscriptionId", &id), ("expires", &expires)],
    )))
}

/// `PUT …/subscription/{id}`
pub async fn refresh(
    State(shared): State<Shared>,
    Path(place): Path<Place>,
    headers: HeaderMap,
    bytes: Bytes,
) -> XsiResult {
    let mut state = shared.state();
    let caller = Caller::read(&state.xsi, &place, &headers)?;
    let seconds = granted(&state.xsi, &body(&bytes, &headers, "Subscription")?)?;
    let found = state.xsi.subscriptions.get_mut(named(&place, "id"));
    let found = found.filter(|one| one.subscriber == caller.id);
    let subscription = found.ok_or_else(|| XsiError::missing("no such subscription"))?;
    subscription.ends = Instant::now() + Duration::from_secs(seconds);
    Ok(answer(xml::document(
        "Subscription",
        &[("expires", &seconds.to_string())],
    )))
}

/// `DELETE …/subscription/{id}`
pub async fn end(State(shared): State<Shared>, Path(place): Path<Place>, headers: HeaderMap) -> XsiResult {
    let mut state = shared.state();
    let caller = Caller::read(&state.xsi, &place, &headers)?;
    let id = named(&place, "id");
    if state
        .xsi
        .subscriptions
        .get(id)
        .is_none_or(|one| one.subscriber != caller.id)
    {
        return Err(XsiError::missing("no such subscription"));
    }
    state.xsi.end_subscription(id);
    Ok(StatusCode::OK.into_response())
}
