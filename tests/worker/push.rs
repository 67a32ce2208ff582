//! Teams pushes: a change travels from Graph's stand-in through a real receiver to the worker, and on to the PBX. Nothing polls, so
//! what arrives came that way.

use serde_json::{Value, json};
use teams_graph_operator::policy::identity::Channel;

use crate::innovaphone::PASSWORD;
use crate::receiver::{CONSUMER, Receiver, TOKEN};
use crate::world::World;

const ACCOUNT: &str = "account0@contoso.onmicrosoft.com";
const ACCOUNT_PASSWORD: &str = "p w&+=ö";

/// People, a receiver, an account that may sign in. The worker has not begun.
async fn pushing(people: u32, source: &str) -> (World, Receiver) {
    let world = World::new(people).await;
    let mut receiver = Receiver::new();
    receiver.start().await;
    world
        .put(
            "settings",
            json!({"allowHttp": true, "delivery": {"backoffBaseMs": 300, "backoffMaxMs": 1000}}),
        )
        .await;
    world.post("people", json!({"count": 1, "prefix": "account"})).await;
    world
        .put(
            &format!("people/{ACCOUNT}/account"),
            json!({"password": ACCOUNT_PASSWORD}),
        )
        .await;
    for (path, content) in [
        ("secrets/account/username", ACCOUNT),
        ("secrets/account/password", ACCOUNT_PASSWORD),
        ("secrets/pull/token", TOKEN),
    ] {
        world.write(path, content);
    }
    world.point_to(&receiver);
    world.on_innovaphone(people).await;
    let says = json!({"source": source, "push": {"receiverRef": {"name": "r"}, "consumer": CONSUMER,
        "tokenSecretRef": {"name": "pull", "key": "token"},
        "accounts": [{"name": "one", "secretRef": {"name": "account"}}]}});
    let adds = json!({"push": {"secret": "push", "pullUrls": [receiver.pull_url()]}});
    world.configure_innovaphone(PASSWORD, &says, &adds);
    (world, receiver)
}

impl World {
    /// Notifications go to this receiver, by its newest key.
    fn point_to(&self, receiver: &Receiver) {
        for (file, content) in [
            ("notification-url", receiver.url(Channel::Notification)),
            ("lifecycle-url", receiver.url(Channel::Lifecycle)),
            ("client-state", receiver.client_state()),
        ] {
            self.write(&format!("secrets/push/{file}"), &content);
        }
    }

    /// The account's subscription stands, for so many people, and notifications can be pulled.
    async fn subscribed(&self, users: u32) -> String {
        self.until("subscribed", async || {
            let status = self.status().await;
            let account = &status["accounts"][0];
            account["subscribed"]["ok"] == true
                && account["users"] == users
                && account["subscriptionId"].is_string()
                && status["source"]["ok"] == true
                && status["receiver"]["ok"] == true
        })
        .await;
        let id = &self.status().await["accounts"][0]["subscriptionId"];
        id.as_str().unwrap().to_owned()
    }

    /// Ids of the subscriptions that live.
    async fn subscriptions(&self) -> Vec<String> {
        let all = self.simulator("subscriptions").await;
        let ids = all.as_array().unwrap().iter();
        ids.map(|one| one["id"].as_str().unwrap().to_owned()).collect()
    }

    /// How often presence was read.
    async fn reads(&self) -> u64 {
        let requests = self.simulator("requests/summary").await;
        let all = requests.as_object().unwrap().iter();
        let reads = all.filter(|(route, _)| route.contains("getPresencesByUserId"));
        let counts = reads.filter_map(|(_, counts)| counts.as_object());
        counts
            .flat_map(|counts| counts.values())
            .filter_map(Value::as_u64)
            .sum()
    }

    /// Nothing is read while nothing happens.
    async fn quiet(&self) {
        let reads = self.reads().await;
        assert!(reads > 0, "reads are counted");
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        assert_eq!(self.reads().await, reads, "nothing polls");
    }

