//! Objects as the Management Node writes them. Fields that hold secrets (`notifications_queue`, `private_key`, `password`, …) or
//! name people are not among them, so they are never kept.
//!
//! Types of fields differ between releases: what has another than expected counts as absent.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Longest text and longest certificate that are kept, in characters.
const LONGEST: usize = 1000;
const LONGEST_PEM: usize = 64 * 1024;

#[derive(Deserialize)]
pub(super) struct TeamsNode {
    #[serde(default, deserialize_with = "text")]
    pub(super) id: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub(super) name: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub(super) state: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub(super) instance_status: Option<String>,
    #[serde(default, deserialize_with = "number")]
    pub(super) call_count: Option<i32>,
    #[serde(default, deserialize_with = "number")]
    pub(super) max_calls: Option<i32>,
    #[serde(default, deserialize_with = "time")]
    pub(super) heartbeat_time: Option<Timestamp>,
    #[serde(default, deserialize_with = "text")]
    pub(super) eventhub_id: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct TeamsNodeCall {
    #[serde(default, deserialize_with = "key")]
    pub(super) teamsnode_id: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct TeamsNodeDsc {
    #[serde(default, deserialize_with = "key")]
    pub(super) teamsnode_id: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub(super) status: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub(super) failing_resources: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct WorkerStatus {
    #[serde(default, deserialize_with = "text")]
    pub(super) name: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub(super) sync_status: Option<String>,
    #[serde(default, deserialize_with = "flag")]
    pub(super) maintenance_mode: Option<bool>,
}

#[derive(Deserialize)]
pub(super) struct Alarm {
    #[serde(default, deserialize_with = "text")]
    pub(super) name: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub(super) level: Option<String>,
    #[serde(default, deserialize_with = "flag")]
    pub(super) acknowledged: Option<bool>,
}

#[derive(Deserialize)]
pub(super) struct Licensing {
    #[serde(default, deserialize_with = "number")]
    pub(super) teams_count: Option<i32>,
    #[serde(default, deserialize_with = "number")]
    pub(super) teams_total: Option<i32>,
    #[serde(default, deserialize_with = "number")]
    pub(super) port_count: Option<i32>,
    #[serde(default, deserialize_with = "number")]
    pub(super) port_total: Option<i32>,
}

#[derive(Deserialize)]
pub(super) struct TeamsProxy {
    #[serde(default, deserialize_with = "text")]
    pub(super) resource_uri: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub(super) name: Option<String>,
    #[serde(default, deserialize_with = "link")]
    pub(super) azure_tenant: Option<String>,
    #[serde(default, deserialize_with = "flag")]
    pub(super) notifications_enabled: Option<bool>,
    #[serde(default, deserialize_with = "text")]
    pub(super) eventhub_id: Option<String>,
    #[serde(default, deserialize_with = "number")]
    pub(super) min_number_of_instances: Option<i32>,
}

#[derive(Deserialize)]
pub(super) struct AzureTenant {
    #[serde(default, deserialize_with = "text")]
    pub(super) resource_uri: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub(super) name: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub(super) tenant_id: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct SystemLocation {
    #[serde(default, deserialize_with = "text")]
    pub(super) resource_uri: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub(super) name: Option<String>,
    #[serde(default, deserialize_with = "link")]
    pub(super) teams_proxy: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Conference {
    #[serde(default, deserialize_with = "text")]
    pub(super) name: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub(super) service_type: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub(super) two_stage_dial_type: Option<String>,
    #[serde(default, deserialize_with = "link")]
    pub(super) teams_proxy: Option<String>,
    #[serde(default, deserialize_with = "link")]
    pub(super) system_location: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct RoutingRule {
    #[serde(default, deserialize_with = "text")]
    pub(super) name: Option<String>,
    #[serde(default, deserialize_with = "flag")]
    pub(super) enable: Option<bool>,
    #[serde(default, deserialize_with = "number")]
    pub(super) priority: Option<i32>,
    #[serde(default, deserialize_with = "text")]
    pub(super) match_string: Option<String>,
    #[serde(default, deserialize_with = "flag")]
    pub(super) match_string_full: Option<bool>,
    #[serde(default, deserialize_with = "text")]
    pub(super) replace_string: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub(super) called_device_type: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub(super) outgoing_protocol: Option<String>,
    #[serde(default, deserialize_with = "link")]
    pub(super) outgoing_location: Option<String>,
    #[serde(default, deserialize_with = "link")]
    pub(super) teams_proxy: Option<String>,
    #[serde(default, deserialize_with = "link")]
    pub(super) match_source_location: Option<String>,
    #[serde(default, deserialize_with = "flag")]
    pub(super) match_incoming_only_if_registered: Option<bool>,
    #[serde(default, deserialize_with = "flag")]
    pub(super) match_incoming_calls: Option<bool>,
    #[serde(default, deserialize_with = "flag")]
    pub(super) match_outgoing_calls: Option<bool>,
    #[serde(default, deserialize_with = "flag")]
    pub(super) match_incoming_sip: Option<bool>,
    #[serde(default, deserialize_with = "flag")]
    pub(super) match_incoming_h323: Option<bool>,
    #[serde(default, deserialize_with = "flag")]
    pub(super) match_incoming_mssip: Option<bool>,
    #[serde(default, deserialize_with = "flag")]
    pub(super) match_incoming_webrtc: Option<bool>,
    #[serde(default, deserialize_with = "flag")]
    pub(super) match_incoming_teams: Option<bool>,
}

#[derive(Deserialize)]
pub(super) struct WorkerConfiguration {
    #[serde(default, deserialize_with = "text")]
    pub(super) name: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub(super) hostname: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub(super) domain: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub(super) alternative_fqdn: Option<String>,
    #[serde(default, deserialize_with = "link")]
    pub(super) system_location: Option<String>,
    #[serde(default, deserialize_with = "link")]
    pub(super) tls_certificate: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub(super) node_type: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct TlsCertificate {
    #[serde(default, deserialize_with = "text")]
    pub(super) resource_uri: Option<String>,
    #[serde(default, deserialize_with = "texts")]
    pub(super) nodes: Vec<String>,
    #[serde(default, deserialize_with = "texts")]
    pub(super) subject_alt_names: Vec<String>,
    #[serde(default, deserialize_with = "text")]
    pub(super) subject_name: Option<String>,
    #[serde(default, deserialize_with = "time")]
    pub(super) start_date: Option<Timestamp>,
    #[serde(default, deserialize_with = "time")]
    pub(super) end_date: Option<Timestamp>,
    #[serde(default, deserialize_with = "flag")]
    pub(super) server_auth_usage: Option<bool>,
    #[serde(default, deserialize_with = "flag")]
    pub(super) client_auth_usage: Option<bool>,
}

#[derive(Deserialize)]
pub(super) struct CaCertificate {
    #[serde(default, deserialize_with = "pem")]
    pub(super) certificate: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub(super) subject_name: Option<String>,
    #[serde(default, deserialize_with = "flag")]
    pub(super) trusted_intermediate: Option<bool>,
    #[serde(default, deserialize_with = "time")]
    pub(super) end_date: Option<Timestamp>,
}

/// A participant who left. The alias lives only until it is known where the rules lead it.
#[derive(Deserialize)]
pub(super) struct Participant {
    #[serde(default, deserialize_with = "text")]
    pub(super) id: Option<String>,
    #[serde(default, deserialize_with = "time")]
    pub(super) end_time: Option<Timestamp>,
    #[serde(default, deserialize_with = "text")]
    pub(super) disconnect_reason: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub(super) service_type: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub(super) local_alias: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub(super) call_uuid: Option<String>,
}

/// Times come in three forms, and all are in UTC: with microseconds and an offset, without an offset, and in whole seconds.
pub(super) fn moment(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    text.parse().ok().or_else(|| {
        let local: DateTime = text.parse().ok()?;
        Some(local.to_zoned(TimeZone::UTC).ok()?.timestamp())
    })
}

fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    Ok(text(deserializer)?.as_deref().and_then(moment))
}

/// Text, or a number or truth value as text. An empty one counts as absent.
pub(super) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(words(Value::deserialize(deserializer)?, LONGEST))
}

fn pem<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(words(Value::deserialize(deserializer)?, LONGEST_PEM))
}

fn words(value: Value, longest: usize) -> Option<String> {
    let text = match value {
        Value::String(text) => text,
        Value::Number(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        _ => return None,
    };
    (!text.is_empty()).then(|| text.chars().take(longest).collect())
}

fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i32>, D::Error> {
    let number = match Value::deserialize(deserializer)? {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    Ok(number.and_then(|number| i32::try_from(number).ok()))
}

fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    Ok(Value::deserialize(deserializer)?.as_bool())
}

/// The address of a related resource, which may also stand here in full.
fn link<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let value = match Value::deserialize(deserializer)? {
        Value::Object(mut object) => object.remove("resource_uri").unwrap_or_default(),
        other => other,
    };
    Ok(words(value, LONGEST))
}

/// The id of a related resource, which may stand here as its address or in full.
fn key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let value = match Value::deserialize(deserializer)? {
        Value::Object(mut object) => object.remove("id").unwrap_or_default(),
        other => other,
    };
    Ok(words(value, LONGEST).and_then(|text| text.rsplit('/').find(|part| !part.is_empty()).map(str::to_owned)))
}

/// A list of texts, or one text with separators. `DNS:` before names of a certificate is no part of them.
fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    const MOST: usize = 256;
    let parts: Vec<String> = match Value::deserialize(deserializer)? {
        Value::Array(all) => all
            .into_iter()
            .filter_map(|one| words(one, LONGEST))
            .take(MOST)
            .collect(),
        other => words(other, LONGEST_PEM).into_iter().collect(),
    };
    let split = parts
        .iter()
        .flat_map(|part| part.split([',', ';', ' ', '\n', '\r', '\t']));
    let names = split
        .map(|name| name.strip_prefix("DNS:").unwrap_or(name))
        .filter(|name| !name.is_empty());
    Ok(names.take(MOST).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_come_in_three_forms() {
        let expected: Timestamp = "2026-11-22T08:41:07Z".parse().unwrap();
        for text in [
            "2026-11-22T08:41:07",
            "2026-11-22T08:41:07.000000",
            "2026-11-22T08:41:07.000000Z",
            "2026-11-22T08:41:07.000000+00:00",
            "2026-11-22T10:41:07+02:00",
        ] {
            assert_eq!(moment(text), Some(expected), "{text}");
        }
        for text in [
            "",
            "-1",
            "yesterday",
            "2026-13-01T00:00:00",
            "-2026-11-22T08:41:07x",
            "1",
        ] {
            assert_eq!(moment(text), None, "{text}");
        }
    }

    #[test]
    fn fields_of_other_types_count_as_absent() {
        let text = r#"{"id":7,"name":null,"state":{},"call_count":"4","max_calls":null,"heartbeat_time":12,"eventhub_id":[1]}"#;
        let node: TeamsNode = serde_json::from_str(text).unwrap();
        assert_eq!(node.id.as_deref(), Some("7"));
        assert_eq!((node.name, node.state, node.eventhub_id), (None, None, None));
        assert_eq!((node.call_count, node.max_calls), (Some(4), None));
        assert_eq!(node.heartbeat_time, None);
        let node: TeamsNode = serde_json::from_str(r#"{"call_count":99999999999}"#).unwrap();
        assert_eq!(node.call_count, None);
    }

    #[test]
    fn related_resources_are_links_ids_or_whole_objects() {
        let instance = |text: &str| serde_json::from_str::<TeamsNodeDsc>(text).unwrap().teamsnode_id;
        assert_eq!(instance(r#"{"teamsnode_id":"eu_3"}"#).as_deref(), Some("eu_3"));
        assert_eq!(
            instance(r#"{"teamsnode_id":"/api/admin/status/v1/teamsnode/eu_3/"}"#).as_deref(),
            Some("eu_3")
        );
        assert_eq!(instance(r#"{"teamsnode_id":{"id":"eu_3"}}"#).as_deref(), Some("eu_3"));
        assert_eq!(instance("{}"), None);
        let tenant = |text: &str| serde_json::from_str::<TeamsProxy>(text).unwrap().azure_tenant;
        assert_eq!(tenant(r#"{"azure_tenant":"/t/1/"}"#).as_deref(), Some("/t/1/"));
        assert_eq!(
            tenant(r#"{"azure_tenant":{"resource_uri":"/t/1/","name":"x"}}"#).as_deref(),
            Some("/t/1/")
        );
        assert_eq!(tenant(r#"{"azure_tenant":null}"#), None);
    }

    #[test]
    fn names_of_a_certificate_are_split() {
        let names = |text: &str| serde_json::from_str::<TlsCertificate>(text).unwrap().subject_alt_names;
        for text in [
            r#"{"subject_alt_names":"DNS:a.example.com, DNS:b.example.com"}"#,
            r#"{"subject_alt_names":["a.example.com","b.example.com"]}"#,
            r#"{"subject_alt_names":"a.example.com\nb.example.com"}"#,
        ] {
            assert_eq!(names(text), ["a.example.com", "b.example.com"], "{text}");
        }
        assert_eq!(names(r#"{"subject_alt_names":null}"#), Vec::<String>::new());
    }
}
