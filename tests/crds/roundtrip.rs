//! Whatever the program writes, the API server keeps: no field that the types know is unknown to the schema, and no
//! default differs between the two.

use std::fmt::Debug;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::subsequence;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use serde_json::{Value, json};
use teams_graph_operator::api::duration::DurationText;
use teams_graph_operator::api::receiver::*;
use teams_graph_operator::api::reference::{AllowedNamespaces, NamespacesFrom, ObjectRef, SecretKeyRef, SecretRef};
use teams_graph_operator::api::subscription::*;
use teams_graph_operator::api::tenant::*;

use crate::manifests;
use crate::support::{Namespace, client, collection, send};

fn name() -> impl Strategy<Value = String> {
    // With the words that YAML 1.1 reads as booleans.
    prop_oneof![
        "[a-z][a-z0-9]{0,8}",
        Just("no".to_owned()),
        Just("on".to_owned()),
        Just("y".to_owned())
    ]
}

fn labels() -> impl Strategy<Value = std::collections::BTreeMap<String, String>> {
    btree_map(name(), name(), 1..3)
}

fn secret_key() -> impl Strategy<Value = SecretKeyRef> {
    (name(), name()).prop_map(|(name, key)| SecretKeyRef { name, key })
}

fn object_ref() -> impl Strategy<Value = ObjectRef> {
    (name(), of(name())).prop_map(|(name, namespace)| ObjectRef { name, namespace })
}

fn duration() -> impl Strategy<Value = DurationText> {
    "[1-9]{1,2}h([1-9]m)?([1-9]s)?".prop_map(DurationText)
}

fn allowed() -> impl Strategy<Value = AllowedNamespaces> {
    let from = |from| AllowedNamespaces {
        from,
        match_labels: None,
    };
    prop_oneof![
        Just(from(NamespacesFrom::Same)),
        Just(from(NamespacesFrom::All)),
        labels().prop_map(|labels| AllowedNamespaces {
            from: NamespacesFrom::Selector,
            match_labels: Some(labels)
        }),
    ]
}

fn tenant() -> impl Strategy<Value = GraphTenantSpec> {
    let credentials = prop_oneof![
        secret_key().prop_map(|secret_ref| Credentials {
            client_secret: Some(ClientSecret { secret_ref }),
            ..Credentials::default()
        }),
        (name(), name(), name()).prop_map(|(secret_name, certificate_key, private_key_key)| Credentials {
            certificate: Some(Certificate {
                secret_name,
                certificate_key,
                private_key_key
            }),
            ..Credentials::default()
        }),
        Just(Credentials {
            workload_identity: Some(WorkloadIdentity {}),
            ..Credentials::default()
        }),
        Just(Credentials {
            managed_identity: Some(ManagedIdentity {}),
            ..Credentials::default()
        }),
    ];
    let cloud = prop_oneof![
        Just(Cloud::Global),
        Just(Cloud::UsGovL4),
        Just(Cloud::UsGovL5),
        Just(Cloud::China),
        Just(Cloud::Custom),
    ];
    let client_id = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";
    (
        name(),
        client_id,
        credentials,
        cloud,
        "https://[a-z]{1,9}[.]svc",
        allowed(),
    )
        .prop_map(
            |(tenant_id, client_id, credentials, cloud, address, allowed_namespaces)| GraphTenantSpec {
                tenant_id,
                client_id: Some(client_id),
                credentials,
                cloud,
                endpoints: (cloud == Cloud::Custom).then(|| Endpoints {
                    login: address.clone(),
                    graph: address,
                }),
                backfill_calls_per_minute: 60,
                orphan_policy: OrphanPolicy::Delete,
                allowed_namespaces,
            },
        )
}

fn sinks() -> impl Strategy<Value = Vec<Sink>> {
    let mode = prop_oneof![Just(CloudEventMode::Structured), Just(CloudEventMode::Binary)];
    let http = ("https?://[a-z]{1,9}", mode, of(secret_key()), duration()).prop_map(
        |(url, mode, token_secret_ref, timeout)| HttpSink {
            url,
            mode,
            token_secret_ref,
            timeout,
        },
    );
    btree_map(name(), of(http), 0..4).prop_map(|sinks| {
        let sinks = sinks.into_iter();
        sinks
            .map(|(name, http)| Sink {
                name,
                stdout: http.is_none().then_some(StdoutSink {}),
                http,
            })
            .collect()
    })
}

