//! Delta queries of users and groups: pages, changes, tokens and their end.

use serde_json::{Value, json};

use super::world::{World, read};

impl World {
    /// Keeps an object in silence.
    pub async fn keep(&self, collection: &str, object: Value) -> Value {
        self.change(collection, "created", object).await
    }

    /// The same, for another change.
    pub async fn change(&self, collection: &str, change: &str, object: Value) -> Value {
        let body = json!({"collection": collection, "changeType": change, "object": object, "silent": true});
        self.admin("POST", "/objects", body).await["object"].clone()
    }

    /// Follows the links of a round. The answer: all objects, the pages, and the delta link.
    pub async fn round(&self, path: &str) -> (Vec<Value>, usize, String) {
        let (mut found, mut pages, mut next) = (Vec::new(), 0, path.to_string());
        loop {
            let (status, body) = self.graph("GET", &next, None).await;
            assert_eq!(status, 200, "{next}: {body}");
            pages += 1;
            found.extend(body["value"].as_array().unwrap().clone());
            let (more, end) = (&body["@odata.nextLink"], &body["@odata.deltaLink"]);
            assert!(more.is_null() != end.is_null(), "one link, never both: {body}");
            if let Some(end) = end.as_str() {
                return (found, pages, end.to_string());
            }
            next = more.as_str().unwrap().to_string();
        }
    }
}

/// Ids in order.
pub fn ids(found: &[Value]) -> Vec<&str> {
    found.iter().map(|one| one["id"].as_str().unwrap()).collect()
}

async fn small_pages(world: &World) {
    let change = json!({"delta": {"pageSize": 2}});
    world.admin("PUT", "/settings", change).await;
}

#[tokio::test]
async fn everything_comes_first_and_then_what_changed() {
    let world = World::new().await;
    small_pages(&world).await;
    for n in 1..=5 {
        world
            .keep("users", json!({"id": format!("u{n}"), "jobTitle": "x"}))
            .await;
    }
    let (found, pages, link) = world.round("/users/delta").await;
    assert_eq!((ids(&found), pages), (vec!["u1", "u2", "u3", "u4", "u5"], 3));
    assert!(link.contains("/v1.0/users/delta?$deltatoken="), "{link}");

    let (found, _, link) = world.round(&link).await;
    assert_eq!(found, Vec::<Value>::new(), "nothing happened");

    world
        .change("users", "updated", json!({"id": "u2", "jobTitle": "y"}))
        .await;
    world.change("users", "deleted", json!({"id": "u4"})).await;
    let bin = json!({"id": "u5", "@removed": {"reason": "changed"}});
    world.change("users", "updated", bin).await;
    let (found, _, link) = world.round(&link).await;
    let expected = json!([
        {"id": "u2", "jobTitle": "y"},
        {"id": "u4", "@removed": {"reason": "deleted"}},
        {"id": "u5", "@removed": {"reason": "changed"}},
    ]);
    assert_eq!(json!(found), expected, "users carry no dates");
    assert_eq!(world.round(&link).await.0.len(), 0);
    let (fresh, _, _) = world.round("/users/delta").await;
    assert_eq!(ids(&fresh), ["u1", "u3", "u2"], "what is gone is not enumerated");
}

#[tokio::test]
async fn what_goes_while_pages_are_read_is_told_in_the_same_round() {
    let world = World::new().await;
    small_pages(&world).await;
    for n in 1..=3 {
        world.keep("groups", json!({"id": format!("g{n}")})).await;
    }
    let (_, first) = world.graph("GET", "/groups/delta", None).await;
    world.change("groups", "deleted", json!({"id": "g1"})).await;
    world.keep("groups", json!({"id": "g4"})).await;
    let (rest, _, _) = world.round(first["@odata.nextLink"].as_str().unwrap()).await;
    assert_eq!(ids(&rest), ["g3", "g1", "g4"]);
    assert_eq!(rest[1]["@removed"]["reason"], "deleted");
}

#[tokio::test]
async fn latest_begins_now() {
    let world = World::new().await;
    world.keep("users", json!({"id": "old"})).await;
    let (found, _, link) = world.round("/users/delta?$deltatoken=latest").await;
    assert_eq!(found, Vec::<Value>::new());
    world.keep("users", json!({"id": "new"})).await;
    let (found, _, _) = world.round(&link).await;
    assert_eq!(ids(&found), ["new"]);
}

