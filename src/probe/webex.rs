//! The Webex API, as far as it is about subscribers of BroadWorks, and Webex' status page.
//! <https://developer.webex.com/docs/api/v1/broadworks-subscribers>, <https://status.webex.com/api>

use std::time::{Duration, Instant};

use reqwest::Client;
use reqwest::header::{HeaderMap, LINK, RETRY_AFTER};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::fetch::{Answer, Bounds, fetch, text};
use crate::api::connector::WebexHealth;
use crate::policy::connector::broadworks::{StatusPage, Subscribers, reason_of};
use crate::policy::connector::clock::ClockSample;
use crate::policy::connector::learned::Learned;

/// States that wait for Webex, and that in which something went wrong. Others are well, or wait for a person.
const ASKED: [&str; 3] = ["provisioning", "updating", "error"];
/// Pages of each state that are read; a page has a hundred subscribers.
const MOST_PAGES: usize = 10;
const PAGE: &str = "100";
/// A subscriber takes about 1 kB.
const LONGEST_PAGE: usize = 2 * 1024 * 1024;
const LONGEST_STATUS: usize = 4 * 1024 * 1024;
/// How old an answer may be: provisioning takes minutes, and Webex counts requests.
const YOUNG: Duration = Duration::from_mins(2);
/// Bounds of `Retry-After`, and what holds without one, in seconds.
const LONGEST_PAUSE: u64 = 3600;
const USUAL_PAUSE: u64 = 60;

/// How to ask.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// What is expected.
    pub spec: &'a WebexHealth,
    /// Access token.
    pub token: &'a SecretString,
    /// From [`client`](super::client::client).
    pub http: &'a Client,
    /// How long all requests may take together.
    pub limit: Duration,
}

/// What was answered last, and how long Webex wants not to be asked.
#[derive(Debug, Default)]
pub struct Memory {
    last: Option<(Instant, Subscribers)>,
    rests_until: Option<Instant>,
}

#[derive(Deserialize)]
struct Page {
    subscribers: Vec<Value>,
}

/// What is read of a subscriber: nothing that tells who it is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Subscriber {
    last_status_change: Option<String>,
    errors: Option<Vec<SubscriberError>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SubscriberError {
    error_code: Option<Value>,
    description: Option<String>,
}

/// Reads subscribers whose provisioning has not ended well.
pub async fn subscribers(plan: &Plan<'_>, memory: &mut Memory, clock: &mut Vec<ClockSample>) -> Learned<Subscribers> {
    let now = Instant::now();
    if let Some((_, known)) = memory.last.as_ref().filter(|(at, _)| at.elapsed() < YOUNG) {
        return Learned::Known(known.clone());
    }
    if memory.rests_until.is_some_and(|until| until > now) {
        return Learned::Unavailable("Webex asked for a pause of all requests.".to_owned());
    }
    match read(plan, memory, clock, now + plan.limit).await {
        Ok(found) => {
            memory.last = Some((Instant::now(), found.clone()));
            Learned::Known(found)
        }
        Err(why) => why,
    }
}

async fn read(
    plan: &Plan<'_>,
    memory: &mut Memory,
    clock: &mut Vec<ClockSample>,
    deadline: Instant,
) -> Result<Subscribers, Learned<Subscribers>> {
    let mut found = Subscribers {
        complete: true,
        ..Subscribers::default()
    };
    for status in ASKED {
        let mut next = Some(first(plan.spec, status).ok_or_else(|| unavailable("the address is not a URL"))?);
        for _ in 0..MOST_PAGES {
            let Some(url) = next.take() else { break };
            let answer = ask(plan, memory, &url, deadline).await?;
            clock.extend(answer.clock.clone());
            let page: Page =
                serde_json::from_slice(&answer.body).map_err(|_| unavailable("its answer cannot be read"))?;
            page.subscribers
                .into_iter()
                .for_each(|one| count(&mut found, status, one));
            next = following(&answer.headers, &url)?;
        }
        found.complete &= next.is_none();
    }
    Ok(found)
}

fn first(spec: &WebexHealth, status: &str) -> Option<Url> {
    let mut url = Url::parse(&spec.url).ok()?;
    url.path_segments_mut()
        .ok()?
        .pop_if_empty()
        .extend(["broadworks", "subscribers"]);
    url.query_pairs_mut()
        .append_pair("status", status)
        .append_pair("max", PAGE);
    if let Some(enterprise) = &spec.sp_enterprise_id {
        url.query_pairs_mut().append_pair("spEnterpriseId", enterprise);
    }
    Some(url)
}

