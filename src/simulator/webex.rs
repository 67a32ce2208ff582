//! A stand-in for the Webex API as far as it is about subscribers of BroadWorks, and for Webex' status page: a protocol fake,
//! made from the public documentation. <https://developer.webex.com/docs/api/v1/broadworks-subscribers>,
//! <https://status.webex.com/api>
//!
//! The API is at `/webex/v1`, the page at `/webex/status`.

pub mod site;

use std::collections::HashMap;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use uuid::Uuid;

use super::entra::own_url;
use super::state::Shared;
use site::{STATUSES, Site, Subscriber};

/// Subscribers on a page, unless less is asked for.
const PAGE: usize = 100;
const SCOPE: &str = "spark-admin:broadworks_subscribers_read";
const FILTERS: [&str; 9] = [
    "status",
    "spEnterpriseId",
    "provisioningId",
    "lastStatusChange",
    "userId",
    "email",
    "selfActivated",
    "max",
    "cursor",
];

/// The routes.
pub fn routes() -> Router<Shared> {
    Router::new()
        .route("/webex/v1/broadworks/subscribers", get(subscribers))
        .route("/webex/status/index.json", get(summary))
}

type Given = HashMap<String, String>;

async fn subscribers(State(shared): State<Shared>, Query(given): Query<Given>, headers: HeaderMap) -> Response {
    let base = own_url(&shared, &headers);
    let state = shared.state();
    answer(&state.webex, &given, &headers, &base).unwrap_or_else(IntoResponse::into_response)
}

fn answer(site: &Site, given: &Given, headers: &HeaderMap, base: &str) -> Result<Response, Refusal> {
    admit(site, headers)?;
    if let Some(spoiled) = &site.spoiled {
        return Ok((
            [(header::CONTENT_TYPE, "text/html")],
            spoiled.repeat(site.spoiled_times),
        )
            .into_response());
    }
    check(given)?;
    let number = |name: &str, usual: usize| match given.get(name) {
        Some(text) => text
            .parse::<usize>()
            .map_err(|_| bad(&format!("{name} is not a number"))),
        None => Ok(usual),
    };
    let (most, from) = (number("max", PAGE)?, number("cursor", 0)?);
    if !(1..=PAGE).contains(&most) {
        return Err(bad("max must be between 1 and 100"));
    }
    let found: Vec<&Subscriber> = site.subscribers.iter().filter(|one| one.matches(given)).collect();
    let page: Vec<Value> = found.iter().skip(from).take(most).map(|one| one.body()).collect();
    let mut response = Json(json!({"subscribers": page})).into_response();
    if from + most < found.len() {
        let link = next(site, given, base, from + most);
        response
            .headers_mut()
            .insert(header::LINK, link.ok_or_else(|| bad("no link"))?);
    }
    Ok(response)
}

fn next(site: &Site, given: &Given, base: &str, cursor: usize) -> Option<HeaderValue> {
    let mut given = given.clone();
    given.insert("cursor".into(), cursor.to_string());
    let query = serde_urlencoded::to_string(&given).ok()?;
    let base = site.continues_at.as_deref().unwrap_or(base);
    HeaderValue::from_str(&format!(
        "<{base}/webex/v1/broadworks/subscribers?{query}>; rel=\"next\""
    ))
    .ok()
}

fn admit(site: &Site, headers: &HeaderMap) -> Result<(), Refusal> {
    let token = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if token.and_then(|value| value.strip_prefix("Bearer ")) != Some(&site.token) {
        let text = "The request requires a valid access token set in the Authorization request header.";
        return Err(Refusal(StatusCode::UNAUTHORIZED, text.to_owned()));
    }
    if !site.scopes.iter().any(|scope| scope == SCOPE) {
        return Err(Refusal(
            StatusCode::FORBIDDEN,
            "The server understood the request, but refused to fulfill it because the access token is missing required scopes."
                .to_owned(),
        ));
    }
    Ok(())
}

fn check(given: &Given) -> Result<(), Refusal> {
    if let Some(odd) = given.keys().find(|name| !FILTERS.contains(&name.as_str())) {
        return Err(bad(&format!("unknown parameter {odd}")));
    }
    match given.get("status") {
        Some(status) if !STATUSES.contains(&status.as_str()) => Err(bad("unknown status")),
        _ => Ok(()),
    }
}

/// What Webex answers to what it does not do.
struct Refusal(StatusCode, String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self(status, text) = self;
        let tracking = format!("SIMULATOR_{}", Uuid::new_v4());
        let body = json!({"message": text, "errors": [{"description": text}], "trackingId": tracking});
        (status, Json(body)).into_response()
    }
}

fn bad(text: &str) -> Refusal {
    Refusal(StatusCode::BAD_REQUEST, text.to_owned())
}

async fn summary(State(shared): State<Shared>) -> Json<Value> {
    let state = shared.state();
    let components: Vec<Value> = state.webex.components.iter().map(site::Component::body).collect();
    Json(json!({"components": components, "incidents": state.webex.incidents}))
}
