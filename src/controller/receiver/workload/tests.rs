use super::*;
use crate::api::receiver::CloudEventMode;
use crate::controller::ensure::{holds, sign};

const UID: &str = "3b1f5f0e-1111-2222-3333-444455556666";

/// A receiver with these fields besides the public address.
fn receiver(fields: &Value) -> NotificationReceiver {
    let mut spec = json!({ "publicUrl": "https://hooks.example.org/teams/" });
    for (key, value) in fields.as_object().unwrap() {
        spec[key] = value.clone();
    }
    serde_json::from_value(json!({
        "apiVersion": "teamsgraph.dev/v1alpha1", "kind": "NotificationReceiver",
        "metadata": { "name": "calls", "namespace": "voice", "uid": UID, "generation": 1 },
        "spec": spec,
    }))
    .unwrap()
}

fn plain() -> NotificationReceiver {
    receiver(&json!({}))
}

/// Everything that a receiver can have.
fn full() -> NotificationReceiver {
    receiver(&json!({
        "replicas": 3,
        "tls": { "secretRef": { "name": "cert" } },
        "storage": { "size": "5Gi", "storageClassName": "fast" },
        "retention": "24h",
        "serviceType": "LoadBalancer",
        "ingress": { "className": "nginx", "tlsSecretName": "public", "annotations": { "a/b": "c" } },
        "sinks": [
            { "name": "one", "http": {
                "url": "https://sink.example/one", "mode": "Binary", "timeout": "3s",
                "tokenSecretRef": { "name": "sink-secret", "key": "token" } } },
            { "name": "two", "http": { "url": "http://sink.example/two" } },
            { "name": "out", "stdout": {} },
        ],
        "pull": { "tokenSecretRef": { "name": "pull-secret", "key": "t" }, "consumers": ["mine"] },
        "resources": { "requests": { "cpu": "1" } },
        "nodeSelector": { "disk": "ssd" },
        "tolerations": [{ "key": "voice", "operator": "Exists" }],
    }))
}

fn settings() -> Settings {
    Settings {
        namespace: None,
        receiver_image: "registry.example/operator:1".to_owned(),
        receiver_image_pull_policy: None,
        logging: Vec::new(),
        receiver_address: String::new(),
        presence_address: String::new(),
        interval: std::time::Duration::from_secs(300),
        longest_rest: std::time::Duration::from_hours(1),
        sweep_grace: std::time::Duration::ZERO,
        identity_namespaces: Vec::new(),
    }
}

fn everything(receiver: &NotificationReceiver) -> Vec<Value> {
    let mut all = vec![
        config_map(receiver).unwrap(),
        headless_service(receiver),
        service(receiver),
        disruption_budget(receiver),
        stateful_set(receiver, &settings()),
    ];
    all.extend(ingress(receiver));
    all.extend(http_route(receiver));
    all
}

fn pod(receiver: &NotificationReceiver) -> Value {
    stateful_set(receiver, &settings())["spec"]["template"]["spec"].clone()
}

fn named<'a>(list: &'a Value, name: &str) -> &'a Value {
    let found = list.as_array().unwrap().iter().find(|item| item["name"] == name);
    found.unwrap_or(&Value::Null)
}

fn config(receiver: &NotificationReceiver) -> ReceiverConfig {
    let map = config_map(receiver).unwrap();
    serde_json::from_str(map["data"][CONFIG_FILE].as_str().unwrap()).unwrap()
}

#[test]
fn everything_is_named_labelled_and_owned() {
    for receiver in [plain(), full()] {
        for object in everything(&receiver) {
            let metadata = &object["metadata"];
            let name = metadata["name"].as_str().unwrap();
            assert!(["calls-receiver", "calls-receiver-pods"].contains(&name), "{name}");
            assert_eq!(metadata["labels"]["app.kubernetes.io/name"], "teams-graph-receiver");
            assert_eq!(metadata["labels"]["app.kubernetes.io/instance"], "calls");
            assert_eq!(
                metadata["labels"]["app.kubernetes.io/managed-by"],
                "teams-graph-operator"
            );
            let owner = &metadata["ownerReferences"][0];
            assert_eq!(
                (&owner["kind"], &owner["uid"]),
                (&json!("NotificationReceiver"), &json!(UID))
            );
            assert_eq!(
                (&owner["apiVersion"], &owner["controller"]),
                (&json!("teamsgraph.dev/v1alpha1"), &json!(true))
            );
            assert!(metadata.get("namespace").is_none(), "it is put where its receiver is");
        }
    }
}

