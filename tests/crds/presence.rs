//! `PresenceSync`: what is accepted, refused and filled in, and that the server keeps what the types write.

use serde_json::{Value, json};
use teams_graph_operator::api::presence::PresenceSyncSpec;

use crate::kept::kept_and_filled_in_alike;
use crate::manifests::presence;
use crate::support::{Namespace, client, collection, send};

fn spec(changes: &Value) -> Value {
    let mut spec = presence()["spec"].clone();
    for (key, value) in changes.as_object().unwrap() {
        spec[key] = value.clone();
    }
    spec
}

fn innovaphone(changes: &Value) -> Value {
    let mut pbx = presence()["spec"]["pbx"]["innovaphone"].clone();
    for (key, value) in changes.as_object().unwrap() {
        pbx[key] = value.clone();
    }
    json!({ "pbx": { "innovaphone": pbx } })
}

fn endpoint(name: &str, role: &str, url: &str) -> Value {
    json!({ "name": name, "role": role, "url": url })
}

fn push() -> Value {
    json!({
        "receiverRef": { "name": "hooks", "namespace": "other" }, "consumer": "presence",
        "tokenSecretRef": { "name": "pull", "key": "token" },
        "accounts": [{ "name": "one", "secretRef": { "name": "a" } }, { "name": "two", "secretRef": { "name": "b" } }],
    })
}

fn sip(changes: &Value) -> Value {
    let mut sip = json!({ "host": "sip.example", "domain": "example" });
    for (key, value) in changes.as_object().unwrap() {
        sip[key] = value.clone();
    }
    json!({ "pbx": { "sip": sip } })
}

fn broadworks(xsps: &[&str]) -> Value {
    let password = json!({ "name": "xsi", "key": "password" });
    json!({ "pbx": { "broadworks": { "xsps": xsps, "username": "admin@example", "passwordSecretRef": password } } })
}

/// Specs that are accepted, every field among them.
fn accepted() -> Vec<Value> {
    let key = json!({ "name": "s", "key": "k" });
    vec![
        json!({}),
        json!({ "direction": "TeamsToPbx", "writerTenantRef": { "name": "writer" }, "suspend": true, "pollInterval": "30s" }),
        json!({ "source": "Both", "push": push() }),
        json!({ "source": "Subscription", "push": push() }),
        json!({ "users": {
            "licence": "Any", "groups": ["00000000-0000-0000-0000-000000000001"], "list": ["anna@contoso.example"],
            "licenceInterval": "1h",
        } }),
        innovaphone(&json!({
            "ownContact": "calendar:", "caBundleSecretRef": key,
            "endpoints": [
                endpoint("pbx", "Master", "wss://pbx.example/PBX0/APPS/websocket"),
                endpoint("branch", "Slave", "ws://pbx.voice.svc/PBX0/APPS/websocket"),
            ],
        })),
        sip(&json!({})),
        sip(&json!({
            "port": 5061, "transport": "TLS", "username": "u", "passwordSecretRef": key, "caBundleSecretRef": key,
            "address": { "from": "phone", "stripDomain": true, "extensionDigits": 4 },
        })),
        broadworks(&["https://xsp1.example", "https://xsp2.example"]),
        // The policy says what the PBX's do not disturb is in Teams, and nothing of the way back.
        {
            let mut to_pbx = broadworks(&["https://xsp.example"]);
            to_pbx["direction"] = "TeamsToPbx".into();
            to_pbx["policy"] = json!({ "doNotDisturb": "Ignore" });
            to_pbx
        },
        json!({ "matching": [
            { "pbxField": "cn", "graphField": "displayName" },
            { "pbxField": "extension", "graphField": "phone", "countryCode": "49", "extensionDigits": 4 },
            { "pbxField": "h323", "graphField": "onPremisesSamAccountName", "stripDomain": true },
        ] }),
        json!({ "mapping": {
            "profile": "Conservative",
            "teamsToPbx": [{ "teams": "Focusing", "pbx": "DoNotDisturb" }, { "teams": "Offline", "pbx": "NoChange" }],
            "pbxToTeams": [{ "pbx": "lunch", "teams": "Away" }],
        } }),
        json!({ "lifetimes": { "lineRefresh": "2m", "chosen": "1h", "away": "24h" } }),
        json!({ "policy": {
            "offline": "NoChange", "outOfOffice": "Note", "doNotDisturb": "Session", "ringing": "InACall", "debounce": "3s",
        } }),
        json!({
            "storage": { "size": "2Gi", "storageClassName": "fast" }, "nodeSelector": { "zone": "a" },
            "resources": { "requests": { "cpu": "1" } }, "tolerations": [{ "key": "voice", "operator": "Exists" }],
        }),
    ]
}

