//! People who sign in without a browser, and their subscriptions to presence.

use std::time::Duration;

use serde_json::{Value, json};

use super::world::{World, in_minutes, read};
use crate::simulator::{DEFAULT_APP, DEFAULT_SECRET, DEFAULT_TENANT};

const NAME: &str = "user0@contoso.onmicrosoft.com";
/// A change of the form, the status, and the number of the error.
type Case<'a> = (&'a [(&'a str, &'a str)], u16, u32);

const PASSWORD: &str = "p&ss=w+rd %\"ü";

impl World {
    /// A licensed user who may sign in, and others. The answer is their ids.
    async fn account(&self, others: u32) -> Vec<String> {
        let ids = self.people(1 + others).await;
        self.admin("PUT", &format!("/people/{NAME}/account"), json!({"password": PASSWORD}))
            .await;
        ids
    }

    async fn sign_in(&self, change: &[(&str, &str)]) -> (u16, Value) {
        let mut form = vec![
            ("grant_type", "password"),
            ("client_id", DEFAULT_APP),
            ("client_secret", DEFAULT_SECRET),
            ("scope", "https://graph.microsoft.com/.default offline_access"),
            ("username", NAME),
            ("password", PASSWORD),
        ];
        for (name, value) in change {
            form.retain(|(other, _)| other != name);
            form.push((*name, *value));
        }
        self.token_request(DEFAULT_TENANT, &form).await
    }

    async fn delegated(&self) -> String {
        let (status, body) = self.sign_in(&[]).await;
        assert_eq!(status, 200, "{body}");
        body["access_token"].as_str().unwrap().into()
    }

    async fn subscribe(&self, token: &str, resource: &str, minutes: i64) -> (u16, Value) {
        let wish = json!({
            "resource": resource, "changeType": "updated", "notificationUrl": self.hook, "clientState": "secret",
            "expirationDateTime": in_minutes(minutes),
        });
        let url = self.url("/v1.0/subscriptions");
        read(
            self.client
                .post(url)
                .bearer_auth(token)
                .json(&wish)
                .send()
                .await
                .unwrap(),
        )
        .await
    }
}

fn presences(ids: &[String]) -> String {
    let quoted: Vec<String> = ids.iter().map(|id| format!("'{id}'")).collect();
    format!("communications/presences?$filter=id in ({})", quoted.join(","))
}

#[tokio::test]
async fn a_person_signs_in_and_stays_so() {
    let world = World::new().await;
    world.account(0).await;
    let (status, body) = world.sign_in(&[]).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["scope"], "Presence.Read.All User.Read");
    let refresh = body["refresh_token"].as_str().unwrap();
    let again = [
        ("grant_type", "refresh_token"),
        ("refresh_token", refresh),
        ("password", ""),
    ];
    let (status, body) = world.sign_in(&again).await;
    assert_eq!(status, 200, "{body}");
    assert_ne!(body["refresh_token"], refresh);
    let (_, body) = world.sign_in(&[("scope", "User.Read")]).await;
    assert_eq!(
        (&body["refresh_token"], &body["scope"]),
        (&Value::Null, &json!("User.Read"))
    );
    world
        .admin(
            "PUT",
            &format!("/people/{NAME}/account"),
            json!({"password": "another"}),
        )
        .await;
    assert_eq!(world.sign_in(&again).await.1["error_codes"], json!([50_173]));
}

#[tokio::test]
async fn sign_in_is_refused_as_by_entra() {
    let world = World::new().await;
    world.account(0).await;
    let table: [Case<'_>; 7] = [
        (&[("password", "wrong")], 400, 50_126),
        (&[("username", "nobody@contoso.onmicrosoft.com")], 400, 50_034),
        (&[("password", "")], 400, 900_144),
        (&[("scope", "Mail.Read")], 400, 65_001),
        (&[("scope", "offline_access")], 400, 70_011),
        (&[("client_secret", "wrong")], 401, 7_000_215),
        (
            &[("grant_type", "refresh_token"), ("refresh_token", "x")],
            400,
            9_002_313,
        ),
    ];
    for (change, status, code) in table {
        let (given, body) = world.sign_in(change).await;
        assert_eq!((given, &body["error_codes"]), (status, &json!([code])), "{change:?}");
    }
    let accounts = [
        (json!({"password": PASSWORD, "mfa": true}), 50_076),
        (json!({"password": PASSWORD, "expired": true}), 50_055),
    ];
    for (account, code) in accounts {
        world.admin("PUT", &format!("/people/{NAME}/account"), account).await;
        let (status, body) = world.sign_in(&[]).await;
        assert_eq!(
            (status, &body["error"], &body["error_codes"]),
            (400, &json!("invalid_grant"), &json!([code]))
        );
        assert!(
            body["error_description"]
                .as_str()
                .unwrap()
                .starts_with(&format!("AADSTS{code}: "))
        );
    }
}

