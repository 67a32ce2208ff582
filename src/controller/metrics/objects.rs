//! Metrics of the objects, read from the stores when scraped so that none outlives its object, and written piece by piece: twelve
//! series for each of thousands of subscriptions would take more memory, as values of a registry, than the objects.

use std::fmt::Write;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::runtime::reflector::Store;

use crate::api::condition::{ConditionType, Reason};
use crate::api::subscription::{GapState, GraphSubscription, GraphSubscriptionStatus};
use crate::controller::apply::Object;
use crate::controller::context::Stores;
use crate::controller::observed::Observed;
use crate::controller::receiver::workload;

/// Objects whose series make one piece, some 100 kB.
const PIECE: usize = 500;
const CONDITION: &str = "teamsgraph_condition";
const GAPS: &str = "teamsgraph_subscription_gaps";

/// What is exported. What is unknown is absent, never 0.
#[derive(Clone)]
pub struct Objects {
    /// The objects.
    pub stores: Stores,
    /// What the receiver pods say.
    pub observed: Observed,
    /// What the last looks at connectors found.
    pub connectors: super::connectors::Board,
}

/// A gauge of a subscription.
struct Gauge {
    name: &'static str,
    help: &'static str,
    value: fn(&GraphSubscriptionStatus) -> Option<f64>,
}

const GAUGES: [Gauge; 5] = [
    Gauge {
        name: "teamsgraph_subscription_expiration_timestamp_seconds",
        help: "When the remote subscription expires.",
        value: |status| seconds(status.expiration_time.as_ref()),
    },
    Gauge {
        name: "teamsgraph_subscription_renewal_timestamp_seconds",
        help: "When the remote subscription is to be renewed.",
        value: |status| seconds(status.renewal_time.as_ref()),
    },
    Gauge {
        name: "teamsgraph_subscription_last_renewal_timestamp_seconds",
        help: "When Graph last accepted a create or renewal; of one that was found there, since when it lives, as far as its expiry tells.",
        value: |status| seconds(status.last_renewal_time.as_ref()),
    },
    Gauge {
        name: "teamsgraph_subscription_last_event_timestamp_seconds",
        help: "When a notification last arrived, to within ten minutes.",
        value: |status| seconds(status.last_event_time.as_ref()),
    },
    Gauge {
        name: "teamsgraph_subscription_failures_in_a_row",
        help: "Failed attempts since the last success.",
        value: |status| Some(status.failure.as_ref().map_or(0.0, |failure| f64::from(failure.count))),
    },
];

impl Objects {
    /// The series in the text format of Prometheus, in pieces.
    pub fn pieces(self) -> impl Iterator<Item = String> + Send {
        let all = Arc::new(self.stores.subscriptions.state());
        let gauges = GAUGES.iter().flat_map({
            let all = all.clone();
            move |gauge| {
                let lines = in_pieces(all.clone(), move |subscription, text| {
                    gauge_of(subscription, gauge, text);
                });
                std::iter::once(head(gauge.name, gauge.help)).chain(lines)
            }
        });
        let help = "Recorded windows in which notifications may be missing, by what was done about them.";
        let gaps = std::iter::once(head(GAPS, help)).chain(in_pieces(all.clone(), gaps_of));
        let connectors = super::connectors::pieces(&self.stores.connectors, &self.connectors);
        let conditions = std::iter::once_with(move || self.few());
        gauges
            .chain(gaps)
            .chain(connectors)
            .chain(conditions)
            .chain(in_pieces(all, subscription_conditions))
    }

    /// Tenants, receivers and presence syncs. The conditions come last, as those of the subscriptions follow.
    fn few(&self) -> String {
        let mut text = self.credentials() + &self.pods() + &self.users();
        text.push_str(&head(
            CONDITION,
            "Conditions: 1 when True, 0 when False, absent when Unknown; with the reason.",
        ));
        of_all(&self.stores.tenants, &mut text, |tenant| {
            tenant.status.as_ref().map(|status| status.conditions.as_slice())
        });
        of_all(&self.stores.receivers, &mut text, |receiver| {
            receiver.status.as_ref().map(|status| status.conditions.as_slice())
        });
        of_all(&self.stores.presence, &mut text, |sync| {
            sync.status.as_ref().map(|status| status.conditions.as_slice())
        });
        text
    }

    fn credentials(&self) -> String {
        let name = "teamsgraph_tenant_credential_expiration_timestamp_seconds";
        let mut text = head(name, "When the tenant's certificate credential expires.");
        for tenant in self.stores.tenants.state() {
            let status = tenant.status.as_ref();
            let expiration = status.and_then(|status| status.credential_expiration_time.as_ref());
            if let Some(value) = seconds(expiration) {
                series(&mut text, name, &owner(&*tenant), value);
            }
        }
        text
    }

