use super::*;

fn destination() -> Destination {
    Destination {
        uid: "uid-1".to_owned(),
        notification_url: SecretString::from("https://h/v1/n/k2/uid-1/proof"),
        lifecycle_url: SecretString::from("https://h/v1/l/k2/uid-1/proof"),
        client_state: SecretString::from("state"),
    }
}

fn subscription(url: &str, expires_in: i64) -> Subscription {
    let expiration = Timestamp::UNIX_EPOCH + SignedDuration::from_mins(expires_in);
    let body = serde_json::json!({"id": "s", "notificationUrl": url, "expirationDateTime": expiration.to_string()});
    serde_json::from_value(body).unwrap()
}

#[test]
fn only_an_address_with_our_uid_is_ours() {
    for (url, ours) in [
        ("https://h/v1/n/k2/uid-1/proof", true),
        ("https://old-host/hooks/v1/n/k1/uid-1/older", true),
        ("https://h/v1/n/k2/uid-2/proof", false),
        ("https://h/v1/l/k2/uid-1/proof", false),
        ("https://elsewhere/uid-1", false),
        ("", false),
    ] {
        assert_eq!(destination().owns(&subscription(url, 1)), ours, "{url}");
    }
}

#[test]
fn people_are_found_in_every_spelling_of_the_resource() {
    let ids: Vec<String> = ["a-1", "b-2"].map(str::to_owned).into();
    let expected: Ids = ids.clone().into();
    assert_eq!(people_of(&resource(&ids)), expected);
    for spelling in [
        "communications/presences?$filter=id in ('B-2', 'a-1')",
        "/communications/presences?$filter=id in (\"a-1\",\"b-2\")",
    ] {
        assert_eq!(people_of(spelling), expected, "{spelling}");
    }
    assert!(people_of("communications/presences/x").is_empty());
}

#[test]
fn a_renewal_is_due_in_good_time_and_never_without_a_pause() {
    let now = Timestamp::UNIX_EPOCH;
    let held = |minutes| Held {
        subscription: subscription("x", minutes),
        people: Ids::default(),
        written: None,
    };
    let next = next_look(Some(&held(59)), now);
    assert!(
        next >= Duration::from_mins(34) && next <= Duration::from_mins(39),
        "{next:?}"
    );
    // Graph granted less than was asked for.
    assert!(next_look(Some(&held(5)), now) >= Duration::from_secs(30));
    assert_eq!(next_look(None, now), Duration::from_hours(1));
}

#[tokio::test]
async fn only_the_own_subscription_is_meant_unless_words_were_missed() {
    let (sender, mut words) = broadcast::channel(2);
    for id in ["other", "S-1"] {
        sender.send(id.to_owned()).unwrap();
    }
    challenge(&mut words, Some("s-1")).await;
    sender.send("other".to_owned()).unwrap();
    for ours in [Some("s-1"), None] {
        let waits = tokio::time::timeout(Duration::from_millis(20), challenge(&mut words, ours)).await;
        assert!(waits.is_err(), "{ours:?}");
    }
    for _ in 0..3 {
        sender.send("other".to_owned()).unwrap();
    }
    challenge(&mut words, Some("s-1")).await;
}
