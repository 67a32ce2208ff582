//! The subscription resource, to Graph and from Graph. <https://learn.microsoft.com/graph/api/resources/subscription>

use std::fmt;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// What to create. Debug shows no secret.
#[derive(Clone, Debug)]
pub struct NewSubscription {
    /// Relative path of the resource, such as `communications/callRecords`.
    pub resource: String,
    /// Comma list of `created`, `updated`, `deleted`.
    pub change_type: String,
    /// Where Graph sends notifications; secret, because its path is a proof.
    pub notification_url: SecretString,
    /// Where Graph sends lifecycle events; secret likewise.
    pub lifecycle_notification_url: Option<SecretString>,
    /// What Graph repeats in every notification; at most 128 characters.
    pub client_state: SecretString,
    /// Asked expiry, sent in whole seconds. Graph may return another one: that one counts.
    pub expiration: Timestamp,
    /// Options of the few resources that have any (Universal Print, Entra health alerts).
    pub notification_query_options: Option<String>,
}

/// [`NewSubscription`] in Graph's words; exists only while it is written into a request.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CreateBody<'a> {
    resource: &'a str,
    change_type: &'a str,
    notification_url: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    lifecycle_notification_url: Option<&'a str>,
    client_state: &'a str,
    expiration_date_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    notification_query_options: Option<&'a str>,
}

impl NewSubscription {
    pub(super) fn body(&self) -> CreateBody<'_> {
        CreateBody {
            resource: &self.resource,
            change_type: &self.change_type,
            notification_url: self.notification_url.expose_secret(),
            lifecycle_notification_url: self
                .lifecycle_notification_url
                .as_ref()
                .map(ExposeSecret::expose_secret),
            client_state: self.client_state.expose_secret(),
            expiration_date_time: whole_seconds(self.expiration),
            notification_query_options: self.notification_query_options.as_deref(),
        }
    }
}

/// A renewal in Graph's words.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RenewBody<'a> {
    expiration_date_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    notification_url: Option<&'a str>,
}

impl<'a> RenewBody<'a> {
    pub(super) fn new(expiration: Timestamp, url: Option<&'a SecretString>) -> Self {
        Self {
            expiration_date_time: whole_seconds(expiration),
            notification_url: url.map(ExposeSecret::expose_secret),
        }
    }
}

/// RFC 3339 in UTC without a fraction: the form that every Graph backend accepts.
fn whole_seconds(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}

/// A subscription as Graph returns it. Debug hides the URLs.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subscription {
    /// Id that Graph gave.
    pub id: String,
    /// Relative path of the resource.
    #[serde(default, deserialize_with = "or_default")]
    pub resource: String,
    /// Comma list of change types.
    #[serde(default, deserialize_with = "or_default")]
    pub change_type: String,
    /// Where notifications go; its path is a proof: not to be logged. Empty when Graph returned none.
    #[serde(default, deserialize_with = "or_default")]
    pub notification_url: String,
    /// When it lapses unless renewed.
    #[serde(rename = "expirationDateTime", deserialize_with = "lenient_time")]
    pub expiration: Timestamp,
    /// The app that created it.
    #[serde(default)]
    pub application_id: Option<String>,
    /// Where lifecycle events go; not to be logged.
    #[serde(default)]
    pub lifecycle_notification_url: Option<String>,
    /// Object id of who created it: the app's service principal, or the user who was signed in.
    #[serde(default)]
    pub creator_id: Option<String>,
    /// Whether notifications carry what changed, encrypted.
    #[serde(default)]
    pub include_resource_data: Option<bool>,
    /// Options of the few resources that have any.
    #[serde(default)]
    pub notification_query_options: Option<String>,
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("id", &self.id)
            .field("resource", &self.resource)
            .field("change_type", &self.change_type)
            .field("expiration", &self.expiration)
            .field("application_id", &self.application_id)
            .finish_non_exhaustive()
    }
}

/// A page of the list. Its entries are read one by one: an odd one must not cost the others.
#[derive(Deserialize)]
pub(super) struct Page {
    pub(super) value: Vec<Value>,
    #[serde(rename = "@odata.nextLink")]
    pub(super) next_link: Option<String>,
}

fn or_default<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.unwrap_or_default())
}

/// Graph writes `Z`, offsets, and up to seven digits of a second; a time without a zone is meant as UTC.
fn lenient_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_time(&text).ok_or_else(|| serde::de::Error::custom("not a time"))
}

/// A time as Graph writes it.
pub(super) fn parse_time(text: &str) -> Option<Timestamp> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time);
    }
    let local = text.parse::<DateTime>().ok()?;
    local.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(expiration: &str) -> Timestamp {
        let body =
            serde_json::json!({"id": "1", "expirationDateTime": expiration, "unheardOf": [1], "notificationUrl": null});
        serde_json::from_value::<Subscription>(body).unwrap().expiration
    }

    #[test]
    fn times_are_read_in_every_form_that_graph_writes() {
        let expected: Timestamp = "2026-11-20T18:23:45.9356913Z".parse().unwrap();
        assert_eq!(parse("2026-11-20T18:23:45.9356913Z"), expected);
        assert_eq!(parse("2026-11-20T20:23:45.9356913+02:00"), expected);
        assert_eq!(parse("2026-11-20T18:23:45.9356913"), expected);
    }

    #[test]
    fn the_expiry_is_sent_in_whole_seconds_of_utc() {
        let new = NewSubscription {
            resource: "communications/callRecords".into(),
            change_type: "created".into(),
            notification_url: SecretString::from("https://example.org/n/secret-path"),
            lifecycle_notification_url: None,
            client_state: SecretString::from("secret-state"),
            expiration: "2026-11-20T18:23:45.9356913Z".parse().unwrap(),
            notification_query_options: None,
        };
        assert_eq!(
            serde_json::to_value(new.body()).unwrap(),
            serde_json::json!({
                "resource": "communications/callRecords",
                "changeType": "created",
                "notificationUrl": "https://example.org/n/secret-path",
                "clientState": "secret-state",
                "expirationDateTime": "2026-11-20T18:23:45Z",
            })
        );
        assert!(!format!("{new:?}").contains("secret-"));
    }

    #[test]
    fn debug_hides_the_urls() {
        let body = r#"{"id":"1","expirationDateTime":"2026-11-20T18:23:45Z","notificationUrl":"https://h/n/proof",
            "lifecycleNotificationUrl":"https://h/l/proof"}"#;
        let subscription: Subscription = serde_json::from_str(body).unwrap();
        assert!(!format!("{subscription:?}").contains("proof"));
    }
}