#[tokio::test]
async fn presence_is_watched_by_people_once_each() {
    let world = World::new().await;
    let ids = world.account(3).await;
    let token = world.delegated().await;
    let (status, first) = world.subscribe(&token, &presences(&ids[1..3]), 60).await;
    assert_eq!(status, 201, "{first}");
    assert_eq!(first["creatorId"], ids[0]);
    for resource in [presences(&ids[3..]), format!("communications/presences/{}", ids[3])] {
        let (status, body) = world.subscribe(&token, &resource, 50).await;
        let text = body["error"]["message"].as_str().unwrap();
        assert_eq!(status, 409, "{body}");
        assert!(text.contains(first["id"].as_str().unwrap()), "{text}");
    }
    let client = |n: usize| format!("/people/{}/client", ids[n]);
    for n in [1, 3, 2, 1] {
        let pair = if n == 2 { ["Away", "Away"] } else { ["Busy", "Busy"] };
        let body = json!({"availability": pair[0], "activity": pair[1]});
        world.admin("PUT", &client(n), body).await;
    }
    for _ in 0..100 {
        if world.seen.lock().unwrap().bodies.len() >= 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    world.settled().await;
    let mut bodies = world.seen.lock().unwrap().bodies.clone();
    bodies.sort_by_key(|body| body["value"][0]["resourceData"]["id"].to_string());
    assert_eq!(bodies.len(), 2, "{bodies:?}");
    for (body, id) in bodies.iter().zip(&ids[1..]) {
        let item = &body["value"][0];
        assert_eq!(
            item["resource"],
            format!("communications/presences?$filter=id+in+(%27{id}%27)")
        );
        let expected = json!({
            "@odata.type": "#Microsoft.Graph.presence", "@odata.id": format!("users/{id}/presence"), "id": id,
        });
        assert_eq!(item["resourceData"], expected, "basic notifications carry no state");
    }
}

#[tokio::test]
async fn presence_subscriptions_have_their_limits() {
    let world = World::new().await;
    let ids = world.account(0).await;
    let token = world.delegated().await;
    let many = |number: usize| presences(&(0..number).map(|n| n.to_string()).collect::<Vec<_>>());
    assert_eq!(world.subscribe(&token, &presences(&ids), 62).await.0, 400);
    assert_eq!(world.subscribe(&token, &many(651), 50).await.0, 400);
    assert_eq!(world.subscribe(&world.token().await, &presences(&ids), 50).await.0, 403);
    let licence = async |status: &str| {
        let body = json!({"capabilityStatus": status});
        world.admin("PUT", &format!("/people/{NAME}/licence"), body).await;
    };
    licence("Suspended").await;
    assert_eq!(world.subscribe(&token, &presences(&ids), 50).await.0, 403);
    licence("Enabled").await;
    let (status, made) = world.subscribe(&token, &many(650), 50).await;
    assert_eq!(status, 201, "{made}");
    let url = world.url(&format!("/v1.0/subscriptions/{}", made["id"].as_str().unwrap()));
    let get = async |token: &str| {
        world
            .client
            .get(&url)
            .bearer_auth(token)
            .send()
            .await
            .unwrap()
            .status()
            .as_u16()
    };
    assert_eq!((get(&token).await, get(&world.token().await).await), (200, 404));
    let delete = world.client.delete(&url).bearer_auth(&token).send().await.unwrap();
    assert_eq!(delete.status().as_u16(), 204);
    assert_eq!(world.subscribe(&token, &presences(&ids), 50).await.0, 201);
}

#[tokio::test]
async fn expiry_is_told_without_a_read() {
    let world = World::new().await;
    let ids = world.account(1).await;
    let token = world.delegated().await;
    assert_eq!(world.subscribe(&token, &presences(&ids[1..]), 60).await.0, 201);
    let body = json!({"sessionId": DEFAULT_APP, "availability": "Busy", "activity": "InACall"});
    let path = format!("/users/{}/presence/setPresence", ids[1]);
    assert_eq!(world.graph("POST", &path, Some(body)).await.0, 200);
    world.admin("POST", "/clock/advance", json!({"seconds": 301})).await;
    for _ in 0..200 {
        if world.seen.lock().unwrap().bodies.len() == 2 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:?}", world.seen.lock().unwrap().bodies);
}

#[tokio::test]
async fn users_and_members_are_listed_as_by_graph() {
    let world = World::new().await;
    let ids = world.people(3).await;
    let (_, body) = world.graph("GET", "/users?$top=2", None).await;
    assert_eq!(body["value"][0]["userPrincipalName"], NAME);
    assert_eq!(body["value"][0]["assignedPlans"], Value::Null, "not selected");
    assert!(body["@odata.nextLink"].is_string());
    let select = "/users?$select=id,assignedPlans,mailNickname&$top=999";
    let (_, body) = world.graph("GET", select, None).await;
    assert_eq!(body["value"][2]["mailNickname"], "user2");
    assert_eq!(body["value"][2]["assignedPlans"][0]["capabilityStatus"], "Enabled");
    let (_, round) = world.graph("GET", "/users/delta?$select=id,assignedPlans", None).await;
    let link = round["@odata.deltaLink"].as_str().unwrap();
    let url = world.url(&format!("/_simulator/people/{}/licence", ids[1]));
    world.client.put(url).json(&Value::Null).send().await.unwrap();
    let (_, round) = world.graph("GET", link, None).await;
    assert_eq!(round["value"], json!([]), "licences are not told");
    let (_, body) = world.graph("GET", select, None).await;
    assert_eq!(body["value"][1]["assignedPlans"], json!([]));

    world
        .keep("groups", json!({"id": "inner", "members": [ids[2], "outer"]}))
        .await;
    world
        .keep("groups", json!({"id": "outer", "members": [ids[0], "inner"]}))
        .await;
    let path = "/groups/outer/transitiveMembers";
    let (status, body) = world.graph("GET", &format!("{path}?$select=id&$top=999"), None).await;
    let found: Vec<&Value> = body["value"]
        .as_array()
        .unwrap()
        .iter()
        .map(|user| &user["id"])
        .collect();
    assert_eq!((status, found), (200, vec![&json!(ids[0]), &json!(ids[2])]));
    assert_eq!(world.graph("GET", "/groups/none/transitiveMembers", None).await.0, 404);
}
