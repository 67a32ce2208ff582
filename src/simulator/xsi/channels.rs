//! Xsi-Events: channels, heartbeats and the answers to events.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::guard::{Caller, Place, XsiError, XsiResult, answer, body, named};
use super::host::{Channel, Host};
use super::stream;
use super::xml::{self, Document};
use crate::simulator::state::Shared;

/// Documents that wait for a slow reader, before it is cut off.
const MOST_WAITING: usize = 16 * 1024;
/// The shortest life of a channel or a subscription that is granted, in seconds.
const SHORTEST: u64 = 60;

/// `POST …/com.broadsoft.async/…/channel`: the answer does not end.
pub async fn open(
    State(shared): State<Shared>,
    Path(place): Path<Place>,
    headers: HeaderMap,
    bytes: Bytes,
) -> XsiResult {
    let mut state = shared.state();
    let host = &mut state.xsi;
    let caller = Caller::read(host, &place, &headers)?;
    let document = body(&bytes, &headers, "Channel")?;
    let field = |name: &str| document.fields.get(name).filter(|value| !value.is_empty());
    let set = field("channelSetId")
        .ok_or_else(|| XsiError::bad("channelSetId is missing"))?
        .clone();
    field("applicationId").ok_or_else(|| XsiError::bad("applicationId is missing"))?;
    let seconds = granted(host, &document)?;
    let (out, waiting) = mpsc::channel(MOST_WAITING);
    let (id, now) = (Uuid::new_v4().to_string(), Instant::now());
    let cookie = format!("{}-{id}", caller.xsp);
    let expires = seconds.to_string();
    let named = xml::document("Channel", &[("channelId", &id), ("expires", &expires)]);
    let channel = Channel {
        set,
        xsp: caller.xsp,
        cookie: cookie.clone(),
        ends: now + Duration::from_secs(seconds),
        heard: now,
        told: now,
        unanswered: BTreeMap::new(),
        out,
    };
    channel.say(named);
    host.channels.insert(id.clone(), channel);
    drop(state);
    let (watched, stop) = (shared.clone(), shared.stop.clone());
    tokio::spawn(async move { stop.run_until_cancelled(stream::watch(watched, id)).await });
    Ok(streaming(&shared, waiting, &cookie))
}

fn streaming(shared: &Shared, waiting: mpsc::Receiver<Result<Bytes, std::io::Error>>, cookie: &str) -> Response {
    let mut response = stream::body(shared.clone(), waiting).into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/xml;charset=UTF-8"),
    );
    if let Ok(value) = HeaderValue::from_str(&format!("JSESSIONID={cookie}; Path=/; HttpOnly")) {
        headers.insert(header::SET_COOKIE, value);
    }
    response
}

/// `PUT …/channel/{id}/heartbeat`
pub async fn heartbeat(State(shared): State<Shared>, Path(place): Path<Place>, headers: HeaderMap) -> XsiResult {
    let mut state = shared.state();
    own(&mut state.xsi, &place, &headers)?.heard = Instant::now();
    Ok(StatusCode::OK.into_response())
}

/// `PUT …/channel/{id}`
pub async fn refresh(
    State(shared): State<Shared>,
    Path(place): Path<Place>,
    headers: HeaderMap,
    bytes: Bytes,
) -> XsiResult {
    let mut state = shared.state();
    own(&mut state.xsi, &place, &headers)?;
    let seconds = granted(&state.xsi, &body(&bytes, &headers, "Channel")?)?;
    let channel = own(&mut state.xsi, &place, &headers)?;
    channel.ends = Instant::now() + Duration::from_secs(seconds);
    Ok(answer(xml::document("Channel", &[("expires", &seconds.to_string())])))
}

/// `DELETE …/channel/{id}`
pub async fn close(State(shared): State<Shared>, Path(place): Path<Place>, headers: HeaderMap) -> XsiResult {
    let mut state = shared.state();
    own(&mut state.xsi, &place, &headers)?;
    state.xsi.end_channel(named(&place, "id"), "Client request");
    Ok(StatusCode::OK.into_response())
}

/// `POST …/channel/eventresponse`
pub async fn acknowledge(
    State(shared): State<Shared>,
    Path(place): Path<Place>,
    headers: HeaderMap,
    bytes: Bytes,
) -> XsiResult {
    let mut state = shared.state();
    let host = &mut state.xsi;
    let caller = Caller::read(host, &place, &headers)?;
    let document = body(&bytes, &headers, "EventResponse")?;
    let event = document.fields.get("eventID").map_or("", String::as_str);
    if document.fields.get("statusCode").is_none_or(|code| code != "200") {
        return Err(XsiError::bad("statusCode must be 200"));
    }
    let sticky = host.setup.manners.sticky;
    let mut channels = host.channels.values_mut();
    let channel = channels.find(|channel| channel.unanswered.contains_key(event));
    if let Some(channel) = channel.filter(|channel| !sticky || channel.is_met_by(&caller, &headers)) {
        channel.unanswered.remove(event);
        return Ok(StatusCode::OK.into_response());
    }
    host.breach(
        "eventResponse",
        "no such event waits at this XSP, or the cookie is missing",
    );
    Err(XsiError::missing("no such event"))
}

/// `GET …/channelset/{id}`
pub async fn audit(State(shared): State<Shared>, Path(place): Path<Place>, headers: HeaderMap) -> XsiResult {
    let state = shared.state();
    Caller::read(&state.xsi, &place, &headers)?;
    let set = named(&place, "id");
    let found = state.xsi.channels.iter().filter(|(_, channel)| channel.set == set);
    let ids: Vec<(&str, &str)> = found.map(|(id, _)| ("channelId", id.as_str())).collect();
    Ok(answer(xml::document("ChannelSet", &ids)))
}

/// The lifetime that is granted for the one that is asked for, in seconds.
pub fn granted(host: &Host, document: &Document) -> Result<u64, XsiError> {
    let asked = document.fields.get("expires").and_then(|text| text.parse::<u64>().ok());
    let asked = asked.ok_or_else(|| XsiError::bad("expires must be a number"))?;
    Ok(host.setup.manners.granted_seconds.unwrap_or(asked.max(SHORTEST)))
}

/// The channel that a request names, asked for at its XSP and with its cookie.
fn own<'a>(host: &'a mut Host, place: &Place, headers: &HeaderMap) -> Result<&'a mut Channel, XsiError> {
    let caller = Caller::read(host, place, headers)?;
    let sticky = host.setup.manners.sticky;
    let found = host.channels.get_mut(named(place, "id"));
    found
        .filter(|channel| !sticky || channel.is_met_by(&caller, headers))
        .ok_or_else(|| XsiError::missing("no such channel at this XSP"))
}

impl Channel {
    /// Sends a document. Who does not take them is cut off by the watch.
    pub fn say(&self, document: String) {
        if self.out.try_send(Ok(Bytes::from(document))).is_err() {
            tracing::debug!("a channel does not take its events");
        }
    }

    fn is_met_by(&self, caller: &Caller, headers: &HeaderMap) -> bool {
        let cookies = headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok());
        let wanted = format!("JSESSIONID={}", self.cookie);
        let has_cookie = cookies
            .flat_map(|value| value.split(';'))
            .any(|cookie| cookie.trim() == wanted);
        has_cookie && caller.xsp == self.xsp
    }
}
