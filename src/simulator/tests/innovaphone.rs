//! The App WebSocket, as an app sees it.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::world::World;

const SOON: Duration = Duration::from_secs(5);
const MASTER: &str = "/PBX0/APPS/websocket";
const SLAVE: &str = "/pbx2/PBX0/APPS/websocket";

struct App(WebSocketStream<TcpStream>);

impl App {
    async fn dial(world: &World, path: &str) -> Result<Self, tokio_tungstenite::tungstenite::Error> {
        let host = world.simulator.url().trim_start_matches("http://").to_string();
        let stream = TcpStream::connect(&host).await.unwrap();
        let (socket, _) = tokio_tungstenite::client_async(format!("ws://{host}{path}"), stream).await?;
        Ok(Self(socket))
    }

    /// Logged in, past the answer and `PbxInfo`.
    async fn new(world: &World, path: &str) -> Self {
        let mut app = Self::dial(world, path).await.unwrap();
        let answer = app.login("teams", "simulator-password").await;
        assert_eq!(answer["ok"], true, "{answer}");
        let info = app.next().await;
        assert_eq!(
            (&info["mt"], &info["domain"]),
            (&json!("PbxInfo"), &json!("example.com"))
        );
        app
    }

    async fn login(&mut self, name: &str, password: &str) -> Value {
        let challenge = self.ask(json!({"mt": "AppChallenge", "appObj": name})).await["challenge"].clone();
        let text = format!("{name}:::::{}:{password}", challenge.as_str().unwrap());
        let hash = digest(&SHA256, text.as_bytes());
        let hex: Vec<String> = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        self.ask(json!({"mt": "AppLogin", "app": name, "digest": hex.concat()}))
            .await
    }

