//! Xsi, as a client sees it.

use std::time::Duration;

use reqwest::Response;
use serde_json::{Value, json};

use super::world::World;

const ANN: &str = "ann@example.com";
const BOB: &str = "bob@example.com";
const EVENTS: &str = "com.broadsoft.xsi-events/v2.0";
const ACTIONS: &str = "com.broadsoft.xsi-actions/v2.0";
const SOON: Duration = Duration::from_secs(5);

fn xml(name: &str, fields: &[(&str, &str)]) -> String {
    let fields: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("<{name}>{value}</{name}>"))
        .collect();
    format!(
        "<{name} xmlns=\"http://schema.broadsoft.com/xsi\">{}</{name}>",
        fields.concat()
    )
}

fn text(document: &str, name: &str) -> String {
    let (_, rest) = document
        .split_once(&format!("{name}>"))
        .unwrap_or_else(|| panic!("no {name} in {document}"));
    rest.split('<').next().unwrap().to_string()
}

/// The kind of event data, or of the event where there is none.
fn kind(document: &str) -> String {
    let last = document.rsplit("xsi1:type=\"xsi:").next().unwrap();
    last.split('"').next().unwrap().to_string()
}

impl World {
    async fn xsi(&self, method: &str, path: &str, body: Option<String>, cookie: &str) -> (u16, String) {
        let response = self.xsi_as("admin@example.com", method, path, body, cookie).await;
        let status = response.status().as_u16();
        (status, response.text().await.unwrap())
    }

    async fn xsi_as(&self, who: &str, method: &str, path: &str, body: Option<String>, cookie: &str) -> Response {
        let url = self.url(&format!("/{path}"));
        let mut request = self.client.request(method.parse().unwrap(), url);
        request = request
            .basic_auth(who, Some("simulator-password"))
            .header("cookie", cookie);
        if let Some(body) = body {
            request = request.header("content-type", "application/xml").body(body);
        }
        request.send().await.unwrap()
    }

    async fn xsi_subscribe(&self, target: &str, event: &str) -> String {
        let body = xml(
            "Subscription",
            &[
                ("event", event),
                ("expires", "3600"),
                ("channelSetId", "set"),
                ("applicationId", "test"),
            ],
        );
        let (status, answer) = self.xsi("POST", &format!("{EVENTS}/{target}"), Some(body), "").await;
        assert_eq!(status, 200, "{answer}");
        text(&answer, "subscriptionId")
    }
}

struct Channel {
    response: Response,
    rest: String,
    prefix: &'static str,
    cookie: String,
    id: String,
}

impl Channel {
    async fn open(world: &World, prefix: &'static str) -> Self {
        let body = xml(
            "Channel",
            &[
                ("channelSetId", "set"),
                ("priority", "1"),
                ("weight", "50"),
                ("expires", "3600"),
                ("applicationId", "test"),
            ],
        );
        let path = format!("{prefix}com.broadsoft.async/{EVENTS}/channel");
        let response = world.xsi_as("admin@example.com", "POST", &path, Some(body), "").await;
        assert_eq!(response.status().as_u16(), 200);
        let cookie = response.headers()["set-cookie"].to_str().unwrap();
        let mut channel = Self {
            cookie: cookie.split(';').next().unwrap().to_string(),
            response,
            rest: String::new(),
            prefix,
            id: String::new(),
        };
        let first = channel.next().await.unwrap();
        channel.id = text(&first, "channelId");
        channel
    }