    fn users(&self) -> String {
        let name = "teamsgraph_presencesync_users";
        let mut text = head(
            name,
            "Users of a PresenceSync by state, as its worker last counted them: synced, unmatched, ambiguous, unlicensed, over_limit.",
        );
        for sync in self.stores.presence.state() {
            let Some(users) = sync.status.as_ref().and_then(|status| status.users) else {
                continue;
            };
            let [of, within] = owner(&*sync);
            for (state, count) in [
                ("synced", users.synced),
                ("unmatched", users.unmatched),
                ("ambiguous", users.ambiguous),
                ("unlicensed", users.unlicensed),
                ("over_limit", users.over_limit),
            ] {
                series(&mut text, name, &[of, within, ("state", state)], f64::from(count));
            }
        }
        text
    }

    fn pods(&self) -> String {
        let name = "teamsgraph_receiver_pod_reachable";
        let mut text = head(
            name,
            "Whether the leader can ask a receiver pod: 1, or 0 when lifecycle events are not read.",
        );
        for (receiver, pod, reachable) in self.observed.reachable() {
            let pod = workload::pod_name(&receiver.name, pod);
            let labels = [
                ("name", receiver.name.as_str()),
                ("namespace", receiver.namespace.as_deref().unwrap_or_default()),
                ("pod", &pod),
            ];
            series(&mut text, name, &labels, f64::from(u8::from(reachable)));
        }
        text
    }
}

type Subscriptions = Arc<Vec<Arc<GraphSubscription>>>;

/// Their lines, for some at a time.
fn in_pieces(
    all: Subscriptions,
    write: impl Fn(&GraphSubscription, &mut String) + Send,
) -> impl Iterator<Item = String> + Send {
    (0..all.len()).step_by(PIECE).map(move |start| {
        let mut text = String::new();
        for subscription in all.iter().skip(start).take(PIECE) {
            write(subscription, &mut text);
        }
        text
    })
}

fn gauge_of(subscription: &GraphSubscription, gauge: &Gauge, text: &mut String) {
    if let Some(value) = subscription.status.as_ref().and_then(gauge.value) {
        series(text, gauge.name, &owner(subscription), value);
    }
}

/// Most have none, and no series then.
fn gaps_of(subscription: &GraphSubscription, text: &mut String) {
    let gaps = subscription.status.as_ref().map_or(&[][..], |status| &status.gaps);
    let [name, namespace] = owner(subscription);
    for state in [GapState::Pending, GapState::Backfilled, GapState::CannotBackfill] {
        let count = gaps.iter().filter(|gap| gap.state == state).count();
        if let Some(count) = u32::try_from(count).ok().filter(|count| *count > 0) {
            let labels = [name, namespace, ("state", &format!("{state:?}"))];
            series(text, GAPS, &labels, f64::from(count));
        }
    }
}

fn subscription_conditions(subscription: &GraphSubscription, text: &mut String) {
    let conditions = subscription.status.as_ref().map(|status| status.conditions.as_slice());
    if conditions.is_some_and(|conditions| !conditions.is_empty()) {
        conditions_of(subscription, conditions, text);
        return;
    }
    // One that was never looked at is not subscribed either.
    let (type_, reason) = (ConditionType::Subscribed.to_string(), Reason::Progressing.to_string());
    condition(subscription, &type_, &reason, 0.0, text);
}

fn of_all<K: Object>(store: &Store<K>, text: &mut String, conditions: impl Fn(&K) -> Option<&[Condition]>) {
    for object in store.state() {
        conditions_of(&*object, conditions(&object), text);
    }
}

fn conditions_of<K: Object>(object: &K, conditions: Option<&[Condition]>, text: &mut String) {
    for said in conditions.into_iter().flatten() {
        match said.status.as_str() {
            "True" => condition(object, &said.type_, &said.reason, 1.0, text),
            "False" => condition(object, &said.type_, &said.reason, 0.0, text),
            _ => {}
        }
    }
}

fn condition<K: Object>(object: &K, type_: &str, reason: &str, value: f64, text: &mut String) {
    let kind = K::kind(&());
    let [name, namespace] = owner(object);
    let labels = [("kind", &*kind), name, namespace, ("reason", reason), ("type", type_)];
    series(text, CONDITION, &labels, value);
}

