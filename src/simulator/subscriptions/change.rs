//! PATCH, DELETE and `reauthorize` of one subscription.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;

use super::bearer::{self, Caller};
use super::catalogue;
use super::create::{at_least_45_minutes, check_certificate, check_expiry, check_lifecycle, check_permission};
use super::handshake;
use super::payload::Fields;
use super::store::{End, Subscription};
use crate::simulator::errors::{GraphError, GraphResult};
use crate::simulator::state::Shared;
use crate::simulator::throttle::Kind;

/// What a PATCH may change.
struct Changes {
    expires: Option<Timestamp>,
    notification_url: Option<String>,
    certificate: Option<String>,
    certificate_id: Option<String>,
}

/// `PATCH /v1.0/subscriptions/{id}`
pub async fn patch(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> GraphResult<Response> {
    let caller = bearer::caller(&shared, &headers)?;
    shared.throttle(&caller, Kind::Write)?;
    let changes = read_changes(&headers, &body)?;
    let before = find(&shared, &id, &caller)?;
    check(&shared, &caller, &before, &changes)?;
    if let Some(url) = changes
        .notification_url
        .as_ref()
        .filter(|url| **url != before.wanted.notification_url)
    {
        handshake::validate(&shared, url).await?;
    }
    apply(&shared, &id, &caller, changes)
}

fn read_changes(headers: &HeaderMap, body: &Bytes) -> GraphResult<Changes> {
    let mut fields = Fields::read("update", headers, body)?;
    let changes = Changes {
        expires: fields.date("expirationDateTime")?,
        notification_url: fields.text("notificationUrl")?,
        certificate: fields.text("encryptionCertificate")?,
        certificate_id: fields.text("encryptionCertificateId")?,
    };
    if let Some(name) = fields.names_left().first() {
        let fixed = [
            "resource",
            "changeType",
            "clientState",
            "lifecycleNotificationUrl",
            "includeResourceData",
        ];
        let error = if fixed.contains(name) {
            GraphError::invalid(format!("Property '{name}' cannot be updated on a subscription."))
        } else {
            GraphError::payload("update")
        };
        return Err(error);
    }
    if changes.expires.is_none() && changes.notification_url.is_none() {
        return Err(GraphError::invalid(
            "expirationDateTime or notificationUrl is required for subscription update.",
        ));
    }
    Ok(changes)
}

fn check(shared: &Shared, caller: &Caller, before: &Subscription, changes: &Changes) -> GraphResult<()> {
    let rules = catalogue::rules(&before.wanted.resource).ok_or_else(GraphError::not_found)?;
    check_permission(shared, caller, rules, "Update")?;
    if let Some(expires) = changes.expires {
        check_expiry(
            expires,
            shared.clock.now(),
            rules,
            before.wanted.include_resource_data == Some(true),
        )?;
        check_lifecycle(&before.wanted, expires, shared.clock.now(), rules)?;
    }
    if let Some(url) = &changes.notification_url {
        handshake::place(url, "notificationUrl", shared.state().settings.allow_http)?;
    }
    changes.certificate.as_deref().map_or(Ok(()), check_certificate)
}

fn apply(shared: &Shared, id: &str, caller: &Caller, changes: Changes) -> GraphResult<Response> {
    let now = shared.clock.now();
    let mut state = shared.state();
    state
        .subscriptions
        .of_caller(id, caller)
        .ok_or_else(GraphError::not_found)?;
    let patch = |subscription: &mut Subscription| {
        write(subscription, changes, now);
        (subscription.written("PATCH", caller, now), subscription.view(false))
    };
    let (breaches, view) = state
        .subscriptions
        .change(id, patch)
        .ok_or_else(GraphError::not_found)?;
    for (kind, detail) in breaches {
        state.violation(now, kind, id, detail);
    }
    Ok(Json(view).into_response())
}

fn write(subscription: &mut Subscription, changes: Changes, now: Timestamp) {
    if let Some(expires) = changes.expires {
        subscription.expires = at_least_45_minutes(expires, now);
    }
    let wanted = &mut subscription.wanted;
    if let Some(url) = changes.notification_url {
        wanted.notification_url = url;
    }
    if changes.certificate.is_some() {
        wanted.encryption_certificate = changes.certificate;
    }
    if changes.certificate_id.is_some() {
        wanted.encryption_certificate_id = changes.certificate_id;
    }
}

/// `POST /v1.0/subscriptions/{id}/reauthorize`
pub async fn reauthorize(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> GraphResult<StatusCode> {
    let caller = bearer::caller(&shared, &headers)?;
    shared.throttle(&caller, Kind::Reauthorize)?;
    let before = find(&shared, &id, &caller)?;
    let rules = catalogue::rules(&before.wanted.resource).ok_or_else(GraphError::not_found)?;
    check_permission(&shared, &caller, rules, "Reauthorize")?;
    let now = shared.clock.now();
    let mut state = shared.state();
    let breaches = state
        .subscriptions
        .change(&id, |subscription| subscription.written("reauthorize", &caller, now))
        .ok_or_else(GraphError::not_found)?;
    for (kind, detail) in breaches {
        state.violation(now, kind, &id, detail);
    }
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /v1.0/subscriptions/{id}`
pub async fn delete(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> GraphResult<StatusCode> {
    let caller = bearer::caller(&shared, &headers)?;
    shared.throttle(&caller, Kind::Write)?;
    find(&shared, &id, &caller)?;
    let now = shared.clock.now();
    if shared.state().subscriptions.end(&id, End::Deleted, now) {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(GraphError::not_found())
    }
}

/// The caller's own live subscription.
pub fn find(shared: &Shared, id: &str, caller: &Caller) -> GraphResult<Subscription> {
    shared
        .state()
        .subscriptions
        .of_caller(id, caller)
        .cloned()
        .ok_or_else(GraphError::not_found)
}
