//! Graph and Entra, as far as the operator speaks with them, and how they fail.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::{Method, Request, Url};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::changes;
use super::world::{Broken, Remote, Sim, State, Trouble, at, since_start};

/// Requests per window that Graph admits for each app. <https://learn.microsoft.com/graph/throttling-limits>
const ADMITTED: [usize; 2] = [500, 25];
const WINDOW: i64 = 20_000;
/// Graph asks for ten minutes between two renewals; clocks may be 5 s apart.
const SPACING: i64 = 600 - 10;
const PAGE: usize = 100;
/// Permissions that suffice for all resources of the simulation.
const ROLES: [&str; 9] = [
    "Calendars.Read",
    "CallRecords.Read.All",
    "ChannelMessage.Read.All",
    "Chat.Read.All",
    "Group.Read.All",
    "Mail.Read",
    "Schedule.Read.All",
    "Sites.Read.All",
    "User.Read.All",
];

pub type Answer = http::Response<Vec<u8>>;

/// How a call goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Answered,
    /// It never arrives.
    Lost,
    /// It arrives, and nothing more is heard.
    Hangs,
    /// It is done, and nobody is told.
    AnswerLost,
    /// It is refused, with this status and this pause.
    Refused(u16, Option<i64>),
}

/// Answers what is sent to anyone.
pub async fn answer(sim: Arc<Sim>, request: Request) -> Option<Answer> {
    match request.url().host_str() {
        Some("login.test") => sign_in(&sim, &request).await,
        Some("graph.test") => call(&sim, &request).await,
        _ => changes::pod(&sim, &request).await,
    }
}

async fn sign_in(sim: &Sim, request: &Request) -> Option<Answer> {
    sleep(Duration::from_millis(80)).await;
    let tenant = request.url().path().split('/').nth(1)?;
    let number: usize = tenant.strip_prefix('t')?.parse().ok()?;
    let form = String::from_utf8_lossy(request.body()?.as_bytes()?).into_owned();
    let mut state = sim.state();
    state.count("sign-ins");
    let app = &mut state.apps[number];
    match app.trouble {
        Some(Trouble::Refusing) => return None,
        Some(Trouble::Faulty) => return Some(reply(sim, 503, &json!({ "error": "temporarily_unavailable" }))),
        _ => {}
    }
    if !form.contains(&format!("client_secret=secret-{}", app.valid_secret)) {
        state.count("sign-ins refused");
        let said = "AADSTS7000222: The provided client secret keys are expired.";
        return Some(reply(
            sim,
            401,
            &json!({ "error": "invalid_client", "error_description": said }),
        ));
    }
    app.tokens += 1;
    let mut roles: Vec<String> = ROLES.iter().map(|&role| role.to_owned()).collect();
    roles.push(format!("Role.{}", app.roles));
    let claims = URL_SAFE_NO_PAD.encode(json!({ "roles": roles }).to_string());
    let token = format!("h.{claims}.{number}-{}", app.tokens);
    Some(reply(
        sim,
        200,
        &json!({ "token_type": "Bearer", "access_token": token, "expires_in": 3900 }),
    ))
}

/// The app of a request and the number of its token.
fn bearer(request: &Request) -> Option<(usize, u64)> {
    let token = request.headers().get("authorization")?.to_str().ok()?;
    let (app, serial) = token.rsplit('.').next()?.split_once('-')?;
    Some((app.parse().ok()?, serial.parse().ok()?))
}