#[test]
fn the_longest_name_fits_a_pod_and_its_services() {
    let longest = "a".repeat(43);
    // A label and a host name have 63 characters; a pod's name gets its number, of at most two digits here.
    assert!(headless_name(&longest).len() <= 63);
    assert!(name(&longest).len() + 3 <= 63);
    // A StatefulSet's pods carry its name and a hash of ten characters as a label.
    assert!(name(&longest).len() + 11 <= 63);
}

#[test]
fn selectors_pick_the_pods_and_stay_the_same() {
    for receiver in [plain(), full()] {
        let set = stateful_set(&receiver, &settings());
        let pods = set["spec"]["template"]["metadata"]["labels"].as_object().unwrap();
        let selectors = [
            &set["spec"]["selector"]["matchLabels"],
            &service(&receiver)["spec"]["selector"],
            &headless_service(&receiver)["spec"]["selector"],
            &disruption_budget(&receiver)["spec"]["selector"]["matchLabels"],
        ];
        for selector in selectors {
            let selector = selector.as_object().unwrap();
            assert_eq!(selector.len(), 2, "what is selected by can never change");
            assert!(selector.iter().all(|(key, value)| pods.get(key) == Some(value)));
        }
    }
}

#[test]
fn pods_are_restricted() {
    for receiver in [plain(), full()] {
        let pod = pod(&receiver);
        assert_eq!(pod["automountServiceAccountToken"], false);
        assert_eq!(pod["enableServiceLinks"], false);
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        assert!(pod["securityContext"]["runAsUser"].as_i64().unwrap() > 0);
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
        for field in ["hostNetwork", "hostPID", "hostIPC", "serviceAccountName"] {
            assert!(pod.get(field).is_none(), "{field}");
        }
        let containers = pod["containers"].as_array().unwrap();
        assert_eq!(containers.len(), 1);
        let security = &containers[0]["securityContext"];
        assert_eq!(security["allowPrivilegeEscalation"], false);
        assert_eq!(security["readOnlyRootFilesystem"], true);
        assert_eq!(security["capabilities"], json!({ "drop": ["ALL"] }));
        // The kinds of volumes that restricted pods may have.
        for volume in pod["volumes"].as_array().unwrap() {
            let kinds: Vec<_> = volume
                .as_object()
                .unwrap()
                .keys()
                .filter(|key| *key != "name")
                .collect();
            assert!(
                kinds.len() == 1 && ["configMap", "secret", "projected"].contains(&kinds[0].as_str()),
                "{kinds:?}"
            );
        }
        let drain = pod["terminationGracePeriodSeconds"].as_i64().unwrap();
        assert!(drain > 30);
    }
}

#[test]
fn every_mount_has_a_volume_and_secrets_are_not_for_all() {
    for receiver in [plain(), full()] {
        let pod = pod(&receiver);
        for mount in pod["containers"][0]["volumeMounts"].as_array().unwrap() {
            let name = mount["name"].as_str().unwrap();
            let volume = named(&pod["volumes"], name);
            assert!(name == "data" || !volume.is_null(), "{name}");
            assert_eq!(mount["readOnly"].as_bool().unwrap_or(false), name != "data", "{name}");
            for kind in ["secret", "projected"] {
                if let Some(source) = volume.get(kind) {
                    assert_eq!(source["defaultMode"], 0o440, "{name}");
                }
            }
        }
        let mounts: Vec<_> = pod["containers"][0]["volumeMounts"]
            .as_array()
            .unwrap()
            .iter()
            .collect();
        let path = |name: &str| {
            mounts
                .iter()
                .find(|mount| mount["name"] == name)
                .map(|mount| mount["mountPath"].clone())
        };
        assert_eq!(path("config"), Some(json!(CONFIG_DIR)));
        assert_eq!(path("keyring"), Some(json!(KEYRING_DIR)));
        assert_eq!(path("tokens"), Some(json!(TOKENS_DIR)));
        assert_eq!(path("data"), Some(json!(DATA_DIR)));
        assert_eq!(path("tls"), receiver.spec.tls.is_some().then(|| json!(TLS_DIR)));
    }
    let pod = pod(&full());
    assert_eq!(
        named(&pod["volumes"], "keyring")["secret"]["secretName"],
        "calls-receiver-keyring"
    );
    assert_eq!(named(&pod["volumes"], "tls")["secret"]["secretName"], "cert");
    assert_eq!(named(&pod["volumes"], "config")["configMap"]["name"], "calls-receiver");
}

