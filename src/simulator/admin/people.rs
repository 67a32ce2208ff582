//! Admin requests about people: making many, what their Teams client and they themselves say, accounts and licences.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{AdminResult, happened, refuse};
use crate::simulator::clock;
use crate::simulator::people::{self, Account, USERS};
use crate::simulator::presence::book::{Known, Setting};
use crate::simulator::presence::person::{Choice, Pair, Person, Session};
use crate::simulator::presence::read;
use crate::simulator::state::{Shared, State as World};

/// Most people in one request.
const MOST: u32 = 100_000;

/// Many people at once.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Many {
    #[serde(default)]
    tenant_id: Option<String>,
    count: u32,
    /// Number of the first one.
    #[serde(default)]
    first: u32,
    #[serde(default = "user_prefix")]
    prefix: String,
    #[serde(default)]
    domain: Option<String>,
    #[serde(default = "yes")]
    licensed: bool,
    /// What their Teams clients show; without it, they have none.
    #[serde(default)]
    client: Option<Pair>,
}

fn user_prefix() -> String {
    "user".into()
}

fn yes() -> bool {
    true
}

/// A person's choice.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Chosen {
    availability: String,
    activity: String,
    #[serde(default = "a_day")]
    seconds: i64,
}

fn a_day() -> i64 {
    24 * 3600
}

/// How somebody signs in.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SignIn {
    password: String,
    #[serde(default)]
    mfa: bool,
    #[serde(default)]
    expired: bool,
}

/// A Teams plan.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Plan {
    #[serde(default = "teams")]
    service_plan_id: String,
    #[serde(default = "enabled")]
    capability_status: String,
}

fn teams() -> String {
    people::TEAMS_PLAN.into()
}

fn enabled() -> String {
    "Enabled".into()
}

/// Where to begin.
#[derive(Deserialize)]
pub struct Since {
    #[serde(default)]
    since: u64,
}

/// Somebody in a tenant.
struct Somebody {
    tenant: String,
    id: String,
}

/// `POST /_simulator/people`
pub async fn make(State(shared): State<Shared>, Json(many): Json<Many>) -> AdminResult<Json<Value>> {
    if many.count > MOST {
        return Err(refuse(StatusCode::BAD_REQUEST, format!("at most {MOST} at once")));
    }
    let now = shared.clock.now();
    let mut guard = shared.state();
    let state = &mut *guard;
    let tenant = match &many.tenant_id {
        Some(name) => state.tenant(name),
        None => state.tenants.first(),
    };
    let tenant = tenant.ok_or_else(|| refuse(StatusCode::NOT_FOUND, "no such tenant"))?;
    let (tenant, domain) = (tenant.id.clone(), many.domain.unwrap_or_else(|| tenant.domain.clone()));
    let mut made = Vec::new();
    for number in (many.first..).take(usize::try_from(many.count).unwrap_or_default()) {
        let user = people::made(number, &many.prefix, &domain, many.licensed);
        let id = user["id"].as_str().unwrap_or_default().to_string();
        made.push(json!({"id": id, "userPrincipalName": user["userPrincipalName"]}));
        state.objects.put(&tenant, USERS, user, now);
        if let Some(pair) = &many.client {
            let client = Some(client(pair.clone(), now));
            change(state, &tenant, &id, now, |person| person.client = client);
        }
    }
    Ok(Json(json!(made)))
}

/// `GET /_simulator/people/{id}`
pub async fn show(State(shared): State<Shared>, Path(name): Path<String>) -> AdminResult<Json<Value>> {
    let state = shared.state();
    let who = somebody(&state, &name)?;
    let known = state.presence.get(&who.tenant, &who.id);
    let mut view = known.map_or_else(|| json!({"sessions": {}, "choice": null, "client": null}), admin_view);
    view["id"] = json!(who.id);
    view["presence"] = read::presence(&state, &who.tenant, &who.id);
    Ok(Json(view))
}

/// `GET /_simulator/people/owned`: those for whom an app keeps a session or a choice.
pub async fn owned(State(shared): State<Shared>) -> Json<Value> {
    let state = shared.state();
    let is_owned = |known: &Known| {
        !known.person.sessions.is_empty() || known.person.choice.as_ref().is_some_and(|c| c.by.is_some())
    };
    let found = state.presence.all().filter(|(_, known)| is_owned(known));
    let mut found: Vec<Value> = found
        .map(|((tenant, user), known)| {
            let mut view = admin_view(known);
            view["tenantId"] = json!(tenant);
            view["id"] = json!(user);
            view
        })
        .collect();
    found.sort_by_key(|view| view["id"].to_string());
    Json(json!(found))
}

