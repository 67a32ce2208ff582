//! What `kubectl get` shows.

use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::manifests::{connector, presence, receiver, subscription, tenant};
use crate::support::{Namespace, client, collection, send, until};

async fn kubectl(arguments: &[&str]) -> Result<String, String> {
    let output = tokio::process::Command::from(Command::new("kubectl"))
        .args(arguments)
        .output()
        .await
        .expect("kubectl, which tests/cluster/api puts in PATH");
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// Titles may hold single spaces; two stand between columns.
fn titles(line: &str) -> Vec<&str> {
    line.split("  ")
        .map(str::trim)
        .filter(|title| !title.is_empty())
        .collect()
}

#[tokio::test]
async fn kubectl_shows_the_columns_under_every_name() {
    let client = client().await;
    let namespace = Namespace::new(&client).await;
    for (plural, object) in [
        ("graphtenants", tenant()),
        ("notificationreceivers", receiver()),
        ("graphsubscriptions", subscription()),
        ("presencesyncs", presence()),
        ("teamsconnectorhealths", connector()),
    ] {
        let path = collection(&namespace.name, plural);
        send(&client, "POST", &path, &object).await.unwrap();
    }
    let columns = [
        (
            "gt",
            "NAME|READY|AUTHENTICATED|PERMISSIONS|REASON|CREDENTIAL EXPIRES|TENANT|MESSAGE|AGE",
        ),
        (
            "nrcv",
            "NAME|AVAILABLE|REACHABLE|DELIVERING|REASON|REPLICAS|URL|AGE|MESSAGE",
        ),
        (
            "psync",
            "NAME|PBX|AUTHENTICATED|PRESENCE|REASON|SYNCED|UNMATCHED|DIRECTION|AGE",
        ),
        ("tch", "NAME|TYPE|HEALTH|REASON|CALLS|CAPACITY|CERT-EXPIRES|AGE|MESSAGE"),
        (
            "gsub",
            "NAME|RESOURCE|SUBSCRIBED|REASON|GAP-FREE|EXPIRES|RENEWAL|LAST EVENT|AGE|ID|MESSAGE",
        ),
    ];
    for (short, expected) in columns {
        let shown = until(&format!("kubectl knows {short}"), Duration::from_secs(20), async || {
            kubectl(&["get", short, "-n", &namespace.name, "-o", "wide"]).await
        })
        .await;
        let header = titles(shown.lines().next().unwrap()).join("|");
        assert_eq!(header, expected, "{short}");
    }
    let all = kubectl(&["get", "teamsgraph", "-n", &namespace.name, "-o", "name"])
        .await
        .unwrap();
    assert_eq!(all.lines().count(), 5, "the category lists every kind: {all}");
}

#[tokio::test]
async fn columns_show_the_status() {
    let client = client().await;
    let namespace = Namespace::new(&client).await;
    let path = collection(&namespace.name, "graphsubscriptions");
    send(&client, "POST", &path, &subscription()).await.unwrap();
    let condition = |type_: &str, status: &str, reason: &str| json!({ "type": type_, "status": status, "reason": reason, "message": "m", "lastTransitionTime": "2026-01-02T03:04:05Z" });
    let status = json!({ "status": {
        "observedGeneration": 1,
        "conditions": [condition("Subscribed", "False", "Throttled"), condition("GapFree", "True", "NoGap")],
        "expirationTime": "2026-01-02T03:04:05Z",
    }});
    send(&client, "PATCH", &format!("{path}/example/status"), &status)
        .await
        .unwrap();
    let shown = kubectl(&["get", "gsub", "-n", &namespace.name, "--no-headers"])
        .await
        .unwrap();
    let words: Vec<&str> = shown.split_whitespace().collect();
    let expected = [
        "example",
        "communications/callRecords",
        "False",
        "Throttled",
        "True",
        "2026-01-02T03:04:05Z",
    ];
    assert_eq!(words[..6], expected, "{shown}");
}

/// A `date` column shows how long ago something was, and `<invalid>` for what is still to come.
#[tokio::test]
async fn the_expiry_of_a_credential_is_a_time_ahead() {
    let client = client().await;
    let namespace = Namespace::new(&client).await;
    let path = collection(&namespace.name, "graphtenants");
    send(&client, "POST", &path, &tenant()).await.unwrap();
    let status = json!({ "status": { "observedGeneration": 1, "credentialExpirationTime": "2099-01-02T03:04:05Z" } });
    send(&client, "PATCH", &format!("{path}/example/status"), &status)
        .await
        .unwrap();
    let shown = kubectl(&["get", "gt", "-n", &namespace.name, "--no-headers"])
        .await
        .unwrap();
    assert!(shown.contains("2099-01-02T03:04:05Z"), "{shown}");
}
