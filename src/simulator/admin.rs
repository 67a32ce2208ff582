//! `/_simulator/`: how tests and demos steer the simulator. `GET /_simulator/` lists what there is.

mod connector;
pub(super) mod directory;
mod help;
mod objects;
mod pbx;
mod people;
mod pexip;
mod sink;
mod world;
mod xsi;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::clock::Setting;
use super::faults::OneOrMany;
use super::state::Shared;
use super::subscriptions::store::{End, Subscription};

/// A refused admin request.
pub type AdminResult<T> = Result<T, (StatusCode, Json<Value>)>;

/// The routes.
pub fn routes() -> Router<Shared> {
    pbx_routes()
        .route("/_simulator/", get(help::text))
        .route("/_simulator/healthz", get(async || "ok\n"))
        .route("/_simulator/clock", get(clock).put(set_clock))
        .route("/_simulator/clock/advance", post(advance))
        .route("/_simulator/subscriptions", get(subscriptions))
        .route("/_simulator/subscriptions/summary", get(subscription_summary))
        .route("/_simulator/subscriptions/{id}", delete(remove_subscription))
        .route("/_simulator/faults", get(faults).post(add_faults).delete(clear_faults))
        .route("/_simulator/requests", get(requests))
        .route("/_simulator/requests/summary", get(request_summary))
        .route("/_simulator/violations", get(violations).delete(clear_violations))
        .route("/_simulator/reset", post(reset))
        .route("/_simulator/events", post(world::event))
        .route("/_simulator/lifecycle", post(world::lifecycle))
        .route("/_simulator/users", post(objects::put_user))
        .route("/_simulator/people", post(people::make))
        .route("/_simulator/people/owned", get(people::owned))
        .route("/_simulator/people/writes", get(people::writes))
        .route("/_simulator/people/{id}", get(people::show))
        .route("/_simulator/people/{id}/client", put(people::set_client))
        .route("/_simulator/people/{id}/choice", put(people::set_choice))
        .route("/_simulator/people/{id}/outOfOffice", put(people::set_out_of_office))
        .route("/_simulator/people/{id}/account", put(people::set_account))
        .route("/_simulator/people/{id}/licence", put(people::set_licence))
        .route("/_simulator/callRecords", post(objects::put_call_record))
        .route("/_simulator/objects", post(objects::put).put(objects::put))
        .route("/_simulator/deltas/forget", post(objects::forget))
        .route("/_simulator/messages", post(world::message))
        .route("/_simulator/notifications", get(world::notifications))
        .route("/_simulator/notifications/summary", get(world::summary))
        .route(
            "/_simulator/endpoints",
            get(world::endpoints).delete(world::clear_endpoints),
        )
        .route(
            "/_simulator/settings",
            get(directory::settings).put(directory::set_settings),
        )
        .route("/_simulator/directory", get(directory::show).put(directory::replace))
        .route("/_simulator/apps/{client_id}/roles", put(directory::roles))
        .route("/_simulator/apps/{client_id}/secrets", put(directory::secrets))
        .route(
            "/_simulator/apps/{client_id}/certificates",
            put(directory::certificates),
        )
        .route("/_simulator/apps/{client_id}/disabled", put(directory::disabled))
        .route(
            "/_simulator/sink",
            get(sink::list)
                .post(sink::receive)
                .put(sink::set_manners)
                .delete(sink::clear),
        )
}