/// `GET /_simulator/people/writes?since=N`
pub async fn writes(State(shared): State<Shared>, Query(from): Query<Since>) -> Json<Value> {
    Json(json!(shared.state().presence.writes.since(from.since)))
}

/// `PUT /_simulator/people/{id}/client`
pub async fn set_client(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    Json(pair): Json<Option<Pair>>,
) -> AdminResult<Json<Value>> {
    let now = shared.clock.now();
    alter(&shared, &name, |person| {
        person.client = pair.map(|pair| client(pair, now));
    })
}

/// `PUT /_simulator/people/{id}/choice`
pub async fn set_choice(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    Json(chosen): Json<Option<Chosen>>,
) -> AdminResult<Json<Value>> {
    let now = shared.clock.now();
    alter(&shared, &name, |person| {
        person.choice = chosen.map(|chosen| Choice {
            pair: Pair::new(&chosen.availability, &chosen.activity),
            ends: now
                .saturating_add(SignedDuration::from_secs(chosen.seconds))
                .unwrap_or(Timestamp::MAX),
            by: None,
        });
    })
}

/// `PUT /_simulator/people/{id}/outOfOffice`
pub async fn set_out_of_office(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    Json(message): Json<Option<String>>,
) -> AdminResult<Json<Value>> {
    alter(&shared, &name, |person| person.out_of_office = message)
}

/// `PUT /_simulator/people/{id}/account`
pub async fn set_account(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    Json(sign_in): Json<SignIn>,
) -> AdminResult<StatusCode> {
    let mut state = shared.state();
    let who = somebody(&state, &name)?;
    let account = Account {
        password: sign_in.password,
        mfa: sign_in.mfa,
        expired: sign_in.expired,
    };
    state.accounts.insert((who.tenant, who.id), account);
    Ok(StatusCode::NO_CONTENT)
}

/// `PUT /_simulator/people/{id}/licence`: delta queries do not tell of it.
pub async fn set_licence(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    Json(plan): Json<Option<Plan>>,
) -> AdminResult<StatusCode> {
    let mut state = shared.state();
    let who = somebody(&state, &name)?;
    let plans: Vec<Value> = plan
        .iter()
        .map(|plan| people::plan(&plan.service_plan_id, &plan.capability_status))
        .collect();
    let change = |user: &mut Map<String, Value>| {
        user.insert("assignedPlans".into(), json!(plans));
    };
    state.objects.amend(&who.tenant, USERS, &who.id, change);
    Ok(StatusCode::NO_CONTENT)
}

/// Answers when it happened.
fn alter(shared: &Shared, name: &str, act: impl FnOnce(&mut Person)) -> AdminResult<Json<Value>> {
    let now = shared.clock.now();
    let mut state = shared.state();
    let who = somebody(&state, name)?;
    let happened = happened();
    change(&mut state, &who.tenant, &who.id, now, act);
    Ok(Json(happened))
}

fn change(state: &mut World, tenant: &str, id: &str, now: Timestamp, act: impl FnOnce(&mut Person)) {
    let setting = Setting {
        now,
        objects: &mut state.objects,
        vague: state.settings.presence.vague_echo,
    };
    state.presence.change(tenant, id, setting, act);
}

/// By object id or principal name, in any tenant.
fn somebody(state: &World, name: &str) -> AdminResult<Somebody> {
    let found = state.tenants.iter().find_map(|tenant| {
        let user = people::find(&state.objects, &tenant.id, name)?;
        Some(Somebody {
            tenant: tenant.id.clone(),
            id: user["id"].as_str()?.to_string(),
        })
    });
    found.ok_or_else(|| refuse(StatusCode::NOT_FOUND, "no such user"))
}

fn client(pair: Pair, now: Timestamp) -> Session {
    Session {
        pair,
        set: now,
        ends: None,
    }
}

fn admin_view(known: &Known) -> Value {
    let person = &known.person;
    let session = |session: &Session| {
        json!({
            "availability": session.pair.availability,
            "activity": session.pair.activity,
            "set": clock::precise(session.set),
            "ends": session.ends.map(clock::precise),
        })
    };
    let sessions: Map<String, Value> = person
        .sessions
        .iter()
        .map(|(app, one)| (app.clone(), session(one)))
        .collect();
    let choice = person.choice.as_ref().map(|choice| {
        json!({
            "availability": choice.pair.availability,
            "activity": choice.pair.activity,
            "ends": clock::precise(choice.ends),
            "by": choice.by.as_deref().unwrap_or("person"),
        })
    });
    json!({
        "client": person.client.as_ref().map(session),
        "sessions": sessions,
        "choice": choice,
        "outOfOffice": person.out_of_office,
    })
}
