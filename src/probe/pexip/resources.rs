//! What is read of a Management Node, and what is made of it.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::get::Getter;
use super::{pages, wire};
use crate::policy::connector::pexip::routing::{Rule, Scope, Table};
use crate::policy::connector::pexip::{
    Alarm, AlarmLevel, Answer, ApiFault, Authority, Configuration, Connector, Drift, Instance, InstanceState, Licences,
    Location, Node, NodeCertificate, NodeStatus, PexipStatus, Reception, SyncState, Tenant,
};

/// Longest name that is kept, in characters.
const LONGEST_NAME: usize = 120;

/// Lists that are read one after the other: a Management Node is not built for more. After a failure that concerns all of them,
/// the rest is not asked for.
struct Sweep<'a> {
    getter: &'a Getter,
    deadline: Instant,
    failed: Option<ApiFault>,
}

impl Sweep<'_> {
    async fn list<W: DeserializeOwned, T>(
        &mut self,
        path: [&str; 3],
        filter: &[(&str, &str)],
        make: impl Fn(W) -> Option<T>,
    ) -> Answer<Vec<T>> {
        if let Some(fault) = &self.failed {
            return Err(fault.clone());
        }
        let read = pages::list(self.getter, &path, filter, self.deadline).await;
        if let Err(fault) = &read
            && concerns_all(fault)
        {
            self.failed = Some(fault.clone());
        }
        Ok(read?.into_iter().filter_map(make).collect())
    }
}

fn concerns_all(fault: &ApiFault) -> bool {
    matches!(
        fault,
        ApiFault::Unreachable(_) | ApiFault::Unauthorized | ApiFault::LoginPage | ApiFault::Throttled
    )
}

pub(super) async fn status(getter: &Getter, deadline: Instant) -> PexipStatus {
    let mut sweep = Sweep {
        getter,
        deadline,
        failed: None,
    };
    let at = |resource| ["status", "v1", resource];
    let instances = sweep.list(at("teamsnode"), &[], instance).await;
    let calls = sweep.list(at("teamsnode_call"), &[], |call: wire::TeamsNodeCall| call.teamsnode_id);
    let calls = calls.await.map(|ids| {
        let mut counts: BTreeMap<String, i32> = BTreeMap::new();
        for id in ids {
            let count = counts.entry(id).or_default();
            *count = count.saturating_add(1);
        }
        counts
    });
    PexipStatus {
        instances,
        calls,
        drifts: sweep.list(at("teamsnodedsc"), &[], drift).await,
        nodes: sweep.list(at("worker_vm"), &[], node_status).await,
        alarms: sweep.list(at("alarm"), &[], alarm).await,
        licences: sweep
            .list(at("licensing"), &[], licences)
            .await
            .map(|all| all.into_iter().next().unwrap_or_default()),
    }
}

pub(super) async fn configuration(getter: &Getter, deadline: Instant) -> Configuration {
    let mut sweep = Sweep {
        getter,
        deadline,
        failed: None,
    };
    let at = |resource| ["configuration", "v1", resource];
    let connectors = sweep.list(at("teams_proxy"), &[], connector).await;
    let tenants = sweep.list(at("azure_tenant"), &[], tenant).await;
    let locations = sweep.list(at("system_location"), &[], location).await;
    let rules = sweep.list(at("gateway_routing_rule"), &[], |one| Some(rule(one))).await;
    // A deployment may have thousands of other conferences.
    let filter = [("service_type", "two_stage_dialing")];
    Configuration {
        routes: rules.map(|rules| Table::new(rules, &locations)),
        receptions: sweep.list(at("conference"), &filter, reception).await,
        nodes: sweep.list(at("worker_vm"), &[], node).await,
        certificates: sweep.list(at("tls_certificate"), &[], certificate).await,
        authorities: sweep.list(at("ca_certificate"), &[], authority).await,
        connectors,
        tenants,
        locations,
    }
}

/// Fit for messages: without control characters, and not too long.
fn name(text: Option<String>) -> Option<String> {
    let text = text?;
    let kept: String = text.chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect();
    (!kept.trim().is_empty()).then(|| kept.trim().to_owned())
}

fn instance(wire: wire::TeamsNode) -> Option<Instance> {
    let state = InstanceState::read(wire.instance_status.as_deref(), wire.state.as_deref());
    let is_told = wire.instance_status.is_some() || wire.state.is_some();
    // Without the event hub neither may be told; what has calls is alive.
    let state = match state {
        InstanceState::Other if !is_told && wire.call_count.is_some_and(|calls| calls > 0) => InstanceState::Active,
        known => known,
    };
    let id = wire.id?;
    Some(Instance {
        name: name(wire.name).or_else(|| name(Some(id.clone())))?,
        id,
        state,
        calls: wire.call_count,
        most_calls: wire.max_calls,
        heartbeat: wire.heartbeat_time,
        event_hub_id: wire.eventhub_id,
    })
}

fn drift(wire: wire::TeamsNodeDsc) -> Option<Drift> {
    Some(Drift {
        instance: wire.teamsnode_id?,
        is_failing: Drift::tells(wire.status.as_deref(), wire.failing_resources.as_deref()),
    })
}

