//! Notifications of presence: sent whenever somebody shows something else, late, lost or twice if the settings say so.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::book::Key;
use super::read;
use crate::simulator::config::PresenceSettings;
use crate::simulator::delivery::event::{self, Event};
use crate::simulator::state::Shared;

/// Tells subscribers until the simulator ends.
pub async fn watch(shared: Shared) {
    loop {
        let (changed, next) = {
            let mut state = shared.state();
            (state.presence.take_changed(), state.presence.next_due())
        };
        for key in changed {
            tell(&shared, &key);
        }
        tokio::select! {
            () = shared.presence_news.notified() => {}
            () = shared.clock.wait_until(next.unwrap_or(Timestamp::MAX)) => {}
        }
    }
}

fn tell(shared: &Shared, (tenant, user): &Key) {
    let (settings, object) = {
        let state = shared.state();
        (state.settings.presence.clone(), read::presence(&state, tenant, user))
    };
    let Value::Object(object) = object else {
        return;
    };
    let happened = event(tenant, user, &object);
    for pause in pauses(&settings) {
        if pause.is_zero() {
            event::happen(shared, &happened);
            continue;
        }
        let (shared, happened) = (shared.clone(), happened.clone());
        let late = async move {
            tokio::time::sleep(pause).await;
            event::happen(&shared, &happened);
        };
        tokio::spawn(late);
    }
}

fn event(tenant: &str, user: &str, object: &Map<String, Value>) -> Event {
    let resource = format!("communications/presences/{user}");
    Event::of_object(resource, "updated".into(), Some(tenant.into()), object)
}

/// When the notification of one change goes out: usually once, not at all if it is lost.
fn pauses(settings: &PresenceSettings) -> Vec<Duration> {
    let happens = |percent: u8| fastrand::u8(0..100) < percent;
    if happens(settings.lost_percent) {
        return Vec::new();
    }
    let copies = 1 + usize::from(happens(settings.repeated_percent));
    let pause = || Duration::from_millis(settings.delay_ms + fastrand::u64(0..=settings.jitter_ms));
    (0..copies).map(|_| pause()).collect()
}
