use super::*;
use crate::api::subscription::GraphSubscription;
use crate::policy::identity::{Channel, Keyring, path};

const URL: &str = "https://hooks.example/take?code=s3cret";

fn now() -> Timestamp {
    "2026-11-20T12:00:00Z".parse().unwrap()
}

fn remote(changes: &Value) -> Subscription {
    let mut remote = json!({
        "id": "s1", "resource": "communications/callRecords", "changeType": "updated,created",
        "notificationUrl": URL, "lifecycleNotificationUrl": "https://hooks.example/lifecycle",
        "expirationDateTime": "2026-11-21T12:00:00Z", "creatorId": "the-app", "includeResourceData": null,
    });
    for (key, value) in changes.as_object().unwrap() {
        remote[key] = value.clone();
    }
    serde_json::from_value(remote).unwrap()
}

fn reference(name: &str) -> ObjectRef {
    ObjectRef {
        name: name.to_owned(),
        namespace: None,
    }
}

fn wanted(target: Target) -> Wanted {
    Wanted {
        tenant_ref: reference("contoso"),
        target,
        namespace: Some("teams".to_owned()),
        app_object_id: Some("The-App".to_owned()),
    }
}

fn receiver() -> Wanted {
    wanted(Target::Receiver(reference("hooks")))
}

fn keep() -> Wanted {
    wanted(Target::Keep {
        secret: "states".to_owned(),
    })
}

fn derived() -> String {
    let keyring = Keyring::from_base64([("k1", "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=")]).0;
    let (id, key) = keyring.active().unwrap();
    format!("https://hooks.example{}", path(id, key, Channel::Notification, "u"))
}

#[test]
fn a_manifest_says_what_graph_shows() {
    let base = json!({
        "apiVersion": "teamsgraph.dev/v1alpha1", "kind": "GraphSubscription",
        "metadata": { "name": "communications-callrecords", "namespace": "teams" },
        "spec": {
            "tenantRef": { "name": "contoso" }, "resource": "communications/callRecords",
            "changeTypes": ["Created", "Updated"],
        },
    });
    let with = |spec: Value| {
        let mut object = base.clone();
        for (key, value) in spec.as_object().unwrap() {
            object["spec"][key] = value.clone();
        }
        object
    };
    let client_state = json!({ "name": "states", "key": "communications-callrecords" });
    let external = |endpoint: Value| {
        let mut endpoint = endpoint;
        endpoint["clientStateRef"] = client_state.clone();
        with(json!({ "externalEndpoint": endpoint, "deletionPolicy": "Orphan" }))
    };
    let lifecycle = "https://hooks.example/lifecycle";
    let cases = [
        (
            "to a receiver",
            receiver(),
            json!({}),
            with(json!({ "receiverRef": { "name": "hooks" } })),
        ),
        (
            "as it is",
            keep(),
            json!({}),
            external(json!({ "notificationUrl": URL, "lifecycleUrl": lifecycle })),
        ),
        (
            "one address for both",
            keep(),
            json!({ "lifecycleNotificationUrl": URL }),
            external(json!({ "notificationUrl": URL })),
        ),
        (
            "no lifecycle address",
            keep(),
            json!({ "lifecycleNotificationUrl": null }),
            external(json!({ "notificationUrl": URL })),
        ),
        (
            "spelled otherwise",
            receiver(),
            json!({ "resource": "/communications/callRecords", "changeType": "Updated, created,updated" }),
            with(json!({ "receiverRef": { "name": "hooks" } })),
        ),
        (
            "http matters only where it stays",
            receiver(),
            json!({ "notificationUrl": "http://hooks.example" }),
            with(json!({ "receiverRef": { "name": "hooks" } })),
        ),
    ];
    for (name, wanted, changes, expected) in cases {
        let import = import(&[remote(&changes)], &wanted, now());
        assert_eq!(import.left, [""; 0], "{name}");
        assert_eq!(import.objects, std::slice::from_ref(&expected), "{name}");
        let yaml = serde_saphyr::to_string(&import.objects[0]).unwrap();
        assert_eq!(serde_saphyr::from_str::<Value>(&yaml).unwrap(), expected, "{name}");
        serde_saphyr::from_str::<GraphSubscription>(&yaml).unwrap();
    }
    let query = remote(&json!({ "resource": "print/printers/1/jobs", "notificationQueryOptions": "$filter=x" }));
    let import = import(&[query], &receiver(), now());
    assert_eq!(import.objects[0]["spec"]["notificationQueryOptions"], "$filter=x");
}

