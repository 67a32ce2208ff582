//! Presence of people: what apps write, what shows, and how the two directions are refused.

use serde_json::{Value, json};

use super::world::World;
use crate::simulator::DEFAULT_APP;

impl World {
    /// Users with an open Teams client that shows Available.
    pub async fn people(&self, count: u32) -> Vec<String> {
        let client = json!({"availability": "Available", "activity": "Available"});
        let made = self
            .admin("POST", "/people", json!({"count": count, "client": client}))
            .await;
        let ids = made.as_array().unwrap().iter().map(|user| user["id"].as_str().unwrap());
        ids.map(String::from).collect()
    }

    pub async fn shows(&self, user: &str) -> String {
        let (status, body) = self.graph("GET", &format!("/users/{user}/presence"), None).await;
        assert_eq!(status, 200, "{body}");
        let word = |name: &str| body[name].as_str().unwrap().to_string();
        format!("{}/{}", word("availability"), word("activity"))
    }

    async fn write(&self, user: &str, action: &str, body: Value) -> u16 {
        let path = format!("/users/{user}/presence/{action}");
        self.graph("POST", &path, Some(body)).await.0
    }

    async fn later(&self, seconds: u32) {
        self.admin("POST", "/clock/advance", json!({"seconds": seconds})).await;
    }
}

fn session(availability: &str, activity: &str, lasting: impl Into<Value>) -> Value {
    let lasting: Value = lasting.into();
    json!({"sessionId": DEFAULT_APP, "availability": availability, "activity": activity, "expirationDuration": lasting})
}

fn pair(availability: &str, activity: &str) -> Value {
    json!({"availability": availability, "activity": activity})
}

#[tokio::test]
async fn a_session_shows_while_it_lasts() {
    let world = World::new().await;
    let user = &world.people(1).await[0];
    assert_eq!(world.shows(user).await, "Available/Available");
    let in_a_call = session("Busy", "InACall", "PT15M");
    assert_eq!(world.write(user, "setPresence", in_a_call.clone()).await, 200);
    assert_eq!(world.shows(user).await, "Busy/InACall");
    world.later(14 * 60).await;
    assert_eq!(world.write(user, "setPresence", in_a_call).await, 200, "refreshed");
    world.later(14 * 60).await;
    assert_eq!(world.shows(user).await, "Busy/InACall");
    world.later(60).await;
    assert_eq!(world.shows(user).await, "Available/Available");
    let default = session("Busy", "InACall", Value::Null);
    assert_eq!(world.write(user, "setPresence", default).await, 200);
    world.later(5 * 60 - 5).await;
    assert_eq!(world.shows(user).await, "Busy/InACall");
    let end = json!({"sessionId": DEFAULT_APP});
    assert_eq!(world.write(user, "clearPresence", end.clone()).await, 200);
    assert_eq!(world.write(user, "clearPresence", end).await, 404);
    let away = session("Away", "Away", "PT1H");
    assert_eq!(world.write(user, "setPresence", away).await, 200);
    assert_eq!(
        world.shows(user).await,
        "Available/Available",
        "away does not beat a client"
    );
}

#[tokio::test]
async fn a_choice_beats_sessions_until_it_ends() {
    let world = World::new().await;
    let user = &world.people(1).await[0];
    let choose = async |body: Value| world.write(user, "setUserPreferredPresence", body).await;
    assert_eq!(choose(pair("Busy", "Busy")).await, 200);
    world.later(24 * 3600 - 60).await;
    assert_eq!(world.shows(user).await, "Busy/Busy");
    world.later(60).await;
    assert_eq!(world.shows(user).await, "Available/Available", "busy is for a day");
    assert_eq!(choose(pair("Away", "Away")).await, 200);
    world.later(6 * 24 * 3600).await;
    assert_eq!(world.shows(user).await, "Away/Away", "away is for a week");
    assert_eq!(
        world
            .write(user, "setPresence", session("Busy", "InACall", "PT1H"))
            .await,
        200
    );
    assert_eq!(world.shows(user).await, "Away/Away");
    let shown = world.admin("GET", &format!("/people/{user}"), Value::Null).await;
    assert_eq!(
        (&shown["choice"]["by"], &shown["choice"]["activity"]),
        (&json!(DEFAULT_APP), &json!("Away"))
    );
    assert_eq!(shown["sessions"][DEFAULT_APP]["activity"], "InACall");
    let owned = world.admin("GET", "/people/owned", Value::Null).await;
    assert_eq!(owned.as_array().unwrap().len(), 1);
    assert_eq!(world.write(user, "clearUserPreferredPresence", json!({})).await, 200);
    assert_eq!(world.shows(user).await, "Busy/InACall");
    world
        .admin(
            "PUT",
            &format!("/people/{user}/choice"),
            pair("DoNotDisturb", "DoNotDisturb"),
        )
        .await;
    assert_eq!(world.shows(user).await, "DoNotDisturb/DoNotDisturb");
    let shown = world.admin("GET", &format!("/people/{user}"), Value::Null).await;
    assert_eq!(shown["choice"]["by"], "person");
    let writes = world.admin("GET", "/people/writes?since=2", Value::Null).await;
    let operations: Vec<&Value> = writes
        .as_array()
        .unwrap()
        .iter()
        .map(|write| &write["operation"])
        .collect();
    assert_eq!(operations, ["setPresence", "clearUserPreferredPresence"]);
}