async fn call(sim: &Sim, request: &Request) -> Option<Answer> {
    let (app, token) = bearer(request)?;
    sim.step().await;
    let path = request.url().path().trim_start_matches("/v1.0/").to_owned();
    let (fate, way) = {
        let mut state = sim.state();
        let fate = fate(&mut state, app);
        (fate, Duration::from_millis(state.rng.u64(20..150)))
    };
    match fate {
        Fate::Lost => {
            sleep(way).await;
            sim.state().count("calls lost");
            return None;
        }
        Fate::Hangs => {
            sim.state().count("calls without an answer");
            sleep(Duration::from_secs(600)).await;
            return None;
        }
        _ => sleep(way).await,
    }
    let answer = match fate {
        Fate::Refused(status, pause) => refuse(sim, app, status, pause),
        _ => handle(sim, app, token, &path, request),
    };
    if fate == Fate::AnswerLost {
        sim.state().count("answers lost");
        sleep(Duration::from_secs(600)).await;
        return None;
    }
    sleep(way).await;
    sim.step().await;
    Some(answer)
}

fn fate(state: &mut State, app: usize) -> Fate {
    match state.apps[app].trouble {
        Some(Trouble::Refusing) => return Fate::Lost,
        Some(Trouble::Faulty) => return Fate::Refused(503, None),
        Some(Trouble::Hanging) => return Fate::Hangs,
        Some(Trouble::Throttling) => return Fate::Refused(429, Some(state.rng.i64(30..300))),
        None if state.calm => return Fate::Answered,
        None => {}
    }
    match state.rng.u32(0..1000) {
        0..5 => Fate::Refused(503, None),
        5..8 => Fate::Refused(500, None),
        8 => Fate::Refused(429, Some(state.rng.i64(1..120))),
        9 => Fate::Refused(503, Some(state.rng.i64(1..30))),
        10..12 => Fate::Hangs,
        12..18 => Fate::AnswerLost,
        18..22 => Fate::Lost,
        _ => Fate::Answered,
    }
}

fn refuse(sim: &Sim, app: usize, status: u16, pause: Option<i64>) -> Answer {
    let now = sim.now();
    let mut state = sim.state();
    state.count(if status == 429 { "429" } else { "5xx" });
    if let Some(pause) = pause {
        let app = &mut state.apps[app];
        if app.trouble.is_none() {
            app.down.push((now, now + pause));
        }
        app.throttled_until = app.throttled_until.max(now + pause);
    }
    let mut answer = error(sim, status, "TooManyRequests", "Please retry later.");
    if let Some(pause) = pause {
        answer
            .headers_mut()
            .insert("retry-after", pause.to_string().parse().unwrap());
    }
    answer
}

fn handle(sim: &Sim, app: usize, token: u64, path: &str, request: &Request) -> Answer {
    let mut state = sim.state();
    if token < state.apps[app].oldest_token {
        return error(sim, 401, "InvalidAuthenticationToken", "Access token is not valid.");
    }
    let is_list = path == "subscriptions" && request.method() == Method::GET;
    if path.starts_with("subscriptions")
        && (is_list || request.method() != Method::GET)
        && let Some(refusal) = too_many(sim, &mut state, app, usize::from(is_list))
    {
        return refusal;
    }
    let body: Value = request
        .body()
        .and_then(|body| body.as_bytes())
        .map_or(Value::Null, |bytes| serde_json::from_slice(bytes).unwrap());
    match (request.method(), path.strip_prefix("subscriptions/")) {
        (&Method::GET, None) if path == "subscriptions" => list(sim, &mut state, app, request.url()),
        (&Method::GET, None) => changes::ask(sim, &mut state, app, path, request.url()),
        (&Method::POST, _) => create(sim, &mut state, app, &body),
        (&Method::PATCH, Some(id)) => renew(sim, &mut state, id, &body),
        (&Method::DELETE, Some(id)) => delete(sim, &mut state, id),
        (&Method::GET, Some(id)) => get(sim, &mut state, id),
        (method, _) => panic!("{method} {path}"),
    }
}

