use super::*;

const ID: &str = "7e5f4a2c-1b2c-4d3e-9f00-aabbccddeeff";

fn body(code: &str, message: &str) -> Vec<u8> {
    let inner = serde_json::json!({"date": "2021-11-13T15:25:47", "request-id": ID, "client-request-id": ID});
    serde_json::json!({"error": {"code": code, "message": message, "innerError": inner}})
        .to_string()
        .into_bytes()
}

fn judge(status: u16, code: &str, message: &str) -> (Kind, Class) {
    let failure = graph(status, None, &body(code, message));
    assert!(failure.message.chars().count() <= 300);
    assert!(!failure.message.contains(ID));
    (failure.kind, failure.class)
}

fn duplicate(existing: Option<&str>) -> Kind {
    Kind::Duplicate {
        existing: existing.map(str::to_owned),
    }
}

fn too_far(maximum_minutes: Option<i64>) -> Kind {
    Kind::ExpiryTooFar { maximum_minutes }
}

/// Bodies as administrators published them, and as Microsoft documents them.
#[test]
fn every_known_body_is_judged() {
    let exists = format!("Subscription Id {ID} already exists for the requested combination");
    let slowly = Class::RetrySlowly;
    #[rustfmt::skip]
    let table = [
        (401, "InvalidAuthenticationToken", "Access token is empty.", Kind::Unauthorized, slowly),
        (400, "InvalidRequest", "expirationDateTime is a required property for subscription creation.", Kind::Rejected, Class::Invalid),
        (400, "InvalidRequest", "Could not process subscription creation payload. \n Are all property names spelled and camelCased properly? \n Also are the dateTimeOffest properties in a valid internet Date and Time format?", Kind::Rejected, Class::Invalid),
        (400, "InvalidRequest", "Invalid 'changeType' attribute: 'deleted'.", Kind::Rejected, Class::Invalid),
        (400, "InvalidRequest", "The expirationDateTime must be in the future.", Kind::Rejected, Class::Retry),
        (400, "ExtensionError", "Subscription expiration can only be 4230 minutes in the future.", too_far(Some(4230)), slowly),
        (400, "ExtensionError", "Subscription expiration can only be some minutes in the future.", too_far(None), slowly),
        (400, "InvalidRequest", "Subscription validation request timed out.", Kind::EndpointValidation, Class::Retry),
        (400, "InvalidRequest", "Subscription validation request failed. Response must exactly match validationToken query parameter.", Kind::EndpointValidation, slowly),
        (400, "ValidationError", "Subscription validation request failed. Notification endpoint must respond with 200 OK to validation request.", Kind::EndpointValidation, slowly),
        (400, "ValidationError", "HttpRequestException: The request was aborted: Could not create SSL/TLS secure channel.", Kind::EndpointValidation, slowly),
        (400, "InvalidRequest", "lifecycleNotificationUrl is a required property for subscription creation on this resource when the expirationDateTime value is set to greater than 1 hour.", Kind::Rejected, Class::Invalid),
        (403, "ExtensionError", "Operation: Create; Exception: [Status Code: Forbidden; Reason: Forbidden]", Kind::ConsentMissing, slowly),
        (403, "Forbidden", "App 'x' has reached its limit of '1' 'CHATS' subscription on tenant 'y'.", Kind::Limited, slowly),
        (403, "Forbidden", "App 'x' has reached its limit of '100' 'CALLRECORDS' subscriptions on tenant 'y'.", Kind::QuotaExceeded, slowly),
        (403, "Forbidden", "The organization's quota of subscriptions is used up.", Kind::QuotaExceeded, slowly),
        (403, "Forbidden", "Insufficient privileges to complete the operation.", Kind::ConsentMissing, slowly),
        (401, "ExtensionError", "Operation: Create; Exception: [Status Code: Unauthorized; Reason: Unauthorized]", Kind::ConsentMissing, slowly),
        (400, "ExtensionError", "Operation: Update; Exception: [Status Code: Unauthorized; Reason: ]", Kind::ConsentMissing, slowly),
        (404, "ResourceNotFound", "The object was not found.", Kind::NotFound, slowly),
        (404, "ExtensionError", "Operation: Create; Exception: [Status Code: NotFound; Reason: REST API is not yet supported for this mailbox.]", Kind::Rejected, slowly),
        (409, "ObjectIdentifierInUse", &exists, duplicate(Some(ID)), slowly),
        (400, "ObjectIdentifierInUse", &exists, duplicate(Some(ID)), slowly),
        (409, "ExtensionError", "Operation: Create; Exception: [Status Code: Conflict; Reason: A subscripton already exists. It must be deleted before a another can be made.]", duplicate(None), slowly),
        (400, "ExtensionError", "Operation: Create; Exception: [Status Code: Conflict; Reason: A subscripton already exists.]", duplicate(None), slowly),
        (423, "Locked", "The resource is locked.", Kind::Unavailable, Class::Retry),
        (429, "TooManyRequests", "Too many requests.", Kind::Throttled, Class::Throttled(None)),
        (400, "ExtensionError", "Operation: Create; Exception: [Status Code: 429; Reason: busy]", Kind::Throttled, Class::Throttled(None)),
        (429, "ExtensionError", "Resource 'SubscriptionCountReached' has reached limit of '1000'. Please retry after '12/31/9999 11:59:59 PM'", Kind::QuotaExceeded, slowly),
        (500, "ExtensionError", "There was an error processing a storage extension.", Kind::Unavailable, Class::Retry),
        (400, "ExtensionError", "Operation: Update; Exception: [Status Code: ServiceUnavailable; Reason: none]", Kind::Unavailable, Class::Retry),
        (401, "ExtensionError", "Operation: Delete; Exception: [Status Code: NotFound; Reason: Not Found]", Kind::NotFound, slowly),
        (402, "PaymentRequired", "Billing is not set up.", Kind::Rejected, slowly),
        (400, "ExtensionError", "Something odd.", Kind::Rejected, slowly),
        (503, "ServiceUnavailable", "", Kind::Unavailable, Class::Retry),
    ];
    for (status, code, message, kind, class) in table {
        assert_eq!(judge(status, code, message), (kind, class), "{status} {code} {message}");
    }
}