#[tokio::test]
async fn only_what_graph_accepts_is_accepted() {
    let world = World::new().await;
    let user = world.people(1).await[0].clone();
    let session_id = |id: &str| json!({"sessionId": id, "availability": "Busy", "activity": "InACall"});
    let extra = json!({"sessionId": DEFAULT_APP, "availability": "Busy", "activity": "InACall", "note": "x"});
    let lasting = |text: &str| session("Busy", "InACall", text);
    let table = [
        ("setPresence", session("Busy", "Busy", Value::Null), 400),
        ("setPresence", session("DoNotDisturb", "DoNotDisturb", Value::Null), 400),
        ("setPresence", session("busy", "InACall", Value::Null), 400),
        ("setPresence", session_id("00000000-0000-0000-0000-000000000000"), 400),
        ("setPresence", pair("Busy", "InACall"), 400),
        ("setPresence", extra, 400),
        ("setPresence", lasting("PT4M59S"), 400),
        ("setPresence", lasting("PT4H1S"), 400),
        ("setPresence", lasting("15 minutes"), 400),
        ("setPresence", lasting("PT4H"), 200),
        ("setPresence", lasting("PT5M"), 200),
        ("setPresence", session("Busy", "InAConferenceCall", Value::Null), 200),
        ("setPresence", session("DoNotDisturb", "Presenting", Value::Null), 200),
        ("setPresence", session("Available", "Available", Value::Null), 200),
        ("setUserPreferredPresence", pair("Busy", "InACall"), 400),
        ("setUserPreferredPresence", pair("Offline", "Offline"), 400),
        ("setUserPreferredPresence", pair("Offline", "OffWork"), 200),
        ("setUserPreferredPresence", pair("BeRightBack", "BeRightBack"), 200),
        ("clearUserPreferredPresence", json!({"x": 1}), 400),
    ];
    for (action, body, expected) in table {
        assert_eq!(
            world.write(&user, action, body.clone()).await,
            expected,
            "{action} {body}"
        );
    }
    let good = session("Busy", "InACall", Value::Null);
    assert_eq!(
        world
            .write("user0@contoso.onmicrosoft.com", "setPresence", good.clone())
            .await,
        400
    );
    assert_eq!(world.write("nobody", "setPresence", good.clone()).await, 404);
    assert_eq!(world.graph("GET", "/users/a@b.c/presence", None).await.0, 400);
    let roles = format!("/apps/{DEFAULT_APP}/roles");
    world.admin("PUT", &roles, json!(["Presence.Read.All"])).await;
    assert_eq!(world.write(&user, "setPresence", good).await, 403);
    assert_eq!(
        world.graph("GET", &format!("/users/{user}/presence"), None).await.0,
        200
    );
}

#[tokio::test]
async fn versions_grow_only_with_what_shows() {
    let world = World::new().await;
    let user = &world.people(2).await[1];
    let read = async || world.graph("GET", &format!("/users/{user}/presence"), None).await.1;
    let first = read().await;
    assert_eq!(
        first["outOfOfficeSettings"],
        json!({"message": null, "isOutOfOffice": false})
    );
    world
        .admin("PUT", &format!("/people/{user}/client"), pair("Available", "Available"))
        .await;
    assert_eq!(read().await, first);
    world
        .admin("PUT", &format!("/people/{user}/outOfOffice"), json!("Back in May"))
        .await;
    let second = read().await;
    assert_eq!(
        second["outOfOfficeSettings"],
        json!({"message": "Back in May", "isOutOfOffice": true})
    );
    assert!(second["sequenceNumber"].as_str() > first["sequenceNumber"].as_str());
    world
        .client
        .put(world.url(&format!("/_simulator/people/{user}/client")))
        .json(&Value::Null)
        .send()
        .await
        .unwrap();
    let third = read().await;
    assert_eq!(
        (&third["availability"], &third["activity"]),
        (&json!("Offline"), &json!("Offline"))
    );
    assert!(third["sequenceNumber"].as_str() > second["sequenceNumber"].as_str());
}

#[tokio::test]
async fn the_limit_is_shared_by_reads_and_writes() {
    let world = World::new().await;
    let user = &world.people(1).await[0];
    let token = world.token().await;
    let url = world.url(&format!("/v1.0/users/{user}/presence"));
    let mut statuses = Vec::new();
    for _ in 0..1_501 {
        let response = world.client.get(&url).bearer_auth(&token).send().await.unwrap();
        statuses.push(response.status().as_u16());
    }
    assert!(statuses[..1_500].iter().all(|status| *status == 200));
    let write = world.client.post(format!("{url}/setPresence")).bearer_auth(&token);
    let refused = write
        .json(&session("Busy", "InACall", Value::Null))
        .send()
        .await
        .unwrap();
    assert_eq!((statuses[1_500], refused.status().as_u16()), (429, 429));
    assert!(refused.headers().contains_key("retry-after"));
}