fn too_many(sim: &Sim, state: &mut State, app: usize, lane: usize) -> Option<Answer> {
    let now = sim.milliseconds();
    let calls = &mut state.apps[app].calls[lane];
    calls.push_back(now);
    while calls.front().is_some_and(|first| *first < now - WINDOW) {
        calls.pop_front();
    }
    let count = calls.len();
    let most = if lane == 0 {
        "most writes of an app in 20 s"
    } else {
        "most pages of lists of an app in 20 s"
    };
    let known = state.totals.entry(most).or_default();
    *known = (*known).max(count as u64);
    (count > ADMITTED[lane]).then(|| {
        state.violation(format!("{count} calls of app {app} in 20 s at {} s", now / 1000));
        error(sim, 429, "TooManyRequests", "Too many requests.")
    })
}

fn id_of(app: usize, made: u64) -> String {
    format!("{app:08x}-0000-4000-9000-{made:012x}")
}

fn create(sim: &Sim, state: &mut State, app: usize, body: &Value) -> Answer {
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    let now = sim.now();
    let Some(&number) = state.by_resource.get(&(app, text("resource"))) else {
        return error(sim, 400, "InvalidRequest", "no such resource");
    };
    let asked = since_start(text("expirationDateTime").parse().unwrap());
    let longest = state.subs[number].rule.maximum_minutes;
    if asked <= now {
        return error(
            sim,
            400,
            "InvalidRequest",
            "Subscription expiration must be in the future.",
        );
    }
    if asked > now + longest * 60 {
        let said = format!("Subscription expiration can only be {longest} minutes in the future.");
        return error(sim, 400, "InvalidRequest", &said);
    }
    if state.apps[app].receiver_down.is_some() {
        let said = "Subscription validation request failed. HTTP status code is 'ServiceUnavailable'.";
        return error(sim, 400, "ValidationError", said);
    }
    let admits_two = state.subs[number].admits_two;
    let remotes = state.remotes(number, now);
    if let Some(known) = remotes.first().filter(|_| !admits_two) {
        let said = format!(
            "Subscription Id {} already exists for the requested combination",
            known.id
        );
        return error(sim, 409, "ExtensionError", &said);
    }
    state.made += 1;
    let id = id_of(app, state.made);
    let remote = Remote {
        id: id.clone(),
        url: text("notificationUrl"),
        lifecycle_url: text("lifecycleNotificationUrl"),
        change_type: text("changeType"),
        made: now,
        expires: asked.max(now + 45 * 60),
        renewed: now,
    };
    let answer = entry(state, number, &remote);
    state.subs[number].remote.push(remote);
    state.by_id.insert(id, number);
    state.count("creates");
    state.regain(number, now);
    let sub = &state.subs[number];
    let status = sub.object.status.iter();
    let mut on_record = status.flat_map(|status| status.previous_ids.iter().chain(&status.subscription_id));
    let beside = on_record.find(|id| sub.remote.iter().rev().skip(1).any(|remote| remote.id == **id));
    if let Some(beside) = beside.cloned() {
        state.violation(format!(
            "a second one was made beside {beside}, which lives and is on record"
        ));
    } else if sub.remote.len() > 1 {
        state.count("second subscriptions for a time");
    }
    reply(sim, 201, &answer)
}

fn renew(sim: &Sim, state: &mut State, id: &str, body: &Value) -> Answer {
    let now = sim.now();
    let Some((number, place)) = place_of(state, id, now) else {
        return error(sim, 404, "ResourceNotFound", "The object was not found.");
    };
    let asked = since_start(body["expirationDateTime"].as_str().unwrap().parse().unwrap());
    let longest = state.subs[number].rule.maximum_minutes;
    if asked <= now || asked > now + longest * 60 {
        let said = format!("Subscription expiration can only be {longest} minutes in the future.");
        return error(sim, 400, "InvalidRequest", &said);
    }
    let renewed = state.subs[number].remote[place].renewed;
    if now < renewed + SPACING {
        let (sub, expires) = (&state.subs[number], state.subs[number].remote[place].expires);
        let text = format!(
            "{id} was renewed at {renewed} s and at {now} s; it expires at {expires} s, {asked} s is asked for, {:?}",
            sub.object.status
        );
        state.violation(text);
    }
    let remote = &mut state.subs[number].remote[place];
    remote.expires = asked.max(now + 45 * 60);
    remote.renewed = now;
    if let Some(url) = body["notificationUrl"].as_str() {
        url.clone_into(&mut remote.url);
    }
    let remote = remote.clone();
    state.count("renewals");
    reply(sim, 200, &entry(state, number, &remote))
}

