//! A small deployment in which all is well: one connector with two instances, one node, one rule, one Virtual Reception.

use serde_json::{Value, json};

use crate::simulator::DEFAULT_TENANT;

const CONNECTOR: &str = "/api/admin/configuration/v1/teams_proxy/1/";
const LOCATION: &str = "/api/admin/configuration/v1/system_location/1/";

/// Namespace, resource and objects.
pub fn deployment() -> Vec<(&'static str, &'static str, Vec<Value>)> {
    let mut all = configuration();
    all.extend(status());
    all
}

fn configuration() -> Vec<(&'static str, &'static str, Vec<Value>)> {
    let connector = json!({
        "id": 1, "name": "eu", "description": "", "address": "connector-eu.example.com", "port": 443,
        "azure_tenant": "/api/admin/configuration/v1/azure_tenant/1/", "notifications_enabled": true, "eventhub_id": "q1",
        "min_number_of_instances": 1, "updated": "now-30d",
        "notifications_queue": "Endpoint=sb://eu.servicebus.example.com/;SharedAccessKeyName=standard_access_policy;SharedAccessKey=simulator-queue-secret;",
    });
    let rule = json!({
        "id": 1, "name": "teams", "enable": true, "priority": 10, "match_string": "(\\d{9,13})@example\\.com",
        "match_string_full": false, "replace_string": "\\1", "called_device_type": "teams_conference", "outgoing_protocol": "teams",
        "outgoing_location": LOCATION, "teams_proxy": CONNECTOR, "treat_as_trusted": false, "match_source_location": null,
        "match_incoming_calls": true, "match_outgoing_calls": false, "match_incoming_sip": true, "match_incoming_h323": true,
        "match_incoming_mssip": true, "match_incoming_webrtc": true, "match_incoming_teams": false,
        "match_incoming_only_if_registered": false,
    });
    let reception = json!({
        "id": 1, "name": "Teams reception", "service_type": "two_stage_dialing", "two_stage_dial_type": "teams",
        "teams_proxy": CONNECTOR, "system_location": null, "pin": "simulator-pin-secret",
    });
    let room =
        json!({"id": 2, "name": "Room", "service_type": "conference", "two_stage_dial_type": "", "teams_proxy": null});
    let node = json!({
        "id": 1, "name": "edge01", "hostname": "edge01", "domain": "example.com", "alternative_fqdn": "",
        "tls_certificate": "/api/admin/configuration/v1/tls_certificate/1/", "tls_client_certificate": null,
        "system_location": LOCATION, "node_type": "CONFERENCING", "maintenance_mode": false,
        "password": "simulator-node-secret", "snmp_community": "simulator-snmp-secret",
    });
    let certificate = json!({
        "id": 1, "nodes": ["edge01.example.com"], "subject_name": "edge01.example.com",
        "subject_alt_names": "edge01.example.com", "start_date": "now-30d", "end_date": "now+150d", "server_auth_usage": true,
        "client_auth_usage": true, "issuer_name": "Example CA", "certificate": "-----BEGIN CERTIFICATE-----\n",
        "private_key": "-----BEGIN PRIVATE KEY-----\nsimulator-key-secret\n", "private_key_passphrase": "simulator-passphrase-secret",
    });
    let authority = json!({
        "id": 1, "certificate": "-----BEGIN CERTIFICATE-----\n", "trusted_intermediate": true, "subject_name": "Example CA",
        "issuer_name": "Example Root", "start_date": "now-300d", "end_date": "now+900d",
    });
    let location = json!({"id": 1, "name": "Europe", "description": "", "teams_proxy": CONNECTOR, "http_proxy": null});
    let tenant = json!({"id": 1, "name": "Contoso", "description": "", "tenant_id": DEFAULT_TENANT});
    vec![
        ("configuration", "teams_proxy", vec![connector]),
        ("configuration", "azure_tenant", vec![tenant]),
        ("configuration", "system_location", vec![location]),
        ("configuration", "gateway_routing_rule", vec![rule]),
        ("configuration", "conference", vec![reception, room]),
        ("configuration", "worker_vm", vec![node]),
        ("configuration", "tls_certificate", vec![certificate]),
        ("configuration", "ca_certificate", vec![authority]),
    ]
}

fn status() -> Vec<(&'static str, &'static str, Vec<Value>)> {
    let instance = |number: u32| {
        json!({
            "id": format!("eu-vmss_{number}"), "name": format!("eu{number:06}"), "state": null, "instance_status": "active",
            "call_count": 3, "max_calls": 15, "media_load": 20, "heartbeat_time": "now-5s", "start_time": "now-3h",
            "ip_address": "203.0.113.9", "private_ip_address": "10.0.0.7", "scaleset_id": "eu-vmss", "eventhub_id": "q1",
        })
    };
    let drift = json!({
        "teamsnode_id": "eu-vmss_1", "status": "Success", "details": "", "failing_resources": "", "last_contact": "now-10m",
    });
    let node = json!({
        "id": 1, "name": "edge01", "system_location": "Europe", "node_type": "CONFERENCING", "sync_status": "SYNCED",
        "last_updated": "now-20s", "last_attempted_contact": "now-10s", "maintenance_mode": false, "maintenance_mode_reason": "",
        "upgrade_status": "IDLE", "version": "41", "media_load": 10, "configuration_id": 1,
    });
    let licences = json!({
        "audio_count": 0, "audio_total": 0, "port_count": 12, "port_total": 100, "teams_count": 6, "teams_total": 50,
        "vmr_count": 2, "vmr_total": 100, "system_count": 1, "system_total": 1,
    });
    let call = json!({
        "id": "call-1", "teamsnode_id": "eu-vmss_1", "source": "simulator-caller@example.com",
        "destination": "simulator-callee@example.com", "state": "active", "start_time": "now-5m", "heartbeat_time": "now-5s",
    });
    vec![
        ("status", "teamsnode", vec![instance(1), instance(2)]),
        ("status", "teamsnode_call", vec![call]),
        ("status", "teamsnodedsc", vec![drift]),
        ("status", "worker_vm", vec![node]),
        ("status", "alarm", Vec::new()),
        ("status", "licensing", vec![licences]),
        ("history", "participant", Vec::new()),
    ]
}