#[test]
fn nested_codes_are_read_in_both_spellings() {
    for inner in ["innererror", "innerError"] {
        let mut error = serde_json::json!({"code": "Conflict", "message": "no"});
        error[inner] = serde_json::json!({"code": "ObjectIdentifierInUse"});
        let body = serde_json::json!({ "error": error }).to_string();
        assert_eq!(graph(400, None, body.as_bytes()).kind, duplicate(None));
    }
}

#[test]
fn retry_after_is_kept_for_429_and_503() {
    let after = Some(Duration::from_secs(7));
    assert_eq!(
        graph(429, after, &body("TooManyRequests", "")).class,
        Class::Throttled(after)
    );
    let busy = graph(503, after, &body("ServiceUnavailable", ""));
    assert_eq!((busy.kind, busy.class), (Kind::Unavailable, Class::Throttled(after)));
    assert_eq!(graph(429, after, b"<html>").class, Class::Throttled(after));
}

/// A proxy's 404 is not a removed subscription.
#[test]
fn answers_that_are_not_from_graph_are_told_apart() {
    for (status, kind, class) in [
        (404, Kind::Protocol, Class::RetrySlowly),
        (403, Kind::Protocol, Class::RetrySlowly),
        (302, Kind::Protocol, Class::RetrySlowly),
        (401, Kind::Unauthorized, Class::RetrySlowly),
        (502, Kind::Unavailable, Class::Retry),
    ] {
        for body in [&b"<html>not here</html>"[..], b"", b"{}", b"{\"error\":\"x\"}"] {
            let failure = graph(status, None, body);
            assert_eq!((failure.kind, failure.class), (kind.clone(), class), "{status}");
        }
    }
}

#[test]
fn the_message_is_the_same_for_the_same_fault() {
    let first = graph(
        404,
        None,
        &body(
            "ResourceNotFound",
            &format!("Request {ID} at 2021-11-13T15:25:47 failed"),
        ),
    );
    let other = ID.replace('7', "8");
    let second = graph(
        404,
        None,
        &body(
            "ResourceNotFound",
            &format!("Request {other} at 2026-01-02T01:02:03 failed"),
        ),
    );
    assert_eq!(first, second);
}