#[tokio::test]
async fn filter_and_select_travel_in_the_token() {
    let world = World::new().await;
    for id in ["a", "b", "c"] {
        world
            .keep("users", json!({"id": id, "displayName": id, "city": "X"}))
            .await;
    }
    let path = "/users/delta?$filter=id eq 'a' or id eq 'c'&$select=displayName";
    let (found, _, link) = world.round(path).await;
    let expected = json!([{"id": "a", "displayName": "a"}, {"id": "c", "displayName": "c"}]);
    assert_eq!(json!(found), expected);
    world.change("users", "deleted", json!({"id": "a"})).await;
    world.change("users", "deleted", json!({"id": "b"})).await;
    world
        .change("users", "updated", json!({"id": "c", "displayName": "C", "city": "Y"}))
        .await;
    let (found, _, _) = world.round(&link).await;
    let expected = json!([
        {"id": "a", "@removed": {"reason": "deleted"}},
        {"id": "c", "displayName": "C"},
    ]);
    assert_eq!(json!(found), expected);
}

#[tokio::test]
async fn options_that_are_not_served_are_refused() {
    let world = World::new().await;
    let (_, _, link) = world.round("/users/delta").await;
    let token = link.split_once("$deltatoken=").unwrap().1;
    for query in [
        "$top=5",
        "$orderby=id",
        "$expand=manager",
        "$filter=displayName eq 'x'",
        "$filter=id eq x",
        "surprise=1",
        "$deltatoken=never-issued",
        &format!("$deltatoken={token}&$select=id"),
    ] {
        let (status, body) = world.graph("GET", &format!("/users/delta?{query}"), None).await;
        assert_eq!((status, &body["error"]["code"]), (400, &json!("BadRequest")), "{query}");
    }
    let path = format!("/groups/delta?$deltatoken={token}");
    assert_eq!(world.graph("GET", &path, None).await.0, 400, "made for users");
}

/// The answer to a request that is not followed further: status, `Location` and body.
pub async fn raw(world: &World, url: &str) -> (u16, Option<String>, Value) {
    let token = world.token().await;
    let answer = world.client.get(url).bearer_auth(token).send().await.unwrap();
    let place = answer
        .headers()
        .get("location")
        .map(|v| v.to_str().unwrap().to_string());
    let (status, body) = read(answer).await;
    (status, place, body)
}

#[tokio::test]
async fn a_token_lives_for_seven_days() {
    let world = World::new().await;
    world.keep("users", json!({"id": "u1"})).await;
    let (_, _, link) = world.round("/users/delta?$filter=id eq 'u1'").await;
    let day = 24 * 3600;
    world
        .admin("POST", "/clock/advance", json!({"seconds": 7 * day - 60}))
        .await;
    assert_eq!(raw(&world, &link).await.0, 200);
    world.admin("POST", "/clock/advance", json!({"seconds": 120})).await;
    let (status, place, body) = raw(&world, &link).await;
    assert_eq!((status, &body["error"]["code"]), (410, &json!("syncStateNotFound")));
    let place = place.unwrap();
    assert!(place.ends_with("$deltatoken="), "{place}");
    let (found, _, link) = world.round(&place).await;
    assert_eq!(ids(&found), ["u1"], "all over again");
    assert_eq!(raw(&world, &link).await.0, 200);

    world
        .admin("PUT", "/settings", json!({"delta": {"directoryTokenSeconds": 60}}))
        .await;
    world.admin("POST", "/clock/advance", json!({"seconds": 61})).await;
    assert_eq!(raw(&world, &link).await.0, 410);
}

