//! What the log keeps: one notification or lifecycle item, with where it came from.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// What an item tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A change of a resource.
    Notification,
    /// A change of the subscription itself.
    Lifecycle,
}

impl Kind {
    /// Both kinds.
    pub const ALL: [Self; 2] = [Self::Notification, Self::Lifecycle];

    /// Its name in the pull API and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Notification => "notification",
            Self::Lifecycle => "lifecycle",
        }
    }
}

/// How an item got here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Origin {
    /// Microsoft Graph sent it.
    Push,
    /// The controller fetched it after a gap.
    Backfill,
    /// The controller fetched it because Graph does not notify of it.
    Poll,
}

impl Origin {
    /// Its name in the pull API, in `CloudEvents` and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Push => "Push",
            Self::Backfill => "Backfill",
            Self::Poll => "Poll",
        }
    }
}

/// An item as it is stored. Names are short because every event repeats them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// When it was received, in milliseconds since 1970. Stored in front of the JSON, where trimming finds it fast.
    #[serde(skip)]
    pub received_millis: i64,
    /// UID of the `GraphSubscription`.
    #[serde(rename = "u")]
    pub uid: String,
    /// Id of the key that proved it; empty for what the controller handed in.
    #[serde(rename = "k", default, skip_serializing_if = "String::is_empty")]
    pub key_id: String,
    /// How it got here.
    #[serde(rename = "o")]
    pub origin: Origin,
    /// Graph's id of the subscription, when known.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub subscription_id: Option<String>,
    /// Graph's item as it came, without `clientState`.
    #[serde(rename = "i")]
    pub item: Box<RawValue>,
}

/// Bytes of the time in front of a stored record.
pub const TIME_BYTES: usize = 8;

impl Record {
    /// The bytes to store.
    pub fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut bytes = Vec::with_capacity(TIME_BYTES + self.item.get().len() + 160);
        bytes.extend_from_slice(&self.received_millis.to_be_bytes());
        serde_json::to_writer(&mut bytes, self)?;
        Ok(bytes)
    }

    /// A record from stored bytes; `None` if they are not one.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (time, json) = bytes.split_first_chunk::<TIME_BYTES>()?;
        let mut record: Self = serde_json::from_slice(json).ok()?;
        record.received_millis = i64::from_be_bytes(*time);
        Some(record)
    }
}

/// When the record in these stored bytes was received.
pub fn received_millis(bytes: &[u8]) -> i64 {
    bytes
        .first_chunk::<TIME_BYTES>()
        .map_or(0, |time| i64::from_be_bytes(*time))
}

/// A stored record with its place in the log.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its sequence number: greater than that of everything stored before it.
    pub seq: u64,
    /// What it tells of.
    pub kind: Kind,
    /// What was stored.
    pub record: Record,
}

/// Now, in milliseconds since 1970.
pub fn now_millis() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// A time in milliseconds as RFC 3339 text in UTC.
pub fn rfc3339(millis: i64) -> String {
    jiff::Timestamp::from_millisecond(millis)
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_survives_storage_byte_for_byte() {
        let item = r#"{"resource":"users/1", "n": 1.10, "escaped":"a\u0041"}"#;
        let record = Record {
            received_millis: 1_764_000_000_123,
            uid: "u".to_owned(),
            key_id: "k1".to_owned(),
            origin: Origin::Push,
            subscription_id: Some("s".to_owned()),
            item: RawValue::from_string(item.to_owned()).unwrap(),
        };
        let bytes = record.encode().unwrap();
        assert_eq!(received_millis(&bytes), record.received_millis);
        let back = Record::decode(&bytes).unwrap();
        assert_eq!(back.item.get(), item);
        assert_eq!(rfc3339(back.received_millis), "2025-11-24T16:00:00.123Z");
        assert!(Record::decode(&bytes[..6]).is_none());
        assert!(Record::decode(&bytes[..20]).is_none());
    }
}
