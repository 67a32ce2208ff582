//! Apps and service health, as administrators see them.

use serde_json::{Value, json};

use super::world::World;
use crate::simulator::DEFAULT_APP;

const CONNECTOR: &str = "33333333-3333-3333-3333-333333333333";
const GRAPH: &str = "00000003-0000-0000-c000-000000000000";

async fn put(world: &World, path: &str, body: Value) {
    let url = world.url(&format!("/_simulator/{path}"));
    let answer = world.client.put(url).json(&body).send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
}

fn principal(app: &str, select: &str) -> String {
    format!("/servicePrincipals(appId='{app}'){select}")
}

#[tokio::test]
async fn consent_makes_a_service_principal() {
    let world = World::new().await;
    assert_eq!(world.graph("GET", &principal(CONNECTOR, ""), None).await.0, 404);
    put(
        &world,
        "portal/apps",
        json!([{"appId": CONNECTOR, "accountEnabled": false}]),
    )
    .await;
    let path = principal(CONNECTOR, "?$select=id,accountEnabled");
    let (status, body) = world.graph("GET", &path, None).await;
    assert_eq!((status, &body["accountEnabled"]), (200, &json!(false)));
    assert_eq!(body.as_object().unwrap().len(), 2);
    put(&world, "portal/apps", json!([{"appId": CONNECTOR, "principal": false}])).await;
    let (status, body) = world.graph("GET", &path, None).await;
    assert_eq!(
        (status, &body["error"]["code"]),
        (404, &json!("Request_ResourceNotFound"))
    );
    let elsewhere = json!([{"appId": CONNECTOR, "tenantId": "99999999-9999-9999-9999-999999999999"}]);
    put(&world, "portal/apps", elsewhere).await;
    assert_eq!(world.graph("GET", &path, None).await.0, 404);
}

#[tokio::test]
async fn grants_name_roles_of_graph_by_id_and_come_in_pages() {
    let world = World::new().await;
    let roles = ["Calls.JoinGroupCall.All", "Calls.Initiate.All", "Odd.Role"];
    put(&world, "portal/apps", json!([{"appId": CONNECTOR, "roles": roles}])).await;
    let (_, app) = world.graph("GET", &principal(CONNECTOR, ""), None).await;
    let (_, graph) = world
        .graph("GET", &principal(GRAPH, "?$select=id,appRoles"), None)
        .await;
    let known = graph["appRoles"].as_array().unwrap();
    let name = |id: &Value| known.iter().find(|role| role["id"] == *id).unwrap()["value"].clone();
    let path = format!("/servicePrincipals/{}/appRoleAssignments", app["id"].as_str().unwrap());
    let (_, first) = world.graph("GET", &path, None).await;
    let next = first["@odata.nextLink"].as_str().unwrap();
    let (_, second) = world.graph("GET", next, None).await;
    let pages = [&first, &second].map(|page| page["value"].as_array().unwrap().clone());
    let granted: Vec<Value> = pages.concat().iter().map(|grant| name(&grant["appRoleId"])).collect();
    assert_eq!(granted, roles);
    assert!(pages.concat().iter().all(|grant| grant["resourceId"] == graph["id"]));
    assert!(second.get("@odata.nextLink").is_none());
    let nobody = "/servicePrincipals/99999999-9999-9999-9999-999999999999/appRoleAssignments";
    assert_eq!(world.graph("GET", nobody, None).await.0, 404);
}

