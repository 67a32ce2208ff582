//! Reads Graph's notification bodies, and judges each item by itself.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::event::Kind;
use super::fields::{self, Fields};
use super::resource;
use crate::policy::identity::equal;

/// Member that proves an item genuine. A secret: it is never stored.
pub const CLIENT_STATE: &str = "clientState";

/// A genuine item.
#[derive(Debug)]
pub struct Item {
    /// What it tells of.
    pub kind: Kind,
    /// Graph's id of the subscription, when given.
    pub subscription_id: Option<String>,
    /// Id of the resource that changed, of notifications only.
    pub resource_id: Option<String>,
    /// The item as it came, without `clientState`.
    pub json: Box<RawValue>,
}

/// What became of the items of a body.
#[derive(Debug, Default)]
pub struct Judged {
    /// The genuine ones.
    pub good: Vec<Item>,
    /// How many did not carry the right `clientState`.
    pub forged: u64,
    /// How many were not objects.
    pub malformed: u64,
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    value: Vec<&'a RawValue>,
}

/// Reads a body whose genuine items carry this `clientState`. Fails if it is not of Graph's shape.
pub fn judge(body: &[u8], client_state: &str) -> Result<Judged, serde_json::Error> {
    let body: Body<'_> = serde_json::from_slice(body)?;
    let mut judged = Judged::default();
    for item in body.value {
        let Some(fields) = Fields::parse(item) else {
            judged.malformed += 1;
            continue;
        };
        if !is_genuine(&fields, client_state) {
            judged.forged += 1;
            continue;
        }
        judged.good.push(read(&fields)?);
    }
    Ok(judged)
}

/// An item from an object, whoever sent it.
pub fn read(fields: &Fields<'_>) -> Result<Item, serde_json::Error> {
    let kind = kind(fields);
    let changed = (kind == Kind::Notification).then_some(fields);
    Ok(Item {
        kind,
        resource_id: changed.and_then(resource::id),
        subscription_id: fields.text("subscriptionId"),
        json: fields.without(CLIENT_STATE)?,
    })
}

// Both kinds may come in on either address, so the item itself says what it is.
fn kind(fields: &Fields<'_>) -> Kind {
    if fields.has("lifecycleEvent") {
        Kind::Lifecycle
    } else {
        Kind::Notification
    }
}

fn is_genuine(fields: &Fields<'_>, client_state: &str) -> bool {
    let mut given = fields.all(CLIENT_STATE).map(fields::text).peekable();
    given.peek().is_some() && given.all(|text| text.is_some_and(|text| equal(&text, client_state)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(body: &str) -> Item {
        let mut judged = judge(body.as_bytes(), "secret").unwrap();
        assert_eq!(
            (judged.good.len(), judged.forged, judged.malformed),
            (1, 0, 0),
            "{body}"
        );
        judged.good.remove(0)
    }

    #[test]
    fn keeps_everything_but_the_secret() {
        let item = only(
            r#"{"value":[{"a":1.10,"client\u0053tate":"secret","oDataType":"x","t":"2026-01-01T00:00:00.1234567-08:00","b":{"clientState":"inner"}}],"extra":1}"#,
        );
        assert_eq!(
            item.json.get(),
            r#"{"a":1.10,"oDataType":"x","t":"2026-01-01T00:00:00.1234567-08:00","b":{"clientState":"inner"}}"#
        );
        assert_eq!(item.kind, Kind::Notification);
    }

    #[test]
    fn a_lifecycle_event_is_known_by_its_member() {
        let item = only(
            r#"{"value":[{"clientState":"secret","subscriptionId":"s1","resource":"users/1","lifecycleEvent":"missed"}]}"#,
        );
        assert_eq!(
            (item.kind, item.subscription_id.as_deref()),
            (Kind::Lifecycle, Some("s1"))
        );
        assert_eq!(item.resource_id, None);
        let item = only(r#"{"value":[{"clientState":"secret","resource":"users/1","lifecycleEvent":null}]}"#);
        assert_eq!(
            (item.kind, item.resource_id.as_deref()),
            (Kind::Notification, Some("1"))
        );
    }

    #[test]
    fn judges_each_item_by_itself() {
        let body = r#"{"value":[null,7,{},{"clientState":null},{"clientState":"wrong"},{"clientState":7},
            {"clientState":"secret","clientState":"wrong"},{"clientState":"secret"}]}"#;
        let judged = judge(body.as_bytes(), "secret").unwrap();
        assert_eq!((judged.good.len(), judged.forged, judged.malformed), (1, 5, 2));
        assert_eq!(judged.good[0].json.get(), "{}");
    }

    #[test]
    fn refuses_other_shapes() {
        for body in [
            "",
            "{",
            "[]",
            "null",
            r#"{"value":{}}"#,
            r#"{"values":[]}"#,
            r#"{"value":[{}]"#,
            "\u{7f}",
        ] {
            assert!(judge(body.as_bytes(), "secret").is_err(), "{body}");
        }
        assert!(judge(b"{\"value\":[\"\xff\"]}", "secret").is_err());
    }
}
