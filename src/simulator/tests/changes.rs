//! Delta queries of mail, calendars, contacts, chats, channels, drives and lists: each family has its own customs.

use serde_json::{Value, json};

use super::delta::{ids, raw};
use super::world::World;

#[tokio::test]
async fn mail_is_told_by_folder() {
    let world = World::new().await;
    let inbox = "/users/ada/mailFolders/inbox/messages/delta";
    let first = world
        .keep("users/Ada/messages", json!({"id": "m1", "subject": "a"}))
        .await;
    for name in [
        "createdDateTime",
        "lastModifiedDateTime",
        "receivedDateTime",
        "@odata.etag",
    ] {
        assert!(first[name].is_string(), "{name}: {first}");
    }
    world
        .keep("users/ada/mailFolders/archive/messages", json!({"id": "m2"}))
        .await;
    let (found, _, link) = world.round(inbox).await;
    assert_eq!(ids(&found), ["m1"]);
    assert_eq!(found[0]["@odata.type"], "#microsoft.graph.message");

    world.admin("POST", "/clock/advance", json!({"seconds": 60})).await;
    let second = world
        .change("users/ada/messages", "updated", json!({"id": "m1", "subject": "b"}))
        .await;
    assert_eq!(second["createdDateTime"], first["createdDateTime"]);
    assert!(second["lastModifiedDateTime"].as_str() > first["lastModifiedDateTime"].as_str());
    assert_ne!(second["@odata.etag"], first["@odata.etag"]);
    world.change("users/ada/messages", "deleted", json!({"id": "m1"})).await;
    let (found, _, link) = world.round(&link).await;
    assert_eq!(json!(found), json!([{"id": "m1", "@removed": {"reason": "deleted"}}]));

    world
        .admin("POST", "/deltas/forget", json!({"collection": "users/ada/messages"}))
        .await;
    let (status, place, body) = raw(&world, &link).await;
    assert_eq!((status, place), (400, None));
    assert_eq!(body["error"]["code"], "SyncStateNotFound");
    assert_eq!(
        world.graph("GET", "/users/ada/messages/delta", None).await.0,
        404,
        "needs a folder"
    );
}

#[tokio::test]
async fn mail_pages_by_preference_and_filters_by_arrival() {
    let world = World::new().await;
    for day in 1..=5 {
        let object = json!({"id": format!("m{day}"), "receivedDateTime": format!("2026-01-0{day}T10:00:00Z")});
        world.keep("users/ada/messages", object).await;
    }
    let path = "/v1.0/users/ada/mailFolders/inbox/messages/delta?$filter=receivedDateTime ge 2026-01-02T10:00:00Z";
    let token = world.token().await;
    let request = world.client.get(world.url(path)).bearer_auth(token);
    let answer = request.header("prefer", "odata.maxpagesize=3").send().await.unwrap();
    let (_, body) = super::world::read(answer).await;
    assert_eq!(ids(body["value"].as_array().unwrap()), ["m2", "m3", "m4"]);
    let (found, pages, _) = world.round(body["@odata.nextLink"].as_str().unwrap()).await;
    assert_eq!((ids(&found), pages), (vec!["m5"], 1));
}

