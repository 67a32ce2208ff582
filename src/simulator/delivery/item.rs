//! The JSON of one notification, in the spellings that Graph was seen to use.

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::rich::{self, Flaw};
use crate::simulator::clock;
use crate::simulator::subscriptions::paths;
use crate::simulator::subscriptions::store::Subscription;

const SOME_CHAT: &str = "19:simulated-chat@thread.v2";
const SOME_TEAM: &str = "33333333-3333-3333-3333-333333333333";
const SOME_CHANNEL: &str = "19:simulated-channel@thread.tacv2";

/// How a payload is spelled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Spelling {
    /// As documented.
    #[default]
    Standard,
    /// As seen in the field: `oDataType`, dates with an offset and seven fraction digits.
    Odd,
    /// The same, and `clientState` is null.
    OddWithoutClientState,
}

/// What happened.
pub struct Change<'a> {
    /// Id of the notification.
    pub id: &'a str,
    /// Path from the event.
    pub resource: &'a str,
    /// `created`, `updated` or `deleted`.
    pub what: &'a str,
    /// Fields to add to `resourceData`.
    pub data: &'a Map<String, Value>,
    /// What to encrypt.
    pub object: &'a Map<String, Value>,
    /// How to spell it.
    pub spelling: Spelling,
    /// What is wrong with its encrypted content.
    pub flaw: Flaw,
}

/// Path of the item that changed: an event on a collection means a new item in it, with the notification's id.
pub fn item_path(change: &Change<'_>) -> String {
    let path = paths::path(change.resource);
    match path.to_ascii_lowercase().as_str() {
        "chats/getallmessages" => format!("chats/{SOME_CHAT}/messages/{}", change.id),
        "teams/getallmessages" => format!("teams/{SOME_TEAM}/channels/{SOME_CHANNEL}/messages/{}", change.id),
        _ if is_single(&path) => path,
        _ => format!("{path}/{}", change.id),
    }
}

/// `users/{id}` is one thing, `users` is many: paths alternate between collections and ids.
fn is_single(path: &str) -> bool {
    let segments: Vec<&str> = path.split('/').collect();
    let ids_start = usize::from(["communications", "security"].contains(segments.first().unwrap_or(&"")));
    segments.last() == Some(&"root") || (segments.len() - ids_start).is_multiple_of(2)
}

/// One entry of `value`.
pub fn change_item(subscription: &Subscription, change: &Change<'_>) -> Value {
    let path = item_path(change);
    let odd = change.spelling != Spelling::Standard;
    let (type_name, id_name) = if odd {
        ("oDataType", "oDataId")
    } else {
        ("@odata.type", "@odata.id")
    };
    let mut data = Map::new();
    data.insert(type_name.into(), json!(type_of(&path)));
    data.insert(id_name.into(), json!(object_path(&path)));
    data.insert("id".into(), json!(path.rsplit('/').next()));
    data.extend(change.data.clone());
    let mut item = common(subscription, change.spelling);
    item["id"] = json!(change.id);
    item["changeType"] = json!(change.what);
    item["resource"] = json!(told_path(subscription, &path));
    if subscription.wanted.include_resource_data == Some(true) {
        let mut content = change.object.clone();
        content.insert("id".into(), data["id"].clone());
        item["encryptedContent"] = json!(rich::encrypt(subscription, &Value::Object(content), change.flaw));
        // What is encrypted does not stand beside it in the clear.
        data.retain(|name, _| name == type_name || name == id_name || name == "id");
    }
    item["resourceData"] = Value::Object(data);
    item
}

/// Of presence, the notification names the user, and the resource as it was subscribed to, with the one id.
fn object_path(path: &str) -> String {
    match path.strip_prefix("communications/presences/") {
        Some(user) => format!("users/{user}/presence"),
        None => path.into(),
    }
}

fn told_path(subscription: &Subscription, path: &str) -> String {
    match path.strip_prefix("communications/presences/") {
        Some(user) if subscription.wanted.resource.contains('?') => {
            format!("communications/presences?$filter=id+in+(%27{user}%27)")
        }
        _ => path.into(),
    }
}

/// One lifecycle entry.
pub fn lifecycle_item(subscription: &Subscription, event: &str) -> Value {
    let mut item = common(subscription, Spelling::Standard);
    item["lifecycleEvent"] = json!(event);
    item
}

fn common(subscription: &Subscription, spelling: Spelling) -> Value {
    let client_state = subscription.wanted.client_state.as_deref();
    let expires = match spelling {
        Spelling::Standard => clock::precise(subscription.expires),
        Spelling::Odd | Spelling::OddWithoutClientState => with_offset(subscription.expires),
    };
    json!({
        "subscriptionId": subscription.id,
        "subscriptionExpirationDateTime": expires,
        "clientState": client_state.filter(|_| spelling != Spelling::OddWithoutClientState),
        "tenantId": subscription.tenant,
    })
}

/// The same moment on the American west coast, as Graph was seen to write it.
fn with_offset(time: Timestamp) -> String {
    let local = time.saturating_sub(SignedDuration::from_hours(8)).unwrap_or(time);
    local.strftime("%Y-%m-%dT%H:%M:%S%.7f-08:00").to_string()
}

fn type_of(path: &str) -> &'static str {
    let path = path.to_ascii_lowercase();
    let has = |part: &str| path.split('/').any(|segment| segment == part);
    if has("callrecords") {
        "#microsoft.graph.callrecord"
    } else if has("presences") {
        "#Microsoft.Graph.presence"
    } else if has("messages") && (has("chats") || has("channels")) {
        "#Microsoft.Graph.chatMessage"
    } else if has("messages") {
        "#Microsoft.Graph.Message"
    } else if has("events") {
        "#Microsoft.Graph.Event"
    } else if has("contacts") {
        "#Microsoft.Graph.Contact"
    } else if has("chats") {
        "#Microsoft.Graph.chat"
    } else if has("groups") {
        "#Microsoft.Graph.Group"
    } else if has("users") {
        "#Microsoft.Graph.User"
    } else {
        "#Microsoft.Graph.entity"
    }
}