    async fn say(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    async fn ask(&mut self, message: Value) -> Value {
        self.say(message).await;
        self.next().await
    }

    /// The next message; null if the connection ended.
    async fn next(&mut self) -> Value {
        loop {
            match tokio::time::timeout(SOON, self.0.next()).await.expect("a message") {
                Some(Ok(Message::Text(text))) => return serde_json::from_str(text.as_str()).unwrap(),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                _ => return Value::Null,
            }
        }
    }

    async fn is_silent(&mut self) -> bool {
        let soon = Duration::from_millis(150);
        tokio::time::timeout(soon, self.0.next()).await.is_err()
    }

    async fn calls(&mut self) -> Vec<Value> {
        self.say(json!({"mt": "Initialize", "api": "RCC", "src": "r", "limit": 2, "calls": true}))
            .await;
        let mut users = Vec::new();
        loop {
            let message = self.next().await;
            if message["mt"] == "InitializeResult" {
                return users;
            }
            assert_eq!(message["mt"], "UserInfo", "{message}");
            users.push(message);
        }
    }
}

async fn world() -> World {
    let world = World::new().await;
    let users = json!([
        {"guid": "a1", "h323": "ann", "cn": "Ann", "dn": "Ann A", "e164": "101", "loc": "pbx", "email": "ann@example.com"},
        {"guid": "b2", "h323": "bob", "cn": "Bob", "e164": "102", "loc": "pbx2"},
        {"guid": "c3", "h323": "cat", "cn": "Cat", "e164": "103"},
        {"guid": "w4", "h323": "queue", "cn": "Queue", "pseudo": "waiting"},
    ]);
    world.admin("POST", "/pbx/users", users).await;
    world
}

#[tokio::test]
async fn the_login_is_strict() {
    let world = world().await;
    for (name, password) in [("teams", "wrong"), ("other", "simulator-password")] {
        let mut app = App::dial(&world, MASTER).await.unwrap();
        let answer = app.login(name, password).await;
        assert_eq!(
            (&answer["mt"], &answer["ok"]),
            (&json!("AppLoginResult"), &json!(false))
        );
        assert_eq!(app.next().await, Value::Null, "closed");
    }
    let mut app = App::dial(&world, MASTER).await.unwrap();
    app.say(json!({"mt": "SubscribePresence", "api": "PbxApi", "sip": "ann", "src": "s"}))
        .await;
    assert_eq!(app.next().await, Value::Null, "not before the login");
    let shown = world.admin("GET", "/pbx", Value::Null).await;
    let kinds: Vec<&Value> = shown["violations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|breach| &breach["kind"])
        .collect();
    assert_eq!(kinds, ["login", "login", "beforeLogin"]);
    world
        .admin("PUT", "/pbx/pbxs/pbx/manners", json!({"unlicensed": true}))
        .await;
    let mut app = App::dial(&world, MASTER).await.unwrap();
    let answer = app.login("teams", "simulator-password").await;
    assert_eq!(answer["info"]["unlicensed"], true);
    world
        .admin("PUT", "/pbx/pbxs/pbx/manners", json!({"unreachable": true}))
        .await;
    assert!(App::dial(&world, MASTER).await.is_err());
    assert!(App::dial(&world, "/nowhere/PBX0/APPS/websocket").await.is_err());
}

#[tokio::test]
async fn the_table_of_users_is_replicated() {
    let world = world().await;
    let mut app = App::new(&world, MASTER).await;
    let columns = json!({"guid": {}, "h323": {}, "loc": {}});
    let start = json!({
        "mt": "ReplicateStart", "api": "PbxTableUsers", "add": true, "del": true, "columns": columns, "pseudo": [""],
        "src": "t",
    });
    let answer = app.ask(start.clone()).await;
    assert_eq!(
        (&answer["mt"], &answer["columns"]),
        (&json!("ReplicateStartResult"), &columns)
    );
    let next = json!({"mt": "ReplicateNext", "api": "PbxTableUsers", "src": "t"});
    let mut rows = Vec::new();
    loop {
        let answer = app.ask(next.clone()).await;
        assert_eq!(
            (&answer["mt"], &answer["src"]),
            (&json!("ReplicateNextResult"), &json!("t"))
        );
        match answer.get("columns") {
            Some(row) => rows.push(row.clone()),
            None => break,
        }
    }
    let row = |guid: &str, h323: &str, loc: &str| json!({"guid": guid, "h323": h323, "loc": loc});
    assert_eq!(
        rows,
        [
            row("a1", "ann", "pbx"),
            row("b2", "bob", "pbx2"),
            row("c3", "cat", "pbx")
        ]
    );
    world
        .admin("POST", "/pbx/users", json!([{"guid": "d5", "h323": "dan"}]))
        .await;
    let added = app.next().await;
    assert_eq!(
        (&added["mt"], &added["columns"]),
        (&json!("ReplicateAdd"), &row("d5", "dan", "pbx"))
    );
    world
        .admin("POST", "/pbx/users", json!([{"guid": "d5", "h323": "daniel"}]))
        .await;
    let changed = app.next().await;
    assert_eq!(
        (&changed["mt"], &changed["columns"]["h323"]),
        (&json!("ReplicateUpdate"), &json!("daniel"))
    );
    world.admin("DELETE", "/pbx/users/daniel", Value::Null).await;
    let gone = app.next().await;
    assert_eq!(
        (&gone["mt"], &gone["columns"]),
        (&json!("ReplicateDel"), &json!({"guid": "d5"}))
    );

    let mut slave = App::new(&world, SLAVE).await;
    slave.ask(start.clone()).await;
    assert_eq!(slave.ask(next.clone()).await["columns"]["guid"], "b2");
    assert_eq!(slave.ask(next).await.get("columns"), None);
    let mut greedy = start;
    greedy["columns"]["pwd"] = json!({});
    assert_eq!(slave.ask(greedy).await["error"], 3);
}

#[tokio::test]
async fn presence_is_subscribed_and_set_by_contact() {
    let world = world().await;
    let mut app = App::new(&world, MASTER).await;
    let subscribe = |sip: &str| json!({"mt": "SubscribePresence", "api": "PbxApi", "sip": sip, "src": sip});
    assert_eq!(app.ask(subscribe("ann")).await["mt"], "SubscribePresenceResult");
    let state = app.next().await;
    assert_eq!(
        (&state["mt"], &state["up"], &state["src"]),
        (&json!("PresenceState"), &json!(true), &json!("ann"))
    );
    let update = app.next().await;
    assert_eq!(
        (&update["mt"], &update["presence"]),
        (&json!("PresenceUpdate"), &json!([]))
    );
    let entry = json!({"contact": "tel:", "activity": "dnd", "note": "n"});
    world.admin("PUT", "/pbx/users/ann/entries", entry).await;
    assert_eq!(app.next().await["presence"][0]["activity"], "dnd");
    let set = |guid: &str, activity: &str| {
        json!({"mt": "SetPresence", "api": "PbxApi", "guid": guid, "contact": "teams:", "activity": activity,
               "note": "", "src": "w"})
    };
    let answer = app.ask(set("a1", "busy")).await;
    assert_eq!(
        (&answer["mt"], &answer["src"], &answer["error"]),
        (&json!("SetPresenceResult"), &json!("w"), &Value::Null)
    );
    let presence = app.next().await["presence"].clone();
    assert_eq!(
        (&presence[0]["contact"], &presence[1]["contact"]),
        (&json!("teams:"), &json!("tel:"))
    );
    app.ask(set("a1", "")).await;
    assert_eq!(
        app.next().await["presence"].as_array().unwrap().len(),
        2,
        "an empty entry stays"
    );
    assert!(app.ask(set("x", "busy")).await["error"].is_number());
    world
        .admin(
            "PUT",
            "/pbx/pbxs/pbx/manners",
            json!({"contacts": ["tel:"], "withoutSrc": true}),
        )
        .await;
    let refused = app.ask(set("a1", "busy")).await;
    assert!(refused["error"].is_number() && refused["src"].is_null(), "{refused}");
    let writes = world.admin("GET", "/pbx/writes", Value::Null).await;
    let activities: Vec<&Value> = writes
        .as_array()
        .unwrap()
        .iter()
        .map(|write| &write["activity"])
        .collect();
    assert_eq!(activities, ["busy", ""]);
    world.admin("PUT", "/pbx/users/ann/up", json!(false)).await;
    assert_eq!(app.next().await["up"], false);
    app.ask(json!({"mt": "UnsubscribePresence", "api": "PbxApi", "sip": "ann"}))
        .await;
    world.admin("PUT", "/pbx/users/ann/up", json!(true)).await;
    assert!(app.is_silent().await);
    app.ask(subscribe("nobody")).await;
    assert_eq!(app.next().await["up"], false);
}

#[tokio::test]
async fn calls_are_told_where_their_user_is() {
    let world = world().await;
    let (mut master, mut slave) = (App::new(&world, MASTER).await, App::new(&world, SLAVE).await);
    let call = async |user: &str, state: &str| {
        let path = format!("/pbx/users/{user}/calls");
        world.admin("POST", &path, json!({"state": state})).await["call"].clone()
    };
    let early = call("ann", "connected").await;
    let seen = master.calls().await;
    let homes: Vec<&Value> = seen.iter().map(|user| &user["pbx"]).collect();
    assert_eq!(homes, ["pbx", "pbx2", "pbx"]);
    let told = master.next().await;
    assert_eq!(
        (&told["mt"], &told["call"], &told["state"]),
        (&json!("CallAdd"), &early, &json!(5))
    );
    assert_eq!(slave.calls().await.len(), 1);
    let late = call("bob", "ringing").await;
    let told = slave.next().await;
    assert_eq!((&told["guid"], &told["state"]), (&json!("b2"), &json!(4)));
    assert!(master.is_silent().await, "the master does not see a slave's calls");
    let path = format!("/pbx/calls/{late}");
    world.admin("PUT", &path, json!({"state": "connected"})).await;
    let told = slave.next().await;
    assert_eq!(
        (&told["mt"], &told["msg"], &told["state"]),
        (&json!("CallUpdate"), &json!("r-conn"), &Value::Null)
    );
    let begun = jiff::Timestamp::now().as_millisecond();
    let ended = world.admin("DELETE", &path, Value::Null).await;
    assert!(ended["realMs"].as_i64() >= Some(begun), "{ended}");
    assert_eq!(
        slave.next().await,
        json!({"mt": "CallDel", "api": "RCC", "src": "r", "call": late})
    );
}

#[tokio::test]
async fn wrong_apis_and_missing_rights_are_refused() {
    let world = world().await;
    let setup = json!({
        "apps": [{"name": "teams", "password": "simulator-password", "apis": ["PbxApi"]}],
        "pbxs": [{"name": "pbx", "manners": {"keepAlive": false, "challenge": "0123456789abcdef0"}}],
    });
    world.admin("PUT", "/pbx", setup).await;
    let mut app = App::new(&world, MASTER).await;
    let table = [
        (
            json!({"mt": "ReplicateStart", "api": "PbxTableUsers", "columns": {"guid": {}}}),
            3,
        ),
        (json!({"mt": "Initialize", "api": "RCC", "limit": 50}), 3),
        (
            json!({"mt": "SubscribePresence", "api": "PbxAdminApi", "sip": "ann"}),
            2,
        ),
        (json!({"mt": "SubscribePresence", "sip": "ann"}), 2),
        (json!({"mt": "Dance", "api": "PbxApi"}), 1),
    ];
    for (message, error) in table {
        let answer = app.ask(message.clone()).await;
        assert_eq!(answer["error"], error, "{message}");
    }
    app.say(json!({"mt": "KeepAlive"})).await;
    assert!(app.is_silent().await);
}

#[tokio::test]
async fn connections_break_hang_and_hear_anything() {
    let world = world().await;
    let mut app = App::new(&world, MASTER).await;
    assert_eq!(app.ask(json!({"mt": "KeepAlive"})).await["mt"], "KeepAlive");
    let odd = json!({"mt": "PresenceUpdate", "api": "PbxApi", "src": "unknown", "presence": []});
    let told = world.admin("POST", "/pbx/pbxs/pbx/say", odd.clone()).await;
    assert_eq!((told, app.next().await), (json!({"told": 1}), odd));
    world
        .admin("PUT", "/pbx/pbxs/pbx/manners", json!({"halfOpen": true}))
        .await;
    app.say(json!({"mt": "KeepAlive"})).await;
    app.say(json!({"mt": "KeepAlive"})).await;
    assert!(app.is_silent().await, "half open");
    let dropped = world.admin("POST", "/pbx/pbxs/pbx/drop", Value::Null).await;
    assert_eq!((dropped, app.next().await), (json!({"dropped": 1}), Value::Null));
    world
        .admin(
            "PUT",
            "/pbx/pbxs/pbx/manners",
            json!({"halfOpen": false, "idleSeconds": 1}),
        )
        .await;
    let mut app = App::new(&world, MASTER).await;
    assert_eq!(app.next().await, Value::Null, "idle");
}
