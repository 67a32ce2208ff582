//! Xsi-Actions at the XSPs of BroadWorks: does it answer, does it accept a login, does the subscriber have a device.

use std::time::{Duration, Instant};

use futures::future::join_all;
use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;
use reqwest::{Client, RequestBuilder};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::fetch::{Answer, Bounds, Lost, fetch};
use crate::policy::connector::broadworks::{Reply, XspEvidence};
use crate::policy::connector::clock::ClockSample;
use crate::policy::connector::learned::Learned;

const ACTIONS: [&str; 3] = ["com.broadsoft.xsi-actions", "v2.0", "user"];
/// Asked for where there is no test subscriber: without a login, any user will do.
const NOBODY: &str = "probe";
/// A list of devices takes some hundred bytes for each.
const LONGEST: usize = 256 * 1024;
/// Devices of a subscriber that are looked at.
const MOST_DEVICES: usize = 100;

/// A test subscriber. Debug shows no password.
#[derive(Clone, Debug)]
pub struct Subscriber {
    /// User id, such as `test@example.com`.
    pub username: String,
    /// Its password for Xsi.
    pub password: SecretString,
}

/// How to ask.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// Addresses of the XSPs.
    pub urls: &'a [String],
    /// Who logs in.
    pub subscriber: Option<&'a Subscriber>,
    /// Whether its devices are wanted.
    pub devices: bool,
    /// From [`client`](super::client::client), with the bundle that the spec names.
    pub http: &'a Client,
    /// How long all requests to one XSP may take together.
    pub limit: Duration,
}

/// Asks each XSP, all at once.
pub async fn look(plan: &Plan<'_>) -> (Vec<XspEvidence>, Vec<ClockSample>) {
    let all = join_all(plan.urls.iter().map(|url| look_at(plan, url))).await;
    let (evidence, samples): (Vec<_>, Vec<_>) = all.into_iter().unzip();
    (evidence, samples.concat())
}

/// Requests to one XSP.
struct Visit<'a> {
    plan: &'a Plan<'a>,
    name: String,
    base: Url,
    deadline: Instant,
    clock: Vec<ClockSample>,
}

async fn look_at(plan: &Plan<'_>, url: &str) -> (XspEvidence, Vec<ClockSample>) {
    let Ok(base) = Url::parse(url) else {
        let evidence = XspEvidence {
            name: url.to_owned(),
            application: Reply::Lost("the address is not a URL".to_owned()),
            login: None,
            devices: None,
        };
        return (evidence, Vec::new());
    };
    let mut visit = Visit {
        plan,
        name: name(&base),
        base,
        deadline: Instant::now() + plan.limit,
        clock: Vec::new(),
    };
    let evidence = visit.look().await;
    (evidence, visit.clock)
}

/// Host, with port and path if there are any.
fn name(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let path = url.path().trim_end_matches('/');
    format!("{}{port}{path}", url.host_str().unwrap_or_default())
}

impl Visit<'_> {
    async fn look(&mut self) -> XspEvidence {
        let user = self.plan.subscriber.map_or(NOBODY, |subscriber| &subscriber.username);
        let profile = self.url(&[user, "profile"]);
        let application = reply(&self.get(profile.clone(), None).await);
        let works = application == Reply::Status(401);
        let subscriber = self.plan.subscriber.filter(|_| works);
        let login = match subscriber {
            Some(subscriber) => Some(reply(&self.get(profile, Some(subscriber)).await)),
            None => None,
        };
        let accepted = login == Some(Reply::Status(200)) && self.plan.devices;
        let devices = match subscriber.filter(|_| accepted) {
            Some(subscriber) => Some(self.devices(subscriber).await),
            None => None,
        };
        XspEvidence {
            name: self.name.clone(),
            application,
            login,
            devices,
        }
    }

    async fn devices(&mut self, subscriber: &Subscriber) -> Learned<Vec<String>> {
        let url = self.url(&[&subscriber.username, "profile", "device"]);
        let name = self.name.clone();
        let unavailable = |why: String| Learned::Unavailable(format!("The devices cannot be read at {name}: {why}."));
        match self.get(url, Some(subscriber)).await {
            Ok(answer) if answer.status == 200 => {
                let types = device_types(&answer.body);
                types.map_or_else(|| unavailable("its answer is not XML".to_owned()), Learned::Known)
            }
            Ok(answer) if answer.status == 403 => Learned::Denied,
            Ok(answer) => unavailable(format!("it answers with status {}", answer.status)),
            Err(lost) => unavailable(lost.to_string()),
        }
    }

    async fn get(&mut self, url: Url, subscriber: Option<&Subscriber>) -> Result<Answer, Lost> {
        let mut request: RequestBuilder = self.plan.http.get(url);
        if let Some(subscriber) = subscriber {
            request = request.basic_auth(&subscriber.username, Some(subscriber.password.expose_secret()));
        }
        let bounds = Bounds {
            time: self.deadline.saturating_duration_since(Instant::now()),
            bytes: LONGEST,
        };
        let answer = fetch(request, &self.name, bounds).await?;
        self.clock.extend(answer.clock.clone());
        Ok(answer)
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(ACTIONS).extend(path);
        }
        url
    }
}

fn reply(result: &Result<Answer, Lost>) -> Reply {
    match result {
        Ok(answer) => Reply::Status(answer.status),
        Err(Lost::NotTrusted(why)) => Reply::NotTrusted((*why).to_owned()),
        Err(lost) => Reply::Lost(lost.to_string()),
    }
}

/// The text of each `deviceType`, whatever is around it. None if it is not XML.
fn device_types(body: &[u8]) -> Option<Vec<String>> {
    let text = std::str::from_utf8(body).ok()?;
    let mut reader = Reader::from_str(text);
    let mut types = Vec::new();
    let mut current: Option<String> = None;
    let mut any = false;
    while types.len() < MOST_DEVICES {
        match reader.read_event().ok()? {
            Event::Start(start) => {
                any = true;
                current = (start.local_name().into_inner() == "deviceType").then(String::new);
            }
            Event::Text(part) => {
                if let Some(current) = &mut current {
                    current.push_str(&part.into_inner());
                }
            }
            Event::GeneralRef(reference) => {
                let text = resolve_predefined_entity(&reference.into_inner()).unwrap_or_default();
                if let Some(current) = &mut current {
                    current.push_str(text);
                }
            }
            Event::End(_) => types.extend(current.take()),
            Event::Empty(_) => any = true,
            Event::Eof => break,
            _ => {}
        }
    }
    any.then_some(types)
}

#[cfg(test)]
mod tests;
