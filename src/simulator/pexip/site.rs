//! The deployment behind the Management Node.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::fields::{self, Resource};
use super::{list, sample};
use crate::simulator::admin::directory::merge;

/// In which the limit of requests counts, in real time.
const WINDOW: Duration = Duration::from_secs(60);
/// Most participants in the history.
const HISTORY: usize = 20_000;

/// What is set up, and the objects of all resources.
#[derive(Debug)]
pub struct Site {
    /// Credentials and manners.
    pub setup: Setup,
    objects: BTreeMap<(&'static str, &'static str), Vec<Value>>,
    asked: VecDeque<Instant>,
    last: u64,
}

/// Credentials and manners.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Setup {
    /// Who may view.
    pub username: String,
    /// With this password.
    pub password: String,
    /// Or with this token.
    pub token: String,
    /// How it behaves.
    pub manners: Manners,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            username: "api".into(),
            password: "simulator-password".into(),
            token: "simulator-token".into(),
            manners: Manners::default(),
        }
    }
}

/// How it behaves.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[allow(clippy::struct_excessive_bools)] // each is a switch of its own
pub struct Manners {
    /// How times are written.
    pub times: Times,
    /// Most objects on a page.
    pub max_page: usize,
    /// Requests that it takes within 60 s of real time; 0 for no limit.
    pub max_requests: usize,
    /// A page for browsers, with status 200, in place of every answer.
    pub login_page: bool,
    /// A redirect to this address in place of every answer.
    pub sso: Option<String>,
    /// The JSON breaks off.
    pub truncate: bool,
    /// A body of so many bytes in place of every answer.
    pub huge_bytes: u64,
    /// `next` leads to this origin, such as `https://example.org`.
    pub next_origin: Option<String>,
    /// `total_count` says 0.
    pub wrong_total: bool,
    /// Pages after the first begin with the last object of the page before, as when something was added meanwhile.
    pub shifts: bool,
    /// Resources that the role may not view.
    pub denied: Vec<String>,
    /// Resources that this release does not have.
    pub missing: Vec<String>,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            times: Times::default(),
            max_page: 1000,
            max_requests: 1000,
            login_page: false,
            sso: None,
            truncate: false,
            huge_bytes: 0,
            next_origin: None,
            wrong_total: false,
            shifts: false,
            denied: Vec::new(),
            missing: Vec::new(),
        }
    }
}

/// How times are written; they mean UTC always.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Times {
    /// One form after the other.
    #[default]
    Mixed,
    /// With microseconds and an offset.
    Offset,
    /// With microseconds, without an offset.
    Micro,
    /// In whole seconds, without an offset.
    Whole,
}

impl Default for Site {
    fn default() -> Self {
        Self::new(Setup::default())
    }
}

impl Site {
    /// A small deployment in which all is well.
    pub fn new(setup: Setup) -> Self {
        let mut site = Self {
            setup,
            objects: BTreeMap::new(),
            asked: VecDeque::new(),
            last: 0,
        };
        for (namespace, resource, objects) in sample::deployment() {
            if let Some(kind) = fields::find(namespace, resource) {
                site.fill(kind, objects);
            }
        }
        site
    }

    /// The objects of a resource.
    pub fn objects(&self, namespace: &str, resource: &str) -> &[Value] {
        let found = self
            .objects
            .iter()
            .find(|((space, name), _)| *space == namespace && *name == resource);
        found.map(|(_, objects)| objects.as_slice()).unwrap_or_default()
    }

    /// Takes objects in place of those that were there. Refused with a reason if the original could not have them.
    pub fn replace(&mut self, namespace: &str, resource: &str, objects: Vec<Value>) -> Result<(), String> {
        let kind = checked(namespace, resource, &objects)?;
        self.fill(kind, objects);
        Ok(())
    }

    /// Changes the objects with these ids, and adds those that are new.
    pub fn change(&mut self, namespace: &str, resource: &str, changes: Vec<Value>) -> Result<(), String> {
        let kind = checked(namespace, resource, &changes)?;
        let mut objects = self.objects(namespace, resource).to_vec();
        for change in changes {
            let same = |one: &&mut Value| !change["id"].is_null() && one["id"] == change["id"];
            match objects.iter_mut().find(same) {
                Some(known) => merge(known, change),
                None => objects.push(change),
            }
        }
        self.fill(kind, objects);
        Ok(())
    }

    /// Adds participants to the history.
    pub fn end_calls(&mut self, count: usize, call: &Value) -> Result<(), String> {
        let calls = (0..count).map(|_| {
            self.last += 1;
            let mut one = call.clone();
            one["id"] = json!(format!("00000000-0000-4000-8000-{:012}", self.last));
            one
        });
        let calls = calls.collect();
        self.change("history", "participant", calls)?;
        if let Some(history) = self.objects.get_mut(&("history", "participant")) {
            let surplus = history.len().saturating_sub(HISTORY);
            history.drain(..surplus);
        }
        Ok(())
    }

    /// Counts a request. Some seconds to wait if it is one too many; that one counts too.
    pub fn count(&mut self) -> Option<u64> {
        let now = Instant::now();
        let most = self.setup.manners.max_requests;
        while self
            .asked
            .front()
            .is_some_and(|first| now.duration_since(*first) >= WINDOW)
        {
            self.asked.pop_front();
        }
        self.asked.push_back(now);
        if most == 0 || self.asked.len() <= most {
            return None;
        }
        self.asked.pop_front();
        let oldest = self
            .asked
            .front()
            .map_or(Duration::ZERO, |first| now.duration_since(*first));
        Some(WINDOW.saturating_sub(oldest).as_secs() + 1)
    }

    /// How many objects each resource has.
    pub fn counts(&self) -> BTreeMap<String, usize> {
        let counts = self.objects.iter();
        counts
            .map(|((space, name), all)| (format!("{space}/{name}"), all.len()))
            .collect()
    }

    /// Ids and addresses are given where they are missing.
    fn fill(&mut self, kind: &'static Resource, mut objects: Vec<Value>) {
        for (number, object) in objects.iter_mut().enumerate() {
            if kind.has_ids && object["id"].is_null() {
                object["id"] = json!(number + 1);
            }
            if object["resource_uri"].is_null() {
                object["resource_uri"] = json!(list::address(kind, object));
            }
        }
        self.objects.insert((kind.namespace, kind.name), objects);
    }
}

fn checked(namespace: &str, resource: &str, objects: &[Value]) -> Result<&'static Resource, String> {
    let kind = fields::find(namespace, resource).ok_or_else(|| format!("no resource {namespace}/{resource}"))?;
    for object in objects {
        let object = object.as_object().ok_or("not an object")?;
        let is_known = |name: &&String| *name == "resource_uri" || kind.fields.contains(&name.as_str());
        if let Some(odd) = object.keys().find(|name| !is_known(name)) {
            return Err(format!("{namespace}/{resource} has no field {odd}"));
        }
    }
    Ok(kind)
}
