//! An event as a `CloudEvent` 1.0, in the two modes of the HTTP binding.

use std::fmt::Write;

use serde_json::value::RawValue;

use super::super::event::{Event, Kind, rfc3339};
use super::super::fields::Fields;

/// Content type of the structured mode.
pub const STRUCTURED: &str = "application/cloudevents+json";
const SOURCE: &str = "https://graph.microsoft.com/";

/// The id of an event: the same at every attempt, and after restarts.
pub fn id(log_id: &str, seq: u64) -> String {
    format!("{log_id}-{seq}")
}

/// The context attributes. None is empty; absent ones are left out.
pub fn attributes(log_id: &str, event: &Event) -> Vec<(&'static str, String)> {
    let record = &event.record;
    let fields = Fields::parse(&record.item);
    let text = |name| {
        fields
            .as_ref()
            .and_then(|fields| fields.text(name))
            .filter(|text| !text.is_empty())
    };
    // Graph documents both.
    let tenant = text("tenantId").or_else(|| text("organizationId"));
    let tenant = tenant.filter(|tenant| is_plain(tenant));
    let kind = match event.kind {
        Kind::Notification => "dev.teamsgraph.notification",
        Kind::Lifecycle => "dev.teamsgraph.lifecycle",
    };
    let mut attributes = vec![
        ("specversion", "1.0".to_owned()),
        ("id", id(log_id, event.seq)),
        ("source", format!("{SOURCE}{}", tenant.as_deref().unwrap_or_default())),
        ("type", kind.to_owned()),
        ("time", rfc3339(record.received_millis)),
        ("datacontenttype", "application/json".to_owned()),
        ("graphsubscription", record.uid.clone()),
        ("origin", record.origin.name().to_owned()),
    ];
    let optional = [
        ("subject", text("resource")),
        ("subscriptionid", record.subscription_id.clone()),
        ("tenantid", tenant),
    ];
    let present = optional.into_iter().filter_map(|(name, value)| Some((name, value?)));
    attributes.extend(present.filter(|(_, value)| !value.is_empty()));
    attributes
}

fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// The event as one JSON document.
pub fn structured(attributes: &[(&'static str, String)], data: &RawValue) -> Result<String, serde_json::Error> {
    let mut json = String::with_capacity(data.get().len() + 640);
    json.push('{');
    for (name, value) in attributes {
        json.push_str(&serde_json::to_string(name)?);
        json.push(':');
        json.push_str(&serde_json::to_string(value)?);
        json.push(',');
    }
    json.push_str("\"data\":");
    json.push_str(data.get());
    json.push('}');
    Ok(json)
}

/// A header's value in the binary mode: blanks, quotes, percent signs and all but printable ASCII are percent-encoded.
pub fn header_value(text: &str) -> String {
    let mut value = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'"' | b'%' | 0..=0x20 | 0x7f.. => {
                // Writing to a String cannot fail.
                let _ = write!(value, "%{byte:02X}");
            }
            plain => value.push(char::from(plain)),
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::header_value;

    #[test]
    fn header_values_follow_the_binding() {
        // The example of the CloudEvents HTTP protocol binding, 3.1.3.2.
        assert_eq!(header_value("Euro € 😀"), "Euro%20%E2%82%AC%20%F0%9F%98%80");
        assert_eq!(header_value("a\"b%c~!\u{7f}"), "a%22b%25c~!%7F");
    }
}