    /// The next document; None at the end.
    async fn next(&mut self) -> Option<String> {
        loop {
            for end in [
                "</xsi:Event>",
                "</Channel>",
                "<ChannelHeartBeat xmlns=\"http://schema.broadsoft.com/xsi\"/>",
            ] {
                if let Some((document, rest)) = self.rest.split_once(end) {
                    let document = format!("{document}{end}");
                    self.rest = rest.to_string();
                    return Some(document);
                }
            }
            let chunk = tokio::time::timeout(SOON, self.response.chunk())
                .await
                .expect("a chunk")
                .ok()??;
            self.rest.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// The next event, answered.
    async fn event(&mut self, world: &World) -> String {
        let event = self.next().await.unwrap();
        let body = xml(
            "EventResponse",
            &[
                ("eventID", &text(&event, "eventID")),
                ("statusCode", "200"),
                ("reason", "OK"),
            ],
        );
        let path = format!("{}{EVENTS}/channel/eventresponse", self.prefix);
        let (status, answer) = world.xsi("POST", &path, Some(body), &self.cookie).await;
        assert_eq!(status, 200, "{answer}");
        event
    }

    fn path(&self, rest: &str) -> String {
        format!("{}{EVENTS}/channel/{}{rest}", self.prefix, self.id)
    }
}

async fn world(manners: Value) -> World {
    let world = World::new().await;
    world.admin("PUT", "/xsi/manners", manners).await;
    let users =
        json!([{"id": ANN, "password": "simulator-password", "number": "101"}, {"id": BOB, "withoutDnd": true}]);
    world.admin("POST", "/xsi/users", users).await;
    world
}

#[tokio::test]
async fn actions_are_for_those_who_may() {
    let world = world(json!({})).await;
    let ask = async |who: &str, path: &str| {
        let path = format!("{ACTIONS}/user/{path}");
        world.xsi_as(who, "GET", &path, None, "").await.status().as_u16()
    };
    let profile = world
        .xsi("GET", &format!("xsp2/{ACTIONS}/user/{ANN}/profile"), None, "")
        .await;
    assert_eq!((profile.0, text(&profile.1, "userId")), (200, ANN.into()));
    for (who, path, expected) in [
        (ANN, "ann@example.com/profile", 200),
        (ANN, "bob@example.com/profile", 403),
        (BOB, "bob@example.com/profile", 401),
        ("admin@example.com", "ann%40example.com/services", 200),
        ("admin@example.com", "ann@example.com/calls", 200),
        ("admin@example.com", "ann@example.com/services/DoNotDisturb", 200),
        ("admin@example.com", "bob@example.com/services/DoNotDisturb", 404),
        ("admin@example.com", "nobody/profile", 404),
    ] {
        assert_eq!(ask(who, path).await, expected, "{who} {path}");
    }
    let path = format!("{ACTIONS}/user/{ANN}/services/DoNotDisturb");
    let put = async |body: String| world.xsi("PUT", &path, Some(body), "").await.0;
    assert_eq!(
        put(xml("DoNotDisturb", &[("active", "true"), ("ringSplash", "false")])).await,
        200
    );
    assert_eq!(put(xml("DoNotDisturb", &[("active", "yes")])).await, 400);
    let odd_splash = xml("DoNotDisturb", &[("active", "true"), ("ringSplash", "loud")]);
    assert_eq!(put(odd_splash).await, 400);
    assert_eq!(
        put("<DoNotDisturb><active>false</active></DoNotDisturb>".into()).await,
        400
    );
    assert_eq!(text(&world.xsi("GET", &path, None, "").await.1, "active"), "true");
    let writes = world.admin("GET", "/xsi/writes", Value::Null).await;
    assert_eq!(
        (writes.as_array().unwrap().len(), &writes[0]["doNotDisturb"]),
        (1, &json!(true))
    );
    world.admin("PUT", "/xsi/manners", json!({"down": ["xsp1"]})).await;
    assert_eq!(ask(ANN, "ann@example.com/profile").await, 503);
}

#[tokio::test]
async fn events_come_in_any_pieces() {
    for piece_bytes in [0, 1, 7] {
        let world = world(json!({"pieceBytes": piece_bytes, "grantedSeconds": 86400})).await;
        let mut channel = Channel::open(&world, "").await;
        let calls = world.xsi_subscribe(&format!("user/{ANN}"), "Standard Call").await;
        let first = channel.event(&world).await;
        assert_eq!(
            (kind(&first), text(&first, "hookStatus")),
            ("CallSubscriptionEvent".into(), "On-Hook".into())
        );
        assert_eq!(
            (text(&first, "subscriptionId"), text(&first, "sequenceNumber")),
            (calls, "1".into())
        );
        let call = world
            .admin("POST", &format!("/xsi/users/{ANN}/calls"), json!({"outgoing": true}))
            .await;
        let path = format!("/xsi/calls/{}", call["call"].as_str().unwrap());
        for state in ["answered", "held", "retrieved"] {
            world.admin("PUT", &path, json!({"state": state})).await;
        }
        world.admin("DELETE", &path, Value::Null).await;
        let mut seen = Vec::new();
        for _ in 0..7 {
            let event = channel.event(&world).await;
            assert_eq!(text(&event, "targetId"), ANN);
            seen.push(kind(&event).trim_end_matches("Event").to_string());
        }
        let expected = [
            "HookStatus",
            "CallOriginated",
            "CallAnswered",
            "CallHeld",
            "CallRetrieved",
            "CallReleased",
            "HookStatus",
        ];
        assert_eq!(seen, expected, "{piece_bytes}");
        world.xsi_subscribe("serviceprovider/example", "Do Not Disturb").await;
        world.admin("PUT", &format!("/xsi/users/{ANN}/dnd"), json!(true)).await;
        let event = channel.event(&world).await;
        assert_eq!(
            (kind(&event), text(&event, "active")),
            ("DoNotDisturbEvent".into(), "true".into())
        );
    }
}

#[tokio::test]
async fn a_channel_is_met_at_its_xsp_with_its_cookie() {
    let world = world(json!({})).await;
    let (one, two) = (
        Channel::open(&world, "xsp1/").await,
        Channel::open(&world, "xsp2/").await,
    );
    let beat = async |path: &str, cookie: &str| world.xsi("PUT", path, None, cookie).await.0;
    assert_eq!(beat(&one.path("/heartbeat"), &one.cookie).await, 200);
    assert_eq!(beat(&two.path("/heartbeat"), &two.cookie).await, 200);
    assert_eq!(beat(&one.path("/heartbeat"), "").await, 404);
    assert_eq!(
        beat(&two.path("/heartbeat").replace("xsp2/", "xsp1/"), &two.cookie).await,
        404
    );
    let audit = world.xsi("GET", &format!("{EVENTS}/channelset/set"), None, "").await.1;
    assert!(audit.contains(&one.id) && audit.contains(&two.id));
    let refresh = xml("Channel", &[("expires", "3600")]);
    let (status, body) = world.xsi("PUT", &one.path(""), Some(refresh), &one.cookie).await;
    assert_eq!((status, text(&body, "expires")), (200, "3600".into()));
    assert_eq!(world.xsi("DELETE", &one.path(""), None, &one.cookie).await.0, 200);
    assert_eq!(beat(&one.path("/heartbeat"), &one.cookie).await, 404);
}

#[tokio::test]
async fn channels_end_in_all_ways() {
    let world = world(json!({"ackLimitMs": 200, "heartbeatMs": 100})).await;
    let drop = async |how: &str| world.admin("POST", "/xsi/drop", json!({"how": how})).await["dropped"].clone();
    let reason = async |channel: &mut Channel| loop {
        let document = channel.next().await.unwrap();
        if kind(&document) == "ChannelTerminatedEvent" {
            return text(&document, "reason");
        }
    };
    let mut channel = Channel::open(&world, "").await;
    assert!(channel.next().await.unwrap().starts_with("<ChannelHeartBeat"));
    world.xsi_subscribe(&format!("user/{ANN}"), "Standard Call").await;
    assert_eq!(reason(&mut channel).await, "Event response timeout");
    assert_eq!(channel.next().await, None);
    let shown = world.admin("GET", "/xsi", Value::Null).await;
    assert_eq!(
        shown["subscriptions"],
        json!([]),
        "gone with the last channel of their set"
    );

    let mut channel = Channel::open(&world, "").await;
    assert_eq!(drop("terminate").await, 1);
    assert_eq!(reason(&mut channel).await, "Terminated by the test");

    let channel = Channel::open(&world, "").await;
    assert_eq!(drop("forget").await, 1);
    assert_eq!(
        world
            .xsi("PUT", &channel.path("/heartbeat"), None, &channel.cookie)
            .await
            .0,
        404
    );

    let mut channel = Channel::open(&world, "").await;
    assert_eq!(drop("break").await, 1);
    while channel.next().await.is_some() {}

    world
        .admin("PUT", "/xsi/manners", json!({"heartbeatLimitMs": 200}))
        .await;
    let mut channel = Channel::open(&world, "").await;
    assert_eq!(reason(&mut channel).await, "Heartbeat timeout");
}
