use super::*;
use crate::graph::http_client_inside;
use crate::simulator::{Config, DEFAULT_TENANT, Simulator};

const TIME: Duration = Duration::from_secs(5);

async fn ask(simulator: &Simulator, tenant: &str) -> (Discovery, Option<ClockSample>) {
    discover(&http_client_inside().unwrap(), simulator.url(), tenant, TIME).await
}

/// Has the next request answered with this status and no document.
async fn spoil(simulator: &Simulator, action: serde_json::Value) {
    let url = format!("{}/_simulator/faults", simulator.url());
    let fault = serde_json::json!({"action": action, "times": 1});
    let answer = http_client_inside()
        .unwrap()
        .post(url)
        .json(&fault)
        .send()
        .await
        .unwrap();
    assert!(answer.status().is_success());
}

#[tokio::test]
async fn ids_and_domains_lead_to_a_tenant() {
    let simulator = Simulator::start(Config::default()).await.unwrap();
    for name in [DEFAULT_TENANT, "contoso.onmicrosoft.com", "CONTOSO.onmicrosoft.com"] {
        let (found, clock) = ask(&simulator, name).await;
        assert_eq!(found, Discovery::Tenant(DEFAULT_TENANT.into()), "{name}");
        let clock = clock.unwrap();
        assert_eq!(clock.source, SOURCE);
        assert!(clock.skew.abs() < jiff::SignedDuration::from_secs(3), "{clock:?}");
    }
    for name in ["fabrikam.com", "99999999-9999-9999-9999-999999999999"] {
        assert_eq!(ask(&simulator, name).await.0, Discovery::NotFound, "{name}");
    }
    // Not one tenant.
    assert!(matches!(ask(&simulator, "common").await.0, Discovery::Unavailable(_)));
}

#[tokio::test]
async fn what_is_no_answer_says_nothing_about_the_tenant() {
    let simulator = Simulator::start(Config::default()).await.unwrap();
    for (action, why) in [
        (serde_json::json!({"type": "status", "status": 503}), "status 503"),
        (serde_json::json!({"type": "status", "status": 404}), "status 404"),
        (serde_json::json!({"type": "reset"}), "out of reach"),
    ] {
        spoil(&simulator, action).await;
        let (found, _) = ask(&simulator, DEFAULT_TENANT).await;
        let Discovery::Unavailable(text) = found else {
            panic!("{found:?}")
        };
        assert!(text.contains(why), "{text}");
    }
    spoil(&simulator, serde_json::json!({"type": "timeout", "ms": 2000})).await;
    let client = http_client_inside().unwrap();
    let short = Duration::from_millis(200);
    let (found, _) = discover(&client, simulator.url(), DEFAULT_TENANT, short).await;
    let Discovery::Unavailable(text) = found else {
        panic!("{found:?}")
    };
    assert!(text.contains("in time"), "{text}");
}

#[test]
fn only_an_id_is_a_tenant() {
    for (issuer, expected) in [
        (format!("https://login.microsoftonline.com/{DEFAULT_TENANT}/v2.0"), true),
        (format!("https://sts.windows.net/{DEFAULT_TENANT}/"), true),
        ("https://login.microsoftonline.com/{tenantid}/v2.0".into(), false),
        ("https://login.microsoftonline.com".into(), false),
        (DEFAULT_TENANT.into(), false),
    ] {
        assert_eq!(tenant_of(&issuer).is_some(), expected, "{issuer}");
    }
}
