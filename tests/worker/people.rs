//! People come and go, get and lose licences, and change groups, while the worker works.

use std::time::Duration;

use serde_json::{Value, json};

use crate::innovaphone::PASSWORD;
use crate::world::World;

/// Two looks at the changes, which are a minute apart.
const LOOKS: Duration = Duration::from_secs(150);

/// Some people, and as many users of the PBX; no worker yet.
async fn world(people: u32, users: u32, says: &Value) -> World {
    let world = World::new(people).await;
    world.on_innovaphone(users).await;
    world.configure_innovaphone(PASSWORD, says, &json!({}));
    world
}

impl World {
    async fn id(&self, user: u32) -> Value {
        self.person(user).await["id"].clone()
    }

    /// The members of the group `sales` from now on.
    async fn group(&self, change: &str, users: &[u32]) {
        let mut members = Vec::new();
        for user in users {
            members.push(self.id(*user).await);
        }
        let group = json!({"id": "sales", "displayName": "Sales", "members": members});
        let put = json!({"collection": "groups", "changeType": change, "object": group});
        self.post("objects", put).await;
    }

    async fn licence(&self, user: u32, plan: Value) {
        self.put(&format!("people/{}/licence", crate::world::upn(user)), plan)
            .await;
    }

    async fn busy(&self, user: u32) -> String {
        let call = self.call(user).await;
        self.until("busy", async || self.shown(user).await == "InACall").await;
        call
    }
}

/// Long before everybody is read again, which is after six hours.
#[tokio::test(flavor = "multi_thread")]
async fn a_joiner_is_kept_in_step_within_minutes_and_of_a_leaver_nothing_stays() {
    let mut world = world(2, 3, &json!({})).await;
    world.start();
    world.synced(2).await;
    world.derive(1, "Busy", "InAMeeting").await;
    world.until_entry(1, "meeting").await;

    let leaver = json!({"changeType": "deleted", "object": {"id": world.id(1).await}});
    world.post("users", leaver).await;
    let client = json!({"availability": "Available", "activity": "Available"});
    world
        .post(
            "people",
            json!({"count": 1, "first": 2, "prefix": "user", "client": client}),
        )
        .await;
    world
        .within(LOOKS, "the joiner is known", async || {
            world.worker("users/user2").await["synced"] == true
        })
        .await;
    world.until_entry(1, "").await;
    assert_eq!(world.status().await["users"]["synced"], 2);
    let call = world.busy(2).await;
    world.hang_up(&call).await;
    world.until("free", async || world.shown(2).await == "Available").await;
    world.lawful().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn licences_and_groups_decide_who_is_kept_in_step_from_one_look_to_the_next() {
    let says = json!({"users": {"groups": ["sales"], "licenceInterval": "1m"}});
    let mut world = world(5, 5, &says).await;
    world.group("created", &[0, 1, 2, 4]).await;
    world.licence(4, Value::Null).await;
    world.start();
    world.synced(3).await;
    let mut calls = Vec::new();
    for user in 0..3 {
        calls.push(world.busy(user).await);
    }

    // User 1 loses the licence and user 4 gets one; user 2 leaves the group and user 3 joins it.
    world.licence(1, Value::Null).await;
    world.licence(4, json!({})).await;
    world.group("updated", &[0, 1, 3, 4]).await;
    for user in [1, 2] {
        world
            .within(LOOKS, "taken back", async || world.shown(user).await == "Available")
            .await;
    }
    for user in [3, 4] {
        world
            .within(LOOKS, "in step", async || {
                world.worker(&format!("users/user{user}")).await["synced"] == true
            })
            .await;
        calls.push(world.busy(user).await);
    }
    let status = world.status().await;
    assert_eq!(
        (&status["users"]["synced"], &status["users"]["unlicensed"]),
        (&json!(3), &json!(1))
    );
    assert_eq!(world.shown(0).await, "InACall", "who stays is left alone");
    for call in calls {
        world.hang_up(&call).await;
    }
    world.until("free", async || world.shown(0).await == "Available").await;
    world.lawful().await;
}