pub(super) fn owner<K: Object>(object: &K) -> [(&'static str, &str); 2] {
    let metadata = object.meta();
    [
        ("name", metadata.name.as_deref().unwrap_or_default()),
        ("namespace", metadata.namespace.as_deref().unwrap_or_default()),
    ]
}

pub(super) fn head(name: &str, help: &str) -> String {
    format!("# HELP {name} {help}\n# TYPE {name} gauge\n")
}

/// One line. <https://prometheus.io/docs/instrumenting/exposition_formats/>
pub(super) fn series(text: &mut String, name: &str, labels: &[(&str, &str)], value: f64) {
    text.push_str(name);
    for (number, (label, of)) in labels.iter().enumerate() {
        text.push(if number == 0 { '{' } else { ',' });
        text.push_str(label);
        text.push_str("=\"");
        for character in of.chars() {
            match character {
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                '\n' => text.push_str("\\n"),
                other => text.push(other),
            }
        }
        text.push('"');
    }
    // Writing to a text does not fail.
    let _ = writeln!(text, "}} {value}");
}

#[allow(clippy::cast_precision_loss)] // seconds since 1970 fit a double for millions of years
fn seconds(time: Option<&Time>) -> Option<f64> {
    time.map(|time| time.0.as_second() as f64)
}

#[cfg(test)]
mod tests {
    use kube::runtime::reflector::store;
    use kube::runtime::watcher::Event;
    use serde_json::{Value, json};

    use super::*;
    use crate::api::reference::ObjectRef;
    use crate::controller::index::Index;

    fn subscription(name: &str, status: &Value) -> GraphSubscription {
        serde_json::from_value(json!({
            "apiVersion": "teamsgraph.dev/v1alpha1", "kind": "GraphSubscription",
            "metadata": { "name": name, "namespace": "n" },
            "spec": { "tenantRef": { "name": "t" }, "resource": "users", "changeTypes": ["Updated"] },
            "status": status,
        }))
        .unwrap()
    }

    fn objects(subscriptions: impl IntoIterator<Item = GraphSubscription>) -> Objects {
        let ((tenants, _), (receivers, _), (all, mut writer)) = (store(), store(), store());
        let ((presence, _), (connectors, _)) = (store(), store());
        for subscription in subscriptions {
            writer.apply_watcher_event(&Event::Apply(subscription));
        }
        Objects {
            stores: Stores {
                tenants,
                receivers,
                subscriptions: all,
                presence,
                connectors,
                index: Index::default(),
            },
            observed: Observed::default(),
            connectors: super::super::connectors::Board::default(),
        }
    }

    #[test]
    fn what_is_known_is_exported_and_what_is_not_is_absent() {
        let condition = |type_: &str, status: &str, reason: &str| {
            json!({
                "type": type_, "status": status, "reason": reason, "message": "m",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            })
        };
        let status = json!({
            "conditions": [
                condition("Subscribed", "True", "Succeeded"),
                condition("GapFree", "False", "a \"b\" \\ c\nd"),
                condition("Delivering", "Unknown", "NoEventYet"),
            ],
            "expirationTime": "2026-01-01T00:00:00Z",
            "failure": { "count": 3, "time": "2026-01-01T00:00:00Z", "notBefore": "2026-01-01T00:00:00Z", "reason": "Throttled" },
        });
        let objects = objects([subscription("a", &status), subscription("b", &Value::Null)]);
        let receiver = ObjectRef {
            name: "r".to_owned(),
            namespace: Some("n".to_owned()),
        };
        objects.observed.put(&receiver, 0, Err("away".to_owned()));
        let text: String = objects.pieces().collect();
        let mut lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        lines.sort_unstable();
        let gap = r#"{kind="GraphSubscription",name="a",namespace="n",reason="a \"b\" \\ c\nd",type="GapFree"} 0"#;
        assert_eq!(
            lines,
            [
                r#"teamsgraph_condition{kind="GraphSubscription",name="a",namespace="n",reason="Succeeded",type="Subscribed"} 1"#,
                &format!("teamsgraph_condition{gap}"),
                r#"teamsgraph_condition{kind="GraphSubscription",name="b",namespace="n",reason="Progressing",type="Subscribed"} 0"#,
                r#"teamsgraph_receiver_pod_reachable{name="r",namespace="n",pod="r-receiver-0"} 0"#,
                r#"teamsgraph_subscription_expiration_timestamp_seconds{name="a",namespace="n"} 1767225600"#,
                r#"teamsgraph_subscription_failures_in_a_row{name="a",namespace="n"} 3"#,
            ]
        );
    }

    #[test]
    fn a_piece_is_short_and_the_series_of_a_name_are_together() {
        let count = 2 * PIECE + 1;
        let pieces: Vec<_> = objects((0..count).map(|number| subscription(&format!("s{number}"), &json!({}))))
            .pieces()
            .collect();
        assert!(pieces.iter().all(|piece| piece.lines().count() <= PIECE + 2));
        let text = pieces.concat();
        let names: Vec<_> = text
            .lines()
            .filter_map(|line| line.split(['{', ' ']).find(|word| word.len() > 6))
            .collect();
        let mut together = names.clone();
        together.dedup();
        together.sort_unstable();
        let mut known = together.clone();
        known.dedup();
        assert_eq!(together, known);
        assert_eq!(
            text.matches("teamsgraph_subscription_failures_in_a_row{").count(),
            count
        );
    }
}
