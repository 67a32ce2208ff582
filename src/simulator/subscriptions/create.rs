//! `POST /v1.0/subscriptions`.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use uuid::Uuid;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;

use super::bearer::{self, Caller};
use super::catalogue::{self, Rules};
use super::handshake;
use super::paths;
use super::payload::{self, Wanted};
use super::store::Subscriptions;
use super::watched;
use crate::simulator::entra::own_url;
use crate::simulator::errors::{GraphError, GraphResult};
use crate::simulator::people;
use crate::simulator::state::Shared;
use crate::simulator::throttle::Kind;

const SHORTEST: SignedDuration = SignedDuration::from_mins(45);
const HOUR: SignedDuration = SignedDuration::from_hours(1);
const LONGEST_CLIENT_STATE: usize = 128;

/// The handler.
pub async fn create(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> GraphResult<Response> {
    let caller = bearer::caller(&shared, &headers)?;
    shared.throttle(&caller, Kind::Write)?;
    let mut wanted = payload::read_create(&headers, &body)?;
    let allow_http = shared.state().settings.allow_http;
    let rules = check(&wanted, shared.clock.now(), allow_http)?;
    check_permission(&shared, &caller, rules, "Create")?;
    check_room(&shared.state().subscriptions, &caller, &wanted, rules)?;

    handshake::validate(&shared, &wanted.notification_url).await?;
    if let Some(url) = &wanted.lifecycle_notification_url {
        handshake::validate(&shared, url).await?;
    }

    let now = shared.clock.now();
    wanted.expires = at_least_45_minutes(wanted.expires, now);
    let mut state = shared.state();
    // Somebody else may have been faster during the handshake.
    check_room(&state.subscriptions, &caller, &wanted, rules)?;
    let created = state
        .subscriptions
        .add(Uuid::new_v4().to_string(), &caller, wanted, now);
    let mut view = created.view(true);
    view["@odata.context"] = json!(format!(
        "{}/v1.0/$metadata#subscriptions/$entity",
        own_url(&shared, &headers)
    ));
    Ok((StatusCode::CREATED, Json(view)).into_response())
}

/// Graph silently makes short subscriptions longer.
pub fn at_least_45_minutes(expires: Timestamp, now: Timestamp) -> Timestamp {
    expires.max(now.saturating_add(SHORTEST).unwrap_or(now))
}

/// Whether `expires` is within the longest life of the resource.
pub fn check_expiry(expires: Timestamp, now: Timestamp, rules: &Rules, rich: bool) -> GraphResult<()> {
    // The original's words for this are not known.
    if expires <= now {
        return Err(GraphError::invalid("The expirationDateTime must be in the future."));
    }
    let minutes = if rich { rules.rich_minutes } else { rules.minutes };
    if expires.duration_since(now) > SignedDuration::from_mins(minutes) {
        let text = format!("Subscription expiration can only be {minutes} minutes in the future.");
        return Err(GraphError::new(StatusCode::BAD_REQUEST, "ExtensionError", text));
    }
    Ok(())
}

/// Everything that the body alone can get wrong.
fn check(wanted: &Wanted, now: Timestamp, allow_http: bool) -> GraphResult<&'static Rules> {
    if wanted.resource.starts_with('/') {
        return Err(GraphError::payload("creation"));
    }
    let rules = catalogue::rules(&wanted.resource)
        .ok_or_else(|| GraphError::invalid(format!("Invalid 'resource' attribute: '{}'.", wanted.resource)))?;
    watched::check(&wanted.resource)?;
    for change in wanted.change_type.split(',').map(str::trim) {
        if !rules.changes.contains(&change) {
            return Err(GraphError::invalid(format!(
                "Invalid 'changeType' attribute: '{change}'."
            )));
        }
    }
    if wanted
        .client_state
        .as_ref()
        .is_some_and(|text| text.chars().count() > LONGEST_CLIENT_STATE)
    {
        let text = "Invalid 'clientState' attribute: the maximum length is 128 characters.";
        return Err(GraphError::invalid(text));
    }
    check_urls(wanted, allow_http)?;
    check_tls_version(wanted)?;
    let rich = wanted.include_resource_data == Some(true);
    if rich {
        check_rich(wanted, rules)?;
    }
    check_expiry(wanted.expires, now, rules, rich)?;
    check_lifecycle(wanted, wanted.expires, now, rules)?;
    Ok(rules)
}

/// Teams resources need a lifecycle URL to live longer than an hour.
pub fn check_lifecycle(wanted: &Wanted, expires: Timestamp, now: Timestamp, rules: &Rules) -> GraphResult<()> {
    if rules.teams && wanted.lifecycle_notification_url.is_none() && expires.duration_since(now) > HOUR {
        return Err(GraphError::invalid(
            "lifecycleNotificationUrl is a required property for subscription creation on this resource when the \
             expirationDateTime value is set to greater than 1 hour",
        ));
    }
    Ok(())
}

fn check_urls(wanted: &Wanted, allow_http: bool) -> GraphResult<()> {
    let place = handshake::place(&wanted.notification_url, "notificationUrl", allow_http)?;
    let Some(url) = &wanted.lifecycle_notification_url else {
        return Ok(());
    };
    if handshake::place(url, "lifecycleNotificationUrl", allow_http)? == place {
        return Ok(());
    }
    let text = "Invalid 'lifecycleNotificationUrl' attribute: it must use the same kind of delivery.";
    Err(GraphError::invalid(text))
}

fn check_tls_version(wanted: &Wanted) -> GraphResult<()> {
    let known = ["v1_0", "v1_1", "v1_2", "v1_3"];
    match wanted.latest_supported_tls_version.as_deref() {
        Some(version) if !known.contains(&version) => Err(GraphError::invalid(format!(
            "Invalid 'latestSupportedTlsVersion' attribute: '{version}'."
        ))),
        _ => Ok(()),
    }
}