#[tokio::test]
async fn a_calendar_view_has_a_window() {
    let world = World::new().await;
    let event = |id: &str, day: &str| {
        json!({
            "id": id,
            "start": {"dateTime": format!("2026-01-{day}T10:00:00.0000000"), "timeZone": "UTC"},
            "end": {"dateTime": format!("2026-01-{day}T11:00:00.0000000"), "timeZone": "UTC"},
        })
    };
    for (id, day) in [("e1", "01"), ("e2", "05"), ("e3", "20")] {
        world.keep("users/ada/events", event(id, day)).await;
    }
    let view = "/users/ada/calendarView/delta";
    let window = format!("{view}?startDateTime=2026-01-05T10:30:00Z&endDateTime=2026-01-10T00:00:00Z");
    let (found, _, link) = world.round(&window).await;
    assert_eq!(ids(&found), ["e2"]);
    world.change("users/ada/events", "updated", event("e1", "06")).await;
    world.change("users/ada/events", "deleted", json!({"id": "e2"})).await;
    world.keep("users/ada/events", event("e4", "28")).await;
    let (found, _, _) = world.round(&link).await;
    assert_eq!(ids(&found), ["e1", "e2"]);
    assert_eq!(found[1]["@removed"]["reason"], "deleted");
    for wrong in [
        view.into(),
        format!("{view}?startDateTime=today&endDateTime=never"),
        format!("{window}&$select=id"),
    ] {
        assert_eq!(world.graph("GET", &wrong, None).await.0, 400, "{wrong}");
    }
}

#[tokio::test]
async fn chat_messages_lose_their_text_and_stay() {
    let world = World::new().await;
    let chat = "chats/19:abc@thread.v2/messages";
    let body = json!({"contentType": "text", "content": "hello"});
    let old = json!({"id": "1", "lastModifiedDateTime": "2026-01-01T00:00:00.000Z"});
    world.keep(chat, old).await;
    world.keep(chat, json!({"id": "2", "body": body})).await;
    let path = format!("/{chat}/delta?$filter=lastModifiedDateTime gt 2026-01-01T00:00:00Z&$top=50");
    let (found, _, link) = world.round(&path).await;
    assert_eq!(ids(&found), ["2"]);
    assert_eq!(found[0]["chatId"], "19:abc@thread.v2");
    assert_eq!(found[0]["deletedDateTime"], Value::Null);
    world.change(chat, "deleted", json!({"id": "2"})).await;
    let (found, _, link) = world.round(&link).await;
    assert!(found[0]["deletedDateTime"].is_string(), "{found:?}");
    assert_eq!(found[0]["body"]["content"], "");
    assert_eq!(found[0]["@removed"], Value::Null);
    for wrong in [
        "$top=51",
        "$select=id",
        "$filter=lastModifiedDateTime lt 2026-01-01T00:00:00Z",
        "$deltatoken=latest",
    ] {
        assert_eq!(
            world.graph("GET", &format!("/{chat}/delta?{wrong}"), None).await.0,
            400,
            "{wrong}"
        );
    }
    let channel = "teams/t/channels/19:c@thread.tacv2/messages";
    world.keep(channel, json!({"id": "3"})).await;
    let (found, _, _) = world.round(&format!("/{channel}/delta")).await;
    assert_eq!(
        found[0]["channelIdentity"],
        json!({"teamId": "t", "channelId": "19:c@thread.tacv2"})
    );
    world
        .admin("PUT", "/settings", json!({"delta": {"tokenSeconds": 60}}))
        .await;
    world.admin("POST", "/clock/advance", json!({"seconds": 61})).await;
    assert_eq!(raw(&world, &link).await.0, 410);
}

#[tokio::test]
async fn drives_and_lists_have_one_kind_of_token() {
    let world = World::new().await;
    for (collection, path) in [
        ("drives/b!1/root", "/drives/b!1/root/delta"),
        ("users/ada/drive/root", "/users/ada/drive/root/delta"),
        ("groups/g/drive/root", "/groups/g/drive/root/delta"),
        ("sites/s,1/lists/l/items", "/sites/s,1/lists/l/items/delta"),
    ] {
        world.keep(collection, json!({"id": "f1", "name": "a.txt"})).await;
        let (found, _, _) = world.round(path).await;
        assert_eq!(ids(&found), ["f1"]);
        let (found, _, link) = world.round(&format!("{path}?token=latest")).await;
        assert_eq!(found, Vec::<Value>::new());
        assert!(link.contains("/delta?token="), "{link}");
        world.keep(collection, json!({"id": "f2"})).await;
        world.change(collection, "deleted", json!({"id": "f1"})).await;
        let (found, _, link) = world.round(&link).await;
        assert_eq!(ids(&found), ["f2", "f1"]);
        assert_eq!(found[1]["deleted"], json!({}));
        world
            .admin("POST", "/deltas/forget", json!({"collection": collection}))
            .await;
        let (status, place, body) = raw(&world, &link).await;
        assert_eq!(
            (status, &body["error"]["code"]),
            (410, &json!("resyncRequired")),
            "{path}"
        );
        let (found, _, _) = world.round(&place.unwrap()).await;
        assert_eq!(ids(&found), ["f2"]);
    }
}

