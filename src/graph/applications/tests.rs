use serde_json::json;

use super::*;
use crate::graph::Class;
use crate::graph::testing::{Reply, Server};

const APP: &str = "22222222-2222-2222-2222-222222222222";

fn roles() -> Reply {
    let roles = json!([{"id": "r1", "value": "User.Read.All"}, {"id": "r2", "value": "Calls.JoinGroupCall.All"},
        {"id": "r3", "value": null}]);
    Reply::new(200, &json!({"id": "graph", "appRoles": roles}))
}

#[tokio::test]
async fn a_service_principal_is_there_or_not() {
    let server = Server::start().await;
    let body = json!({"id": "sp", "accountEnabled": false, "disabledByMicrosoftStatus": null, "@odata.context": "x"});
    server
        .then(Reply::new(200, &body))
        .then(Reply::error(
            404,
            "Request_ResourceNotFound",
            "Resource does not exist.",
        ))
        .then(Reply::error(
            403,
            "Authorization_RequestDenied",
            "Insufficient privileges.",
        ));
    let (graph, _) = server.graph();
    let found = graph.service_principal(APP, Timestamp::MAX).await.unwrap().unwrap();
    assert_eq!((found.id.as_str(), found.account_enabled), ("sp", Some(false)));
    assert_eq!(graph.service_principal(APP, Timestamp::MAX).await.unwrap(), None);
    let denied = graph.service_principal(APP, Timestamp::MAX).await.unwrap_err();
    assert_eq!(denied.kind, Kind::ConsentMissing);
    let line = &server.lines()[1];
    assert_eq!(
        *line,
        format!("GET /v1.0/servicePrincipals(appId='{APP}')?$select=id,accountEnabled,disabledByMicrosoftStatus")
    );
}

#[tokio::test]
async fn grants_of_graph_are_named_over_all_pages() {
    let server = Server::start().await;
    let grant = |role: &str, resource: &str| json!({"appRoleId": role, "resourceId": resource});
    let next = format!(
        "{}/v1.0/servicePrincipals/sp/appRoleAssignments?$skiptoken=x",
        server.base
    );
    server
        .then(roles())
        .then(Reply::new(
            200,
            &json!({"value": [grant("r2", "graph"), grant("r1", "sharepoint"), grant("r9", "graph")], "@odata.nextLink": next}),
        ))
        .then(Reply::new(200, &json!({"value": [grant("r1", "graph")]})))
        .then(Reply::new(200, &json!({"value": []})));
    let (graph, _) = server.graph();
    let granted = graph.granted_roles("sp", Timestamp::MAX).await.unwrap();
    assert_eq!(granted, ["Calls.JoinGroupCall.All", "User.Read.All"]);
    assert!(graph.granted_roles("sp", Timestamp::MAX).await.unwrap().is_empty());
    assert_eq!(server.lines().len(), 5, "the names are asked for once");
}

#[tokio::test]
async fn grants_that_go_on_elsewhere_are_not_followed() {
    let server = Server::start().await;
    server.then(roles()).then(Reply::new(
        200,
        &json!({"value": [], "@odata.nextLink": "https://attacker.example/v1.0/x"}),
    ));
    let (graph, _) = server.graph();
    let failure = graph.granted_roles("sp", Timestamp::MAX).await.unwrap_err();
    assert_eq!(failure.kind, Kind::Protocol);
}

#[tokio::test]
async fn credentials_are_read_as_far_as_they_end() {
    let server = Server::start().await;
    let body = json!({"id": "a",
        "passwordCredentials": [
            {"keyId": "k1", "displayName": "old", "endDateTime": "2025-01-01T00:00:00Z", "hint": "abc", "secretText": null},
            {"keyId": "k2", "displayName": null, "endDateTime": "2027-01-01T00:00:00Z"},
            {"keyId": "k3", "endDateTime": null}],
        "keyCredentials": [{"keyId": "k4", "displayName": "CN=app", "endDateTime": "2026-06-01T00:00:00.1234567Z", "key": null}]});
    server
        .then(Reply::new(200, &body))
        .then(Reply::error(404, "Request_ResourceNotFound", "No."));
    let (graph, _) = server.graph();
    let found = graph.app_credentials(APP, Timestamp::MAX).await.unwrap().unwrap();
    let names: Vec<_> = found.iter().map(|one| (one.kind, one.name.as_str())).collect();
    assert_eq!(names, [("secret", "k2"), ("certificate", "CN=app"), ("secret", "old")]);
    assert_eq!(graph.app_credentials(APP, Timestamp::MAX).await.unwrap(), None);
}

/// What is only looked at must not hold back the renewal of subscriptions.
#[tokio::test]
async fn throttling_holds_back_nothing_else() {
    let server = Server::start().await;
    server
        .then(Reply::error(429, "TooManyRequests", "Slow down.").header("retry-after", "120"))
        .then(Reply::new(200, &json!({"value": []})));
    let (graph, _) = server.graph();
    let first = graph.app_credentials(APP, Timestamp::MAX).await.unwrap_err();
    assert!(matches!(first.class, Class::Throttled(Some(_))));
    let asked = server.lines().len();
    graph.service_principal(APP, Timestamp::MAX).await.unwrap_err();
    assert_eq!(server.lines().len(), asked, "nothing was sent");
    graph.list(Duration::ZERO, Timestamp::MAX).await.unwrap();
}
