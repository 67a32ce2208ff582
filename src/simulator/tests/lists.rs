//! Lists with filters on dates, single objects, presence, and their limits.

use serde_json::{Value, json};

use super::delta::ids;
use super::world::World;

impl World {
    /// All ids of a list, and how many pages it took.
    async fn list(&self, path: &str) -> (Vec<String>, usize) {
        let (mut found, mut pages, mut next) = (Vec::new(), 0, Some(path.to_string()));
        while let Some(path) = next {
            let (status, body) = self.graph("GET", &path, None).await;
            assert_eq!(status, 200, "{path}: {body}");
            pages += 1;
            found.extend(ids(body["value"].as_array().unwrap()).into_iter().map(String::from));
            next = body["@odata.nextLink"].as_str().map(String::from);
        }
        (found, pages)
    }
}

fn dated(property: &str, day: usize) -> Value {
    json!({"id": format!("x{day}"), property: format!("2026-01-0{day}T10:00:00Z"), "subject": "s"})
}

#[tokio::test]
async fn lists_are_filtered_by_date_and_paged() {
    let world = World::new().await;
    let table = [
        ("users/ada/messages", "lastModifiedDateTime", "ge", "lt"),
        ("users/ada/events", "lastModifiedDateTime", "ge", "le"),
        ("users/ada/contacts", "lastModifiedDateTime", "gt", "lt"),
        ("security/alerts_v2", "lastUpdateDateTime", "ge", "lt"),
    ];
    for (collection, property, from, to) in table {
        // The latest is put first: lists follow the date, not the order of arrival.
        for day in (1..=6).rev() {
            world.keep(collection, dated(property, day)).await;
        }
        let filter = format!("{property} {from} 2026-01-02T09:00:00Z and {property} {to} 2026-01-05T11:00:00Z");
        let (found, pages) = world.list(&format!("/{collection}?$filter={filter}&$top=3")).await;
        assert_eq!((found.join(" "), pages), ("x2 x3 x4 x5".into(), 2), "{collection}");
        let wrong = format!("/{collection}?$filter=subject eq 's'");
        assert_eq!(world.graph("GET", &wrong, None).await.0, 400, "{collection}");
    }
    let (_, body) = world
        .graph("GET", "/users/ada/messages?$select=subject&$top=1", None)
        .await;
    let item = &body["value"][0];
    assert_eq!(
        (&item["subject"], &item["lastModifiedDateTime"]),
        (&json!("s"), &Value::Null)
    );
    assert_eq!(
        world.graph("GET", "/users/ada/messages/x3", None).await.1["subject"],
        "s"
    );
    let (status, body) = world.graph("GET", "/users/ada/messages/x9", None).await;
    assert_eq!((status, &body["error"]["code"]), (404, &json!("ErrorItemNotFound")));
}

#[tokio::test]
async fn call_records_carry_version_and_date() {
    let world = World::new().await;
    let put = async |object: Value| {
        let body = json!({"object": object, "silent": true});
        world.admin("POST", "/callRecords", body).await["object"].clone()
    };
    let first = put(json!({"id": "r"})).await;
    world.admin("POST", "/clock/advance", json!({"seconds": 60})).await;
    let second = put(json!({"id": "r"})).await;
    assert_eq!((&first["version"], &second["version"]), (&json!(1), &json!(2)));
    assert_eq!(first["startDateTime"], second["startDateTime"]);
    assert!(second["lastModifiedDateTime"].as_str() > first["lastModifiedDateTime"].as_str());
    assert_eq!(
        world.graph("GET", "/communications/callRecords/r", None).await.1,
        second
    );
    for wrong in ["$top=5", "$filter=lastModifiedDateTime ge 2026-01-01T00:00:00Z"] {
        let path = format!("/communications/callRecords?{wrong}");
        assert_eq!(world.graph("GET", &path, None).await.0, 400, "{wrong}");
    }
}

#[tokio::test]
async fn a_user_has_the_messages_of_all_own_chats() {
    let world = World::new().await;
    let chat = |id: &str, user: &str| json!({"id": id, "members": [{"userId": user}]});
    world.keep("chats", chat("mine", "ada")).await;
    world.keep("chats", chat("Theirs", "bob")).await;
    for (day, id) in ["mine", "Theirs", "unknown"].into_iter().enumerate() {
        let object = dated("lastModifiedDateTime", day + 1);
        world.keep(&format!("chats/{id}/messages"), object).await;
    }
    let all = "/users/ada/chats/getAllMessages";
    assert_eq!(world.list("/chats/mine/messages?$top=50").await.0, ["x1"]);
    let one = "/chats/mine/messages?$filter=lastModifiedDateTime gt 2026-01-02T00:00:00Z";
    assert_eq!(world.graph("GET", one, None).await.0, 400);
    assert_eq!(world.list(all).await.0, ["x1", "x3"]);
    let filter = "lastModifiedDateTime gt 2026-01-02T00:00:00Z and lastModifiedDateTime lt 2026-02-01T00:00:00Z";
    assert_eq!(world.list(&format!("{all}?$filter={filter}&$top=50")).await.0, ["x3"]);
    let (found, _, link) = world.round(&format!("{all}/delta")).await;
    assert_eq!(ids(&found), ["x1", "x3"]);
    world.keep("chats/another/messages", json!({"id": "x4"})).await;
    assert_eq!(ids(&world.round(&link).await.0), ["x4"]);
}

