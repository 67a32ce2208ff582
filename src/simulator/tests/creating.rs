//! Every refused create, word by word.

use serde_json::{Value, json};

use super::world::{World, config, in_minutes};

const PAYLOAD: &str = "Could not process subscription creation payload. Are all property names spelled and camelCased \
                       properly? Also are the dateTimeOffest properties in a valid internet Date and Time format?";
const CLIENT_STATE: &str = "Invalid 'clientState' attribute: the maximum length is 128 characters.";
const LIFECYCLE: &str = "lifecycleNotificationUrl is a required property for subscription creation on this resource \
                         when the expirationDateTime value is set to greater than 1 hour";
const FORBIDDEN: &str = "Operation: Create; Exception: [Status Code: Forbidden; Reason: Forbidden]";

fn check(answer: &(u16, Value), status: u16, code: &str, message: &str, about: &str) {
    let error = &answer.1["error"];
    let got = (
        answer.0,
        error["code"].as_str().unwrap_or_default(),
        error["message"].as_str().unwrap_or_default(),
    );
    assert_eq!(got, (status, code, message), "{about}");
    for name in ["date", "request-id", "client-request-id"] {
        assert!(error["innerError"][name].is_string(), "{about}: {name}");
    }
}

type Row = (Value, u16, &'static str, String);

fn invalid(change: Value, message: &str) -> Row {
    (change, 400, "InvalidRequest", message.into())
}

fn too_late(resource: &str, minutes: i64) -> Row {
    let change = json!({"resource": resource, "expirationDateTime": in_minutes(minutes + 5)});
    let message = format!("Subscription expiration can only be {minutes} minutes in the future.");
    (change, 400, "ExtensionError", message)
}

fn refusals() -> Vec<Row> {
    let required = |name: &str| {
        invalid(
            json!({name: null}),
            &format!("{name} is a required property for subscription creation."),
        )
    };
    let deleted = "Invalid 'changeType' attribute: 'deleted'.";
    let presence = json!({
        "resource": "communications/presences?$filter=id in ('7')", "changeType": "updated", "expirationDateTime": in_minutes(50),
    });
    vec![
        required("expirationDateTime"),
        required("resource"),
        required("changeType"),
        required("notificationUrl"),
        invalid(json!({"expirationDateTime": "2030-01-01T10:00:00"}), PAYLOAD),
        invalid(json!({"expirationDateTime": "2030-01-01 10:00:00Z"}), PAYLOAD),
        invalid(json!({"expirationDateTime": "01/02/2030 10:00:00"}), PAYLOAD),
        invalid(json!({"expirationDateTime": "2030-01-01T10:00:00.123456789Z"}), PAYLOAD),
        invalid(json!({"expirationDateTime": 5}), PAYLOAD),
        invalid(json!({"ExpirationDateTime": in_minutes(60)}), PAYLOAD),
        invalid(json!({"vapidPublicKey": "x"}), PAYLOAD),
        invalid(json!({"resource": "/communications/callRecords"}), PAYLOAD),
        invalid(json!({"changeType": "deleted"}), deleted),
        invalid(json!({"changeType": "created,deleted"}), deleted),
        invalid(
            json!({"resource": "unheard/of"}),
            "Invalid 'resource' attribute: 'unheard/of'.",
        ),
        invalid(json!({"clientState": "x".repeat(129)}), CLIENT_STATE),
        invalid(json!({"resource": "chats/getAllMessages"}), LIFECYCLE),
        invalid(
            json!({"includeResourceData": true}),
            "includeResourceData is not supported for this resource.",
        ),
        too_late("communications/callRecords", 4_230),
        too_late("chats/getAllMessages", 4_320),
        too_late("users/1/messages", 10_080),
        (presence, 403, "ExtensionError", FORBIDDEN.into()),
    ]
}

#[tokio::test]
async fn refuses_what_graph_refuses() {
    let world = World::new().await;
    for (change, status, code, message) in refusals() {
        check(
            &world.create(change.clone()).await,
            status,
            code,
            &message,
            &change.to_string(),
        );
    }
    assert!(
        world.seen.lock().unwrap().tokens.is_empty(),
        "no handshake for what is refused anyway"
    );
}

#[tokio::test]
async fn needs_https_unless_told_otherwise() {
    let mut strict = config();
    strict.settings.allow_http = false;
    let world = World::with(strict).await;
    let text = "Invalid 'notificationUrl' attribute: an HTTPS address is required.";
    check(&world.create(json!({})).await, 400, "InvalidRequest", text, "http");
    let hub = "EventHub:https://ns.servicebus.windows.net/eventhubname/calls?tenantId=contoso.onmicrosoft.com";
    assert_eq!(world.create(json!({"notificationUrl": hub})).await.0, 201);
}

#[tokio::test]
async fn needs_a_good_token() {
    let world = World::new().await;
    let ask = async |header: Option<String>| {
        let mut request = world.client.post(world.url("/v1.0/subscriptions")).json(&world.wish());
        if let Some(value) = header {
            request = request.header("authorization", value);
        }
        super::world::read(request.send().await.unwrap()).await
    };
    let code = "InvalidAuthenticationToken";
    check(&ask(None).await, 401, code, "Access token is empty.", "none");
    check(
        &ask(Some("Bearer ".into())).await,
        401,
        code,
        "Access token is empty.",
        "empty",
    );
    let text = "CompactToken parsing failed with error code: 80049217";
    check(&ask(Some("Bearer nonsense".into())).await, 401, code, text, "nonsense");
    let token = world.token().await;
    world.admin("POST", "/clock/advance", json!({"seconds": 3600})).await;
    let text = "Lifetime validation failed, the token is expired.";
    check(&ask(Some(format!("Bearer {token}"))).await, 401, code, text, "expired");
}

#[tokio::test]
async fn needs_the_permission() {
    let world = World::new().await;
    world
        .admin(
            "PUT",
            "/apps/22222222-2222-2222-2222-222222222222/roles",
            json!(["User.Read.All"]),
        )
        .await;
    check(
        &world.create(json!({})).await,
        403,
        "ExtensionError",
        FORBIDDEN,
        "no role",
    );
    assert_eq!(
        world
            .create(json!({"resource": "users", "changeType": "updated"}))
            .await
            .0,
        201
    );
}

#[tokio::test]
async fn refuses_duplicates_with_the_id_of_the_first() {
    let world = World::new().await;
    let id = world.created(json!({})).await;
    let text = format!("Subscription Id {id} already exists for the requested combination");
    let twin = json!({"changeType": "updated,created"});
    check(
        &world.create(twin).await,
        409,
        "ObjectIdentifierInUse",
        &text,
        "order does not matter",
    );
    assert_eq!(world.create(json!({"changeType": "updated"})).await.0, 201);

    let chats = json!({"resource": "chats/getAllMessages", "lifecycleNotificationUrl": world.hook});
    assert_eq!(world.create(chats.clone()).await.0, 201);
    let text = "App '22222222-2222-2222-2222-222222222222' has reached its limit of '1' 'CHATS/GETALLMESSAGES' \
                subscription on tenant '11111111-1111-1111-1111-111111111111'";
    check(&world.create(chats).await, 403, "Forbidden", text, "one per app");
}

#[tokio::test]
async fn raises_short_lives_and_prints_both_forms_of_dates() {
    let world = World::new().await;
    let mut fractions = 0;
    for n in 0..4 {
        let change =
            json!({"resource": format!("users/{n}"), "changeType": "updated", "expirationDateTime": in_minutes(5)});
        let (status, body) = world.create(change).await;
        assert_eq!(status, 201, "{body}");
        assert_eq!(body["clientState"], "secret-state");
        let text = body["expirationDateTime"].as_str().unwrap();
        fractions += usize::from(text.contains('.'));
        let expires: jiff::Timestamp = text.parse().unwrap();
        let minutes = expires.duration_since(jiff::Timestamp::now()).as_secs() / 60;
        assert!((44..=45).contains(&minutes), "{minutes}");
    }
    assert!(fractions > 0);
}

#[tokio::test]
async fn limits_call_records_to_100_per_organisation() {
    let world = World::new().await;
    for n in 0..100 {
        let resource = format!("communications/callRecords?$filter=participants/any(p:p/id eq '{n}')");
        world.created(json!({"resource": resource})).await;
    }
    let (status, body) = world.create(json!({})).await;
    assert_eq!(status, 403, "{body}");
    assert!(
        body["error"]["message"].as_str().unwrap().contains("limit of '100'"),
        "{body}"
    );
}
