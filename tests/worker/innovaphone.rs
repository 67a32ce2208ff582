//! Between Teams and an innovaphone PBX.

use serde_json::{Value, json};

use crate::world::World;

pub const PASSWORD: &str = "simulator-password";

/// Some people who are on the PBX too, and a worker that polls.
async fn polling(people: u32, password: &str) -> World {
    let mut world = World::new(people).await;
    world.on_innovaphone(people).await;
    world.configure_innovaphone(password, &json!({}), &json!({}));
    world.start();
    world
}

impl World {
    /// The people are users of the PBX.
    pub async fn on_innovaphone(&self, people: u32) {
        let users: Vec<Value> = (0..people)
            .map(|number| json!({"h323": format!("user{number}"), "cn": format!("User {number}")}))
            .collect();
        self.post("pbx/users", json!(users)).await;
    }

    pub fn configure_innovaphone(&self, password: &str, says: &Value, adds: &Value) {
        let socket = format!(
            "{}/PBX0/APPS/websocket",
            self.simulator.url().replace("http://", "ws://")
        );
        let pbx = json!({"innovaphone": {"app": "teams", "passwordSecretRef": {"name": "pbx", "key": "password"},
            "endpoints": [{"name": "pbx", "role": "Master", "url": socket}]}});
        self.write("secrets/pbx/password", password);
        self.configure(&pbx, says, adds);
    }

    /// A call of a user is connected.
    pub async fn call(&self, user: u32) -> String {
        let call = self
            .post(&format!("pbx/users/user{user}/calls"), json!({"state": "connected"}))
            .await;
        call["call"].to_string().trim_matches('"').to_owned()
    }

    pub async fn hang_up(&self, call: &str) {
        self.delete(&format!("pbx/calls/{call}")).await;
    }

    /// The latest entry that the app wrote for a user.
    pub async fn entry(&self, user: u32) -> Option<String> {
        let writes = self.simulator("pbx/writes?since=0").await;
        let mut mine = writes.as_array().unwrap().iter().rev();
        let write = mine.find(|write| write["h323"] == format!("user{user}"))?;
        Some(write["activity"].as_str().unwrap_or_default().to_owned())
    }

    pub async fn until_entry(&self, user: u32, activity: &str) -> std::time::Duration {
        self.until(activity, async || self.entry(user).await.as_deref() == Some(activity))
            .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_survives_the_death_of_the_worker_and_ends_all_the_same() {
    let mut world = polling(3, PASSWORD).await;
    world.synced(3).await;
    let call = world.call(1).await;
    world.until("busy", async || world.shown(1).await == "InACall").await;

    world.kill();
    world.hang_up(&call).await;
    world.start();
    world.until("free", async || world.shown(1).await == "Available").await;

    // The other way: a meeting in Teams, and its end.
    world.derive(2, "Busy", "InAMeeting").await;
    world.until_entry(2, "meeting").await;

    // Everything is taken back when asked for, and nothing of ours is left.
    let call = world.call(0).await;
    world.until("busy", async || world.shown(0).await == "InACall").await;
    world.release().await;
    assert_eq!(world.entry(2).await.as_deref(), Some(""));
    world.hang_up(&call).await;
    world.lawful().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_of_the_pbx_is_told_and_mended_without_a_restart() {
    let world = polling(1, "wrong").await;
    world
        .until("told", async || {
            let status = world.status().await;
            status["pbx"]["fault"] == "CredentialsRejected" && status["directory"]["ok"] == true
        })
        .await;
    assert_eq!(world.status().await["users"]["synced"], 0);
    world.configure_innovaphone(PASSWORD, &json!({}), &json!({}));
    world.synced(1).await;
    assert_eq!(world.status().await["generation"], 7);
}