#[tokio::test]
async fn what_the_types_write_is_kept_and_filled_in_alike() {
    let specs = accepted().iter().map(spec).collect();
    kept_and_filled_in_alike::<PresenceSyncSpec>("presencesyncs", presence(), specs).await;
}

#[tokio::test]
async fn what_cannot_work_is_refused_with_the_reason() {
    let client = client().await;
    let namespace = Namespace::new(&client).await;
    let path = format!("{}?dryRun=All", collection(&namespace.name, "presencesyncs"));
    let two = json!({ "pbx": { "sip": sip(&json!({}))["pbx"]["sip"], "innovaphone": innovaphone(&json!({}))["pbx"]["innovaphone"] } });
    let url = "wss://pbx.example/ws";
    let cases = [
        (json!({ "pbx": {} }), "exactly one of innovaphone, sip, broadworks"),
        (two, "exactly one of innovaphone, sip, broadworks"),
        (
            json!({ "source": "Both" }),
            "push is required with source: Subscription and Both",
        ),
        (json!({ "push": push() }), "push has no effect with source: Poll"),
        (
            innovaphone(&json!({ "endpoints": [endpoint("pbx.example.com", "Master", url)] })),
            "short name is expected here, not a DNS name",
        ),
        (
            innovaphone(&json!({ "endpoints": [endpoint("pbx", "Slave", url)] })),
            "exactly one endpoint has role: Master",
        ),
        (
            innovaphone(&json!({ "endpoints": [endpoint("a", "Master", url), endpoint("b", "Master", url)] })),
            "exactly one endpoint has role: Master",
        ),
        (
            innovaphone(&json!({ "endpoints": [endpoint("pbx", "Master", "ws://pbx.example/ws")] })),
            "must be wss://",
        ),
        (
            innovaphone(&json!({ "ownContact": "tel:" })),
            "tel: is the person's own entry",
        ),
        (
            innovaphone(&json!({ "ownContact": "IM:" })),
            "tel: is the person's own entry",
        ),
        (broadworks(&["http://xsp.example"]), "must be https://"),
        (broadworks(&[]), "should have at least 1 items"),
        (sip(&json!({ "port": 0 })), "greater than or equal to 1"),
        (json!({ "matching": [] }), "should have at least 1 items"),
        (
            json!({ "matching": [{ "pbxField": "cn", "graphField": "phone", "countryCode": "049" }] }),
            "should match",
        ),
        (json!({ "users": { "groups": ["sales"] } }), "should match"),
        (
            json!({ "mapping": { "pbxToTeams": [{ "pbx": "lunch", "teams": "OffWork" }] } }),
            "Unsupported value",
        ),
        (json!({ "direction": "Sideways" }), "Unsupported value"),
    ];
    let mut wrong = Vec::new();
    for (changes, expected) in cases {
        let mut object = presence();
        object["spec"] = spec(&changes);
        match send(&client, "POST", &path, &object).await {
            Err(message) if message.contains(expected) => {}
            answer => wrong.push(format!("{changes}: {:?}", answer.map(|stored| stored["spec"].clone()))),
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// Pods are named after it, and its volume cannot change.
#[tokio::test]
async fn names_fit_pods_and_storage_stays() {
    let client = client().await;
    let namespace = Namespace::new(&client).await;
    let path = collection(&namespace.name, "presencesyncs");
    for (name, good) in [
        ("a".repeat(43), true),
        ("a".repeat(44), false),
        ("desk.one".to_owned(), false),
    ] {
        let mut object = presence();
        object["metadata"]["name"] = name.clone().into();
        let answer = send(&client, "POST", &format!("{path}?dryRun=All"), &object).await;
        assert_eq!(answer.is_ok(), good, "{name}: {answer:?}");
    }
    send(&client, "POST", &path, &presence()).await.unwrap();
    let change = json!({ "spec": { "storage": { "size": "2Gi" } } });
    let answer = send(&client, "PATCH", &format!("{path}/example"), &change).await;
    assert!(
        answer
            .expect_err("a refusal")
            .contains("cannot be changed: make a new PresenceSync")
    );
}
