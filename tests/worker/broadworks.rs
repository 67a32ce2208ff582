//! Between Teams and BroadWorks, with two XSPs: calls and do not disturb are all that exists there.

use serde_json::{Value, json};

use crate::world::{World, upn};

/// Some people who are users of BroadWorks too, and a worker that polls.
async fn polling(people: u32) -> World {
    let mut world = World::new(people).await;
    world.post("xsi/users", json!({"count": people})).await;
    let url = world.simulator.url();
    let pbx = json!({"broadworks": {"xsps": [url, format!("{url}/xsp2")], "username": "admin@example.com",
        "passwordSecretRef": {"name": "xsi", "key": "password"}, "address": {"from": "userPrincipalName"}}});
    world.write("secrets/xsi/password", "simulator-password");
    world.configure(&pbx, &json!({}), &json!({}));
    world.start();
    world.synced(people).await;
    world
        .until("connected", async || world.status().await["pbx"]["ok"] == true)
        .await;
    world
}

impl World {
    /// A call comes in.
    async fn ring(&self, user: u32) -> String {
        let call = self.post(&format!("xsi/users/{}/calls", upn(user)), json!({})).await;
        call["call"].as_str().unwrap().to_owned()
    }

    async fn answer(&self, call: &str) {
        self.put(&format!("xsi/calls/{call}"), json!({"state": "answered"}))
            .await;
    }

    async fn end(&self, call: &str) {
        self.delete(&format!("xsi/calls/{call}")).await;
    }

    /// The person's hand on the phone.
    async fn switch(&self, user: u32, on: bool) {
        self.put(&format!("xsi/users/{}/dnd", upn(user)), json!(on)).await;
    }

    /// A user with this ring splash takes the place of one.
    async fn ring_splash(&self, user: u32, rings: bool) {
        self.post("xsi/users", json!([{"id": upn(user), "ringSplash": rings}]))
            .await;
    }

    async fn has_ring_splash(&self, user: u32) -> bool {
        self.simulator(&format!("xsi/users/{}", upn(user))).await["ringSplash"] == true
    }

    async fn is_switched(&self, user: u32) -> bool {
        self.simulator(&format!("xsi/users/{}", upn(user))).await["dnd"] == true
    }

    async fn until_switched(&self, user: u32, on: bool) {
        let what = format!("do not disturb of user {user}: {on}");
        self.until(&what, async || self.is_switched(user).await == on).await;
    }

    async fn chosen_by_app(&self, user: u32) -> Option<String> {
        let choice = self.person(user).await["choice"].clone();
        let by_app = choice.is_object() && choice["by"] != "person";
        by_app.then(|| choice["activity"].as_str().unwrap().to_owned())
    }

    /// What the worker switched.
    async fn switches(&self) -> Vec<Value> {
        let writes = self.simulator("xsi/writes?since=0").await;
        writes.as_array().unwrap().clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_and_do_not_disturb_are_told_both_ways() {
    let world = polling(3).await;
    let call = world.ring(0).await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!(world.shown(0).await, "Available", "it only rings");
    world.answer(&call).await;
    world.until("busy", async || world.shown(0).await == "InACall").await;
    world.end(&call).await;
    world.until("free", async || world.shown(0).await == "Available").await;

    world.switch(1, true).await;
    world
        .until("chosen", async || {
            world.chosen_by_app(1).await.as_deref() == Some("DoNotDisturb")
        })
        .await;
    world.switch(1, false).await;
    world.until("free", async || world.shown(1).await == "Available").await;

    world.ring_splash(2, true).await;
    world.choose(2, Some("DoNotDisturb")).await;
    world.until_switched(2, true).await;
    world.choose(2, None).await;
    world.until_switched(2, false).await;
    assert_eq!(world.switches().await.len(), 2, "user 1's switch is user 1's");
    assert!(world.has_ring_splash(2).await, "user 2's ring splash is user 2's");

    world.release().await;
    world.lawful().await;
    assert_eq!(world.simulator("xsi").await["violations"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_told_before_the_worker_died_is_known_as_its_own_after() {
    let mut world = polling(4).await;
    let call = world.ring(0).await;
    world.answer(&call).await;
    world.switch(1, true).await;
    world.choose(2, Some("DoNotDisturb")).await;
    world.until("busy", async || world.shown(0).await == "InACall").await;
    world
        .until("chosen", async || world.chosen_by_app(1).await.is_some())
        .await;
    world.until_switched(2, true).await;

    // Meanwhile the call ends, user 1 is to be disturbed again, user 2 as well, and user 3 not.
    world.kill();
    world.end(&call).await;
    world.switch(1, false).await;
    world.choose(2, None).await;
    world.switch(3, true).await;
    world.start();
    world.until("free", async || world.shown(0).await == "Available").await;
    world
        .until("not chosen", async || world.chosen_by_app(1).await.is_none())
        .await;
    world.until_switched(2, false).await;
    world
        .until("chosen", async || world.chosen_by_app(3).await.is_some())
        .await;

    // What it switched on last is taken back, and the person's own switch is left alone.
    world.choose(2, Some("DoNotDisturb")).await;
    world.until_switched(2, true).await;
    world.release().await;
    assert!(!world.is_switched(2).await);
    assert!(world.is_switched(3).await);
    assert_eq!(world.simulator("xsi").await["violations"], json!([]));
    world.lawful().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_xsp_that_is_down_is_told_and_its_calls_come_over_the_other() {
    let world = polling(1).await;
    world.put("xsi/manners", json!({"down": ["xsp2"]})).await;
    world.post("xsi/drop", json!({"how": "break", "xsp": "xsp2"})).await;
    let endpoints = async || {
        let status = world.status().await;
        let all = status["endpoints"].as_array().cloned().unwrap_or_default();
        all.iter().filter(|endpoint| endpoint["connected"] == true).count()
    };
    world.until("one is down", async || endpoints().await == 1).await;
    assert_eq!(world.status().await["pbx"]["ok"], false);
    let call = world.ring(0).await;
    world.answer(&call).await;
    world.until("busy", async || world.shown(0).await == "InACall").await;
    world.end(&call).await;
    world.until("free", async || world.shown(0).await == "Available").await;
    world.put("xsi/manners", json!({"down": []})).await;
    world.until("both are up", async || endpoints().await == 2).await;
}