#[test]
fn tokens_are_projected_under_the_names_that_the_configuration_says() {
    let tokens = named(&pod(&full())["volumes"], "tokens")["projected"]["sources"].clone();
    let item = |source: &Value| (source["secret"]["name"].clone(), source["secret"]["items"][0].clone());
    let sources: Vec<_> = tokens.as_array().unwrap().iter().map(item).collect();
    assert_eq!(
        sources,
        [
            (json!("sink-secret"), json!({ "key": "token", "path": "sink-one" })),
            (json!("pull-secret"), json!({ "key": "t", "path": "pull" })),
        ]
    );
    let config = config(&full());
    assert_eq!(config.pull.unwrap().token_file, "pull");
    let SinkTarget::Http { token_file, .. } = &config.sinks[0].target else {
        panic!("{:?}", config.sinks[0]);
    };
    assert_eq!(token_file.as_deref(), Some("sink-one"));
    assert_eq!(
        named(&pod(&plain())["volumes"], "tokens")["projected"]["sources"],
        json!([])
    );
}

#[test]
fn the_configuration_is_what_the_receiver_reads() {
    assert_eq!(
        config(&plain()),
        ReceiverConfig {
            path_prefix: "/teams".to_owned(),
            retention_seconds: 72 * 3600,
            storage_bytes: (1 << 30) / 5 * 4,
            sinks: Vec::new(),
            pull: None,
        }
    );
    let config = config(&full());
    assert_eq!(
        (config.retention_seconds, config.storage_bytes),
        (24 * 3600, (5 << 30) / 5 * 4)
    );
    let sink = |name: &str, target| SinkConfig {
        name: name.to_owned(),
        target,
    };
    let one = SinkTarget::Http {
        url: "https://sink.example/one".to_owned(),
        mode: CloudEventMode::Binary,
        timeout_seconds: 3,
        token_file: Some("sink-one".to_owned()),
    };
    let two = SinkTarget::Http {
        url: "http://sink.example/two".to_owned(),
        mode: CloudEventMode::Structured,
        timeout_seconds: 10,
        token_file: None,
    };
    assert_eq!(
        config.sinks,
        [sink("one", one), sink("two", two), sink("out", SinkTarget::Stdout)]
    );
    assert_eq!(config.pull.unwrap().consumers, ["mine"]);
}

#[test]
fn no_secret_is_written_into_what_is_built() {
    for object in everything(&full()) {
        let text = object.to_string();
        assert!(!text.contains("stringData") && !text.contains("secretKeyRef"), "{text}");
    }
}

#[test]
fn a_retention_of_nothing_stalls() {
    let refusal = config_map(&receiver(&json!({ "retention": "0s" }))).unwrap_err();
    assert!(refusal.stalled && refusal.reason == Reason::InvalidSpec);
}

#[test]
fn the_prefix_comes_from_the_public_address() {
    let cases = [
        ("https://hooks.example.org", "hooks.example.org", ""),
        ("https://hooks.example.org/", "hooks.example.org", ""),
        ("https://hooks.example.org/a/b/", "hooks.example.org", "/a/b"),
        ("https://hooks.example.org:8443/a", "hooks.example.org", "/a"),
        ("https://HOOKS.example.org/A", "hooks.example.org", "/A"),
        ("https://[2001:db8::1]/a", "[2001:db8::1]", "/a"),
        ("nonsense", "", ""),
    ];
    for (url, host, prefix) in cases {
        let receiver = receiver(&json!({ "publicUrl": url }));
        assert_eq!(public_address(&receiver), (host.to_owned(), prefix.to_owned()), "{url}");
        assert_eq!(config(&receiver).path_prefix, prefix, "{url}");
    }
}

#[test]
fn the_outside_reaches_the_webhook_alone() {
    let outside = service(&full());
    assert_eq!(outside["spec"]["type"], "LoadBalancer");
    assert_eq!(
        outside["spec"]["ports"],
        json!([{ "name": "webhook", "port": 443, "targetPort": "webhook" }])
    );
    assert_eq!(service(&plain())["spec"]["type"], "ClusterIP");
    let inside = headless_service(&plain());
    assert_eq!(inside["spec"]["clusterIP"], "None");
    assert_eq!(inside["spec"]["publishNotReadyAddresses"], true);
    assert_eq!(named(&inside["spec"]["ports"], "internal")["port"], INTERNAL_PORT);
}

