//! Messages of event sinks: <https://docs.pexip.com/admin/api_event_sink.htm>. Names of people and addresses are not read. The alias
//! that was dialled lives until the next look, which finds where the rules lead it.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::wire::{self, Participant};

/// The event that holds others.
const BULK: &str = "eventsink_bulk";
/// The one that tells of a participant who left.
const LEFT: &str = "participant_disconnected";
/// The one with which a node begins to count.
const BEGINS: &str = "eventsink_started";

/// Longest id and alias of a call, in bytes; with a longer one, it is unreadable.
const LONGEST_ID: usize = 64;
const LONGEST_ALIAS: usize = 255;
/// So much of a reason is kept, in bytes: its beginning says it.
const LONGEST_REASON: usize = 128;

/// The body is not what an event sink sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotEvents;

/// One event. What has another type than expected counts as absent.
#[derive(Deserialize)]
pub(super) struct Event<'a> {
    #[serde(default, deserialize_with = "wire::text")]
    pub(super) node: Option<String>,
    #[serde(default, deserialize_with = "count")]
    pub(super) seq: Option<u64>,
    #[serde(default, deserialize_with = "unix_time")]
    pub(super) time: Option<Timestamp>,
    #[serde(default, rename = "event", deserialize_with = "wire::text")]
    name: Option<String>,
    #[serde(default, borrow)]
    data: Option<&'a RawValue>,
}

/// What an event is about.
pub(super) enum About {
    /// A participant who left.
    Left(Left),
    /// Anything else.
    Other,
    /// A participant who left, in a form that cannot be read.
    Unreadable,
}

/// A participant who left, as far as it matters here.
#[derive(Deserialize)]
pub(super) struct Left {
    #[serde(default, deserialize_with = "wire::text")]
    uuid: Option<String>,
    #[serde(default, deserialize_with = "wire::text")]
    call_direction: Option<String>,
    #[serde(default, deserialize_with = "wire::text")]
    destination_alias: Option<String>,
    #[serde(default, deserialize_with = "wire::text")]
    disconnect_reason: Option<String>,
    #[serde(default, deserialize_with = "wire::text")]
    service_type: Option<String>,
}

impl Event<'_> {
    /// Whether the node begins to count.
    pub(super) fn begins(&self) -> bool {
        self.name.as_deref() == Some(BEGINS)
    }

    /// What it is about.
    pub(super) fn about(&self) -> About {
        if self.name.as_deref() != Some(LEFT) {
            return About::Other;
        }
        let left = self.data.and_then(|data| serde_json::from_str::<Left>(data.get()).ok());
        match left {
            Some(left) if left.uuid.is_none() => About::Unreadable,
            Some(left) if left.may_be_for_teams() => left.bounded().map_or(About::Unreadable, About::Left),
            Some(_) => About::Other,
            None => About::Unreadable,
        }
    }
}

impl Left {
    /// Calls to Teams go through a gateway, and are told of by the caller's leg.
    fn may_be_for_teams(&self) -> bool {
        let is =
            |field: &Option<String>, word: &str| field.as_ref().is_some_and(|text| text.eq_ignore_ascii_case(word));
        is(&self.service_type, "gateway") && !is(&self.call_direction, "out")
    }

    /// The same in bounded memory. `None`: it has an id or alias that no call has.
    fn bounded(mut self) -> Option<Self> {
        let is_longer = |field: &Option<String>, longest| field.as_ref().is_some_and(|text| text.len() > longest);
        if is_longer(&self.uuid, LONGEST_ID) || is_longer(&self.destination_alias, LONGEST_ALIAS) {
            return None;
        }
        if let Some(reason) = &mut self.disconnect_reason {
            reason.truncate(reason.floor_char_boundary(LONGEST_REASON));
            reason.shrink_to_fit();
        }
        self.call_direction = None;
        Some(self)
    }

    /// The id of the participant.
    pub(super) fn id(&self) -> &str {
        self.uuid.as_deref().unwrap_or_default()
    }

    /// The same as the history has it.
    pub(super) fn participant(self, ended: Timestamp) -> Participant {
        Participant {
            id: self.uuid,
            end_time: Some(ended),
            disconnect_reason: self.disconnect_reason,
            service_type: self.service_type,
            local_alias: self.destination_alias,
            call_uuid: None,
        }
    }
}

/// Reads a body: one event, or many in one. One among many that cannot be read is handed out as `None`.
pub(super) fn read<'a>(body: &'a [u8], mut take: impl FnMut(Option<Event<'a>>)) -> Result<(), NotEvents> {
    let event: Event<'a> = serde_json::from_slice(body).map_err(|_| NotEvents)?;
    match (event.name.as_deref(), event.data) {
        (None, _) | (Some(BULK), None) => return Err(NotEvents),
        (Some(BULK), Some(data)) => {
            let events: Vec<&'a RawValue> = serde_json::from_str(data.get()).map_err(|_| NotEvents)?;
            for one in events {
                let one: Option<Event<'a>> = serde_json::from_str(one.get()).ok();
                // One bulk in another is none.
                take(one.filter(|one| one.name.as_ref().is_some_and(|name| name != BULK)));
            }
        }
        _ => take(Some(event)),
    }
    Ok(())
}

fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Ok(Value::deserialize(deserializer)?.as_u64())
}

/// Seconds since 1970, with a fraction.
fn unix_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let seconds = Value::deserialize(deserializer)?.as_f64();
    let since = seconds.and_then(|seconds| SignedDuration::try_from_secs_f64(seconds).ok());
    Ok(since.and_then(|since| Timestamp::from_duration(since).ok()))
}