async fn ask(
    plan: &Plan<'_>,
    memory: &mut Memory,
    url: &Url,
    deadline: Instant,
) -> Result<Answer, Learned<Subscribers>> {
    let request = plan.http.get(url.clone()).bearer_auth(plan.token.expose_secret());
    let bounds = Bounds {
        time: deadline.saturating_duration_since(Instant::now()),
        bytes: LONGEST_PAGE,
    };
    let answer = fetch(request, "Webex", bounds)
        .await
        .map_err(|lost| unavailable(&lost.to_string()))?;
    match answer.status {
        200 => Ok(answer),
        401 => Err(Learned::Refused(
            "Webex refuses the access token: renew it in its Secret.".to_owned(),
        )),
        403 => Err(Learned::Denied),
        429 | 423 => {
            memory.rests_until = Some(Instant::now() + pause(&answer.headers));
            Err(Learned::Unavailable(
                "Webex asked for a pause of all requests.".to_owned(),
            ))
        }
        status => Err(unavailable(&format!("it answers with status {status}"))),
    }
}

fn pause(headers: &HeaderMap) -> Duration {
    let seconds = text(headers, &RETRY_AFTER).and_then(|text| text.trim().parse().ok());
    Duration::from_secs(seconds.unwrap_or(USUAL_PAUSE).clamp(1, LONGEST_PAUSE))
}

fn unavailable(why: &str) -> Learned<Subscribers> {
    Learned::Unavailable(format!("The subscribers at Webex cannot be read: {why}."))
}

/// One odd entry must not hide the others.
fn count(found: &mut Subscribers, status: &str, one: Value) {
    *found.counts.entry(status.to_owned()).or_default() += 1;
    let Ok(subscriber) = Subscriber::deserialize(one) else {
        return;
    };
    if status == "error" {
        let errors = subscriber.errors.unwrap_or_default().into_iter();
        found.errors.extend(errors.map(|error| {
            let code = error.error_code.as_ref().and_then(code).unwrap_or_default();
            (reason_of(code, error.description.as_deref().unwrap_or_default()), code)
        }));
        return;
    }
    let since = subscriber.last_status_change.and_then(|text| text.parse().ok());
    found.oldest = match (found.oldest, since) {
        (Some(known), Some(since)) => Some(known.min(since)),
        (known, since) => known.or(since),
    };
}

/// A number, at times written as text or with a fraction.
fn code(value: &Value) -> Option<i64> {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    text.split('.').next()?.trim().parse().ok()
}

/// Where the list goes on, if it does. The token must not follow a link to elsewhere.
fn following(headers: &HeaderMap, own: &Url) -> Result<Option<Url>, Learned<Subscribers>> {
    let Some(link) = text(headers, &LINK).and_then(next_link) else {
        return Ok(None);
    };
    own.join(link)
        .ok()
        .filter(|next| next.origin() == own.origin() && next.path() == own.path() && next.username().is_empty())
        .map(Some)
        .ok_or_else(|| unavailable("its list continues at another address"))
}

/// The address with `rel="next"` of a `Link` (RFC 8288).
fn next_link(header: &str) -> Option<&str> {
    let links = header.split('<').skip(1).filter_map(|link| link.split_once('>'));
    links
        .filter(|(_, parameters)| {
            let mut parameters = parameters.split([';', ',']).map(str::trim);
            parameters.any(|one| one == "rel=\"next\"" || one == "rel=next")
        })
        .map(|(address, _)| address)
        .next()
}

#[derive(Deserialize)]
struct Summary {
    components: Vec<Component>,
    #[serde(default)]
    incidents: Vec<Incident>,
}

#[derive(Deserialize)]
struct Component {
    name: String,
    status: Option<String>,
}

#[derive(Deserialize)]
struct Incident {
    name: Option<String>,
    resolved_at: Option<String>,
}

/// Reads the status page at `url`, such as `https://status.webex.com`.
pub async fn status_page(
    http: &Client,
    url: &str,
    time: Duration,
    clock: &mut Vec<ClockSample>,
) -> Learned<StatusPage> {
    let Some(url) = summary_url(url) else {
        return Learned::Unavailable("its address is not a URL".to_owned());
    };
    let bounds = Bounds {
        time,
        bytes: LONGEST_STATUS,
    };
    let answer = match fetch(http.get(url), "Webex status page", bounds).await {
        Ok(answer) => answer,
        Err(lost) => return Learned::Unavailable(lost.to_string()),
    };
    clock.extend(answer.clock.clone());
    if answer.status != 200 {
        return Learned::Unavailable(format!("it answers with status {}", answer.status));
    }
    match serde_json::from_slice::<Summary>(&answer.body) {
        Ok(summary) => Learned::Known(summary.into()),
        Err(_) => Learned::Unavailable("its answer cannot be read".to_owned()),
    }
}

fn summary_url(url: &str) -> Option<Url> {
    let mut url = Url::parse(url).ok()?;
    let is_document = std::path::Path::new(url.path())
        .extension()
        .is_some_and(|end| end == "json");
    if !is_document {
        url.path_segments_mut().ok()?.pop_if_empty().push("index.json");
    }
    Some(url)
}

impl From<Summary> for StatusPage {
    fn from(summary: Summary) -> Self {
        let components = summary.components.into_iter();
        let incidents = summary.incidents.into_iter();
        Self {
            components: components
                .map(|one| (one.name, one.status.unwrap_or_default()))
                .collect(),
            incidents: incidents
                .filter(|incident| incident.resolved_at.is_none())
                .filter_map(|incident| incident.name)
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests;