#[test]
fn the_stateful_set_follows_the_spec() {
    let set = stateful_set(&full(), &settings());
    let spec = &set["spec"];
    assert_eq!(
        (&spec["replicas"], &spec["serviceName"]),
        (&json!(3), &json!("calls-receiver-pods"))
    );
    assert_eq!(spec["podManagementPolicy"], "Parallel");
    let claim = &spec["volumeClaimTemplates"][0]["spec"];
    assert_eq!(
        (&claim["storageClassName"], &claim["resources"]["requests"]["storage"]),
        (&json!("fast"), &json!("5Gi"))
    );
    let pod = pod(&full());
    assert_eq!(pod["nodeSelector"], json!({ "disk": "ssd" }));
    assert_eq!(pod["tolerations"][0]["key"], "voice");
    let container = &pod["containers"][0];
    assert_eq!(
        (&container["image"], &container["args"]),
        (&json!("registry.example/operator:1"), &json!(["receiver"]))
    );
    assert_eq!(container["resources"], json!({ "requests": { "cpu": "1" } }));
    assert!(container.get("imagePullPolicy").is_none());
    assert_eq!(container["readinessProbe"]["httpGet"]["path"], "/readyz");
    assert_eq!(container["livenessProbe"]["httpGet"]["port"], "internal");
    let never = Settings {
        receiver_image_pull_policy: Some("Never".to_owned()),
        ..settings()
    };
    let set = stateful_set(&plain(), &never);
    let container = &set["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["imagePullPolicy"], "Never");
    assert_eq!(container["resources"]["limits"]["memory"], "256Mi");
    let _: StatefulSet = serde_json::from_value(set).unwrap();
}

#[test]
fn an_ingress_leads_the_public_address_to_the_service() {
    assert_eq!(ingress(&plain()), None);
    let full = ingress(&full()).unwrap();
    assert_eq!(full["metadata"]["annotations"], json!({ "a/b": "c" }));
    assert_eq!(full["spec"]["ingressClassName"], "nginx");
    assert_eq!(
        full["spec"]["tls"],
        json!([{ "hosts": ["hooks.example.org"], "secretName": "public" }])
    );
    let rule = &full["spec"]["rules"][0];
    assert_eq!(rule["host"], "hooks.example.org");
    let path = &rule["http"]["paths"][0];
    assert_eq!((&path["path"], &path["pathType"]), (&json!("/teams"), &json!("Prefix")));
    assert_eq!(
        path["backend"]["service"],
        json!({ "name": "calls-receiver", "port": { "name": "webhook" } })
    );
    let bare = receiver(&json!({ "publicUrl": "https://hooks.example.org", "ingress": {} }));
    let bare = ingress(&bare).unwrap();
    assert_eq!(bare["spec"]["rules"][0]["http"]["paths"][0]["path"], "/");
    assert!(bare["spec"].get("tls").is_none() && bare["spec"].get("ingressClassName").is_none());
    let _: Ingress = serde_json::from_value(bare).unwrap();
}

#[test]
fn a_route_leads_the_public_address_to_the_service() {
    assert_eq!(http_route(&full()), None);
    let route = receiver(&json!({ "httpRoute": { "parentRefs": [
        { "name": "gateway" }, { "name": "other", "namespace": "infra", "sectionName": "https" },
    ] } }));
    let route = http_route(&route).unwrap();
    assert_eq!(
        route["spec"],
        json!({
            "parentRefs": [{ "name": "gateway" }, { "name": "other", "namespace": "infra", "sectionName": "https" }],
            "hostnames": ["hooks.example.org"],
            "rules": [{
                "matches": [{ "path": { "type": "PathPrefix", "value": "/teams" } }],
                "backendRefs": [{ "name": "calls-receiver", "port": 443 }],
            }],
        })
    );
}

#[test]
fn secrets_that_pods_mount_are_told_with_their_fields() {
    assert_eq!(mounted_secrets(&plain()), []);
    let full = full();
    let told: Vec<_> = mounted_secrets(&full)
        .into_iter()
        .map(|(field, name, keys)| format!("{field} {name} {}", keys.join(",")))
        .collect();
    assert_eq!(
        told,
        [
            "spec.tls.secretRef cert tls.crt,tls.key",
            "spec.sinks[0].http.tokenSecretRef sink-secret token",
            "spec.pull.tokenSecretRef pull-secret t",
        ]
    );
}

#[test]
fn the_same_receiver_is_built_the_same() {
    assert_eq!(everything(&full()), everything(&full()));
}

#[test]
fn what_is_no_longer_wanted_is_noticed() {
    let built = |receiver: &NotificationReceiver| {
        let mut objects = everything(receiver);
        objects.iter_mut().for_each(sign);
        objects
    };
    // As the API server returns it: with defaults of its own.
    let mut found = built(&full());
    for object in &mut found {
        object["metadata"]["resourceVersion"] = json!("7");
        object["status"] = json!({});
    }
    for (found, wanted) in found.iter().zip(built(&full())) {
        assert!(holds(found, &wanted));
    }
    for field in ["nodeSelector", "tolerations", "resources"] {
        let mut less = serde_json::to_value(full()).unwrap();
        less["spec"].as_object_mut().unwrap().remove(field);
        let less = serde_json::from_value(less).unwrap();
        let wanted = built(&less);
        assert!(!holds(&found[4], &wanted[4]), "{field} would stay");
    }
    let mut less = full();
    less.spec.ingress = Some(crate::api::receiver::Ingress::default());
    assert!(!holds(&found[5], &built(&less)[5]), "class and certificate would stay");
}