    /// From now on notifications of presence are lost on their way, or no longer.
    async fn lose_notifications(&self, all: bool) {
        let percent = if all { 100 } else { 0 };
        self.put("settings", json!({"presence": {"lostPercent": percent}}))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notification_travels_through_the_receiver_to_the_pbx_and_is_acknowledged() {
    for source in ["Subscription", "Both"] {
        let (mut world, receiver) = pushing(3, source).await;
        world.start();
        world.synced(3).await;
        world.subscribed(3).await;
        world.quiet().await;
        world.derive(1, "Busy", "InAMeeting").await;
        let took = world.until_entry(1, "meeting").await;
        assert!(took.as_secs() < 10, "{source}: {took:?}");
        world
            .until("acknowledged", async || receiver.waiting().await == 0)
            .await;
        assert!(world.status().await["last"]["notification"].is_string());

        // The echo of our own session comes that way, too, and is not told to the PBX.
        let call = world.call(2).await;
        world.until("busy", async || world.shown(2).await == "InACall").await;
        world.hang_up(&call).await;
        world.until("free", async || world.shown(2).await == "Available").await;
        assert_eq!(world.entry(2).await, None);

        world.derive(1, "Available", "Available").await;
        world.until_entry(1, "").await;
        world.release().await;
        assert_eq!(
            world.subscriptions().await,
            [""; 0],
            "the subscription goes with the rest"
        );
        world.lawful().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_while_the_receiver_or_the_worker_is_away_is_told_afterwards() {
    let (mut world, mut receiver) = pushing(2, "Subscription").await;
    world.start();
    world.synced(2).await;
    let subscription = world.subscribed(2).await;

    // The receiver dies: Graph tries again.
    receiver.kill();
    world.derive(0, "Busy", "InAMeeting").await;
    world
        .until("told", async || {
            world.status().await["receiver"]["fault"] == "ReceiverUnavailable"
        })
        .await;
    receiver.start().await;
    world.until_entry(0, "meeting").await;

    // The worker dies: its subscription is not made anew, and what it wrote is known.
    world.kill();
    world.derive(0, "Available", "Available").await;
    world.derive(1, "DoNotDisturb", "DoNotDisturb").await;
    world.start();
    world.until_entry(1, "dnd").await;
    world.until_entry(0, "").await;
    assert_eq!(world.subscribed(2).await, subscription);
    assert_eq!(world.subscriptions().await, [subscription]);
    world
        .until("acknowledged", async || receiver.waiting().await == 0)
        .await;
    world.lawful().await;
}

/// Graph repeats what it was given when the subscription was made, which the receiver does not take for the new key's.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_rotation_of_the_receivers_key_a_meeting_still_arrives() {
    let (mut world, mut receiver) = pushing(2, "Subscription").await;
    world.start();
    world.synced(2).await;
    let before = world.subscribed(2).await;
    receiver.kill();
    receiver.rotate();
    receiver.start().await;
    world.kill();
    world.point_to(&receiver);
    world.start();
    world.synced(2).await;
    world
        .until("made anew", async || {
            let ids = world.subscriptions().await;
            ids.len() == 1 && ids[0] != before
        })
        .await;
    world.subscribed(2).await;
    world.quiet().await;
    world.derive(1, "Busy", "InAMeeting").await;
    world.until_entry(1, "meeting").await;
    world.lawful().await;
}

/// Before the PBX has told its users again, nobody's subscription ends.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_begins_while_the_pbx_is_away_keeps_its_subscription() {
    let (mut world, _receiver) = pushing(2, "Subscription").await;
    world.start();
    world.synced(2).await;
    let subscription = world.subscribed(2).await;
    world.kill();
    let manners = "pbx/pbxs/pbx/manners";
    world.put(manners, json!({"unreachable": true})).await;
    world.start();
    assert_eq!(world.subscribed(2).await, subscription);
    tokio::time::sleep(std::time::Duration::from_secs(8)).await;
    assert_eq!(world.status().await["pbx"]["ok"], false);
    assert_eq!(world.subscriptions().await, [subscription.as_str()]);
    world.put(manners, json!({"unreachable": false})).await;
    world.synced(2).await;
    assert_eq!(world.subscribed(2).await, subscription);
    assert_eq!(world.subscriptions().await, [subscription]);
}

/// Graph pauses when the account's token ends, and forgets what it did not tell meanwhile; what a lost volume had accepted is
/// told by nobody. Both are made good for by reading everybody.
#[tokio::test(flavor = "multi_thread")]
async fn notifications_that_nobody_will_tell_are_made_good_for() {
    let (mut world, mut receiver) = pushing(2, "Subscription").await;
    world.start();
    world.synced(2).await;
    let subscription = world.subscribed(2).await;
    // One that wrote the subscription itself, minutes ago by its clock, would not write it again.
    world.kill();
    world.start();
    world.synced(2).await;
    assert_eq!(world.subscribed(2).await, subscription);
    world.lose_notifications(true).await;
    world.derive(0, "Busy", "InAMeeting").await;
    world.quiet().await;
    assert_eq!(world.entry(0).await, None, "nobody was told");

    // Graph asks for another token: the same subscription, renewed once with a new one.
    world.put("settings", json!({"challenges": true})).await;
    world.post("clock/advance", json!({"seconds": 46 * 60})).await;
    world.until_entry(0, "meeting").await;
    let all = world.simulator("subscriptions").await;
    let kept: Vec<_> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (&one["id"], &one["renewed"]))
        .collect();
    assert_eq!(kept, [(&json!(subscription), &json!(1))]);

    // The volume.
    world.derive(0, "Available", "Available").await;
    receiver.lose_volume();
    receiver.start().await;
    world.until_entry(0, "").await;
    world.lawful().await;
}
