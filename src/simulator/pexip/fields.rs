//! Which resources there are, and which fields they have.

/// A resource.
#[derive(Debug)]
pub struct Resource {
    /// `status`, `history` or `configuration`.
    pub namespace: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Fields, apart from `resource_uri`.
    pub fields: &'static [&'static str],
    /// Fields that hold a time.
    pub times: &'static [&'static str],
    /// Whether its objects have ids.
    pub has_ids: bool,
}

/// The resource of this name.
pub fn find(namespace: &str, name: &str) -> Option<&'static Resource> {
    TABLE.iter().find(|one| one.namespace == namespace && one.name == name)
}

const STATUS: Resource = Resource {
    namespace: "status",
    name: "",
    fields: &[],
    times: &[],
    has_ids: true,
};
const CONFIGURATION: Resource = Resource {
    namespace: "configuration",
    ..STATUS
};

/// All of them.
pub static TABLE: &[Resource] = &[
    Resource {
        name: "teamsnode",
        fields: &[
            "id",
            "name",
            "state",
            "instance_status",
            "call_count",
            "max_calls",
            "media_load",
            "heartbeat_time",
            "start_time",
            "ip_address",
            "private_ip_address",
            "scaleset_id",
            "eventhub_id",
        ],
        times: &["heartbeat_time", "start_time"],
        ..STATUS
    },
    Resource {
        name: "teamsnode_call",
        fields: &[
            "id",
            "teamsnode_id",
            "source",
            "destination",
            "state",
            "start_time",
            "heartbeat_time",
        ],
        times: &["start_time", "heartbeat_time"],
        ..STATUS
    },
    Resource {
        name: "teamsnodedsc",
        fields: &["teamsnode_id", "status", "details", "failing_resources", "last_contact"],
        times: &["last_contact"],
        has_ids: false,
        ..STATUS
    },
    Resource {
        name: "worker_vm",
        fields: &[
            "id",
            "name",
            "system_location",
            "node_type",
            "sync_status",
            "last_updated",
            "last_attempted_contact",
            "maintenance_mode",
            "maintenance_mode_reason",
            "upgrade_status",
            "version",
            "media_load",
            "configuration_id",
            "boot_time",
            "deploy_status",
        ],
        times: &["last_updated", "last_attempted_contact", "boot_time"],
        ..STATUS
    },
    Resource {
        name: "alarm",
        fields: &[
            "id",
            "identifier",
            "name",
            "level",
            "details",
            "instance",
            "node",
            "acknowledged",
            "time_raised",
        ],
        times: &["time_raised"],
        ..STATUS
    },
    Resource {
        name: "licensing",
        fields: &[
            "audio_count",
            "audio_total",
            "port_count",
            "port_total",
            "teams_count",
            "teams_total",
            "vmr_count",
            "vmr_total",
            "system_count",
            "system_total",
        ],
        has_ids: false,
        ..STATUS
    },
    Resource {
        namespace: "history",
        name: "participant",
        fields: &[
            "id",
            "call_direction",
            "call_uuid",
            "conference_name",
            "conversation_id",
            "disconnect_reason",
            "display_name",
            "duration",
            "end_time",
            "has_media",
            "license_count",
            "license_type",
            "local_alias",
            "protocol",
            "remote_alias",
            "service_type",
            "signalling_node",
            "start_time",
            "system_location",
            "vendor",
        ],
        times: &["end_time", "start_time"],
        ..STATUS
    },
    Resource {
        name: "teams_proxy",
        fields: &[
            "id",
            "name",
            "description",
            "address",
            "port",
            "azure_tenant",
            "notifications_enabled",
            "notifications_queue",
            "eventhub_id",
            "min_number_of_instances",
            "updated",
        ],
        times: &["updated"],
        ..CONFIGURATION
    },
    Resource {
        name: "azure_tenant",
        fields: &["id", "name", "description", "tenant_id"],
        ..CONFIGURATION
    },
    Resource {
        name: "gateway_routing_rule",
        fields: &[
            "id",
            "name",
            "description",
            "enable",
            "priority",
            "match_string",
            "match_string_full",
            "replace_string",
            "called_device_type",
            "outgoing_protocol",
            "outgoing_location",
            "teams_proxy",
            "treat_as_trusted",
            "match_source_location",
            "match_incoming_calls",
            "match_outgoing_calls",
            "match_incoming_sip",
            "match_incoming_h323",
            "match_incoming_mssip",
            "match_incoming_webrtc",
            "match_incoming_teams",
            "match_incoming_only_if_registered",
            "creation_time",
        ],
        times: &["creation_time"],
        ..CONFIGURATION
    },
    Resource {
        name: "conference",
        fields: &[
            "id",
            "name",
            "description",
            "service_type",
            "two_stage_dial_type",
            "teams_proxy",
            "system_location",
            "pin",
            "guest_pin",
            "creation_time",
        ],
        times: &["creation_time"],
        ..CONFIGURATION
    },
    Resource {
        name: "system_location",
        fields: &[
            "id",
            "name",
            "description",
            "teams_proxy",
            "event_sinks",
            "syslog_servers",
            "http_proxy",
            "ntp_servers",
        ],
        ..CONFIGURATION
    },
    Resource {
        name: "worker_vm",
        fields: &[
            "id",
            "name",
            "description",
            "hostname",
            "domain",
            "alternative_fqdn",
            "tls_certificate",
            "tls_client_certificate",
            "system_location",
            "static_nat_address",
            "node_type",
            "maintenance_mode",
            "password",
            "snmp_community",
        ],
        ..CONFIGURATION
    },
    Resource {
        name: "tls_certificate",
        fields: &[
            "id",
            "certificate",
            "nodes",
            "subject_name",
            "subject_alt_names",
            "start_date",
            "end_date",
            "server_auth_usage",
            "client_auth_usage",
            "issuer_name",
            "serial_no",
            "private_key",
            "private_key_passphrase",
        ],
        times: &["start_date", "end_date"],
        ..CONFIGURATION
    },
    Resource {
        name: "ca_certificate",
        fields: &[
            "id",
            "certificate",
            "trusted_intermediate",
            "subject_name",
            "issuer_name",
            "start_date",
            "end_date",
        ],
        times: &["start_date", "end_date"],
        ..CONFIGURATION
    },
];