#[tokio::test]
async fn without_permission_an_app_sees_itself_alone() {
    let world = World::new().await;
    put(&world, &format!("apps/{DEFAULT_APP}/roles"), json!([])).await;
    put(&world, "portal/apps", json!([{"appId": CONNECTOR}])).await;
    let (status, body) = world.graph("GET", &principal(CONNECTOR, ""), None).await;
    assert_eq!(
        (status, &body["error"]["code"]),
        (403, &json!("Authorization_RequestDenied"))
    );
    let (status, own) = world.graph("GET", &principal(DEFAULT_APP, ""), None).await;
    assert_eq!(status, 200);
    let grants = format!("/servicePrincipals/{}/appRoleAssignments", own["id"].as_str().unwrap());
    assert_eq!(world.graph("GET", &grants, None).await.0, 200);
    let application = format!("/applications(appId='{DEFAULT_APP}')?$select=passwordCredentials");
    let (status, body) = world.graph("GET", &application, None).await;
    assert_eq!(
        (status, body["passwordCredentials"].as_array().unwrap().len()),
        (200, 1)
    );
}

#[tokio::test]
async fn keys_come_to_those_who_ask_and_seldom() {
    let world = World::new().await;
    let key = json!({"displayName": "CN=x", "endDateTime": "2027-01-01T00:00:00Z"});
    put(
        &world,
        "portal/apps",
        json!([{"appId": CONNECTOR, "keyCredentials": [key]}]),
    )
    .await;
    let path = format!("/applications(appId='{CONNECTOR}')");
    let (_, body) = world.graph("GET", &path, None).await;
    assert!(body.get("keyCredentials").is_none() && body.get("passwordCredentials").is_some());
    let select = format!("{path}?$select=id,keyCredentials");
    let (_, body) = world.graph("GET", &select, None).await;
    assert_eq!(body["keyCredentials"][0]["endDateTime"], "2027-01-01T00:00:00Z");
    let mut refused = 0;
    for _ in 0..150 {
        refused += u32::from(world.graph("GET", &select, None).await.0 == 429);
    }
    assert_eq!(refused, 1);
}

#[tokio::test]
async fn odd_questions_are_refused() {
    let world = World::new().await;
    for (method, path, expected) in [
        (
            "GET",
            format!("/servicePrincipals(appId='{DEFAULT_APP}')?$select=secretText"),
            400,
        ),
        (
            "GET",
            format!("/servicePrincipals(appId='{DEFAULT_APP}')?$filter=x"),
            400,
        ),
        ("GET", format!("/servicePrincipals(id='{DEFAULT_APP}')"), 400),
        ("DELETE", format!("/applications(appId='{DEFAULT_APP}')"), 400),
        ("GET", "/nothing".to_owned(), 400),
        ("POST", "/admin/serviceAnnouncement/healthOverviews".to_owned(), 405),
        (
            "GET",
            "/admin/serviceAnnouncement/healthOverviews?$top=1".to_owned(),
            400,
        ),
    ] {
        assert_eq!(world.graph(method, &path, None).await.0, expected, "{method} {path}");
    }
}

#[tokio::test]
async fn services_are_told_with_issues_if_asked() {
    let world = World::new().await;
    let path = "/admin/serviceAnnouncement/healthOverviews";
    let issue = json!({"id": "TM1", "isResolved": false});
    let mut services = vec![json!({"service": "Microsoft Teams", "status": "serviceDegradation", "issues": [issue]})];
    services.extend((0..100).map(|number| json!({"service": format!("S{number}"), "status": "serviceOperational"})));
    put(&world, "portal/services", json!(services)).await;
    let (_, body) = world.graph("GET", path, None).await;
    assert!(body["value"][0].get("issues").is_none());
    let (_, body) = world.graph("GET", &format!("{path}?$expand=issues"), None).await;
    assert_eq!(body["value"][0]["issues"][0]["id"], "TM1");
    assert_eq!(body["value"].as_array().unwrap().len(), 100);
    let (_, rest) = world
        .graph("GET", body["@odata.nextLink"].as_str().unwrap(), None)
        .await;
    assert_eq!(rest["value"].as_array().unwrap().len(), 1);
    put(&world, &format!("apps/{DEFAULT_APP}/roles"), json!([])).await;
    assert_eq!(world.graph("GET", path, None).await.0, 403);
}
