use serde_json::json;

use super::*;
use crate::api::condition::Reason;
use crate::api::reference::SecretKeyRef;
use crate::graph::http_client_inside;
use crate::probe::fetch::Lost;
use crate::probe::testing::{DRIPS, drips};
use crate::simulator::{Config, Simulator};

struct World {
    simulator: Simulator,
    http: Client,
    spec: WebexHealth,
    token: SecretString,
    memory: Memory,
}

impl World {
    async fn new(change: Value) -> Self {
        let simulator = Simulator::start(Config::default()).await.unwrap();
        let spec = WebexHealth {
            url: format!("{}/webex/v1", simulator.url()),
            token_secret_ref: SecretKeyRef {
                name: "webex".into(),
                key: "token".into(),
            },
            sp_enterprise_id: None,
            provisioning_timeout: "15m".into(),
            status_url: Some(format!("{}/webex/status", simulator.url())),
        };
        let world = Self {
            simulator,
            http: http_client_inside().unwrap(),
            spec,
            token: SecretString::from("simulator-webex-token"),
            memory: Memory::default(),
        };
        world.set(change).await;
        world
    }

    async fn set(&self, change: Value) {
        let url = format!("{}/_simulator/webex", self.simulator.url());
        let answer = self.http.put(url).json(&change).send().await.unwrap();
        assert!(answer.status().is_success());
    }

    async fn fault(&self, action: Value) {
        let url = format!("{}/_simulator/faults", self.simulator.url());
        let fault = json!({"match": {"pathContains": "/webex/"}, "action": action, "times": 1});
        self.http.post(url).json(&fault).send().await.unwrap();
    }

    async fn ask(&mut self) -> Learned<Subscribers> {
        let plan = Plan {
            spec: &self.spec,
            token: &self.token,
            http: &self.http,
            limit: Duration::from_secs(5),
        };
        subscribers(&plan, &mut self.memory, &mut Vec::new()).await
    }

    async fn requests(&self) -> usize {
        let url = format!("{}/_simulator/requests", self.simulator.url());
        let log: Vec<Value> = self.http.get(url).send().await.unwrap().json().await.unwrap();
        log.len()
    }
}

fn subscriber(id: usize, status: &str, changed: &str) -> Value {
    json!({"userId": format!("u{id}"), "status": status, "lastStatusChange": changed})
}

#[tokio::test]
async fn what_waits_and_what_went_wrong_is_counted() {
    let mut all = vec![
        subscriber(1, "provisioned", "2020-01-01T00:00:00.000Z"),
        subscriber(2, "pending_email_input", "2020-01-01T00:00:00.000Z"),
        subscriber(3, "provisioning", "2026-11-22T10:00:00.000Z"),
        subscriber(4, "updating", "2026-11-22T09:00:00.000Z"),
        json!({"userId": "u5", "status": "provisioning", "lastStatusChange": null}),
        json!({"userId": "u6", "status": "error", "lastStatusChange": null, "errors": [
            {"errorCode": 10022.0, "description": "ann@personal.example is taken"}, {"errorCode": "1", "description": null}]}),
    ];
    all.extend((10..260).map(|id| subscriber(id, "provisioning", "2026-11-22T11:00:00.000Z")));
    let mut world = World::new(json!({"subscribers": all})).await;
    let Learned::Known(found) = world.ask().await else {
        panic!()
    };
    let counts: Vec<_> = found
        .counts
        .iter()
        .map(|(status, count)| (status.as_str(), *count))
        .collect();
    assert_eq!(counts, [("error", 1), ("provisioning", 252), ("updating", 1)]);
    assert_eq!(found.oldest, Some("2026-11-22T09:00:00Z".parse().unwrap()));
    let errors = [(Reason::BadSubscriberProfile, 1), (Reason::UserConflict, 10_022)];
    assert_eq!(found.errors, errors.into_iter().collect());
    assert!(found.complete);
    assert!(!format!("{found:?}").contains("personal"));
    // Young enough to be told again.
    let asked = world.requests().await;
    assert!(matches!(world.ask().await, Learned::Known(_)));
    assert_eq!(world.requests().await, asked);
}

#[tokio::test]
async fn pages_are_limited() {
    let all: Vec<_> = (0..1001)
        .map(|id| subscriber(id, "provisioning", "2026-11-22T10:00:00Z"))
        .collect();
    let mut world = World::new(json!({"subscribers": all})).await;
    let Learned::Known(found) = world.ask().await else {
        panic!()
    };
    assert!(!found.complete);
    assert_eq!(found.counts["provisioning"], 1000);
}

#[tokio::test]
async fn an_enterprise_narrows_them_down() {
    let mut world = World::new(json!({"subscribers": [subscriber(1, "provisioning", "2026-11-22T10:00:00Z")]})).await;
    world.spec.sp_enterprise_id = Some("another".into());
    let Learned::Known(found) = world.ask().await else {
        panic!()
    };
    assert!(found.counts.is_empty());
}

/// Hard input 20: the token follows no link to elsewhere.
#[tokio::test]
async fn a_list_that_goes_on_elsewhere_is_refused() {
    let all: Vec<_> = (0..101)
        .map(|id| subscriber(id, "provisioning", "2026-11-22T10:00:00Z"))
        .collect();
    let change = json!({"subscribers": all, "continuesAt": "http://169.254.169.254"});
    let mut world = World::new(change).await;
    let found = world.ask().await;
    assert!(
        matches!(&found, Learned::Unavailable(why) if why.contains("another address")),
        "{found:?}"
    );
}