#[tokio::test]
async fn tokens_can_be_forgotten_at_once() {
    let world = World::new().await;
    let (_, _, users) = world.round("/users/delta").await;
    let (_, _, groups) = world.round("/groups/delta").await;
    world
        .admin("POST", "/deltas/forget", json!({"collection": "users"}))
        .await;
    assert_eq!(raw(&world, &users).await.0, 410);
    assert_eq!(raw(&world, &groups).await.0, 200);
    let (_, _, users) = world.round("/users/delta").await;
    world.admin("POST", "/deltas/forget", json!({})).await;
    assert_eq!(raw(&world, &users).await.0, 410);
    assert_eq!(raw(&world, &groups).await.0, 410);
    let (_, _, users) = world.round("/users/delta").await;
    world.admin("POST", "/reset", Value::Null).await;
    assert_eq!(raw(&world, &users).await.0, 410, "versions begin anew");
}

#[tokio::test]
async fn objects_repeat_if_a_test_wants_it() {
    let world = World::new().await;
    let change = json!({"delta": {"pageSize": 1, "repeats": true}});
    world.admin("PUT", "/settings", change).await;
    for id in ["a", "b", "c"] {
        world.keep("users", json!({"id": id})).await;
    }
    let (found, pages, link) = world.round("/users/delta").await;
    assert_eq!((ids(&found), pages), (vec!["a", "a", "b", "b", "c"], 3));
    world.keep("users", json!({"id": "d"})).await;
    assert_eq!(ids(&world.round(&link).await.0), ["c", "d"]);
}

#[tokio::test]
async fn users_of_the_directory_and_of_their_own_route_are_among_the_objects() {
    let world = World::new().await;
    let mut directory = world.admin("GET", "/directory", Value::Null).await;
    directory["tenants"][0]["users"] = json!([{"id": "u1"}, {"id": "u2"}]);
    world.admin("PUT", "/directory", directory.clone()).await;
    let (found, _, link) = world.round("/users/delta").await;
    assert_eq!(ids(&found), ["u1", "u2"]);
    world.admin("POST", "/users", json!({"object": {"id": "u3"}})).await;
    directory["tenants"][0]["users"] = json!([{"id": "u2"}, {"id": "u3"}]);
    world.admin("PUT", "/directory", directory).await;
    let (found, _, _) = world.round(&link).await;
    assert_eq!(ids(&found), ["u3", "u1"]);
    assert_eq!(found[1]["@removed"]["reason"], "deleted");
    let shown = world.admin("GET", "/directory", Value::Null).await;
    assert_eq!(shown["tenants"][0]["users"], json!([{"id": "u2"}, {"id": "u3"}]));
}

#[tokio::test]
async fn what_is_not_silent_is_told_and_a_new_user_is_an_update() {
    let world = World::new().await;
    let users = json!({"resource": "users", "changeType": "updated"});
    world.created(users).await;
    let body = json!({"collection": "users", "object": {"id": "u1"}});
    let answer = world.admin("PUT", "/objects", body).await;
    assert_eq!(answer["notifications"].as_array().unwrap().len(), 1);
    world.settled().await;
    let item = world.seen.lock().unwrap().bodies[0]["value"][0].clone();
    assert_eq!(
        (&item["changeType"], &item["resource"]),
        (&json!("updated"), &json!("users/u1"))
    );
    assert_eq!(world.keep("users", json!({"id": "u2"})).await, json!({"id": "u2"}));
    assert_eq!(world.settled().await["sent"], 1, "silence");
}

#[tokio::test]
async fn permission_and_tenant_count() {
    let world = World::new().await;
    let roles = "/apps/22222222-2222-2222-2222-222222222222/roles";
    world.admin("PUT", roles, json!(["Group.Read.All"])).await;
    let (status, body) = world.graph("GET", "/users/delta", None).await;
    let code = json!("Authorization_RequestDenied");
    assert_eq!((status, &body["error"]["code"]), (403, &code));
    assert_eq!(world.graph("GET", "/groups/delta", None).await.0, 200);

    let other = json!({"id": "33333333-3333-3333-3333-333333333333", "domain": "other.example"});
    let mut directory = world.admin("GET", "/directory", Value::Null).await;
    directory["tenants"].as_array_mut().unwrap().push(other);
    world.admin("PUT", "/directory", directory).await;
    let elsewhere = json!({"collection": "groups", "tenantId": "other.example", "object": {"id": "g"}});
    world.admin("POST", "/objects", elsewhere).await;
    assert_eq!(world.round("/groups/delta").await.0, Vec::<Value>::new());
}