#[test]
fn what_cannot_be_expressed_is_left_out_with_the_reason_and_without_the_address() {
    let cases = [
        (json!({ "expirationDateTime": "2026-11-20T12:00:00Z" }), "has expired"),
        (json!({ "creatorId": "a-user" }), "signed-in user"),
        (json!({ "resource": "me/messages" }), "Graph lets only a signed-in user"),
        (
            json!({ "resource": "communications/presences/1", "changeType": "updated" }),
            "Graph lets only",
        ),
        (json!({ "includeResourceData": true }), "encrypted resource data"),
        (
            json!({ "notificationUrl": "EventHub:https://v.example/s3cret" }),
            "Event Hubs",
        ),
        (
            json!({ "notificationUrl": "EventGrid:?azuresubscriptionid=s3cret" }),
            "Event Grid",
        ),
        (
            json!({ "notificationUrl": derived() }),
            "there is or was a GraphSubscription",
        ),
        (json!({ "notificationUrl": "http://hooks.example/s3cret" }), "not https"),
        (
            json!({ "lifecycleNotificationUrl": "http://hooks.example/s3cret" }),
            "not https",
        ),
        (
            json!({ "notificationUrl": format!("https://h/{}", "s3cret".repeat(200)) }),
            "1024",
        ),
        (json!({ "resource": "" }), "not a path alone"),
        (json!({ "resource": "v1.0/users" }), "not a path alone"),
        (json!({ "resource": "https://graph.example/users" }), "not a path alone"),
        (json!({ "resource": "x".repeat(2049) }), "longer than 2048"),
        (json!({ "changeType": "created,moved" }), "moved is not known"),
        (json!({ "changeType": "deleted" }), "Deleted is not supported"),
        (json!({ "notificationQueryOptions": "x".repeat(513) }), "512"),
    ];
    for (changes, why) in cases {
        let import = import(&[remote(&changes)], &keep(), now());
        assert!(import.objects.is_empty(), "{changes}");
        let line = &import.left[0];
        assert!(line.contains(why) && line.contains("id s1"), "{changes}: {line}");
        assert!(!line.contains("s3cret") && !line.contains("/v1/n/"), "{line}");
    }
    let tricky = remote(&json!({ "resource": "me/x\n---\nkind: Secret", "id": "s\r1", "creatorId": "a-user" }));
    let line = &import(&[tricky], &keep(), now()).left[0];
    assert!(!line.contains(['\n', '\r']), "a comment stays one: {line:?}");
}

#[test]
fn an_unknown_creator_is_believed() {
    let mut unsure = receiver();
    unsure.app_object_id = None;
    assert_eq!(
        import(&[remote(&json!({ "creatorId": "x" }))], &unsure, now())
            .objects
            .len(),
        1
    );
    let untold = remote(&json!({ "creatorId": null }));
    assert_eq!(import(&[untold], &receiver(), now()).objects.len(), 1);
}

#[test]
fn the_order_is_stable_and_a_receiver_gives_no_address_away() {
    let one = |id: &str, resource: &str| remote(&json!({ "id": id, "resource": resource, "changeType": "updated" }));
    let list = [
        one("3", "users/2/messages"),
        one("2", "users"),
        one("1", "Groups"),
        one("4", "me/messages"),
    ];
    let mut backwards = list.clone();
    backwards.reverse();
    let (forth, back) = (
        import(&list, &receiver(), now()),
        import(&backwards, &receiver(), now()),
    );
    assert_eq!((&forth.objects, &forth.left), (&back.objects, &back.left));
    let names: Vec<_> = forth.objects.iter().map(|object| &object["metadata"]["name"]).collect();
    assert_eq!(names, ["groups", "users", "users-2-messages"]);
    let all = format!("{:?}{:?}{:?}", forth.objects, forth.left, forth.remarks(&receiver()));
    assert!(!all.contains("s3cret"), "{all}");
}

#[test]
fn remarks_say_what_a_person_must_do() {
    let bare = remote(&json!({ "lifecycleNotificationUrl": null }));
    let kept = import(std::slice::from_ref(&bare), &keep(), now())
        .remarks(&keep())
        .join("\n");
    for part in [
        "1 of the app's 1 ",
        "Secret states",
        "Orphan",
        "lifecycle events go anywhere for: communications-callrecords",
    ] {
        assert!(kept.contains(part), "{part}: {kept}");
    }
    let moved = import(&[bare], &receiver(), now()).remarks(&receiver()).join("\n");
    for part in ["NotificationReceiver hooks", "gap", "--keep-endpoint first", "Conflict"] {
        assert!(moved.contains(part), "{part}: {moved}");
    }
    assert_eq!(import(&[], &keep(), now()).remarks(&keep()).len(), 1);
}