fn node_status(wire: wire::WorkerStatus) -> Option<NodeStatus> {
    Some(NodeStatus {
        name: name(wire.name)?,
        sync: SyncState::read(wire.sync_status.as_deref()),
        in_maintenance: wire.maintenance_mode.unwrap_or(false),
    })
}

fn alarm(wire: wire::Alarm) -> Option<Alarm> {
    Some(Alarm {
        name: name(wire.name)?,
        level: AlarmLevel::read(wire.level.as_deref()),
        is_acknowledged: wire.acknowledged.unwrap_or(false),
    })
}

#[allow(clippy::unnecessary_wraps, clippy::needless_pass_by_value)] // as all that make something of an object
fn licences(wire: wire::Licensing) -> Option<Licences> {
    Some(Licences {
        teams_used: wire.teams_count,
        teams_total: wire.teams_total,
        ports_used: wire.port_count,
        ports_total: wire.port_total,
    })
}

fn connector(wire: wire::TeamsProxy) -> Option<Connector> {
    Some(Connector {
        uri: wire.resource_uri?,
        name: wire.name?,
        tenant: wire.azure_tenant,
        event_hub: wire.notifications_enabled,
        event_hub_id: wire.eventhub_id,
        least_instances: wire.min_number_of_instances,
    })
}

fn tenant(wire: wire::AzureTenant) -> Option<Tenant> {
    Some(Tenant {
        uri: wire.resource_uri?,
        name: name(wire.name)?,
        tenant_id: name(wire.tenant_id).unwrap_or_default(),
    })
}

fn location(wire: wire::SystemLocation) -> Option<Location> {
    Some(Location {
        uri: wire.resource_uri?,
        name: name(wire.name)?,
        connector: wire.teams_proxy,
    })
}

fn reception(wire: wire::Conference) -> Option<Reception> {
    let is = |field: &Option<String>, word: &str| field.as_deref().is_some_and(|text| text.eq_ignore_ascii_case(word));
    if !is(&wire.service_type, "two_stage_dialing") || !is(&wire.two_stage_dial_type, "teams") {
        return None;
    }
    Some(Reception {
        name: name(wire.name)?,
        connector: wire.teams_proxy,
        location: wire.system_location,
    })
}

fn rule(wire: wire::RoutingRule) -> Rule {
    let is_teams = |text: &Option<String>| {
        text.as_deref()
            .is_some_and(|text| text.to_ascii_lowercase().starts_with("teams"))
    };
    // Whether it is for each sort of call, where the original's default is in force when it is not told.
    let kinds = [
        wire.match_incoming_calls.unwrap_or(true),
        wire.match_outgoing_calls.unwrap_or(false),
        wire.match_incoming_sip.unwrap_or(true),
        wire.match_incoming_h323.unwrap_or(true),
        wire.match_incoming_mssip.unwrap_or(true),
        wire.match_incoming_webrtc.unwrap_or(true),
        wire.match_incoming_teams.unwrap_or(false),
    ];
    Rule {
        name: name(wire.name).unwrap_or_else(|| "without a name".to_owned()),
        is_enabled: wire.enable.unwrap_or(true),
        priority: wire.priority.unwrap_or(i32::MAX),
        pattern: wire.match_string.unwrap_or_default(),
        takes_full_alias: wire.match_string_full.unwrap_or(false),
        replacement: wire.replace_string.unwrap_or_default(),
        is_teams: is_teams(&wire.called_device_type) || is_teams(&wire.outgoing_protocol),
        connector: wire.teams_proxy,
        location: wire.outgoing_location,
        scope: Scope {
            kinds: kinds.iter().fold(0, |bits, kind| bits << 1 | u8::from(*kind)),
            only_registered: wire.match_incoming_only_if_registered.unwrap_or(false),
            source: wire.match_source_location,
        },
    }
}

fn node(wire: wire::WorkerConfiguration) -> Option<Node> {
    let parts = [wire.hostname, wire.domain];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    let is_proxy = wire
        .node_type
        .as_deref()
        .is_some_and(|kind| kind.to_ascii_lowercase().contains("prox"));
    Some(Node {
        name: name(wire.name)?,
        fqdn: name(Some(parts.join("."))).unwrap_or_default(),
        alternative: name(wire.alternative_fqdn),
        location: wire.system_location,
        certificate: wire.tls_certificate,
        is_proxy,
    })
}

fn certificate(wire: wire::TlsCertificate) -> Option<NodeCertificate> {
    let names = wire.subject_alt_names.into_iter().chain(wire.subject_name);
    Some(NodeCertificate {
        uri: wire.resource_uri?,
        nodes: wire.nodes.into_iter().filter_map(|one| name(Some(one))).collect(),
        names: names.filter_map(|one| name(Some(one))).collect(),
        starts: wire.start_date,
        ends: wire.end_date,
        server_auth: wire.server_auth_usage,
        client_auth: wire.client_auth_usage,
    })
}

fn authority(wire: wire::CaCertificate) -> Option<Authority> {
    Some(Authority {
        subject: name(wire.subject_name).unwrap_or_else(|| "without a name".to_owned()),
        pem: wire.certificate?,
        is_intermediate: wire.trusted_intermediate.unwrap_or(false),
        ends: wire.end_date,
    })
}
