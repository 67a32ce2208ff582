use serde_json::{Value, json};

use super::*;
use crate::graph::http_client_inside;
use crate::probe::testing::{DRIPS, drips};
use crate::simulator::{Config, Simulator};

const ANN: &str = "ann@example.com";
const TYPE: &str = "Business Communicator - PC";

struct World {
    simulator: Simulator,
    http: Client,
    urls: Vec<String>,
}

impl World {
    async fn new() -> Self {
        let simulator = Simulator::start(Config::default()).await.unwrap();
        let urls = ["xsp1", "xsp2"].map(|xsp| format!("{}/{xsp}", simulator.url()));
        let world = Self {
            http: http_client_inside().unwrap(),
            urls: urls.to_vec(),
            simulator,
        };
        let ann = json!([{"id": ANN, "password": "p&*()w", "devices": ["Polycom", TYPE, "A & B"]}]);
        world.admin("POST", "xsi/users", ann).await;
        world
    }

    async fn admin(&self, method: &str, path: &str, body: Value) {
        let url = format!("{}/_simulator/{path}", self.simulator.url());
        let request = self.http.request(method.parse().unwrap(), url).json(&body);
        assert!(request.send().await.unwrap().status().is_success());
    }

    async fn look(&self, subscriber: Option<&Subscriber>) -> Vec<XspEvidence> {
        let plan = Plan {
            urls: &self.urls,
            subscriber,
            devices: true,
            http: &self.http,
            limit: Duration::from_secs(5),
        };
        let (evidence, clock) = look(&plan).await;
        assert!(
            evidence
                .iter()
                .all(|xsp| matches!(xsp.application, Reply::Lost(_)) || !clock.is_empty())
        );
        evidence
    }
}

fn ann(password: &str) -> Subscriber {
    Subscriber {
        username: ANN.into(),
        password: SecretString::from(password),
    }
}

/// W8; the password is one of hard input 18.
#[tokio::test]
async fn a_login_that_works_shows_the_devices() {
    let world = World::new().await;
    let ann = ann("p&*()w");
    let found = world.look(Some(&ann)).await;
    assert_eq!(found.len(), 2);
    for (xsp, url) in found.iter().zip(&world.urls) {
        assert_eq!(xsp.name, url.strip_prefix("http://").unwrap());
        assert_eq!(xsp.application, Reply::Status(401));
        assert_eq!(xsp.login, Some(Reply::Status(200)));
        let types = ["Polycom", TYPE, "A & B"].map(str::to_owned).to_vec();
        assert_eq!(xsp.devices, Some(Learned::Known(types)));
    }
    assert!(!format!("{ann:?}").contains("p&*"));
}

#[tokio::test]
async fn without_a_test_subscriber_only_the_application_is_seen() {
    let world = World::new().await;
    for xsp in world.look(None).await {
        assert_eq!(
            (xsp.application, xsp.login, xsp.devices),
            (Reply::Status(401), None, None)
        );
    }
}

/// W9: an XSP with another key refuses what the other accepts.
#[tokio::test]
async fn each_xsp_is_asked_for_itself() {
    let world = World::new().await;
    world.admin("PUT", "xsi/manners", json!({"refusing": ["xsp2"]})).await;
    let found = world.look(Some(&ann("p&*()w"))).await;
    let logins: Vec<_> = found.iter().map(|xsp| xsp.login.clone().unwrap()).collect();
    assert_eq!(logins, [Reply::Status(200), Reply::Status(401)]);
    assert_eq!(found[1].devices, None);
    let wrong = world.look(Some(&ann("wrong"))).await;
    assert!(wrong.iter().all(|xsp| xsp.login == Some(Reply::Status(401))));
}

#[tokio::test]
async fn what_does_not_answer_is_told_and_not_logged_in_to() {
    let mut world = World::new().await;
    world.admin("PUT", "xsi/manners", json!({"down": ["xsp1"]})).await;
    world.urls.push("http://127.0.0.1:1".into());
    world.urls.push(format!("{}/xsp9", world.simulator.url()));
    let found = world.look(Some(&ann("p&*()w"))).await;
    assert_eq!(found[0].application, Reply::Status(503));
    assert_eq!(found[0].login, None);
    assert_eq!(found[1].login, Some(Reply::Status(200)));
    assert_eq!(found[2].application, Reply::Lost("the connection is refused".into()));
    assert_eq!(found[3].application, Reply::Status(404));
}

/// Hard input 7: bytes that come now and then earn no more time.
#[tokio::test]
async fn an_answer_that_comes_byte_by_byte_is_given_up() {
    let http = http_client_inside().unwrap();
    let urls = [drips(DRIPS[0]).await, drips(DRIPS[1]).await];
    let plan = Plan {
        urls: &urls,
        subscriber: None,
        devices: false,
        http: &http,
        limit: Duration::from_millis(500),
    };
    let began = Instant::now();
    let (evidence, _) = look(&plan).await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    for xsp in evidence {
        assert_eq!(xsp.application, Reply::Lost(Lost::Timeout.to_string()));
    }
}

/// Hard input 20: a spec leads no login to what gives credentials.
#[tokio::test]
async fn addresses_of_metadata_services_are_not_asked() {
    let mut world = World::new().await;
    world.urls = ["http://169.254.169.254/latest", "http://[fd00:ec2::254]/"]
        .map(str::to_owned)
        .to_vec();
    for xsp in world.look(Some(&ann("p&*()w"))).await {
        assert_eq!(xsp.application, Reply::Lost(Lost::Forbidden.to_string()));
        assert_eq!((xsp.login, xsp.devices), (None, None));
    }
}

#[test]
fn types_are_read_whatever_is_around_them() {
    let types = |text: &str| device_types(text.as_bytes());
    assert_eq!(types("<a><deviceType>x</deviceType></a>"), Some(vec!["x".to_owned()]));
    assert_eq!(
        types("<x:a xmlns:x='y'><x:deviceType>x</x:deviceType></x:a>"),
        Some(vec!["x".to_owned()])
    );
    assert_eq!(types("<AccessDevices/>"), Some(Vec::new()));
    for odd in ["", "{}", "<a><b></a>"] {
        assert_eq!(types(odd), None, "{odd}");
    }
    let many = format!("<a>{}</a>", "<deviceType>x</deviceType>".repeat(1000));
    assert_eq!(types(&many).unwrap().len(), MOST_DEVICES);
}