#[tokio::test]
async fn chats_teams_and_channels_are_read_and_compared() {
    let world = World::new().await;
    let chat = world.keep("chats", json!({"id": "19:c@thread.v2", "topic": "t"})).await;
    assert!(chat["lastUpdatedDateTime"].is_string(), "{chat}");
    let (status, body) = world.graph("GET", "/chats/19%3Ac%40thread.v2", None).await;
    assert_eq!((status, &body["topic"]), (200, &json!("t")));
    world.keep("teams", json!({"id": "t1"})).await;
    world.keep("teams/t1/channels", json!({"id": "c1"})).await;
    assert_eq!(world.list("/teams").await.0, ["t1"]);
    assert_eq!(world.list("/teams/t1/channels").await.0, ["c1"]);
    assert_eq!(world.graph("GET", "/teams/t1", None).await.0, 200);
    world.change("teams", "deleted", json!({"id": "t1"})).await;
    assert_eq!(world.graph("GET", "/teams/t1", None).await.0, 404);
    assert_eq!(world.list("/teams").await.0, Vec::<String>::new());
}

#[tokio::test]
async fn presence_is_read_by_apps() {
    let world = World::new().await;
    let presences = "communications/presences";
    let object = json!({"id": "ada", "availability": "Busy", "activity": "InACall"});
    let first = world.keep(presences, object.clone()).await;
    let second = world.keep(presences, object).await;
    assert!(second["sequenceNumber"].as_str() > first["sequenceNumber"].as_str());
    for path in ["/users/ada/presence", "/communications/presences/ada"] {
        assert_eq!(world.graph("GET", path, None).await, (200, second.clone()));
    }
    let many = "/communications/getPresencesByUserId";
    let (status, body) = world.graph("POST", many, Some(json!({"ids": ["bob", "ada"]}))).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["value"][0]["availability"], "PresenceUnknown");
    assert_eq!(body["value"][1], second);
    let most: Vec<String> = (0..651).map(|n| n.to_string()).collect();
    assert_eq!(world.graph("POST", many, Some(json!({"ids": most[1..]}))).await.0, 200);
    for wrong in [json!({"ids": most}), json!({"ids": []}), json!({"users": ["ada"]})] {
        assert_eq!(world.graph("POST", many, Some(wrong)).await.0, 400);
    }
}

#[tokio::test]
async fn every_family_wants_its_own_permission() {
    let world = World::new().await;
    let paths = [
        ("/users", "User.Read.All"),
        ("/groups/delta", "Group.Read.All"),
        ("/users/ada/messages", "Mail.Read"),
        ("/users/ada/events", "Calendars.Read"),
        ("/users/ada/contacts/delta", "Contacts.Read"),
        ("/chats/c/messages/delta", "Chat.Read.All"),
        ("/users/ada/chats/getAllMessages", "Chat.Read.All"),
        ("/teams/t/channels/c/messages/delta", "ChannelMessage.Read.All"),
        ("/teams", "Team.ReadBasic.All"),
        ("/teams/t/channels", "Channel.ReadBasic.All"),
        ("/drives/d/root/delta", "Files.Read.All"),
        ("/sites/s/lists/l/items/delta", "Sites.Read.All"),
        ("/communications/callRecords", "CallRecords.Read.All"),
        ("/security/alerts_v2", "SecurityAlert.Read.All"),
        ("/users/ada/presence", "Presence.Read.All"),
    ];
    let set = async |roles: Vec<&str>| {
        let path = "/apps/22222222-2222-2222-2222-222222222222/roles";
        world.admin("PUT", path, json!(roles)).await;
    };
    for (path, role) in paths {
        set(vec![role]).await;
        assert_eq!(world.graph("GET", path, None).await.0, 200, "{path} with {role}");
        set(paths
            .iter()
            .map(|(_, role)| *role)
            .filter(|other| *other != role)
            .collect())
        .await;
        let (status, body) = world.graph("GET", path, None).await;
        let code = json!("Authorization_RequestDenied");
        assert_eq!((status, &body["error"]["code"]), (403, &code), "{path} without {role}");
    }
}

#[tokio::test]
async fn reads_are_limited_where_a_limit_is_known() {
    let world = World::new().await;
    let token = world.token().await;
    let ask = async |path: &str| {
        let request = world.client.get(world.url(&format!("/v1.0{path}"))).bearer_auth(&token);
        request.send().await.unwrap().status().as_u16()
    };
    world.keep("communications/callRecords", json!({"id": "r"})).await;
    world.keep("communications/callRecords", json!({"id": "s"})).await;
    for path in ["/communications/callRecords/r", "/communications/callRecords"] {
        for _ in 0..40 {
            assert_eq!(ask(path).await, 200);
        }
        assert_eq!(ask(path).await, 429, "{path}");
    }
    assert_eq!(
        ask("/communications/callRecords/s").await,
        200,
        "each record for itself"
    );
}

/// Faults and the log stand before all of it.
#[tokio::test]
async fn faults_and_the_log_apply() {
    let world = World::new().await;
    let action = json!({"type": "status", "status": 410, "code": "SyncStateNotFound"});
    let fault = json!({"match": {"pathContains": "/delta"}, "action": action, "times": 1});
    world.admin("POST", "/faults", fault).await;
    assert_eq!(world.graph("GET", "/users/delta", None).await.0, 410);
    assert_eq!(world.graph("GET", "/users/delta", None).await.0, 200);
    let log = world.admin("GET", "/requests", Value::Null).await;
    let lines: Vec<&Value> = log
        .as_array()
        .unwrap()
        .iter()
        .filter(|line| line["path"] == "/v1.0/users/delta")
        .collect();
    assert_eq!((&lines[0]["status"], &lines[1]["status"]), (&json!(410), &json!(200)));
    let last = log.as_array().unwrap().last().unwrap()["seq"].as_u64().unwrap();
    let path = format!("/requests?since={}", last - 1);
    assert_eq!(
        world.admin("GET", &path, Value::Null).await.as_array().unwrap().len(),
        1
    );
}
