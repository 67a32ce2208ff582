//! The whole adapter against the simulator's protocol fake.

use prometheus::Registry;
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};

use super::*;
use crate::api::presence::InnovaphoneEndpoint;
use crate::api::reference::SecretKeyRef;
use crate::policy::presence::pbx::{Activity, Line, Origin, PbxView};
use crate::simulator::{Simulator, TlsPem};

const APP: &str = "teams";
const PASSWORD: &str = "p:ä\"ss\\ <wörd>";

struct World {
    simulator: Simulator,
    client: reqwest::Client,
}

impl World {
    /// A master `pbx` and a slave `pbx2`, with ann at the first and bob at the second.
    async fn new() -> Self {
        Self::with(crate::simulator::Config::default()).await
    }

    async fn with(config: crate::simulator::Config) -> Self {
        let client = reqwest::Client::builder()
            .no_proxy()
            .danger_accept_invalid_certs(true)
            .build()
            .unwrap();
        let simulator = Simulator::start(config).await.unwrap();
        let world = Self { simulator, client };
        world.set_up(&["PbxApi", "PbxTableUsers", "RCC"]).await;
        world
    }

    async fn set_up(&self, apis: &[&str]) {
        let setup = json!({
            "apps": [{"name": APP, "password": PASSWORD, "apis": apis}], "pbxs": [{"name": "pbx"}, {"name": "pbx2"}],
        });
        self.admin("PUT", "", setup).await;
        let users = json!([
            {"guid": "a1", "h323": "ann", "cn": "Ann", "e164": "101", "loc": "pbx"},
            {"guid": "b2", "h323": "bob", "cn": "Bob", "e164": "102", "loc": "pbx2"},
            {"guid": "w4", "h323": "queue", "cn": "Queue", "pseudo": "waiting"},
        ]);
        self.admin("POST", "/users", users).await;
    }

    async fn admin(&self, method: &str, path: &str, body: Value) -> Value {
        let url = format!("{}/_simulator/pbx{path}", self.simulator.url());
        let request = self.client.request(method.parse().unwrap(), url).json(&body);
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{method} {path}: {}", answer.status());
        answer.json().await.unwrap_or_default()
    }

    /// What the fake found wrong with what it was sent.
    async fn violations(&self) -> Value {
        self.admin("GET", "", Value::Null).await["violations"].clone()
    }

    fn connect(&self, password: &str, roots: &[CertificateDer<'static>]) -> Pbx {
        let base = self
            .simulator
            .url()
            .replacen("http", "ws", 1)
            .replace("127.0.0.1", "localhost");
        let endpoint = |name: &str, role, path: &str| InnovaphoneEndpoint {
            name: name.to_owned(),
            role,
            url: format!("{base}{path}/PBX0/APPS/websocket"),
        };
        let config = Config {
            app: APP.to_owned(),
            password_secret_ref: SecretKeyRef {
                name: "pbx".to_owned(),
                key: "password".to_owned(),
            },
            endpoints: vec![
                endpoint("pbx", PbxRole::Master, ""),
                endpoint("pbx2", PbxRole::Slave, "/pbx2"),
            ],
            own_contact: "teams:".to_owned(),
            ca_bundle_secret_ref: None,
        };
        let (sender, events) = mpsc::channel(1000);
        let metrics = Metrics::new(&Registry::new()).unwrap();
        let adapter = start(&config, &SecretString::from(password), roots, &metrics, sender).unwrap();
        Pbx { adapter, events }
    }
}

struct Pbx {
    adapter: Innovaphone,
    events: mpsc::Receiver<PbxEvent>,
}

impl Pbx {
    async fn next(&mut self) -> PbxEvent {
        timeout(Duration::from_secs(10), self.events.recv())
            .await
            .unwrap()
            .unwrap()
    }

    async fn until(&mut self, is: impl Fn(&PbxEvent) -> bool) -> PbxEvent {
        loop {
            let event = self.next().await;
            if is(&event) {
                return event;
            }
        }
    }

    /// The next view of a user that fulfils a condition.
    async fn view(&mut self, guid: &str, is: impl Fn(&PbxView) -> bool) -> PbxView {
        let event = self
            .until(|event| matches!(event, PbxEvent::View { id, view } if id == guid && is(view)))
            .await;
        let PbxEvent::View { view, .. } = event else {
            panic!("{event:?}")
        };
        view
    }

    async fn fails(&mut self) -> PbxError {
        let event = self
            .until(|event| matches!(event, PbxEvent::Down { endpoint, .. } if endpoint == "pbx"))
            .await;
        let PbxEvent::Down { why, .. } = event else {
            panic!("{event:?}")
        };
        why
    }