fn exposure() -> impl Strategy<Value = (Option<Ingress>, Option<HttpRoute>)> {
    let ingress =
        (of(name()), of(labels()), of(name())).prop_map(|(class_name, annotations, tls_secret_name)| Ingress {
            class_name,
            annotations,
            tls_secret_name,
        });
    let gateway = (object_ref(), of(name())).prop_map(|(gateway, section_name)| GatewayRef { gateway, section_name });
    let route = vec(gateway, 1..3).prop_map(|parent_refs| HttpRoute { parent_refs });
    prop_oneof![
        Just((None, None)),
        ingress.prop_map(|ingress| (Some(ingress), None)),
        route.prop_map(|route| (None, Some(route))),
    ]
}

fn receiver() -> impl Strategy<Value = NotificationReceiverSpec> {
    let service = prop_oneof![
        Just(ServiceType::ClusterIP),
        Just(ServiceType::NodePort),
        Just(ServiceType::LoadBalancer)
    ];
    let storage = ("[1-9]{1,3}(Mi|Gi|Ti)", of(name())).prop_map(|(size, storage_class_name)| Storage {
        size,
        storage_class_name,
    });
    let consumers = subsequence(vec!["a".to_owned(), "no".to_owned(), "c".to_owned()], 1..=3);
    let pull = (secret_key(), consumers).prop_map(|(token_secret_ref, consumers)| Pull {
        token_secret_ref,
        consumers,
    });
    let tls = name().prop_map(|name| Tls {
        secret_ref: SecretRef { name },
    });
    let basics = (
        "https://[a-z]{1,9}\\.com(:[1-9]{2,4})?(/[a-z]{0,9})?",
        1..=10,
        service,
        storage,
        duration(),
    );
    (basics, exposure(), sinks(), of(pull), of(tls), allowed(), of(labels())).prop_map(
        |(
            (public_url, replicas, service_type, storage, retention),
            (ingress, http_route),
            sinks,
            pull,
            tls,
            allowed_namespaces,
            node_selector,
        )| {
            NotificationReceiverSpec {
                public_url,
                replicas,
                ingress,
                http_route,
                service_type,
                tls,
                storage,
                retention,
                sinks,
                pull,
                allowed_namespaces,
                resources: None,
                node_selector,
                tolerations: None,
            }
        },
    )
}

fn subscription() -> impl Strategy<Value = GraphSubscriptionSpec> {
    let external = ("https://[a-z]{1,9}", of("https://[a-z]{1,9}"), secret_key()).prop_map(
        |(notification_url, lifecycle_url, client_state_ref)| ExternalEndpoint {
            notification_url,
            lifecycle_url,
            client_state_ref,
        },
    );
    let way = prop_oneof![
        object_ref().prop_map(|receiver| (Some(receiver), None)),
        external.prop_map(|external| (None, Some(external)))
    ];
    let types = subsequence(
        vec![ChangeType::Created, ChangeType::Updated, ChangeType::Deleted],
        1..=3,
    );
    let policy = prop_oneof![Just(DeletionPolicy::Delete), Just(DeletionPolicy::Orphan)];
    (
        object_ref(),
        way,
        "[a-z]{2,9}(/[a-z]{1,9})?",
        types,
        of(duration()),
        of(name()),
        policy,
        any::<bool>(),
    )
        .prop_map(
            |(
                tenant_ref,
                (receiver_ref, external_endpoint),
                resource,
                change_types,
                lifetime,
                notification_query_options,
                deletion_policy,
                suspend,
            )| {
                GraphSubscriptionSpec {
                    tenant_ref,
                    receiver_ref,
                    external_endpoint,
                    resource,
                    change_types,
                    lifetime,
                    notification_query_options,
                    deletion_policy,
                    suspend,
                    backfill: if suspend {
                        Backfill::Disabled
                    } else {
                        Backfill::Automatic
                    },
                    sweep_interval: Some("5m".into()),
                    max_silence: Some("10m".into()),
                }
            },
        )
}

fn time() -> impl Strategy<Value = Time> {
    (0..4_000_000_000_i64).prop_map(|second| Time(Timestamp::from_second(second).unwrap()))
}