fn pbx_routes() -> Router<Shared> {
    Router::new()
        .route("/_simulator/pbx", get(pbx::show).put(pbx::replace))
        .route("/_simulator/pbx/users", post(pbx::put_users))
        .route(
            "/_simulator/pbx/users/{user}",
            get(pbx::show_user).delete(pbx::remove_user),
        )
        .route(
            "/_simulator/pbx/users/{user}/entries",
            put(pbx::put_entry).delete(pbx::remove_entry),
        )
        .route("/_simulator/pbx/users/{user}/up", put(pbx::set_up))
        .route("/_simulator/pbx/users/{user}/calls", post(pbx::add_call))
        .route(
            "/_simulator/pbx/calls/{call}",
            put(pbx::change_call).delete(pbx::end_call),
        )
        .route("/_simulator/pbx/pbxs/{name}/manners", put(pbx::set_manners))
        .route("/_simulator/pbx/pbxs/{name}/drop", post(pbx::drop_all))
        .route("/_simulator/pbx/pbxs/{name}/say", post(pbx::say))
        .route("/_simulator/pbx/writes", get(pbx::writes))
        .route("/_simulator/xsi", get(xsi::show).put(xsi::replace))
        .route("/_simulator/xsi/manners", put(xsi::set_manners))
        .route("/_simulator/xsi/users", post(xsi::put_users))
        .route("/_simulator/xsi/users/{user}", get(xsi::show_user))
        .route("/_simulator/xsi/users/{user}/dnd", put(xsi::set_dnd))
        .route("/_simulator/xsi/users/{user}/calls", post(xsi::begin_call))
        .route(
            "/_simulator/xsi/calls/{call}",
            put(xsi::change_call).delete(xsi::end_call),
        )
        .route("/_simulator/xsi/drop", post(xsi::drop_channels))
        .route("/_simulator/xsi/writes", get(xsi::writes))
        .route("/_simulator/portal/apps", get(connector::apps).put(connector::set_apps))
        .route(
            "/_simulator/portal/services",
            get(connector::services).put(connector::set_services),
        )
        .route("/_simulator/webex", get(connector::webex).put(connector::set_webex))
        .route("/_simulator/pexip", get(pexip::show).put(pexip::replace))
        .route("/_simulator/pexip/manners", put(pexip::set_manners))
        .route(
            "/_simulator/pexip/objects/{namespace}/{resource}",
            get(pexip::objects).put(pexip::put_objects).post(pexip::change_objects),
        )
        .route("/_simulator/pexip/calls", post(pexip::end_calls))
}

/// A refusal with a reason.
pub fn refuse(status: StatusCode, text: impl Into<String>) -> (StatusCode, Json<Value>) {
    (status, Json(json!({"error": text.into()})))
}

/// When something happens that somebody may measure from: real time, in milliseconds of the Unix epoch.
pub fn happened() -> Value {
    json!({"realMs": jiff::Timestamp::now().as_millisecond()})
}

async fn clock(State(shared): State<Shared>) -> Response {
    Json(shared.clock.reading()).into_response()
}

async fn set_clock(State(shared): State<Shared>, Json(setting): Json<Setting>) -> AdminResult<Response> {
    shared
        .clock
        .set(&setting)
        .map_err(|text| refuse(StatusCode::BAD_REQUEST, text))?;
    Ok(Json(shared.clock.reading()).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    seconds: f64,
}

async fn advance(State(shared): State<Shared>, Json(by): Json<Advance>) -> Response {
    shared.clock.advance(by.seconds);
    Json(shared.clock.reading()).into_response()
}

#[derive(Deserialize)]
struct Which {
    #[serde(default)]
    all: bool,
}

async fn subscriptions(State(shared): State<Shared>, Query(which): Query<Which>) -> Json<Value> {
    let state = shared.state();
    let ended = state.subscriptions.ended().iter().filter(|_| which.all);
    let mut found: Vec<&Subscription> = ended.chain(state.subscriptions.live()).collect();
    found.sort_by_key(|s| s.seq);
    Json(found.into_iter().map(Subscription::admin_view).collect())
}

async fn subscription_summary(State(shared): State<Shared>) -> Json<Value> {
    Json(shared.state().subscriptions.summary())
}

async fn remove_subscription(State(shared): State<Shared>, Path(id): Path<String>) -> AdminResult<StatusCode> {
    let now = shared.clock.now();
    if shared.state().subscriptions.end(&id, End::Removed, now) {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(refuse(StatusCode::NOT_FOUND, "no such live subscription"))
    }
}

async fn faults(State(shared): State<Shared>) -> Json<Value> {
    Json(json!(shared.state().faults.list()))
}

async fn add_faults(State(shared): State<Shared>, Json(faults): Json<OneOrMany>) -> Json<Value> {
    let mut state = shared.state();
    state.faults.add(faults);
    Json(json!(state.faults.list()))
}

async fn clear_faults(State(shared): State<Shared>) -> StatusCode {
    shared.state().faults = super::faults::Faults::default();
    StatusCode::NO_CONTENT
}

#[derive(Deserialize)]
struct Since {
    #[serde(default)]
    since: u64,
}

async fn requests(State(shared): State<Shared>, Query(from): Query<Since>) -> Json<Value> {
    Json(json!(shared.state().requests.since(from.since)))
}

async fn request_summary(State(shared): State<Shared>) -> Json<Value> {
    Json(json!(shared.state().requests.totals()))
}

async fn violations(State(shared): State<Shared>) -> Json<Value> {
    Json(json!(shared.state().violations))
}

async fn clear_violations(State(shared): State<Shared>) -> StatusCode {
    shared.state().violations.clear();
    StatusCode::NO_CONTENT
}

async fn reset(State(shared): State<Shared>) -> StatusCode {
    shared.reset();
    StatusCode::NO_CONTENT
}
