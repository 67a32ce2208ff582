//! The management API of Pexip Infinity, as a client sees it.

use reqwest::header::{HeaderMap, LOCATION, RETRY_AFTER};
use serde_json::{Value, json};

use super::world::World;

const NODES: &str = "status/v1/teamsnode/";

impl World {
    async fn pexip(&self, method: &str, path: &str, authorization: &str) -> (u16, HeaderMap, String) {
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build();
        let request = client
            .unwrap()
            .request(method.parse().unwrap(), self.url(&format!("/api/admin/{path}")));
        let response = request.header("authorization", authorization).send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        (status, headers, response.text().await.unwrap())
    }

    async fn pexip_list(&self, path: &str) -> Value {
        let (status, _, text) = self.pexip("GET", path, "Bearer simulator-token").await;
        assert_eq!(status, 200, "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    async fn pexip_manners(&self, manners: Value) {
        self.admin("PUT", "/pexip/manners", manners).await;
    }
}

fn ids(list: &Value) -> Vec<&str> {
    list["objects"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["id"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn who_may_view() {
    let world = World::new().await;
    // api:simulator-password, and api:wrong.
    for (authorization, expected) in [
        ("Basic YXBpOnNpbXVsYXRvci1wYXNzd29yZA==", 200),
        ("Basic YXBpOndyb25n", 401),
        ("Bearer simulator-token", 200),
        ("Token simulator-token", 200),
        ("Token other", 401),
        ("simulator-token", 401),
        ("", 401),
    ] {
        let (status, ..) = world.pexip("GET", NODES, authorization).await;
        assert_eq!(status, expected, "{authorization}");
    }
    world
        .pexip_manners(json!({"denied": ["teamsnode"], "missing": ["teamsnodedsc"]}))
        .await;
    for (path, expected) in [
        (NODES, 403),
        ("status/v1/teamsnodedsc/", 404),
        ("status/v1/alarm/", 200),
        ("status/v1/unknown/", 404),
        ("configuration/v1/teamsnode/", 403),
        ("configuration/v1/teams_proxy/1/", 200),
        ("configuration/v1/teams_proxy/9/", 404),
    ] {
        assert_eq!(
            world.pexip("GET", path, "Token simulator-token").await.0,
            expected,
            "{path}"
        );
    }
}

#[tokio::test]
async fn nothing_can_be_written_and_whoever_tries_is_noted() {
    let world = World::new().await;
    for method in ["DELETE", "POST", "PUT", "PATCH"] {
        let (status, ..) = world.pexip(method, NODES, "Token simulator-token").await;
        assert_eq!(status, 405, "{method}");
    }
    let violations = world.admin("GET", "/violations", Value::Null).await;
    let details: Vec<&str> = violations
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["detail"].as_str().unwrap())
        .collect();
    assert_eq!(details[0], "DELETE /api/admin/status/v1/teamsnode/");
    assert_eq!(details.len(), 4);
    assert_eq!(world.pexip_list(NODES).await["meta"]["total_count"], 2);
}

#[tokio::test]
async fn without_its_slash_an_address_redirects() {
    let world = World::new().await;
    for (path, expected) in [
        ("status/v1/teamsnode?limit=1", "/api/admin/status/v1/teamsnode/?limit=1"),
        (
            "configuration/v1/teams_proxy/1",
            "/api/admin/configuration/v1/teams_proxy/1/",
        ),
    ] {
        let (status, headers, _) = world.pexip("GET", path, "Token simulator-token").await;
        assert_eq!((status, headers[LOCATION].to_str().unwrap()), (301, expected));
    }
}

#[tokio::test]
async fn lists_come_in_pages() {
    let world = World::new().await;
    let instances: Vec<Value> = (0..45).map(|number| json!({"id": format!("i{number:02}")})).collect();
    world
        .admin("PUT", "/pexip/objects/status/teamsnode", json!(instances))
        .await;
    let first = world.pexip_list(NODES).await;
    assert_eq!((ids(&first).len(), &first["meta"]["total_count"]), (20, &json!(45)));
    assert_eq!(
        first["meta"]["next"],
        "/api/admin/status/v1/teamsnode/?limit=20&offset=20"
    );
    let last = world.pexip_list("status/v1/teamsnode/?limit=20&offset=40").await;
    assert_eq!((ids(&last).len(), &last["meta"]["next"]), (5, &Value::Null));
    assert_eq!(ids(&world.pexip_list("status/v1/teamsnode/?limit=0").await).len(), 45);
    for query in [
        "limit=-1",
        "offset=x",
        "color=red",
        "state__like=x",
        "start_time__gte=soon",
    ] {
        let path = format!("{NODES}?{query}");
        assert_eq!(
            world.pexip("GET", &path, "Token simulator-token").await.0,
            400,
            "{query}"
        );
    }
    world
        .pexip_manners(json!({"shifts": true, "nextOrigin": "http://other.example.com", "wrongTotal": true}))
        .await;
    let shifted = world.pexip_list("status/v1/teamsnode/?limit=20&offset=20").await;
    assert_eq!(ids(&shifted)[0], "i19");
    assert_eq!(shifted["meta"]["total_count"], 0);
    assert_eq!(
        shifted["meta"]["next"],
        "http://other.example.com/api/admin/status/v1/teamsnode/?limit=20&offset=40"
    );
}

#[tokio::test]
async fn times_come_in_three_forms() {
    let world = World::new().await;
    world.admin("PUT", "/clock", json!({"rate": 0.0})).await;
    let instances = json!([
        {"id": "a", "heartbeat_time": "2026-11-22T08:41:07.120331Z"}, {"id": "b", "heartbeat_time": "2026-11-22T08:41:07.120331Z"},
        {"id": "c", "heartbeat_time": "2026-11-22T08:41:07.120331Z"}, {"id": "d", "heartbeat_time": "-1"}, {"id": "e", "heartbeat_time": null},
    ]);
    world.admin("PUT", "/pexip/objects/status/teamsnode", instances).await;
    let list = world.pexip_list(NODES).await;
    let times: Vec<&Value> = list["objects"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["heartbeat_time"])
        .collect();
    assert_eq!(
        json!(times),
        json!([
            "2026-11-22T08:41:07.120331+00:00",
            "2026-11-22T08:41:07.120331",
            "2026-11-22T08:41:07",
            "-1",
            null
        ])
    );
}

#[tokio::test]
async fn the_history_can_be_filtered() {
    let world = World::new().await;
    for (ended, reason) in [
        ("2026-11-22T08:00:00Z", "Call rejected"),
        ("2026-11-22T09:00:00Z", "Call disconnected"),
    ] {
        let call = json!({"count": 2, "ended": ended, "reason": reason});
        world.admin("POST", "/pexip/calls", call).await;
    }
    let found = async |query: &str| {
        let list = world.pexip_list(&format!("history/v1/participant/?{query}")).await;
        list["objects"].as_array().unwrap().len()
    };
    assert_eq!(found("").await, 4);
    assert_eq!(found("end_time__gte=2026-11-22T08:30:00").await, 2);
    assert_eq!(found("end_time__lt=2026-11-22T08:00:00").await, 0);
    assert_eq!(found("disconnect_reason=Call%20rejected").await, 2);
}

#[tokio::test]
async fn what_stands_in_front_answers_in_its_own_ways() {
    let world = World::new().await;
    let ask = async || world.pexip("GET", NODES, "Token simulator-token").await;
    world.pexip_manners(json!({"sso": "https://login.example.com/"})).await;
    let (status, headers, _) = ask().await;
    assert_eq!(
        (status, headers[LOCATION].to_str().unwrap()),
        (302, "https://login.example.com/")
    );
    world.pexip_manners(json!({"sso": null, "loginPage": true})).await;
    let (status, headers, text) = ask().await;
    assert_eq!(
        (status, headers["content-type"].to_str().unwrap()),
        (200, "text/html; charset=utf-8")
    );
    assert!(text.starts_with("<!DOCTYPE html>"));
    world.pexip_manners(json!({"loginPage": false, "truncate": true})).await;
    assert!(serde_json::from_str::<Value>(&ask().await.2).is_err());
    world
        .pexip_manners(json!({"truncate": false, "hugeBytes": 300_000}))
        .await;
    assert!(ask().await.2.len() > 300_000);
    world.pexip_manners(json!({"hugeBytes": 0, "maxRequests": 5})).await;
    let (status, headers, _) = ask().await;
    assert_eq!(status, 200, "those that were answered by others do not count");
    assert!(!headers.contains_key(RETRY_AFTER));
    for _ in 0..5 {
        ask().await;
    }
    let (status, headers, _) = ask().await;
    assert_eq!(status, 429);
    assert!(headers[RETRY_AFTER].to_str().unwrap().parse::<u64>().unwrap() <= 61);
}

#[tokio::test]
async fn objects_are_as_the_original_could_have_them() {
    let world = World::new().await;
    let url = world.url("/_simulator/pexip/objects/status/alarm");
    let put = async |body: Value| {
        world
            .client
            .put(&url)
            .json(&body)
            .send()
            .await
            .unwrap()
            .status()
            .as_u16()
    };
    assert_eq!(put(json!([{"name": "a", "level": "error"}])).await, 204);
    assert_eq!(put(json!([{"colour": "red"}])).await, 400);
    assert_eq!(put(json!(["a"])).await, 400);
    world
        .admin(
            "POST",
            "/pexip/objects/status/alarm",
            json!([{"id": 1, "acknowledged": true}, {"id": 7}]),
        )
        .await;
    let list = world.pexip_list("status/v1/alarm/").await;
    assert_eq!(list["objects"][0]["name"], "a");
    assert_eq!(list["objects"][0]["acknowledged"], true);
    assert_eq!(list["objects"][1]["resource_uri"], "/api/admin/status/v1/alarm/7/");
    let shown = world.admin("GET", "/pexip", Value::Null).await;
    assert_eq!(shown["objects"]["status/alarm"], 2);
    world.admin("PUT", "/pexip", json!({})).await;
    assert_eq!(world.pexip_list("status/v1/alarm/").await["meta"]["total_count"], 0);
}
