//! The validation of notification URLs before anything is created.

use std::time::Duration;

use url::{Url, form_urlencoded};
use uuid::Uuid;

use crate::simulator::errors::{GraphError, GraphResult};
use crate::simulator::outbound::{Answer, NoAnswer};
use crate::simulator::state::Shared;
use axum::http::StatusCode;

/// What kind of place a notification URL names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A web server.
    Webhook,
    /// Azure Event Hubs.
    EventHub,
    /// Azure Event Grid.
    EventGrid,
}

/// Reads a notification URL. `property` is its name in the body.
pub fn place(url: &str, property: &str, allow_http: bool) -> GraphResult<Place> {
    // The original's wording for this refusal is not known; status and code are.
    let refuse = |why: &str| Err(GraphError::invalid(format!("Invalid '{property}' attribute: {why}")));
    if let Some(rest) = url.strip_prefix("EventHub:") {
        let good = Url::parse(rest).is_ok_and(|u| {
            let is_hub = u.path().starts_with("/eventhubname/") || u.path().starts_with("/secrets/");
            u.scheme() == "https" && is_hub && u.query_pairs().any(|(name, _)| name == "tenantId")
        });
        return if good {
            Ok(Place::EventHub)
        } else {
            refuse("not a valid Event Hubs address.")
        };
    }
    if let Some(rest) = url.strip_prefix("EventGrid:?") {
        let given: Vec<String> = form_urlencoded::parse(rest.as_bytes())
            .map(|(k, _)| k.to_ascii_lowercase())
            .collect();
        let needed = ["azuresubscriptionid", "resourcegroup", "partnertopic", "location"];
        let good = needed.iter().all(|name| given.iter().any(|g| g == name));
        return if good {
            Ok(Place::EventGrid)
        } else {
            refuse("not a valid Event Grid address.")
        };
    }
    match Url::parse(url) {
        Ok(url) if url.scheme() == "https" || (allow_http && url.scheme() == "http") => Ok(Place::Webhook),
        Ok(_) => refuse("an HTTPS address is required."),
        Err(_) => refuse("not a valid address."),
    }
}

/// Asks the endpoint to repeat a token. Event Hubs and Event Grid have nothing to answer.
pub async fn validate(shared: &Shared, url: &str) -> GraphResult<()> {
    if url.starts_with("EventHub:") || url.starts_with("EventGrid:") {
        return Ok(());
    }
    let token = format!(
        "Validation: Testing client application reachability for subscription Request-Id: {}",
        Uuid::new_v4()
    );
    let limit = Duration::from_millis(shared.state().settings.handshake_timeout_ms);
    let address = with_token(url, &token);
    let answer = shared
        .outbound
        .post(&address, "text/plain; charset=utf-8", String::new(), limit)
        .await;
    match answer {
        Ok(answer) => judge(&answer, &token),
        Err(NoAnswer::Tls) => Err(failed(
            "ValidationError",
            "HttpRequestException: The request was aborted: Could not create SSL/TLS secure channel.",
        )),
        Err(NoAnswer::Timeout | NoAnswer::Unreachable) => {
            Err(GraphError::invalid("Subscription validation request timed out."))
        }
    }
}

fn judge(answer: &Answer, token: &str) -> GraphResult<()> {
    if answer.status != 200 {
        let text = "Notification endpoint must respond with 200 OK to validation request.";
        return Err(failed("ValidationError", text));
    }
    if !answer.content_type.to_ascii_lowercase().starts_with("text/plain") || answer.body != token {
        return Err(failed(
            "InvalidRequest",
            "Response must exactly match validationToken query parameter.",
        ));
    }
    Ok(())
}

fn failed(code: &str, why: &str) -> GraphError {
    GraphError::new(
        StatusCode::BAD_REQUEST,
        code,
        format!("Subscription validation request failed. {why}"),
    )
}

/// The URL with its own query kept, and the token behind it: blanks as `+`, lower-case escapes as `%3a`.
fn with_token(url: &str, token: &str) -> String {
    let encoded: String = form_urlencoded::byte_serialize(token.as_bytes()).collect();
    let encoded = encoded.replace("%3A", "%3a");
    let sign = if url.contains('?') { '&' } else { '?' };
    format!("{url}{sign}validationToken={encoded}")
}
