use super::*;
use crate::controller::ensure::{holds, sign};
use crate::controller::presence::secrets::mounts;
use crate::controller::presence::tests::{push, sync};
use crate::controller::testing::settings;

fn config(sync: &PresenceSync, credentials: &Value) -> PresenceConfig {
    let app = json!({
        "tenantId": "contoso.example", "clientId": "c", "credentials": credentials,
        "endpoints": { "login": "https://login.example", "graph": "https://graph.example" },
    });
    let mut config = json!({
        "namespace": "voice", "name": "desk", "uid": "u", "generation": 3, "spec": sync.spec,
        "token": { "name": "desk-presence-token", "key": "token" }, "reader": app, "writer": app,
    });
    if sync.spec.push.is_some() {
        config["push"] = json!({ "secret": "desk-presence-push-00", "pullUrls": ["http://a", "http://b"] });
    }
    serde_json::from_value(config).unwrap()
}

fn secret() -> Value {
    json!({ "clientSecret": { "secretRef": { "name": "app", "key": "secret" } } })
}

fn set(sync: &PresenceSync, credentials: &Value) -> Value {
    let config = config(sync, credentials);
    stateful_set(sync, &config, &mounts(&config), &settings(""))
}

fn pod_of(set: &Value) -> Value {
    set["spec"]["template"]["spec"].clone()
}

fn plain() -> PresenceSync {
    sync(&json!({}), &json!({}))
}

#[test]
fn everything_is_named_labelled_and_owned() {
    let sync = plain();
    let config = config(&sync, &secret());
    for object in [
        config_map(&sync, &config).unwrap(),
        service(&sync),
        set(&sync, &secret()),
    ] {
        let metadata = &object["metadata"];
        assert_eq!(metadata["name"], "desk-presence");
        assert_eq!(metadata["labels"]["app.kubernetes.io/name"], APP);
        assert_eq!(metadata["labels"]["app.kubernetes.io/instance"], "desk");
        assert_eq!(metadata["ownerReferences"][0]["uid"], "u");
        assert_eq!(metadata["ownerReferences"][0]["controller"], true);
    }
}

#[test]
fn one_pod_without_rights_that_writes_nowhere_but_on_its_volume() {
    let set = set(&plain(), &secret());
    assert_eq!(set["spec"]["replicas"], 1);
    let pod = pod_of(&set);
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    let container = &pod["containers"][0];
    assert_eq!(container["args"], json!(["presence-worker"]));
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(container["securityContext"]["capabilities"]["drop"], json!(["ALL"]));
    let writable: Vec<_> = container["volumeMounts"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|mount| mount["readOnly"] != true)
        .map(|mount| mount["mountPath"].clone())
        .collect();
    assert_eq!(writable, [json!(DATA_DIR)]);
    assert!(!set.to_string().contains("serviceAccountToken"), "no token of any kind");
}

#[test]
fn each_secret_has_its_folder_and_of_a_shared_one_only_the_keys_that_are_named() {
    let mut spec = push();
    spec["pbx"] = json!({ "sip": {
        "host": "h", "domain": "d",
        "passwordSecretRef": { "name": "sip", "key": "password" }, "caBundleSecretRef": { "name": "sip", "key": "ca.crt" },
    } });
    let pod = pod_of(&set(&sync(&json!({}), &spec), &secret()));
    let volumes: Vec<&Value> = pod["volumes"].as_array().unwrap().iter().collect();
    let mounts = pod["containers"][0]["volumeMounts"].as_array().unwrap();
    let mut found = Vec::new();
    for volume in volumes.iter().filter(|volume| volume["secret"].is_object()) {
        let mount = mounts.iter().find(|mount| mount["name"] == volume["name"]).unwrap();
        let items = volume["secret"]["items"].as_array();
        let keys: Vec<_> = items
            .into_iter()
            .flatten()
            .map(|item| item["path"].as_str().unwrap())
            .collect();
        found.push((volume["secret"]["secretName"].as_str().unwrap(), keys.join(" ")));
        let folder = format!("{SECRETS_DIR}/{}", volume["secret"]["secretName"].as_str().unwrap());
        assert_eq!(mount["mountPath"], folder);
    }
    let all = |name: &'static str| (name, String::new());
    assert_eq!(
        found,
        [
            all("account-1"),
            ("app", "secret".to_owned()),
            all("desk-presence-push-00"),
            all("desk-presence-token"),
            ("pull", "token".to_owned()),
            ("sip", "ca.crt password".to_owned()),
        ]
    );
}

#[test]
fn a_certificate_is_mounted_with_its_key() {
    let credentials = json!({ "certificate": { "secretName": "tls" } });
    let pod = pod_of(&set(&plain(), &credentials));
    let volumes = pod["volumes"].as_array().unwrap();
    let tls = volumes
        .iter()
        .find(|volume| volume["secret"]["secretName"] == "tls")
        .unwrap();
    let keys: Vec<_> = tls["secret"]["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["key"].clone())
        .collect();
    assert_eq!(keys, ["tls.crt", "tls.key"]);
}

#[test]
fn with_workload_identity_the_pod_has_a_token_for_entra_alone() {
    let pod = pod_of(&set(&plain(), &json!({ "workloadIdentity": {} })));
    let volumes = pod["volumes"].as_array().unwrap();
    let federation = volumes.iter().find(|volume| volume["name"] == "federation").unwrap();
    let sources = federation["projected"]["sources"].as_array().unwrap();
    assert_eq!(sources.len(), 1);
    assert_eq!(
        sources[0]["serviceAccountToken"]["audience"],
        "api://AzureADTokenExchange"
    );
    let mounts = pod["containers"][0]["volumeMounts"].as_array().unwrap();
    let mount = mounts.iter().find(|mount| mount["name"] == "federation").unwrap();
    let file = sources[0]["serviceAccountToken"]["path"].as_str().unwrap();
    let path = format!("{}/{file}", mount["mountPath"].as_str().unwrap());
    assert_eq!(path, FEDERATED_TOKEN_FILE);
    assert_eq!(pod["automountServiceAccountToken"], false);
}

#[test]
fn what_the_user_says_of_the_pod_is_kept() {
    let spec = json!({
        "storage": { "size": "2Gi", "storageClassName": "fast" },
        "resources": { "requests": { "cpu": "1" } },
        "nodeSelector": { "zone": "a" }, "tolerations": [{ "key": "voice", "operator": "Exists" }],
    });
    let set = set(&sync(&json!({}), &spec), &secret());
    let claim = &set["spec"]["volumeClaimTemplates"][0]["spec"];
    assert_eq!(claim["resources"]["requests"]["storage"], "2Gi");
    assert_eq!(claim["storageClassName"], "fast");
    let pod = pod_of(&set);
    assert_eq!(pod["nodeSelector"]["zone"], "a");
    assert_eq!(pod["tolerations"][0]["key"], "voice");
    assert_eq!(pod["containers"][0]["resources"]["requests"]["cpu"], "1");
}

/// A rolling pod is a gap in presence: what the worker reloads by itself must not change the template.
#[test]
fn a_change_of_the_rules_reaches_the_worker_without_a_new_pod() {
    let before = set(&plain(), &secret());
    let spec = json!({ "direction": "PbxToTeams", "policy": { "debounce": "5s" }, "pollInterval": "30s" });
    let after = set(&sync(&json!({ "generation": 9 }), &spec), &secret());
    assert_eq!(before, after);
    let (mut wanted, mut found) = (before.clone(), after);
    sign(&mut wanted);
    sign(&mut found);
    assert!(holds(&found, &wanted));
}