fn subscription_status() -> impl Strategy<Value = GraphSubscriptionStatus> {
    let condition = (name(), time(), any::<bool>()).prop_map(|(message, last_transition_time, holds)| Condition {
        type_: "Subscribed".to_owned(),
        status: if holds { "True" } else { "False" }.to_owned(),
        reason: "Accepted".to_owned(),
        observed_generation: Some(1),
        message,
        last_transition_time,
    });
    let state = prop_oneof![
        Just(GapState::Pending),
        Just(GapState::Backfilled),
        Just(GapState::CannotBackfill)
    ];
    let gap = (name(), time(), of(time()), state, of(0..99_i64), name()).prop_map(
        |(cause, start, end, state, backfilled, outcome)| Gap {
            cause,
            start,
            checked_time: end.clone(),
            end,
            state,
            backfilled,
            outcome,
        },
    );
    let failure =
        (0..1000, time(), time(), name(), of(name())).prop_map(|(count, time, not_before, reason, basis)| Failure {
            count,
            time,
            not_before,
            reason,
            basis,
        });
    let applied = (name(), name(), name(), name(), any::<i32>(), of(name())).prop_map(
        |(resource, app, url, state, minutes, notification_query_options)| Applied {
            resource,
            change_type: "created".to_owned(),
            app,
            notification_url: url.clone(),
            lifecycle_url: url,
            client_state: state,
            lifetime_minutes: minutes.into(),
            notification_query_options,
        },
    );
    let times = (of(time()), of(time()), of(time()), of(time()), of(time()));
    let lists = (vec(condition, 0..2), vec(gap, 0..4), vec(name(), 0..4));
    (
        0..9_i64,
        times,
        lists,
        of(failure),
        of(applied),
        of(name()),
        of(1..9_i64),
    )
        .prop_map(
            |(observed_generation, times, (conditions, gaps, previous_ids), failure, applied, id, minutes)| {
                GraphSubscriptionStatus {
                    observed_generation,
                    conditions,
                    subscription_id: id.clone(),
                    expiration_time: times.0.clone(),
                    renewal_time: times.1,
                    last_renewal_time: times.2,
                    reauthorization_required_since: times.0,
                    last_event_time: times.3,
                    applied,
                    create_pending_since: times.4,
                    failure,
                    learned_maximum_minutes: minutes,
                    previous_ids,
                    gaps,
                    last_handled_reconcile_at: id,
                }
            },
        )
}

/// Sends each case to the API server and compares what it would store.
fn compare<S>(strategy: &S, plural: &str, shortest: &Value, part: &str)
where
    S: Strategy<Value: serde::Serialize + Debug>,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (client, namespace) = runtime.block_on(async {
        let client = client().await;
        let namespace = Namespace::new(&client).await;
        send(&client, "POST", &collection(&namespace.name, plural), shortest)
            .await
            .unwrap();
        (client, namespace)
    });
    let specs = collection(&namespace.name, plural);
    let cases = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(50);
    // The failing case is printed; a file of them would be one more thing to keep.
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(strategy, |value| {
        let wanted = serde_json::to_value(&value).unwrap();
        let stored = runtime.block_on(async {
            if part == "status" {
                let path = format!("{specs}/example");
                let mut object = send(&client, "GET", &path, &Value::Null).await?;
                object["status"] = wanted.clone();
                send(&client, "PUT", &format!("{path}/status?dryRun=All"), &object).await
            } else {
                let mut object = shortest.clone();
                object["metadata"] = json!({ "generateName": "example-" });
                object["spec"] = wanted.clone();
                send(&client, "POST", &format!("{specs}?dryRun=All"), &object).await
            }
        });
        let stored = stored.map_err(TestCaseError::fail)?;
        prop_assert_eq!(&stored[part], &wanted);
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{plural} {part}: {error}");
    }
}

#[test]
fn tenants_are_kept_as_written() {
    compare(&tenant(), "graphtenants", &manifests::tenant(), "spec");
}

#[test]
fn receivers_are_kept_as_written() {
    compare(&receiver(), "notificationreceivers", &manifests::receiver(), "spec");
}

#[test]
fn subscriptions_are_kept_as_written() {
    compare(
        &subscription(),
        "graphsubscriptions",
        &manifests::subscription(),
        "spec",
    );
}

#[test]
fn statuses_are_kept_as_written() {
    compare(
        &subscription_status(),
        "graphsubscriptions",
        &manifests::subscription(),
        "status",
    );
}