fn delete(sim: &Sim, state: &mut State, id: &str) -> Answer {
    let now = sim.now();
    let Some((number, place)) = place_of(state, id, now) else {
        return error(sim, 404, "ResourceNotFound", "The object was not found.");
    };
    let known = state.subs[number].known_id() == Some(id);
    state.subs[number].remote.remove(place);
    state.count("deletes");
    if known {
        state.lose(number, now, "deleted by the operator");
    }
    http::Response::builder().status(204).body(Vec::new()).unwrap()
}

fn get(sim: &Sim, state: &mut State, id: &str) -> Answer {
    state.count("questions for one");
    let unseen = state.scale.broken == Some(Broken::BelievesTheList) && state.rng.u32(0..100) < 30;
    match place_of(state, id, sim.now()).filter(|_| !unseen) {
        Some((number, place)) => {
            let remote = state.subs[number].remote[place].clone();
            reply(sim, 200, &entry(state, number, &remote))
        }
        None => error(sim, 404, "ResourceNotFound", "The object was not found."),
    }
}

fn place_of(state: &mut State, id: &str, now: i64) -> Option<(usize, usize)> {
    let number = *state.by_id.get(id)?;
    let place = state.remotes(number, now).iter().position(|remote| remote.id == id)?;
    Some((number, place))
}

/// A page of the list. It has been seen to lack some that live, and to show some that are gone.
fn list(sim: &Sim, state: &mut State, app: usize, url: &Url) -> Answer {
    let now = sim.now();
    let skip = url.query_pairs().find(|(name, _)| name == "$skiptoken");
    let skip: usize = skip.map_or(0, |(_, value)| value.parse().unwrap());
    state.count("pages of lists");
    let (apps, calm) = (state.scale.apps, state.calm);
    let numbers: Vec<usize> = (app..state.subs.len()).step_by(apps).skip(skip).take(PAGE).collect();
    let mut entries = Vec::new();
    for &number in &numbers {
        for remote in state.remotes(number, now).clone() {
            if !calm && state.rng.u32(0..100) < 3 {
                state.count("entries that a list lacked");
            } else {
                entries.push(entry(state, number, &remote));
            }
        }
    }
    let app = &mut state.apps[app];
    app.ghosts.retain(|(_, _, until)| *until > now);
    let ghosts = app.ghosts.clone();
    entries.extend(
        ghosts
            .iter()
            .filter(|_| skip == 0)
            .map(|(number, remote, _)| entry(state, *number, remote)),
    );
    let mut page = json!({ "value": entries });
    if numbers.len() == PAGE {
        page["@odata.nextLink"] = json!(format!(
            "https://graph.test/v1.0/subscriptions?$skiptoken={}",
            skip + PAGE
        ));
    }
    reply(sim, 200, &page)
}

fn entry(state: &State, number: usize, remote: &Remote) -> Value {
    json!({
        "id": remote.id,
        "resource": state.subs[number].object.spec.resource,
        "changeType": remote.change_type,
        "notificationUrl": remote.url,
        "lifecycleNotificationUrl": remote.lifecycle_url,
        "expirationDateTime": at(remote.expires).to_string(),
    })
}

pub fn error(sim: &Sim, status: u16, code: &str, message: &str) -> Answer {
    reply(sim, status, &json!({ "error": { "code": code, "message": message } }))
}

/// Dated by Graph's clock.
pub fn reply(sim: &Sim, status: u16, body: &Value) -> Answer {
    let date = sim.graph_time().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let answer = http::Response::builder().status(status).header("date", date);
    answer.body(serde_json::to_vec(body).unwrap()).unwrap()
}
