//! The validation of notification URLs.

use std::time::Duration;

use serde_json::json;

use super::world::{World, config};

const PREFIX: &str = "Validation: Testing client application reachability for subscription Request-Id: ";

#[tokio::test]
async fn asks_both_urls_even_if_they_are_equal() {
    let world = World::new().await;
    let url = format!("{}?key=1", world.hook);
    world
        .created(json!({"notificationUrl": url, "lifecycleNotificationUrl": url}))
        .await;
    let seen = world.seen.lock().unwrap();
    assert_eq!(seen.tokens.len(), 2);
    assert!(
        seen.tokens.iter().all(|token| token.starts_with(PREFIX)),
        "{:?}",
        seen.tokens
    );
    let query = &seen.queries[0];
    assert!(
        query.starts_with("/hook?key=1&validationToken=Validation%3a+Testing+client+"),
        "{query}"
    );
}

#[tokio::test]
async fn refuses_every_wrong_echo() {
    let world = World::new().await;
    let mismatch = "Subscription validation request failed. Response must exactly match validationToken query \
                    parameter.";
    let not_ok = "Subscription validation request failed. Notification endpoint must respond with 200 OK to \
                  validation request.";
    let table = [
        ((200, "text/plain", "something else"), "InvalidRequest", mismatch),
        ((200, "application/json", "x"), "InvalidRequest", mismatch),
        ((202, "text/plain", ""), "ValidationError", not_ok),
        ((302, "text/plain", ""), "ValidationError", not_ok),
        ((401, "text/plain", ""), "ValidationError", not_ok),
    ];
    for (answer, code, message) in table {
        world.manners(|m| m.handshake = Some(answer));
        let (status, body) = world.create(json!({})).await;
        let error = &body["error"];
        let got = (
            status,
            error["code"].as_str().unwrap(),
            error["message"].as_str().unwrap(),
        );
        assert_eq!(got, (400, code, message), "{answer:?}");
    }
    assert_eq!(
        world.admin("GET", "/subscriptions?all=true", json!(null)).await,
        json!([])
    );
}

#[tokio::test]
async fn gives_up_on_silence() {
    let world = World::new().await;
    world.manners(|m| m.handshake_delay = Duration::from_millis(600));
    let silent = world.create(json!({})).await;
    let nobody = world.create(json!({"notificationUrl": "http://127.0.0.1:1/"})).await;
    for (status, body) in [silent, nobody] {
        assert_eq!(status, 400);
        assert_eq!(body["error"]["code"], "InvalidRequest");
        assert_eq!(body["error"]["message"], "Subscription validation request timed out.");
    }
}

#[tokio::test]
async fn tells_tls_trouble_apart_and_trusts_only_its_own_ca() {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".into()]).unwrap();
    let tls = crate::simulator::TlsPem {
        certificate: made.cert.pem().into_bytes(),
        key: made.signing_key.serialize_pem().into_bytes(),
    };
    // Any TLS server will do for the first part: another simulator, whose sink answers 202.
    let server = World::with(crate::simulator::Config {
        tls: Some(tls),
        ..config()
    })
    .await
    .simulator;
    let target = json!({"notificationUrl": format!("{}/_simulator/sink", server.url())});

    let world = World::new().await;
    let (status, body) = world.create(target.clone()).await;
    assert_eq!(
        (status, &body["error"]["code"]),
        (400, &json!("ValidationError")),
        "{body}"
    );
    let text = body["error"]["message"].as_str().unwrap();
    assert!(text.ends_with("Could not create SSL/TLS secure channel."), "{text}");

    let trusting = World::with(crate::simulator::Config {
        trusted_ca: Some(made.cert.pem()),
        ..config()
    })
    .await;
    let (_, body) = trusting.create(target).await;
    let text = body["error"]["message"].as_str().unwrap();
    assert!(text.contains("must respond with 200 OK"), "{text}");
}