    /// Connected, with both users watched and known.
    async fn settle(&mut self) {
        self.adapter.watch(vec!["a1".to_owned(), "b2".to_owned()]);
        let mut known = BTreeSet::new();
        while known.len() < 2 {
            if let PbxEvent::View { id, view } = self.next().await
                && view.entries.is_some()
                && view.line == Line::Idle
            {
                known.insert(id);
            }
        }
    }
}

fn own(activity: Activity) -> OwnEntry {
    OwnEntry {
        activity,
        note: "in <Teams> & \"so\"".to_owned(),
    }
}

#[tokio::test]
async fn users_presence_and_calls_of_all_pbxs_are_told() {
    let world = World::new().await;
    let mut pbx = world.connect(PASSWORD, &[]);
    pbx.adapter.watch(vec!["a1".to_owned(), "b2".to_owned()]);
    let (mut users, mut up) = (BTreeSet::new(), BTreeSet::new());
    while users.len() < 2 || up.len() < 2 {
        match pbx.next().await {
            PbxEvent::User(user) => {
                users.insert((user.id, user.h323.unwrap(), user.cn.unwrap(), user.extension.unwrap()));
            }
            PbxEvent::Up { endpoint } => {
                up.insert(endpoint);
            }
            _ => {}
        }
    }
    let user = |guid: &str, h323: &str, cn: &str, e164: &str| (guid.into(), h323.into(), cn.into(), e164.into());
    assert_eq!(
        users,
        BTreeSet::from([user("a1", "ann", "Ann", "101"), user("b2", "bob", "Bob", "102")])
    );
    world
        .admin(
            "PUT",
            "/users/ann/entries",
            json!({"contact": "tel:", "activity": "meeting", "note": "n"}),
        )
        .await;
    let view = pbx
        .view("a1", |view| {
            view.entries.as_ref().is_some_and(|entries| !entries.is_empty())
        })
        .await;
    let entry = &view.entries.unwrap()[0];
    assert_eq!(
        (&entry.origin, &entry.activity, entry.note.as_str()),
        (&Origin::User, &Activity::Meeting, "n")
    );
    let call = world
        .admin("POST", "/users/bob/calls", json!({"state": "ringing"}))
        .await["call"]
        .clone();
    pbx.view("b2", |view| view.line == Line::Ringing).await;
    world
        .admin("PUT", &format!("/calls/{call}"), json!({"state": "connected"}))
        .await;
    pbx.view("b2", |view| view.line == Line::Connected).await;
    world
        .admin("PUT", &format!("/calls/{call}"), json!({"state": "held"}))
        .await;
    world.admin("DELETE", &format!("/calls/{call}"), Value::Null).await;
    pbx.view("b2", |view| view.line == Line::Idle).await;
    world.admin("PUT", "/users/ann/up", json!(false)).await;
    pbx.view("a1", |view| view.entries.is_none()).await;
    assert_eq!(world.violations().await, json!([]));
    pbx.adapter.close().await;
}

#[tokio::test]
async fn the_own_entry_stands_beside_the_users() {
    let world = World::new().await;
    let mut pbx = world.connect(PASSWORD, &[]);
    pbx.settle().await;
    world
        .admin(
            "PUT",
            "/users/ann/entries",
            json!({"contact": "tel:", "activity": "away"}),
        )
        .await;
    pbx.adapter.put_own("a1", &own(Activity::DoNotDisturb)).await.unwrap();
    let view = pbx
        .view("a1", |view| {
            view.entries.as_ref().is_some_and(|entries| entries.len() == 2)
        })
        .await;
    let entries = view.entries.unwrap();
    assert_eq!(
        (&entries[0].origin, &entries[0].activity),
        (&Origin::Ours, &Activity::DoNotDisturb)
    );
    assert_eq!(entries[0].note, "in <Teams> & \"so\"");
    assert_eq!(entries[1].origin, Origin::User);
    pbx.adapter.clear_own("a1").await.unwrap();
    let view = pbx
        .view("a1", |view| {
            view.entries.as_ref().is_some_and(|entries| entries.len() == 1)
        })
        .await;
    assert_eq!(view.entries.unwrap()[0].origin, Origin::User);
    let unknown = pbx.adapter.put_own("zz", &own(Activity::Busy)).await;
    assert!(matches!(unknown, Err(PbxError::NotFound(_))), "{unknown:?}");
    let writes = world.admin("GET", "/writes", Value::Null).await;
    let contacts: BTreeSet<_> = writes
        .as_array()
        .unwrap()
        .iter()
        .map(|write| write["contact"].to_string())
        .collect();
    assert_eq!(
        contacts,
        BTreeSet::from(["\"teams:\"".to_owned()]),
        "no other contact is touched"
    );
    assert_eq!(world.violations().await, json!([]));
}

#[tokio::test]
async fn what_changed_while_nobody_looked_is_told_after_the_return() {
    let world = World::new().await;
    let mut pbx = world.connect(PASSWORD, &[]);
    pbx.settle().await;
    world
        .admin("PUT", "/pbxs/pbx/manners", json!({"unreachable": true}))
        .await;
    world.admin("POST", "/pbxs/pbx/drop", Value::Null).await;
    assert!(matches!(pbx.fails().await, PbxError::Transport(_)));
    pbx.view("b2", |view| view.entries.is_none() && view.line == Line::Idle)
        .await;
    world.admin("DELETE", "/users/bob", Value::Null).await;
    world
        .admin(
            "PUT",
            "/users/ann/entries",
            json!({"contact": "tel:", "activity": "busy"}),
        )
        .await;
    world
        .admin("POST", "/users/ann/calls", json!({"state": "connected"}))
        .await;
    let refused = pbx.adapter.put_own("a1", &own(Activity::Busy)).await;
    assert!(matches!(refused, Err(PbxError::Transport(_))), "{refused:?}");
    world
        .admin("PUT", "/pbxs/pbx/manners", json!({"unreachable": false}))
        .await;
    pbx.until(|event| matches!(event, PbxEvent::Up { endpoint } if endpoint == "pbx"))
        .await;
    let (mut is_gone, mut is_known) = (false, false);
    while !is_gone || !is_known {
        match pbx.next().await {
            PbxEvent::UserRemoved { id } => is_gone = id == "b2",
            PbxEvent::View { id, view } if id == "a1" => {
                is_known = view.line == Line::Connected && view.entries.is_some_and(|entries| entries.len() == 1);
            }
            _ => {}
        }
    }
}

/// So many seconds pass at once.
async fn jump(seconds: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(seconds)).await;
    tokio::time::resume();
}

