//! The Webex API and its status page, as a client sees them.

use serde_json::{Value, json};

use super::world::World;

const TOKEN: &str = "simulator-webex-token";

impl World {
    async fn webex(&self, query: &str) -> reqwest::Response {
        let url = self.url(&format!("/webex/v1/broadworks/subscribers{query}"));
        self.client.get(url).bearer_auth(TOKEN).send().await.unwrap()
    }

    async fn set_webex(&self, change: Value) {
        let answer = self
            .client
            .put(self.url("/_simulator/webex"))
            .json(&change)
            .send()
            .await;
        assert!(answer.unwrap().status().is_success());
    }
}

fn subscriber(id: usize, status: &str) -> Value {
    json!({"userId": format!("u{id}"), "status": status, "lastStatusChange": "2026-11-22T10:00:00.000Z"})
}

#[tokio::test]
async fn subscribers_are_filtered_and_come_in_pages() {
    let world = World::new().await;
    let mut all: Vec<Value> = (0..150).map(|id| subscriber(id, "provisioning")).collect();
    all.push(subscriber(200, "error"));
    world.set_webex(json!({"subscribers": all})).await;
    let first = world.webex("?status=provisioning&max=100").await;
    let link = first.headers()["link"].to_str().unwrap().to_owned();
    let next = link.strip_prefix('<').unwrap().split('>').next().unwrap();
    let body: Value = first.json().await.unwrap();
    assert_eq!(body["subscribers"].as_array().unwrap().len(), 100);
    assert!(
        body["subscribers"][0]["email"]
            .as_str()
            .unwrap()
            .ends_with("personal.example")
    );
    let second = world.client.get(next).bearer_auth(TOKEN).send().await.unwrap();
    assert!(second.headers().get("link").is_none());
    let body: Value = second.json().await.unwrap();
    assert_eq!(body["subscribers"].as_array().unwrap().len(), 50);
    let body: Value = world.webex("?spEnterpriseId=nobody").await.json().await.unwrap();
    assert_eq!(body["subscribers"], json!([]));
}

#[tokio::test]
async fn what_is_odd_is_refused() {
    let world = World::new().await;
    for query in ["?status=done", "?max=0", "?max=101", "?max=x", "?unknown=1"] {
        assert_eq!(world.webex(query).await.status(), 400, "{query}");
    }
    let url = world.url("/webex/v1/broadworks/subscribers");
    assert_eq!(world.client.get(&url).send().await.unwrap().status(), 401);
    assert_eq!(
        world.client.get(&url).bearer_auth("x").send().await.unwrap().status(),
        401
    );
    assert_eq!(world.client.post(&url).send().await.unwrap().status(), 405);
    world.set_webex(json!({"scopes": []})).await;
    assert_eq!(world.webex("").await.status(), 403);
}

#[tokio::test]
async fn the_status_page_says_what_it_is_told_to() {
    let world = World::new().await;
    let component = json!({"name": "Webex Calling", "status": "major_outage", "isGroup": true});
    world
        .set_webex(json!({"components": [component], "incidents": [{"name": "Calls fail", "resolved_at": null}]}))
        .await;
    let url = world.url("/webex/status/index.json");
    let body: Value = world.client.get(url).send().await.unwrap().json().await.unwrap();
    assert_eq!(body["components"][0]["status"], "major_outage");
    assert_eq!(body["incidents"][0]["name"], "Calls fail");
}
