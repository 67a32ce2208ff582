//! Something happened: who has subscribed to it is told.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::item::{self, Change, Spelling};
use super::record::{Fate, Notification};
use super::rich::{self, Flaw};
use super::send::{self, Parcel};
use crate::simulator::clock;
use crate::simulator::state::{Shared, State};
use crate::simulator::subscriptions::store::Subscription;

/// What `POST /_simulator/events` takes.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Event {
    /// Path of what changed: an item, or a collection that gets a new item each time.
    pub resource: String,
    /// `created`, `updated` or `deleted`.
    pub change_type: String,
    /// In which tenant; the first one if left out.
    #[serde(default)]
    pub tenant_id: Option<String>,
    /// Fields to add to `resourceData`.
    #[serde(default)]
    pub resource_data: Map<String, Value>,
    /// How often it happens.
    #[serde(default = "one")]
    pub count: usize,
    /// At most so many notifications in one POST.
    #[serde(default = "one")]
    pub batch: usize,
    /// How the payload is spelled.
    #[serde(default)]
    pub spelling: Spelling,
    /// Put an item with a wrong `clientState` into each POST.
    #[serde(default)]
    pub bad_item: bool,
    /// What is wrong with rich notifications.
    #[serde(default)]
    pub flaw: Flaw,
    /// The object itself, for rich notifications; `resource_data` if left out.
    #[serde(skip)]
    pub object: Option<Map<String, Value>>,
}

impl Event {
    /// Something that happens once, with nothing odd about it.
    pub fn once(resource: String, change_type: String, tenant_id: Option<String>) -> Self {
        Self {
            resource,
            change_type,
            tenant_id,
            resource_data: Map::new(),
            count: 1,
            batch: 1,
            spelling: Spelling::Standard,
            bad_item: false,
            flaw: Flaw::None,
            object: None,
        }
    }

    /// The change of an object that is kept. Only its tag stands in the clear, as with Outlook.
    pub fn of_object(
        resource: String,
        change_type: String,
        tenant_id: Option<String>,
        object: &Map<String, Value>,
    ) -> Self {
        let tag = object.get_key_value("@odata.etag").into_iter();
        Self {
            resource_data: tag.map(|(name, value)| (name.clone(), value.clone())).collect(),
            object: Some(object.clone()),
            ..Self::once(resource, change_type, tenant_id)
        }
    }
}

/// One notification that is ready to go.
struct Ready {
    id: String,
    taker: Subscription,
    content: Value,
}

fn one() -> usize {
    1
}

/// Notifies every subscription that wants it. Answers the ids of the notifications.
pub fn happen(shared: &Shared, event: &Event) -> Vec<String> {
    let now = shared.clock.now();
    let mut ids = Vec::new();
    let mut by_url: BTreeMap<String, Vec<Ready>> = BTreeMap::new();
    let issuer = {
        let mut state = shared.state();
        let takers = takers(&state, event);
        for _ in 0..event.count {
            for taker in &takers {
                let id = Uuid::new_v4().to_string();
                let change = change(&id, event);
                state.notifications.add(entry(&change, taker, now));
                ids.push(id.clone());
                let content = item::change_item(taker, &change);
                let url = taker.wanted.notification_url.clone();
                by_url.entry(url).or_default().push(Ready {
                    id,
                    taker: taker.clone(),
                    content,
                });
            }
        }
        state.settings.validation_issuer.clone()
    };
    for (url, items) in by_url {
        for chunk in items.chunks(event.batch.max(1)) {
            send::start(shared, parcel(&url, chunk, event, &issuer, now));
        }
    }
    ids
}

/// The live subscriptions that want to know.
fn takers(state: &State, event: &Event) -> Vec<Subscription> {
    let tenant = match &event.tenant_id {
        Some(name) => state.tenant(name),
        None => state.tenants.first(),
    };
    let concerned = tenant.map(|tenant| state.subscriptions.concerned(&tenant.id, &event.resource));
    let wanted = concerned.unwrap_or_default().into_iter();
    wanted
        .filter(|s| s.wants_change(&event.change_type) && s.watches(&event.resource))
        .cloned()
        .collect()
}

fn change<'a>(id: &'a str, event: &'a Event) -> Change<'a> {
    Change {
        id,
        resource: &event.resource,
        what: &event.change_type,
        data: &event.resource_data,
        object: event.object.as_ref().unwrap_or(&event.resource_data),
        spelling: event.spelling,
        flaw: event.flaw,
    }
}

fn entry(change: &Change<'_>, taker: &Subscription, now: Timestamp) -> Notification {
    Notification {
        id: change.id.into(),
        subscription_id: taker.id.clone(),
        url: taker.wanted.notification_url.clone(),
        resource: item::item_path(change),
        event: change.what.into(),
        created: clock::precise(now),
        attempts: Vec::new(),
        state: Fate::Pending,
        reason: None,
    }
}

fn parcel(url: &str, items: &[Ready], event: &Event, issuer: &str, now: Timestamp) -> Parcel {
    let mut value: Vec<Value> = items.iter().map(|ready| ready.content.clone()).collect();
    if let Some(mut bad) = value.first().cloned().filter(|_| event.bad_item) {
        bad["id"] = json!(format!("bad-{}", Uuid::new_v4()));
        bad["clientState"] = json!("not-the-client-state");
        value.insert(0, bad);
    }
    let is_rich = |s: &&Subscription| s.wanted.include_resource_data == Some(true);
    let rich: Vec<&Subscription> = items.iter().map(|ready| &ready.taker).filter(is_rich).collect();
    let mut body = json!({ "value": value });
    let tokens = rich::validation_tokens(&rich, issuer, now, event.flaw);
    if !tokens.is_null() {
        body["validationTokens"] = tokens;
    }
    Parcel {
        url: url.into(),
        ids: items.iter().map(|ready| ready.id.clone()).collect(),
        subscriptions: items.iter().map(|ready| ready.taker.id.clone()).collect(),
        body,
    }
}