/// The connection stands, and nothing comes over it any more: as after a firewall forgot it.
#[tokio::test]
async fn a_half_open_connection_is_found_out_and_made_anew() {
    let world = World::new().await;
    let mut pbx = world.connect(PASSWORD, &[]);
    pbx.adapter.watch(vec!["a1".to_owned(), "b2".to_owned()]);
    let (mut known, mut complete) = (BTreeSet::new(), BTreeSet::new());
    while known.len() < 2 || complete.len() < 2 {
        match pbx.next().await {
            PbxEvent::View { id, view } if view.entries.is_some() && view.line == Line::Idle => {
                known.insert(id);
            }
            PbxEvent::Complete { endpoint, .. } => {
                complete.insert(endpoint);
            }
            _ => {}
        }
    }
    world.admin("PUT", "/pbxs/pbx/manners", json!({"halfOpen": true})).await;
    let entry = json!({"contact": "tel:", "activity": "busy"});
    world.admin("PUT", "/users/ann/entries", entry).await;
    // The first wait is for a sign of life to be asked for, the second for it not to come. The other PBX gives one.
    jump(31).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    world
        .admin("PUT", "/pbxs/pbx/manners", json!({"halfOpen": false}))
        .await;
    jump(30).await;
    assert_eq!(pbx.fails().await, PbxError::Transport("it is silent".to_owned()));
    pbx.until(|event| matches!(event, PbxEvent::Up { endpoint } if endpoint == "pbx"))
        .await;
    let (mut is_known, mut is_complete) = (false, false);
    while !is_known || !is_complete {
        match pbx.next().await {
            PbxEvent::View { id, view } if id == "a1" => {
                is_known = view.line == Line::Idle && view.entries.is_some_and(|entries| entries.len() == 1);
            }
            PbxEvent::Complete { endpoint, users } if endpoint == "pbx" => is_complete = users,
            _ => {}
        }
    }
    let connects = world.admin("GET", "", Value::Null).await["connections"].clone();
    let of = |name: &str| {
        let all = connects.as_array().unwrap().iter();
        all.filter(|one| one["pbx"] == name).count()
    };
    assert_eq!(of("pbx2"), 1, "{connects}");
    pbx.adapter.close().await;
}

