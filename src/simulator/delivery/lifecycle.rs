//! Lifecycle events, on demand and (if switched on) by themselves.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use super::item;
use super::record::{Fate, Notification};
use super::send::{self, Parcel};
use crate::simulator::clock;
use crate::simulator::state::Shared;
use crate::simulator::subscriptions::catalogue;
use crate::simulator::subscriptions::store::End;

const REAUTHORIZE: &str = "reauthorizationRequired";
const REMOVED: &str = "subscriptionRemoved";
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Sends one event. `subscriptionRemoved` takes the subscription away as well.
pub fn emit(shared: &Shared, subscription_id: &str, event: &str) -> Result<String, String> {
    let now = shared.clock.now();
    let mut state = shared.state();
    let subscription = state
        .subscriptions
        .get(subscription_id)
        .cloned()
        .ok_or("no such live subscription")?;
    let losses = catalogue::rules(&subscription.wanted.resource).map_or(&[][..], |rules| rules.losses);
    if event != REAUTHORIZE && !losses.contains(&event) {
        return Err(format!(
            "'{event}' does not exist for '{}'",
            subscription.wanted.resource
        ));
    }
    let url = subscription
        .wanted
        .lifecycle_notification_url
        .clone()
        .ok_or("it has no lifecycleNotificationUrl")?;
    let id = Uuid::new_v4().to_string();
    state.notifications.add(Notification {
        id: id.clone(),
        subscription_id: subscription.id.clone(),
        url: url.clone(),
        resource: subscription.wanted.resource.clone(),
        event: event.into(),
        created: clock::precise(now),
        attempts: Vec::new(),
        state: Fate::Pending,
        reason: None,
    });
    if event == REAUTHORIZE {
        state
            .subscriptions
            .change(subscription_id, |s| s.challenged = Some(now));
    }
    let mut content = item::lifecycle_item(&subscription, event);
    content["id"] = json!(id);
    if event == REMOVED {
        state.subscriptions.end(subscription_id, End::Removed, now);
    }
    drop(state);
    // Lifecycle events are not held back by an expired token: they are what tells about it.
    let body = json!({ "value": [content] });
    send::start(
        shared,
        Parcel {
            url,
            ids: vec![id.clone()],
            subscriptions: Vec::new(),
            body,
        },
    );
    Ok(id)
}

/// Challenges subscriptions near their end, for as long as the simulator runs.
pub async fn watch(shared: Shared) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let now = shared.clock.now();
        for id in due(&shared, now) {
            if let Err(reason) = emit(&shared, &id, REAUTHORIZE) {
                tracing::debug!(id, reason, "no challenge");
            }
        }
    }
}

fn due(shared: &Shared, now: Timestamp) -> Vec<String> {
    let state = shared.state();
    if !state.settings.challenges {
        return Vec::new();
    }
    state.subscriptions.due(now).map(|s| s.id.clone()).collect()
}
