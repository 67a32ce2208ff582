//! Delivery of one POST: three seconds at first, ten for each retry, exponential backoff, and an end after four hours.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use url::Url;

use super::endpoint::Standing;
use super::record::{Attempt, Fate};
use crate::simulator::clock;
use crate::simulator::config::DeliverySettings;
use crate::simulator::outbound::NoAnswer;
use crate::simulator::state::Shared;

const SLOW_DELAY: SignedDuration = SignedDuration::from_mins(10);
const HELD_LOOK: Duration = Duration::from_millis(100);

/// One POST and the notifications in it.
pub struct Parcel {
    /// Where to.
    pub url: String,
    /// Ids of the notifications.
    pub ids: Vec<String>,
    /// Subscriptions whose token must be good for this to go out.
    pub subscriptions: Vec<String>,
    /// The payload.
    pub body: Value,
}

/// Delivers in the background.
pub fn start(shared: &Shared, parcel: Parcel) {
    let shared = shared.clone();
    tokio::spawn(async move {
        let stop = shared.stop.clone();
        stop.run_until_cancelled(deliver(&shared, parcel)).await;
    });
}

async fn deliver(shared: &Shared, parcel: Parcel) {
    let settings = shared.state().settings.delivery.clone();
    if parcel.url.starts_with("EventHub:") || parcel.url.starts_with("EventGrid:") {
        // Azure takes these; there is nothing to stand in for.
        return shared
            .state()
            .notifications
            .ended(&parcel.ids, Fate::Acknowledged, None);
    }
    let host = host_of(&parcel.url);
    let started = shared.clock.now();
    let deadline = started
        .saturating_add(SignedDuration::from_secs(settings.give_up_after_seconds))
        .unwrap_or(started);
    match standing(shared, &host, &settings) {
        Standing::Good => {}
        Standing::Slow => {
            shared
                .clock
                .wait_until(started.saturating_add(SLOW_DELAY).unwrap_or(started))
                .await;
        }
        Standing::Drop => return dropped(shared, &parcel, "the endpoint is in the drop state"),
    }
    if !hold_for_tokens(shared, &parcel, deadline).await {
        return dropped(shared, &parcel, "the access token of the subscription has expired");
    }
    let mut limit = Duration::from_millis(settings.first_timeout_ms);
    let mut pause = settings.backoff_base_ms.max(1);
    loop {
        if !parcel.ids.iter().any(|id| shared.state().notifications.knows(id)) {
            return; // The simulator was reset meanwhile.
        }
        if attempt(shared, &parcel, &host, limit, &settings).await {
            return shared
                .state()
                .notifications
                .ended(&parcel.ids, Fate::Acknowledged, None);
        }
        limit = Duration::from_millis(settings.retry_timeout_ms);
        let wait = SignedDuration::from_millis(i64::try_from(jittered(pause)).unwrap_or(i64::MAX));
        let next = shared.clock.now().saturating_add(wait).unwrap_or(deadline);
        if next > deadline {
            return dropped(shared, &parcel, "not acknowledged in time");
        }
        shared.clock.wait_until(next).await;
        pause = pause.saturating_mul(2).min(settings.backoff_max_ms.max(1));
    }
}

/// One POST. True if it was acknowledged.
async fn attempt(shared: &Shared, parcel: &Parcel, host: &str, limit: Duration, settings: &DeliverySettings) -> bool {
    let at = clock::precise(shared.clock.now());
    let begun = Instant::now();
    let answer = shared
        .outbound
        .post(
            &parcel.url,
            "application/json; charset=utf-8",
            parcel.body.to_string(),
            limit,
        )
        .await;
    let took = begun.elapsed();
    let (status, error) = match &answer {
        Ok(answer) => (Some(answer.status), None),
        Err(reason) => (None, Some(format!("{reason:?}"))),
    };
    let latency_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let mut state = shared.state();
    state.notifications.tried(
        &parcel.ids,
        &Attempt {
            at,
            status,
            error,
            latency_ms,
        },
    );
    // A refused connection is a quick failure; only slowness counts against an endpoint.
    if matches!(answer, Ok(_) | Err(NoAnswer::Timeout)) {
        state.endpoints.answered(host, shared.clock.now(), took, settings);
    }
    status.is_some_and(|status| (200..300).contains(&status))
}

fn standing(shared: &Shared, host: &str, settings: &DeliverySettings) -> Standing {
    if !settings.endpoint_states {
        return Standing::Good;
    }
    let now = shared.clock.now();
    shared.state().endpoints.admit(host, now, settings)
}

/// With challenges on, notifications wait for a good token. False if none came in time.
async fn hold_for_tokens(shared: &Shared, parcel: &Parcel, deadline: Timestamp) -> bool {
    loop {
        let now = shared.clock.now();
        let held = {
            let state = shared.state();
            state.settings.challenges
                && parcel
                    .subscriptions
                    .iter()
                    .any(|id| state.subscriptions.get(id).is_some_and(|s| s.token_ends <= now))
        };
        if !held {
            return true;
        }
        if now > deadline {
            return false;
        }
        tokio::time::sleep(HELD_LOOK).await;
    }
}

fn dropped(shared: &Shared, parcel: &Parcel, reason: &str) {
    shared
        .state()
        .notifications
        .ended(&parcel.ids, Fate::Dropped, Some(reason));
}

/// Plus or minus a fifth.
fn jittered(pause_ms: u64) -> u64 {
    let fifth = pause_ms / 5;
    pause_ms - fifth + fastrand::u64(0..=fifth.saturating_mul(2))
}

fn host_of(url: &str) -> String {
    let url = Url::parse(url).ok();
    let name = url.as_ref().and_then(Url::host_str).unwrap_or_default();
    let port = url.as_ref().and_then(Url::port_or_known_default).unwrap_or_default();
    format!("{name}:{port}")
}