#[tokio::test]
async fn a_drive_can_be_asked_since_a_moment() {
    let world = World::new().await;
    world.keep("drives/d/root", json!({"id": "before"})).await;
    world.admin("POST", "/clock/advance", json!({"seconds": 3600})).await;
    let clock = world.admin("GET", "/clock", Value::Null).await;
    let moment = clock["now"].as_str().unwrap();
    world.keep("drives/d/root", json!({"id": "after"})).await;
    let (found, _, _) = world.round(&format!("/drives/d/root/delta?token={moment}")).await;
    assert_eq!(ids(&found), ["after"]);
}

#[tokio::test]
async fn contacts_are_told_and_what_has_no_delta_is_refused() {
    let world = World::new().await;
    for collection in ["users/ada/contacts", "users/ada/contactFolders/f/contacts"] {
        world.keep(collection, json!({"id": "c"})).await;
        assert_eq!(ids(&world.round(&format!("/{collection}/delta")).await.0), ["c"]);
    }
    for path in [
        "/chats/delta",
        "/teams/delta",
        "/communications/callRecords/delta",
        "/security/alerts_v2/delta",
    ] {
        assert_eq!(world.graph("GET", path, None).await.0, 404, "{path}");
    }
    let (status, body) = world.graph("GET", "/communications/presences/x/delta", None).await;
    assert_eq!((status, &body["error"]["code"]), (400, &json!("BadRequest")));
}

/// What subscriptions hear of it: a message in a folder is one in the mailbox, a drive only says that it changed.
#[tokio::test]
async fn changes_reach_who_has_subscribed() {
    let world = World::new().await;
    let wish = |resource: &str, changes: &str| json!({"resource": resource, "changeType": changes});
    world.created(wish("users/ada/messages", "created")).await;
    world
        .created(wish("users/ada/mailFolders/archive/messages", "created"))
        .await;
    world.created(wish("drives/d/root", "updated")).await;
    world.created(wish("sites/s/lists/l", "updated")).await;
    world.created(wish("security/alerts_v2", "created")).await;
    for (collection, told) in [
        ("users/ada/messages", 1),
        ("users/ada/mailFolders/archive/messages", 2),
        ("drives/d/root", 1),
        ("sites/s/lists/l/items", 1),
        ("security/alerts_v2", 1),
    ] {
        let body = json!({"collection": collection, "object": {"id": "x"}});
        let answer = world.admin("POST", "/objects", body).await;
        assert_eq!(answer["notifications"].as_array().unwrap().len(), told, "{collection}");
    }
    world.settled().await;
    let seen = world.seen.lock().unwrap();
    let mut told: Vec<String> = seen
        .bodies
        .iter()
        .map(|body| body["value"][0]["resource"].as_str().unwrap().into())
        .collect();
    told.sort();
    told.dedup();
    let archived = "users/ada/mailFolders/archive/messages/x";
    assert_eq!(
        told,
        [
            "drives/d/root",
            "security/alerts_v2/x",
            "sites/s/lists/l",
            archived,
            "users/ada/messages/x"
        ]
    );
    let mail = seen
        .bodies
        .iter()
        .map(|body| &body["value"][0])
        .find(|item| item["resource"] == archived)
        .unwrap();
    assert!(mail["resourceData"]["@odata.etag"].is_string(), "{mail}");
}
