//! Jobs against a Graph and a pod that answer as told.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use prometheus::Registry;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::job::{Order, run};
use super::*;
use crate::api::subscription::ChangeType;
use crate::controller::subscription::observe::observe;
use crate::controller::testing::{context, recording, refusal};
use crate::graph::{App, Credential, Graph, Metrics, http_client, http_client_inside};
use crate::policy::backfill::Window;
use crate::policy::identity::Keyring;
use crate::policy::subscription::AppView;
use kube::runtime::watcher::Event;
use std::time::Duration;

/// Path and query, status and body.
type Said = (&'static str, u16, Value);

/// Graph and the pod in one: what is asked for and not in `answers` does not exist.
#[derive(Clone, Default)]
struct World {
    /// Path and query to status and answer; each is given once, in order.
    answers: Arc<Mutex<Vec<Said>>>,
    asked: Arc<Mutex<Vec<String>>>,
    /// Ids that arrived, and when.
    arrived: Arc<Mutex<Vec<(&'static str, Timestamp)>>>,
    complete_since: Arc<Mutex<Timestamp>>,
    bookmark: Arc<Mutex<Option<Value>>>,
    handed: Arc<Mutex<Vec<Value>>>,
}

async fn answer(State(world): State<World>, request: Request) -> (StatusCode, String) {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let path = head.uri.path_and_query().unwrap().to_string();
    let (status, said) = world.say(&path, &body);
    (StatusCode::from_u16(status).unwrap(), said.to_string())
}

impl World {
    async fn start(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let routes = Router::new().fallback(answer).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        base
    }

    fn say(&self, path: &str, body: &Value) -> (u16, Value) {
        if path.ends_with("/token") {
            return (
                200,
                json!({ "token_type": "Bearer", "access_token": "opaque", "expires_in": 3600 }),
            );
        }
        match path {
            "/v1/bookmarks/u" => self
                .bookmark
                .lock()
                .unwrap()
                .clone()
                .map_or((404, Value::Null), |kept| (200, kept)),
            "/v1/known" => (200, self.known(body)),
            "/v1/ingest" => {
                let items = body["items"].as_array().unwrap();
                self.handed
                    .lock()
                    .unwrap()
                    .extend(items.iter().map(|item| item["item"].clone()));
                if body.get("bookmark").is_some() {
                    *self.bookmark.lock().unwrap() = Some(body["bookmark"].clone());
                }
                (202, Value::Null)
            }
            _ => self.graph(path),
        }
    }

    fn known(&self, body: &Value) -> Value {
        let arrived = self.arrived.lock().unwrap();
        let received: Vec<_> = body["ids"]
            .as_array()
            .unwrap()
            .iter()
            .map(|id| arrived.iter().find(|(known, _)| id == known).map(|(_, at)| *at))
            .collect();
        json!({ "now": Timestamp::now(), "completeSince": *self.complete_since.lock().unwrap(), "received": received })
    }

    fn graph(&self, path: &str) -> (u16, Value) {
        let path = path.strip_prefix("/v1.0/").unwrap_or(path).to_owned();
        self.asked.lock().unwrap().push(path.clone());
        let mut answers = self.answers.lock().unwrap();
        match answers.iter().position(|(known, ..)| *known == path) {
            Some(index) => {
                let (_, status, said) = answers.remove(index);
                (status, said)
            }
            None => (404, json!({ "error": { "code": "ResourceNotFound", "message": "no" } })),
        }
    }

    fn answers(&self, path: &'static str, said: Value) {
        self.answers.lock().unwrap().push((path, 200, said));
    }

    fn keeps(&self, link: &str, time: Timestamp) {
        *self.bookmark.lock().unwrap() = Some(json!({ "uid": "u", "value": format!("b {link}"), "time": time }));
    }

    fn kept(&self) -> (String, Timestamp) {
        let kept = self.bookmark.lock().unwrap().clone().unwrap();
        let time = kept["time"].as_str().unwrap().parse().unwrap();
        (
            kept["value"].as_str().unwrap().strip_prefix("b ").unwrap().to_owned(),
            time,
        )
    }

    fn handed(&self) -> Vec<(String, String)> {
        let text = |item: &Value, name: &str| item[name].as_str().unwrap().to_owned();
        let handed = self.handed.lock().unwrap();
        handed
            .iter()
            .map(|item| (text(item, "changeType"), text(item, "resource")))
            .collect()
    }
}

fn handed(items: &[(&str, &str)]) -> Vec<(String, String)> {
    items
        .iter()
        .map(|(kind, resource)| ((*kind).to_owned(), (*resource).to_owned()))
        .collect()
}

fn ago(minutes: i64) -> Timestamp {
    Timestamp::now() - SignedDuration::from_mins(minutes)
}

fn window(start: i64, end: i64) -> Window {
    Window {
        start: ago(start),
        end: ago(end),
    }
}

async fn order(world: &World, resource: &str, windows: Vec<Window>) -> Order {
    let base = world.start().await;
    let app = App {
        tenant_id: "contoso.example".to_owned(),
        client_id: Some("app".to_owned()),
        login: base.clone(),
        graph: base.clone(),
        credential: Credential::ClientSecret(SecretString::from("secret")),
    };
    let pod = Pod::new(&http_client_inside().unwrap(), base.clone(), "token".to_owned());
    Order {
        graph: Graph::new(app, http_client().unwrap(), Metrics::new(&Registry::new()).unwrap()),
        pods: vec![pod],
        uid: "u".to_owned(),
        subscription_id: Some("s".to_owned()),
        resource: resource.to_owned(),
        change_types: vec![ChangeType::Created, ChangeType::Updated, ChangeType::Deleted],
        job: Job { windows },
        basis: "b".to_owned(),
        pods_since: Timestamp::MIN,
        grace: Duration::ZERO,
    }
}

async fn done(order: &Order) -> Result<Found, Trouble> {
    run(order, &Semaphore::new(1)).await
}

const LATEST: &str = "users/delta?$deltatoken=latest";

#[tokio::test]
async fn the_first_sweep_begins_to_follow() {
    let world = World::default();
    world.answers(LATEST, json!({ "value": [], "@odata.deltaLink": "LINK" }));
    let found = done(&order(&world, "users", vec![]).await).await.unwrap();
    assert_eq!((found.handed, found.lost), (0, None));
    assert_eq!(world.kept().0, "LINK");
    assert!(world.handed().is_empty());
}

#[tokio::test]
async fn a_sweep_hands_over_what_never_came_and_says_so() {
    let world = World::default();
    world.keeps("users/delta?$deltatoken=1", ago(60));
    *world.complete_since.lock().unwrap() = ago(90);
    world
        .arrived
        .lock()
        .unwrap()
        .extend([("told", ago(30)), ("told before", ago(70))]);
    world.answers(
        "users/delta?$deltatoken=1",
        json!({ "value": [{ "id": "told" }, { "id": "told before" }], "@odata.nextLink": "users/delta?$skiptoken=2" }),
    );
    world.answers(
        "users/delta?$skiptoken=2",
        json!({ "value": [{ "id": "gone", "@removed": {} }], "@odata.deltaLink": "users/delta?$deltatoken=3" }),
    );
    let found = done(&order(&world, "users", vec![]).await).await.unwrap();
    assert_eq!(
        world.handed(),
        handed(&[("updated", "users/told before"), ("deleted", "users/gone")])
    );
    let (lost, events) = found.lost.unwrap();
    assert_eq!((found.handed, events, lost.end), (2, 2, found.begun));
    assert_eq!(world.kept(), ("users/delta?$deltatoken=3".to_owned(), found.begun));
    let item = world.handed.lock().unwrap()[1].clone();
    assert_eq!(item["resourceData"], json!({ "id": "gone" }));
    assert_eq!(
        (&item["tenantId"], &item["subscriptionId"]),
        (&json!("contoso.example"), &json!("s"))
    );
}

#[tokio::test]
async fn what_a_restarted_pod_cannot_know_is_handed_over_without_an_alarm() {
    let world = World::default();
    world.keeps("users/delta?$deltatoken=1", ago(60));
    *world.complete_since.lock().unwrap() = ago(10);
    world.answers(
        "users/delta?$deltatoken=1",
        json!({ "value": [{ "id": "a" }], "@odata.deltaLink": "L" }),
    );
    let found = done(&order(&world, "users", vec![]).await).await.unwrap();
    assert_eq!((found.handed, found.lost), (1, None));
}

#[tokio::test]
async fn what_came_shortly_before_a_change_may_be_about_an_earlier_one() {
    let world = World::default();
    let kept = ago(300);
    world.keeps("-", kept);
    let order = order(&world, "users/1/messages", vec![]).await;
    let seconds_ago = |seconds: i64| Timestamp::now() - SignedDuration::from_secs(seconds);
    *world.arrived.lock().unwrap() = vec![("told", seconds_ago(1_799)), ("in doubt", seconds_ago(1_804))];
    let since = Timestamp::from_second(kept.as_second() - 1).unwrap();
    let address = format!(
        "users/1/messages?$filter=lastModifiedDateTime%20gt%20{since}&$select=id,createdDateTime,lastModifiedDateTime&$top=500"
    );
    let message = |id: &str| json!({ "id": id, "lastModifiedDateTime": ago(30), "createdDateTime": ago(400) });
    let answer = json!({ "value": [message("told"), message("in doubt")] });
    world.answers(Box::leak(address.into_boxed_str()), answer);
    let found = done(&order).await.unwrap();
    assert_eq!(world.handed(), handed(&[("updated", "users/1/messages/in doubt")]));
    assert_eq!(found.lost, None);
}

#[tokio::test]
async fn a_link_that_is_too_old_leads_to_a_bounded_look_at_everything() {
    for (status, code) in [
        (410, "syncStateNotFound"),
        (410, "gone"),
        (400, "SyncStateNotFound"),
        (404, "x"),
    ] {
        let world = World::default();
        world.keeps("users/delta?$deltatoken=old", ago(60));
        let error = json!({ "error": { "code": code, "message": "no" } });
        world
            .answers
            .lock()
            .unwrap()
            .push(("users/delta?$deltatoken=old", status, error));
        world.answers(
            "users/delta",
            json!({ "value": [{ "id": "a" }], "@odata.deltaLink": "NEW" }),
        );
        let found = done(&order(&world, "users", vec![window(50, 40)]).await).await.unwrap();
        assert_eq!(found.filled[0].1, 1, "{status} {code}");
        assert_eq!(world.kept().0, "NEW");
    }
}

#[tokio::test]
async fn events_are_counted_for_the_gap_they_fall_into() {
    let world = World::default();
    world.arrived.lock().unwrap().push(("came", ago(5)));
    let order = order(&world, "users/1/messages", vec![window(20, 10), window(60, 40)]).await;
    let message = |id: &str, minutes: i64| json!({ "id": id, "lastModifiedDateTime": ago(minutes), "createdDateTime": ago(minutes) });
    let since = order.job.windows[1].start;
    let whole = Timestamp::from_second(since.as_second() - 1).unwrap();
    let address = format!(
        "users/1/messages?$filter=lastModifiedDateTime%20gt%20{whole}&$select=id,createdDateTime,lastModifiedDateTime&$top=500"
    );
    world.answers(
        Box::leak(address.into_boxed_str()),
        json!({ "value": [message("new", 15), message("old", 50), message("older", 45), message("came", 55), message("before", 90)] }),
    );
    let found = done(&order).await.unwrap();
    let counts: Vec<_> = found.filled.iter().map(|(_, events)| *events).collect();
    assert_eq!((counts, found.handed, found.lost), (vec![1, 2], 3, None));
    assert_eq!(
        world.handed()[0],
        ("created".to_owned(), "users/1/messages/new".to_owned())
    );
}

#[tokio::test]
async fn call_records_have_time_to_be_told_of() {
    let world = World::default();
    let first = order(&world, "communications/callRecords", vec![]).await;
    done(&first).await.unwrap();
    let (link, time) = world.kept();
    assert_eq!(
        (link.as_str(), world.asked.lock().unwrap().len()),
        ("-", 0),
        "nothing to compare with yet"
    );
    assert!(time <= ago(149));
    world.keeps("-", ago(300));
    let record =
        |id: &str, minutes: i64| json!({ "id": id, "startDateTime": ago(400), "lastModifiedDateTime": ago(minutes) });
    let since = Timestamp::from_second(ago(300 + 30 * 60).as_second() - 1).unwrap();
    let address = format!(
        "communications/callRecords?$filter=startDateTime%20gt%20{since}&$select=id,startDateTime,lastModifiedDateTime"
    );
    let records = json!({ "value": [record("young", 100), record("due", 200), record("known", 310)] });
    world.answers(Box::leak(address.into_boxed_str()), records);
    let found = done(&first).await.unwrap();
    assert_eq!(world.handed(), handed(&[("updated", "communications/callRecords/due")]));
    assert_eq!(found.lost.unwrap().1, 1);
}

#[tokio::test]
async fn a_drive_is_told_of_as_a_whole() {
    let world = World::default();
    world.keeps("drives/1/root/delta?token=1", ago(60));
    let item = |id: &str, minutes: i64| json!({ "id": id, "lastModifiedDateTime": ago(minutes) });
    let page = |items: Value| json!({ "value": items, "@odata.deltaLink": "drives/1/root/delta?token=1" });
    let order = order(&world, "drives/1/root", vec![]).await;
    for (arrived, expected) in [(20, 1), (9, 0)] {
        world.keeps("drives/1/root/delta?token=1", ago(60));
        *world.arrived.lock().unwrap() = vec![("root", ago(arrived))];
        world.answers(
            "drives/1/root/delta?token=1",
            page(json!([item("a", 30), item("b", 10)])),
        );
        let found = done(&order).await.unwrap();
        assert_eq!(found.handed, expected, "{arrived}");
    }
    assert_eq!(world.handed(), handed(&[("updated", "drives/1/root")]));
}

#[tokio::test]
async fn the_state_of_one_object_fills_its_gap() {
    let world = World::default();
    world.answers("chats/1", json!({ "id": "1", "lastUpdatedDateTime": ago(15) }));
    let found = done(&order(&world, "chats/1", vec![window(20, 10)]).await)
        .await
        .unwrap();
    assert_eq!(found.filled[0].1, 1);
    assert_eq!(world.handed(), handed(&[("updated", "chats/1")]));
}

#[tokio::test]
async fn trouble_is_named_and_too_much_is_given_up() {
    let world = World::default();
    let mut nobody = order(&world, "users", vec![window(20, 10)]).await;
    let trouble = done(&nobody).await.unwrap_err();
    assert_eq!(
        (trouble.reason, trouble.class),
        (Reason::RejectedByGraph, Class::RetrySlowly)
    );
    nobody.pods = vec![Pod::new(
        &http_client_inside().unwrap(),
        "http://127.0.0.1:9".to_owned(),
        String::new(),
    )];
    let trouble = done(&nobody).await.unwrap_err();
    assert_eq!(
        (trouble.reason, trouble.message.as_str()),
        (Reason::ReceiverUnavailable, "the pod cannot be reached")
    );
    let many: Vec<_> = (0..=job::MOST_EVENTS)
        .map(|id| json!({ "id": id.to_string() }))
        .collect();
    world.answers("users/delta", json!({ "value": many }));
    world.answers(LATEST, json!({ "value": [], "@odata.deltaLink": "ANEW" }));
    let trouble = done(&order(&world, "users", vec![window(20, 10)]).await)
        .await
        .unwrap_err();
    assert_eq!(trouble.class, Class::Invalid);
}

#[test]
fn slots_are_kept_only_while_a_job_holds_them() {
    let backfills = Backfills::default();
    let slots = |app: &str| backfills.slots(app.to_owned(), true);
    let held = slots("held");
    drop(slots("gone"));
    assert!(Arc::ptr_eq(&held, &slots("held")), "two jobs share them");
    assert_eq!(backfills.slots.lock().unwrap().len(), 1);
}

/// With the usual 60 in a minute twenty questions would take twenty seconds.
#[tokio::test]
async fn questions_keep_to_the_budget_of_their_tenant() {
    let (client, _) = recording(|_| refusal(500, "InternalError"));
    let (context, mut writers) = context(&client, "");
    let metadata = |name: &str| json!({ "name": name, "namespace": "n", "uid": name });
    let tenant = json!({
        "apiVersion": "teamsgraph.dev/v1alpha1", "kind": "GraphTenant", "metadata": metadata("t"),
        "spec": {
            "tenantId": "contoso.example", "credentials": { "workloadIdentity": {} }, "backfillCallsPerMinute": 3000,
        },
    });
    let receiver = json!({
        "apiVersion": "teamsgraph.dev/v1alpha1", "kind": "NotificationReceiver", "metadata": metadata("r"),
        "spec": { "publicUrl": "https://hooks.example" },
    });
    let subscription = json!({
        "apiVersion": "teamsgraph.dev/v1alpha1", "kind": "GraphSubscription", "metadata": metadata("u"),
        "spec": {
            "tenantRef": { "name": "t" }, "receiverRef": { "name": "r" }, "resource": "users", "changeTypes": ["Updated"],
        },
    });
    let subscription: GraphSubscription = serde_json::from_value(subscription).unwrap();
    writers.tenant(&serde_json::from_value(tenant).unwrap());
    let receiver = Event::Apply(serde_json::from_value(receiver).unwrap());
    writers.receivers.apply_watcher_event(&receiver);
    let keyring = Keyring::from_base64([("k1", "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=")]).0;
    context.keyrings.put(subscription.receiver().unwrap(), keyring);
    let graph = order(&World::default(), "users", vec![]).await.graph;
    let mut view = observe(&context, Arc::new(subscription)).await.unwrap();
    let app = AppView {
        fingerprint: "app".to_owned(),
        permissions: None,
    };
    view.app = Ok((graph.clone(), app));
    let job = Job { windows: vec![] };
    let status = GraphSubscriptionStatus::default();
    assert!(super::order(&context, &view, &status, job, &mut (1, Timestamp::MIN)).is_some());
    let questions = (0..20).map(|_| graph.changes("users/delta", view.now));
    let all = tokio::time::timeout(Duration::from_secs(5), futures::future::join_all(questions));
    assert_eq!(all.await.unwrap().len(), 20);
}
