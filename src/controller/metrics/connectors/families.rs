//! What is shown of a connector, name by name.

use jiff::Timestamp;

use crate::api::condition::{ConditionType, Reason, find};
use crate::api::connector::{Health, PexipHealth, TeamsConnectorHealth};
use crate::controller::connector::{Certificate, Count, Shown, interval};

/// One connector, as a family of series sees it.
pub struct Seen<'a> {
    /// The object, with its status.
    pub object: &'a TeamsConnectorHealth,
    /// What the last look found; none before the first, and while it rests.
    pub shown: Option<&'a Shown>,
}

/// Labels beside the object's, and the value.
pub type Line = (Vec<(&'static str, String)>, f64);

/// Series of one name.
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// `gauge` or `counter`.
    pub type_: &'static str,
    /// What it says.
    pub help: &'static str,
    /// Those of one connector.
    pub lines: fn(&Seen<'_>) -> Vec<Line>,
}

/// All of them.
pub const FAMILIES: &[Family] = &[
    Family {
        name: "teams_connector_info",
        type_: "gauge",
        help: "1, with the type of the connector.",
        lines: |seen| vec![(vec![("connector_type", format!("{:?}", seen.object.spec.type_))], 1.0)],
    },
    Family {
        name: "teams_connector_condition",
        type_: "gauge",
        help: "1 for the status that a condition of the connector has, 0 for the two others.",
        lines: conditions,
    },
    Family {
        name: "teams_connector_health_status",
        type_: "gauge",
        help: "1 for the health of the connector, 0 for the other words.",
        lines: health,
    },
    Family {
        name: "teams_connector_diagnoses",
        type_: "gauge",
        help: "1 for each diagnosis in the status.",
        lines: diagnoses,
    },
    Family {
        name: "teams_connector_evidence_expiration_timestamp_seconds",
        type_: "gauge",
        help: "When the logs that could prove a diagnosis are gone.",
        lines: evidence,
    },
    Family {
        name: "teams_connector_probe_interval_seconds",
        type_: "gauge",
        help: "Time between two looks, as the spec has it; absent while suspended.",
        lines: |seen| {
            let wanted = !seen.object.spec.suspend;
            wanted
                .then(|| (Vec::new(), interval(seen.object).as_secs_f64()))
                .into_iter()
                .collect()
        },
    },
    Family {
        name: "teams_connector_maintenance",
        type_: "gauge",
        help: "1 while a window of maintenance is open, 0 at other times; absent while suspended.",
        lines: maintenance,
    },
    Family {
        name: "teams_connector_probe_last_run_timestamp_seconds",
        type_: "gauge",
        help: "When the connector was last looked at.",
        lines: |seen| {
            of(seen, |shown| {
                shown.looked.map(|at| (Vec::new(), seconds(at))).into_iter().collect()
            })
        },
    },
    Family {
        name: "teams_connector_probe_success",
        type_: "gauge",
        help: "1 when the last probe found all as it should be, 0 when it found a fault; absent when it could not judge.",
        lines: |seen| {
            of(seen, |shown| {
                let known = shown.parts.iter().filter_map(|part| {
                    let labels = vec![("probe", part.probe.to_owned()), ("target", part.target.clone())];
                    Some((labels, f64::from(u8::from(part.success?))))
                });
                known.collect()
            })
        },
    },
    Family {
        name: "teams_connector_probe_runs_total",
        type_: "counter",
        help: "Probes, by kind and result.",
        lines: |seen| {
            counted(seen, |count| match count {
                Count::Run { probe, result } => {
                    Some(vec![("probe", (*probe).to_owned()), ("result", (*result).to_owned())])
                }
                _ => None,
            })
        },
    },
    Family {
        name: "teams_connector_certificate_not_after_timestamp_seconds",
        type_: "gauge",
        help: "When a certificate that a server shows ends, whether it is good or not.",
        lines: |seen| certificates(seen, |certificate| certificate.not_after),
    },
    Family {
        name: "teams_connector_certificate_not_before_timestamp_seconds",
        type_: "gauge",
        help: "When a certificate that a server shows begins, whether it is good or not.",
        lines: |seen| certificates(seen, |certificate| certificate.not_before),
    },
    Family {
        name: "teams_connector_certificate_chain_not_after_timestamp_seconds",
        type_: "gauge",
        help: "When the first certificate on a verified path ends; absent when there is no such path.",
        lines: |seen| of(seen, |shown| times("target", &shown.chains)),
    },
    Family {
        name: "teams_connector_credential_not_after_timestamp_seconds",
        type_: "gauge",
        help: "When the last secret or certificate of an app ends.",
        lines: |seen| of(seen, |shown| times("app_id", &shown.credentials)),
    },
    Family {
        name: "teams_connector_clock_skew_seconds",
        type_: "gauge",
        help: "Clock of a source minus this operator's.",
        lines: |seen| {
            of(seen, |shown| {
                let clocks = shown.clocks.iter();
                clocks
                    .map(|(source, skew)| (vec![("source", source.clone())], skew.as_secs_f64()))
                    .collect()
            })
        },
    },
    Family {
        name: "teams_connector_upstream_status",
        type_: "gauge",
        help: "1, with the state of a service in the words of its vendor.",
        lines: |seen| {
            of(seen, |shown| {
                let services = shown.upstream.iter();
                let labels = |(service, status): &(String, String)| {
                    vec![("service", service.clone()), ("status", status.clone())]
                };
                services.map(|service| (labels(service), 1.0)).collect()
            })
        },
    },
    Family {
        name: "teams_connector_pexip_instances",
        type_: "gauge",
        help: "Instances of the connector, by state.",
        lines: instances,
    },
    Family {
        name: "teams_connector_pexip_calls",
        type_: "gauge",
        help: "Calls through the connector.",
        lines: |seen| figure(seen, |pexip| pexip.calls),
    },
    Family {
        name: "teams_connector_pexip_call_capacity",
        type_: "gauge",
        help: "Calls that the active instances can take.",
        lines: |seen| figure(seen, |pexip| pexip.capacity),
    },
    Family {
        name: "teams_connector_pexip_licenses_used",
        type_: "gauge",
        help: "Teams licences in use.",
        lines: |seen| figure(seen, |pexip| pexip.licences_used),
    },
    Family {
        name: "teams_connector_pexip_licenses_limit",
        type_: "gauge",
        help: "Teams licences in all.",
        lines: |seen| figure(seen, |pexip| pexip.licences_total),
    },
    Family {
        name: "teams_connector_pexip_alarms",
        type_: "gauge",
        help: "Alarms of the Management Node, by level.",
        lines: |seen| {
            of(seen, |shown| {
                let alarms = shown.alarms.iter();
                alarms
                    .map(|(level, count)| (vec![("level", (*level).to_owned())], f64::from(*count)))
                    .collect()
            })
        },
    },
    Family {
        name: "teams_connector_pexip_instance_heartbeat_timestamp_seconds",
        type_: "gauge",
        help: "Last sign of life of an instance.",
        lines: |seen| of(seen, |shown| times("instance", &shown.heartbeats)),
    },
    Family {
        name: "teams_connector_calls_total",
        type_: "counter",
        help: "Calls that ended, by what came of them; user_input counts the slips of callers.",
        lines: |seen| {
            counted(seen, |count| match count {
                Count::Call(result) => Some(vec![("result", (*result).to_owned())]),
                _ => None,
            })
        },
    },
    Family {
        name: "teams_connector_call_failures_total",
        type_: "counter",
        help: "Calls that failed, by how.",
        lines: |seen| {
            counted(seen, |count| match count {
                Count::Failure(reason) => Some(vec![("reason", (*reason).to_owned())]),
                _ => None,
            })
        },
    },
    Family {
        name: "teams_connector_broadworks_subscribers",
        type_: "gauge",
        help: "Subscribers at Webex, by state.",
        lines: |seen| {
            of(seen, |shown| {
                let states = shown.subscribers.iter();
                states
                    .map(|(state, count)| (vec![("status", (*state).to_owned())], whole(*count)))
                    .collect()
            })
        },
    },
];

fn of(seen: &Seen<'_>, lines: impl Fn(&Shown) -> Vec<Line>) -> Vec<Line> {
    seen.shown.map(lines).unwrap_or_default()
}

fn conditions(seen: &Seen<'_>) -> Vec<Line> {
    let status = seen.object.status.as_ref();
    let conditions = status.map_or(&[][..], |status| &status.conditions);
    let each = conditions.iter().flat_map(|condition| {
        ["True", "False", "Unknown"].into_iter().map(|status| {
            let labels = vec![("type", condition.type_.clone()), ("status", status.to_owned())];
            (labels, f64::from(u8::from(condition.status == status)))
        })
    });
    each.collect()
}

fn health(seen: &Seen<'_>) -> Vec<Line> {
    let Some(is) = seen.object.status.as_ref().and_then(|status| status.health) else {
        return Vec::new();
    };
    let words = [Health::Healthy, Health::Degraded, Health::Unhealthy, Health::Unknown].into_iter();
    words
        .map(|word| (vec![("status", format!("{word:?}"))], f64::from(u8::from(word == is))))
        .collect()
}

/// As the status has it, so that every replica tells the same.
fn maintenance(seen: &Seen<'_>) -> Vec<Line> {
    if seen.object.spec.suspend {
        return Vec::new();
    }
    let conditions = seen.object.status.as_ref().map_or(&[][..], |status| &status.conditions);
    let healthy = find(conditions, ConditionType::Healthy);
    let is_open = healthy.is_some_and(|healthy| healthy.reason == Reason::Maintenance.to_string());
    vec![(Vec::new(), f64::from(u8::from(is_open)))]
}

fn diagnoses(seen: &Seen<'_>) -> Vec<Line> {
    let all = seen.object.status.iter().flat_map(|status| &status.diagnoses);
    let labels = all.map(|one| vec![("code", one.code.clone()), ("severity", format!("{:?}", one.severity))]);
    labels.map(|labels| (labels, 1.0)).collect()
}

fn evidence(seen: &Seen<'_>) -> Vec<Line> {
    let all = seen.object.status.iter().flat_map(|status| &status.diagnoses);
    let known = all.filter_map(|one| {
        let expires = one.evidence_expires_at.as_ref()?;
        Some((vec![("code", one.code.clone())], seconds(expires.0)))
    });
    known.collect()
}

fn certificates(seen: &Seen<'_>, time: fn(&Certificate) -> Timestamp) -> Vec<Line> {
    of(seen, |shown| {
        let all = shown.certificates.iter().map(|certificate| {
            let labels = vec![
                ("target", certificate.target.clone()),
                ("role", certificate.role.to_owned()),
            ];
            (labels, seconds(time(certificate)))
        });
        all.collect()
    })
}

fn times(label: &'static str, all: &[(String, Timestamp)]) -> Vec<Line> {
    all.iter()
        .map(|(name, at)| (vec![(label, name.clone())], seconds(*at)))
        .collect()
}

fn instances(seen: &Seen<'_>) -> Vec<Line> {
    of(seen, |shown| {
        let Some(counts) = shown.pexip.as_ref().and_then(|pexip| pexip.instances) else {
            return Vec::new();
        };
        let states = [
            ("active", counts.active),
            ("draining", counts.draining),
            ("maintenance", counts.maintenance),
            ("failed", counts.failed),
            ("other", counts.other),
        ];
        let lines = states
            .into_iter()
            .map(|(state, count)| (vec![("state", state.to_owned())], f64::from(count)));
        lines.collect()
    })
}

fn figure(seen: &Seen<'_>, value: fn(&PexipHealth) -> Option<i32>) -> Vec<Line> {
    of(seen, |shown| {
        let value = shown.pexip.as_ref().and_then(value);
        value.map(|value| (Vec::new(), f64::from(value))).into_iter().collect()
    })
}

type Labels = Vec<(&'static str, String)>;

fn counted(seen: &Seen<'_>, labels: fn(&Count) -> Option<Labels>) -> Vec<Line> {
    of(seen, |shown| {
        let counts = shown.counts.iter();
        counts
            .filter_map(|(count, number)| Some((labels(count)?, whole(*number))))
            .collect()
    })
}

#[allow(clippy::cast_precision_loss)] // counts stay below 2^53
fn whole(number: u64) -> f64 {
    number as f64
}

#[allow(clippy::cast_precision_loss)] // seconds since 1970 fit a double for millions of years
fn seconds(at: Timestamp) -> f64 {
    at.as_second() as f64
}
