//! What Graph tells afterwards, and the receiver's pods that take it.

use std::time::Duration;

use reqwest::{Request, Url};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::graph::{Answer, error, reply};
use super::world::{Broken, Sim, State, Sub, at, since_start};
use crate::policy::truth::Truth;

/// A question about changes: the path of the resource, and a filter or a link's token.
pub fn ask(sim: &Sim, state: &mut State, app: usize, path: &str, url: &Url) -> Answer {
    state.count("questions about changes");
    let query: Vec<(String, String)> = url
        .query_pairs()
        .map(|(a, b)| (a.into_owned(), b.into_owned()))
        .collect();
    let value = |name: &str| {
        query
            .iter()
            .find(|(known, _)| known.trim_start_matches('$') == name)
            .map(|(_, text)| text)
    };
    let filter = value("filter").cloned().unwrap_or_default();
    let token = value("deltatoken").or(value("token")).cloned();
    let path = path.strip_suffix("/delta").unwrap_or(path);
    let path = path.strip_suffix("/items").unwrap_or(path);
    // One object of a collection: by a filter, or by the link that came of it.
    let id = filter
        .strip_prefix("id eq '")
        .map(|rest| rest.trim_end_matches('\'').to_owned());
    let (id, from) = match &token {
        Some(token) if token != "latest" => {
            let (id, from) = token.split_once('.').unwrap();
            (Some(id.to_owned()).filter(|id| !id.is_empty()), from.parse().unwrap())
        }
        _ => (id, 0),
    };
    let resource = id.as_ref().map_or_else(|| path.to_owned(), |id| format!("{path}/{id}"));
    let Some(&number) = state.by_resource.get(&(app, resource)) else {
        return error(sim, 404, "ResourceNotFound", "no such resource");
    };
    let since = filter
        .split_once(" gt ")
        .map(|(_, time)| since_start(time.parse().unwrap()));
    let now = sim.now();
    let sub = &state.subs[number];
    if sub.rule.truth == Truth::State {
        let newest = sub
            .changes
            .iter()
            .map(|(_, time)| *time)
            .filter(|time| *time <= now)
            .max();
        let body = json!({ "id": number.to_string(), "lastUpdatedDateTime": newest.map(|time| at(time).to_string()) });
        return reply(sim, 200, &body);
    }
    // Call records appear late.
    let known_by_now = now - sub.rule.settles_after_minutes() * 60 * 2 / 3;
    let happened = sub.changes.iter().filter(|(_, time)| *time <= known_by_now);
    let known = happened.clone().count();
    let from = if token.as_deref() == Some("latest") {
        known
    } else {
        from
    };
    let told: Vec<Value> = happened
        .skip(from)
        .filter(|(_, time)| since.is_none_or(|since| *time > since))
        .map(|(id, time)| told(sub, number, id, *time))
        .collect();
    let mut body = json!({ "value": told });
    if sub.rule.truth.follows_a_link() {
        let token = format!("{}.{known}", id.unwrap_or_default());
        let name = if matches!(sub.rule.truth, Truth::DeltaOfOne) {
            "$deltatoken"
        } else {
            "token"
        };
        body["@odata.deltaLink"] = json!(format!("https://graph.test/v1.0/{path}/delta?{name}={token}"));
    }
    reply(sim, 200, &body)
}

fn told(sub: &Sub, number: usize, id: &str, time: i64) -> Value {
    match sub.rule.truth {
        Truth::DeltaOfOne => json!({ "id": number.to_string() }),
        _ => json!({ "id": id, "createdDateTime": at(time).to_string(), "lastModifiedDateTime": at(time).to_string() }),
    }
}

/// The receivers' pods.
pub async fn pod(sim: &Sim, request: &Request) -> Option<Answer> {
    sim.step().await;
    sleep(Duration::from_millis(3)).await;
    let answer = pod_now(sim, request);
    sim.step().await;
    answer
}

fn pod_now(sim: &Sim, request: &Request) -> Option<Answer> {
    let host = request.url().host_str()?.strip_prefix('t')?;
    let app: usize = host
        .split(|letter: char| !letter.is_ascii_digit())
        .next()?
        .parse()
        .ok()?;
    let now = sim.now();
    let mut state = sim.state();
    if state.apps[app].receiver_down.is_some() {
        return None;
    }
    let path = request.url().path();
    if let Some(uid) = path.strip_prefix("/v1/bookmarks/") {
        let kept = state.subs[number_of(uid)].bookmark.clone();
        return Some(kept.map_or_else(|| error(sim, 404, "none", "none"), |kept| reply(sim, 200, &kept)));
    }
    let body: Value = serde_json::from_slice(request.body()?.as_bytes()?).unwrap();
    if path == "/v1/known" {
        let sub = &state.subs[number_of(body["uid"].as_str()?)];
        let skew = sim.local_time().duration_since(sim.graph_time());
        let ids = body["ids"].as_array()?;
        let received: Vec<_> = ids
            .iter()
            .map(|id| Some((at(*sub.remembered.get(id.as_str()?)?) + skew).to_string()))
            .collect();
        return Some(reply(
            sim,
            200,
            &json!({
                "now": sim.local_time().to_string(), "completeSince": (at(-86_400) + skew).to_string(),
                "received": received,
            }),
        ));
    }
    assert_eq!(path, "/v1/ingest");
    let dropped = state.scale.broken == Some(Broken::FillsNothing);
    for item in body["items"].as_array()?.iter().filter(|_| !dropped) {
        let id = item["item"]["resourceData"]["id"].as_str()?.to_owned();
        let sub = &mut state.subs[number_of(item["uid"].as_str()?)];
        if item["timeless"] == false {
            sub.remembered.insert(id.clone(), now);
        }
        sub.handed.insert(id, now);
        state.count("events handed over");
    }
    if let Some(bookmark) = body.get("bookmark").filter(|bookmark| !bookmark.is_null()) {
        state.subs[number_of(bookmark["uid"].as_str()?)].bookmark = Some(bookmark.clone());
    }
    Some(http::Response::builder().status(202).body(Vec::new()).unwrap())
}

pub fn number_of(uid: &str) -> usize {
    usize::from_str_radix(uid.rsplit('-').next().unwrap(), 16).unwrap()
}