#[tokio::test]
async fn a_lost_slave_leaves_its_lines_unknown() {
    let world = World::new().await;
    let mut pbx = world.connect(PASSWORD, &[]);
    pbx.settle().await;
    world
        .admin("PUT", "/pbxs/pbx2/manners", json!({"unreachable": true}))
        .await;
    world.admin("POST", "/pbxs/pbx2/drop", Value::Null).await;
    pbx.view("b2", |view| view.line == Line::Unknown && view.entries.is_some())
        .await;
    world
        .admin("PUT", "/pbxs/pbx2/manners", json!({"unreachable": false}))
        .await;
    pbx.view("b2", |view| view.line == Line::Idle).await;
}

#[tokio::test]
async fn a_login_that_is_refused_says_why() {
    let world = World::new().await;
    let why = world.connect("wrong", &[]).fails().await;
    assert!(matches!(why, PbxError::Auth(_)), "{why:?}");
    world
        .admin("PUT", "/pbxs/pbx/manners", json!({"unlicensed": true}))
        .await;
    let why = world.connect(PASSWORD, &[]).fails().await;
    assert!(matches!(why, PbxError::Licence(_)), "{why:?}");
    world.set_up(&["PbxApi", "RCC"]).await;
    let why = world.connect(PASSWORD, &[]).fails().await;
    assert!(
        matches!(&why, PbxError::Auth(text) if text.contains("PbxTableUsers")),
        "{why:?}"
    );
    let manners = json!({"challenge": "12345678901234567"});
    world.admin("PUT", "/pbxs/pbx/manners", manners).await;
    let why = world.connect(PASSWORD, &[]).fails().await;
    assert!(matches!(why, PbxError::Protocol(_)), "{why:?}");
}

#[tokio::test]
async fn what_the_documentation_leaves_open_does_not_matter() {
    let world = World::new().await;
    for state_in_updates in [true, false] {
        let manners = json!({
            "pbxInfo": false, "keepAlive": false, "withoutSrc": true, "stateInUpdates": state_in_updates,
            "emptyRemoves": state_in_updates,
        });
        for name in ["pbx", "pbx2"] {
            world
                .admin("PUT", &format!("/pbxs/{name}/manners"), manners.clone())
                .await;
        }
        let mut pbx = world.connect(PASSWORD, &[]);
        pbx.settle().await;
        pbx.adapter.put_own("a1", &own(Activity::Busy)).await.unwrap();
        pbx.view("a1", |view| {
            view.entries.as_ref().is_some_and(|entries| entries.len() == 1)
        })
        .await;
        pbx.adapter.clear_own("a1").await.unwrap();
        pbx.view("a1", |view| view.entries == Some(vec![])).await;
        let call = world
            .admin("POST", "/users/ann/calls", json!({"state": "ringing"}))
            .await["call"]
            .clone();
        world
            .admin("PUT", &format!("/calls/{call}"), json!({"state": "connected"}))
            .await;
        pbx.view("a1", |view| view.line == Line::Connected).await;
        world.admin("DELETE", &format!("/calls/{call}"), Value::Null).await;
        pbx.adapter.close().await;
    }
}

#[tokio::test]
async fn many_users_are_subscribed_and_let_go() {
    let world = World::new().await;
    world
        .admin("POST", "/users", json!({"count": 500, "first": 1000}))
        .await;
    let mut pbx = world.connect(PASSWORD, &[]);
    let mut users = BTreeSet::new();
    while users.len() < 502 {
        if let PbxEvent::User(user) = pbx.next().await {
            users.insert(user.id);
        }
    }
    pbx.adapter.watch(users.iter().cloned().collect());
    let mut known = BTreeSet::new();
    while known.len() < 502 {
        if let PbxEvent::View { id, view } = pbx.next().await
            && view.entries.is_some()
        {
            known.insert(id);
        }
    }
    pbx.adapter.watch(vec!["a1".to_owned()]);
    for _ in 0..500 {
        let shown = world.admin("GET", "", Value::Null).await;
        let connections = shown["connections"].as_array().unwrap();
        if connections
            .iter()
            .all(|one| one["pbx"] != "pbx" || one["subscriptions"] == 1)
        {
            assert_eq!(shown["violations"], json!([]));
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("subscriptions are left");
}

#[tokio::test]
async fn only_a_trusted_certificate_is_spoken_to() {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    let config = crate::simulator::Config {
        tls: Some(TlsPem {
            certificate: certificate.pem().into_bytes(),
            key: key.serialize_pem().into_bytes(),
        }),
        ..Default::default()
    };
    let world = World::with(config).await;
    let why = world.connect(PASSWORD, &[]).fails().await;
    assert!(matches!(why, PbxError::NotTrusted(_)), "{why:?}");
    let mut pbx = world.connect(PASSWORD, &[certificate.der().clone()]);
    pbx.settle().await;
    pbx.adapter.close().await;
}
