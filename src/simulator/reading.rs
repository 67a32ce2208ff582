//! What can be read from Graph besides subscriptions: users and call records. Just enough for backfill.

use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use axum::{Json, Router};
use jiff::Timestamp;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::clock::parse_internet_date_time;
use super::config::Tenant;
use super::entra::own_url;
use super::errors::{GraphError, GraphResult};
use super::state::Shared;
use super::subscriptions::bearer;
use super::throttle::Kind;

const CALL_RECORDS_PER_PAGE: usize = 60;
const USERS_PER_PAGE: usize = 100;

/// The routes.
pub fn routes() -> Router<Shared> {
    Router::new()
        .route("/v1.0/users", get(users))
        .route("/v1.0/users/{id}", get(user))
        .route("/v1.0/communications/callRecords", get(call_records))
        .route("/v1.0/communications/callRecords/{id}", get(call_record))
}

#[derive(Debug, Default)]
struct Options {
    filter: Option<String>,
    skip: usize,
}

async fn users(
    State(shared): State<Shared>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> GraphResult<Json<Value>> {
    let tenant = tenant_of(&shared, &headers, &["User.Read.All", "Directory.Read.All"])?;
    let options = options(query.as_deref().unwrap_or_default())?;
    if options.filter.is_some() {
        return Err(bad_option("$filter"));
    }
    let url = format!("{}/v1.0/users", own_url(&shared, &headers));
    Ok(page(&tenant.users, options.skip, USERS_PER_PAGE, &url, ""))
}

async fn user(State(shared): State<Shared>, Path(id): Path<String>, headers: HeaderMap) -> GraphResult<Json<Value>> {
    let tenant = tenant_of(&shared, &headers, &["User.Read.All", "Directory.Read.All"])?;
    let found = tenant
        .users
        .iter()
        .find(|user| user["id"] == id.as_str() || user["userPrincipalName"] == id.as_str());
    found.cloned().map(Json).ok_or_else(|| {
        let text =
            format!("Resource '{id}' does not exist or one of its queried reference-property objects are not present.");
        GraphError::new(StatusCode::NOT_FOUND, "Request_ResourceNotFound", text)
    })
}

async fn call_records(
    State(shared): State<Shared>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> GraphResult<Json<Value>> {
    let caller = bearer::caller(&shared, &headers)?;
    shared.throttle(&caller, Kind::CallRecords)?;
    let tenant = tenant_of(&shared, &headers, &["CallRecords.Read.All"])?;
    let query = query.unwrap_or_default();
    let options = options(&query)?;
    let bounds = options.filter.as_deref().map_or(Ok(Vec::new()), bounds)?;
    let start = |record: &Value| record["startDateTime"].as_str().and_then(parse_internet_date_time);
    let mut records: Vec<Value> = tenant
        .call_records
        .into_iter()
        .filter(|record| {
            bounds
                .iter()
                .all(|(op, bound)| start(record).is_some_and(|at| compare(op, at, *bound)))
        })
        .collect();
    records.sort_by_key(start);
    let url = format!("{}/v1.0/communications/callRecords", own_url(&shared, &headers));
    let filter = options.filter.map_or_else(String::new, |filter| {
        let filter: String = form_urlencoded::byte_serialize(filter.as_bytes()).collect();
        format!("$filter={filter}&")
    });
    Ok(page(&records, options.skip, CALL_RECORDS_PER_PAGE, &url, &filter))
}

async fn call_record(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> GraphResult<Json<Value>> {
    let tenant = tenant_of(&shared, &headers, &["CallRecords.Read.All"])?;
    let found = tenant.call_records.iter().find(|record| record["id"] == id.as_str());
    found.cloned().map(Json).ok_or_else(|| {
        let text = format!("call record {id} not found");
        GraphError::new(StatusCode::NOT_FOUND, "NotFound", text)
    })
}

/// The caller's tenant, if the token carries one of the permissions.
fn tenant_of(shared: &Shared, headers: &HeaderMap, roles: &[&str]) -> GraphResult<Tenant> {
    let caller = bearer::caller(shared, headers)?;
    if !caller.may(roles) {
        let text = "Insufficient privileges to complete the operation.";
        return Err(GraphError::new(
            StatusCode::FORBIDDEN,
            "Authorization_RequestDenied",
            text,
        ));
    }
    shared
        .state()
        .tenant(&caller.tenant)
        .cloned()
        .ok_or_else(GraphError::not_found)
}

fn options(query: &str) -> GraphResult<Options> {
    let mut options = Options::default();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match name.as_ref() {
            "$filter" => options.filter = Some(value.into_owned()),
            "$skiptoken" => options.skip = value.parse().map_err(|_| bad_option("$skiptoken"))?,
            "$select" | "$expand" => {}
            other => return Err(bad_option(other)),
        }
    }
    Ok(options)
}

fn bad_option(name: &str) -> GraphError {
    GraphError::new(
        StatusCode::BAD_REQUEST,
        "BadRequest",
        format!("The query option '{name}' is not allowed."),
    )
}

/// `startDateTime ge X and startDateTime lt Y`
fn bounds(filter: &str) -> GraphResult<Vec<(String, Timestamp)>> {
    filter
        .split(" and ")
        .map(|term| {
            let words: Vec<&str> = term.split_whitespace().collect();
            match words[..] {
                ["startDateTime", op @ ("lt" | "le" | "gt" | "ge"), date] => {
                    parse_internet_date_time(date).map(|date| (op.to_string(), date))
                }
                _ => None,
            }
            .ok_or_else(|| bad_option("$filter"))
        })
        .collect()
}

fn compare(op: &str, at: Timestamp, bound: Timestamp) -> bool {
    match op {
        "lt" => at < bound,
        "le" => at <= bound,
        "gt" => at > bound,
        _ => at >= bound,
    }
}

fn page(all: &[Value], skip: usize, size: usize, url: &str, filter: &str) -> Json<Value> {
    let items: Vec<&Value> = all.iter().skip(skip).take(size).collect();
    let mut body = json!({"value": items});
    if skip + size < all.len() {
        body["@odata.nextLink"] = json!(format!("{url}?{filter}$skiptoken={}", skip + size));
    }
    Json(body)
}