/// Hard input 7: bytes that come now and then earn no more time.
#[tokio::test]
async fn an_answer_that_comes_byte_by_byte_is_given_up() {
    let mut world = World::new(json!({})).await;
    let late = Lost::Timeout.to_string();
    let limit = Duration::from_millis(500);
    for beginning in DRIPS {
        world.spec.url = drips(beginning).await;
        let plan = Plan {
            spec: &world.spec,
            token: &world.token,
            http: &world.http,
            limit,
        };
        let began = Instant::now();
        let found = subscribers(&plan, &mut Memory::default(), &mut Vec::new()).await;
        assert!(
            matches!(&found, Learned::Unavailable(why) if why.contains(&late)),
            "{beginning}: {found:?}"
        );
        let page = status_page(&world.http, &world.spec.url, limit, &mut Vec::new()).await;
        assert_eq!(page, Learned::Unavailable(late.clone()), "{beginning}");
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
}

/// Hard input 20: neither the API's address nor the status page's leads to what gives credentials.
#[tokio::test]
async fn addresses_of_metadata_services_are_not_asked() {
    let mut world = World::new(json!({})).await;
    let forbidden = Lost::Forbidden.to_string();
    for address in [
        "http://169.254.169.254/latest",
        "http://2852039166/",
        "https://[fe80::1]",
    ] {
        world.spec.url = address.to_owned();
        let found = world.ask().await;
        assert!(
            matches!(&found, Learned::Unavailable(why) if why.contains(&forbidden)),
            "{address}: {found:?}"
        );
        let page = status_page(&world.http, address, Duration::from_secs(5), &mut Vec::new()).await;
        assert_eq!(page, Learned::Unavailable(forbidden.clone()), "{address}");
    }
}

#[tokio::test]
async fn refusals_are_told_apart() {
    let mut world = World::new(json!({"scopes": []})).await;
    assert_eq!(world.ask().await, Learned::Denied);
    world.token = SecretString::from("wrong");
    assert!(matches!(world.ask().await, Learned::Refused(_)));
}

/// Hard input 10: HTML with status 200, truncated JSON, too much.
#[tokio::test]
async fn what_is_no_list_is_no_answer() {
    let mut world = World::new(json!({})).await;
    let kilobyte = "x".repeat(1024);
    for (body, times, why) in [
        ("<html>", 1, "cannot be read"),
        ("{\"subscribers\": [", 1, "cannot be read"),
        (kilobyte.as_str(), LONGEST_PAGE / 1024 + 1, "too long"),
    ] {
        world.set(json!({"spoiled": body, "spoiledTimes": times})).await;
        let found = world.ask().await;
        assert!(
            matches!(&found, Learned::Unavailable(text) if text.contains(why)),
            "{found:?}"
        );
    }
    for (action, why) in [
        (json!({"type": "status", "status": 502}), "status 502"),
        (json!({"type": "status", "status": 302}), "status 302"),
        (json!({"type": "reset"}), "the connection"),
    ] {
        world.fault(action).await;
        let found = world.ask().await;
        assert!(
            matches!(&found, Learned::Unavailable(text) if text.contains(why)),
            "{found:?}"
        );
    }
}

#[tokio::test]
async fn a_pause_that_is_asked_for_is_kept() {
    let mut world = World::new(json!({})).await;
    world
        .fault(json!({"type": "status", "status": 429, "retryAfter": 2}))
        .await;
    assert!(matches!(world.ask().await, Learned::Unavailable(_)));
    let asked = world.requests().await;
    assert!(matches!(world.ask().await, Learned::Unavailable(_)));
    assert_eq!(world.requests().await, asked);
    tokio::time::sleep(Duration::from_millis(2100)).await;
    assert!(matches!(world.ask().await, Learned::Known(_)));
}

/// W26.
#[tokio::test]
async fn the_status_page_is_read() {
    let incidents =
        json!([{"name": "old", "resolved_at": "2026-01-01T00:00:00Z"}, {"name": "new", "resolved_at": null}]);
    let component = json!({"name": "Webex Calling", "status": "major_outage", "isGroup": true});
    let world = World::new(json!({"components": [component], "incidents": incidents})).await;
    let url = world.spec.status_url.clone().unwrap();
    let mut clock = Vec::new();
    for url in [url.clone(), format!("{url}/"), format!("{url}/index.json")] {
        let page = status_page(&world.http, &url, Duration::from_secs(5), &mut clock).await;
        let expected = StatusPage {
            components: vec![("Webex Calling".into(), "major_outage".into())],
            incidents: vec!["new".into()],
        };
        assert_eq!(page, Learned::Known(expected), "{url}");
    }
    assert_eq!(clock.len(), 3);
    let wrong = format!("{}/nowhere", world.simulator.url());
    let page = status_page(&world.http, &wrong, Duration::from_secs(5), &mut clock).await;
    assert!(matches!(page, Learned::Unavailable(_)));
}

#[test]
fn the_next_link_is_found_among_others() {
    for (header, expected) in [
        ("<https://a/b?c=1>; rel=\"next\"", Some("https://a/b?c=1")),
        (
            "<https://a/first>; rel=\"first\", <https://a/n>; rel=next",
            Some("https://a/n"),
        ),
        ("<https://a/p>; rel=\"prev\"", None),
        ("https://a/n; rel=next", None),
        ("<https://a/n", None),
        ("", None),
    ] {
        assert_eq!(next_link(header), expected, "{header}");
    }
}