fn check_rich(wanted: &Wanted, rules: &Rules) -> GraphResult<()> {
    if rules.rich_minutes == 0 {
        return Err(GraphError::invalid(
            "includeResourceData is not supported for this resource.",
        ));
    }
    let Some(certificate) = &wanted.encryption_certificate else {
        return Err(GraphError::invalid(
            "encryptionCertificate is a required property when includeResourceData is true.",
        ));
    };
    if wanted
        .encryption_certificate_id
        .as_ref()
        .is_none_or(|id| id.is_empty() || id.chars().count() > 128)
    {
        let text = "encryptionCertificateId is a required property when includeResourceData is true.";
        return Err(GraphError::invalid(text));
    }
    check_certificate(certificate)
}

/// A certificate to encrypt for: Base64 X.509 with an RSA key of 2048 to 4096 bits.
pub fn check_certificate(certificate: &str) -> GraphResult<()> {
    let refuse = || GraphError::invalid("Invalid 'encryptionCertificate' attribute.");
    let der = STANDARD.decode(certificate).map_err(|_| refuse())?;
    let (_, certificate) = X509Certificate::from_der(&der).map_err(|_| refuse())?;
    match certificate.public_key().parsed() {
        Ok(PublicKey::RSA(key)) if (2048..=4096).contains(&key.key_size()) => Ok(()),
        _ => Err(refuse()),
    }
}

/// Apps need one of the roles. Where only people may subscribe, they need a licence for Teams as well.
pub fn check_permission(shared: &Shared, caller: &Caller, rules: &Rules, operation: &str) -> GraphResult<()> {
    let is_allowed = match &caller.user {
        Some(user) if !rules.delegated.is_empty() => {
            caller.may(rules.delegated) && people::is_licensed(&shared.state().objects, &caller.tenant, user)
        }
        _ => caller.may(rules.roles),
    };
    if is_allowed {
        Ok(())
    } else {
        Err(GraphError::forbidden(operation))
    }
}

/// Duplicates and quotas.
fn check_room(known: &Subscriptions, caller: &Caller, wanted: &Wanted, rules: &Rules) -> GraphResult<()> {
    let limit = |number: usize| {
        let resource = paths::path(&wanted.resource).to_uppercase();
        let text = format!(
            "App '{}' has reached its limit of '{number}' '{resource}' subscription on tenant '{}'",
            caller.app, caller.tenant
        );
        GraphError::new(StatusCode::FORBIDDEN, "Forbidden", text)
    };
    if rules.single && known.duplicate(caller, &wanted.resource, None).is_some() {
        return Err(limit(1));
    }
    let of_presence = (!rules.delegated.is_empty())
        .then(|| known.of_presence(caller))
        .flatten();
    let twin = known.duplicate(caller, &wanted.resource, Some(&wanted.change_type));
    if let Some(twin) = of_presence.or(twin) {
        let text = format!(
            "Subscription Id {} already exists for the requested combination",
            twin.id
        );
        return Err(GraphError::new(StatusCode::CONFLICT, "ObjectIdentifierInUse", text));
    }
    if let Some(most) = rules.per_mailbox
        && known.in_mailbox(caller, &wanted.resource) >= most
    {
        // A quota in the clothes of throttling.
        let text = format!(
            "Resource 'SubscriptionCountReached' has reached limit of '{most}'. Please retry after '12/31/9999 \
             11:59:59 PM'"
        );
        return Err(GraphError::new(StatusCode::TOO_MANY_REQUESTS, "ExtensionError", text));
    }
    let (organisation, own) = known.alike(caller, rules);
    if let Some(most) = rules.per_app.filter(|most| own >= *most) {
        return Err(limit(most));
    }
    match rules.per_organisation.filter(|most| organisation >= *most) {
        Some(most) => {
            let resource = paths::path(&wanted.resource).to_uppercase();
            let text = format!(
                "Tenant '{}' has reached its limit of '{most}' '{resource}' subscriptions",
                caller.tenant
            );
            Err(GraphError::new(StatusCode::FORBIDDEN, "Forbidden", text))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mailbox_has_room_for_a_thousand() {
        let now = Timestamp::now();
        let caller = |app: &str| Caller {
            tenant: "t".into(),
            app: app.into(),
            user: None,
            roles: Vec::new(),
            token_issued: 0,
            token_ends: now,
        };
        let wanted = |resource: &str| Wanted {
            resource: resource.into(),
            change_type: "created".into(),
            notification_url: "https://example.org".into(),
            lifecycle_notification_url: None,
            expires: now + HOUR,
            client_state: None,
            include_resource_data: None,
            encryption_certificate: None,
            encryption_certificate_id: None,
            latest_supported_tls_version: None,
            notification_query_options: None,
            notification_url_app_id: None,
        };
        let mut known = Subscriptions::default();
        let paths = [
            "users/Ada/messages",
            "users/ada/calendars/7/events",
            "/users/ada/contacts",
        ];
        for n in 0..1000 {
            let (app, resource) = (caller(&n.to_string()), paths[n % 3]);
            known.add(n.to_string(), &app, wanted(resource), now);
        }
        let check = |resource: &str| {
            let rules = catalogue::rules(resource).unwrap();
            check_room(&known, &caller("new"), &wanted(resource), rules)
        };
        let full = format!("{:?}", check("users/ada/events").unwrap_err());
        assert!(
            full.contains("429") && full.contains("SubscriptionCountReached"),
            "{full}"
        );
        check("users/bob/events").unwrap();
        check("users/ada/drive/root").unwrap();
    }
}
