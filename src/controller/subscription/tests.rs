//! Reconciles against an API server and a Graph that answer as told.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::{SignedDuration, Timestamp};
use kube::Client;
use kube::runtime::watcher::Event;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::endpoint::Endpoint;
use super::*;
use crate::api::FINALIZER;
use crate::api::condition::{self, ConditionType};
use crate::api::reference::ObjectRef;
use crate::api::tenant::GraphTenant;
use crate::controller::context::Context;
use crate::controller::doubts;
use crate::controller::inbox::Origin;
use crate::controller::testing::{Asked, Writers, context, recording, refusal};
use crate::graph::{App, Credential};
use crate::policy::identity::Keyring;
use crate::policy::subscription::{Lifecycle, LifecycleEvent};

type Log = Arc<Mutex<Vec<String>>>;

/// Graph with these subscriptions: lists them, and makes or deletes what it is asked to.
#[derive(Clone)]
struct Remote {
    held: Arc<Mutex<Vec<Value>>>,
    log: Log,
    base: String,
    /// Hours by which its clock is behind ours.
    behind: Arc<AtomicI64>,
    /// Minutes that it allows, if not all.
    longest: Arc<AtomicI64>,
    /// Whether it says that there is one already.
    limited: Arc<AtomicBool>,
}

impl Remote {
    async fn start(held: Vec<Value>, log: &Log) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let remote = Self {
            held: Arc::new(Mutex::new(held)),
            log: log.clone(),
            base: format!("http://{}", listener.local_addr().unwrap()),
            behind: Arc::default(),
            longest: Arc::new(AtomicI64::new(i64::MAX)),
            limited: Arc::default(),
        };
        let routes = Router::new().fallback(dated).with_state(remote.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        remote
    }
}

async fn dated(State(remote): State<Remote>, request: Request) -> Response {
    let now = Timestamp::now() - SignedDuration::from_hours(remote.behind.load(Ordering::Relaxed));
    let date = jiff::fmt::rfc2822::to_string(&now.to_zoned(jiff::tz::TimeZone::UTC)).unwrap();
    ([("date", date)], answer(State(remote), request).await).into_response()
}

async fn answer(State(remote): State<Remote>, request: Request) -> (StatusCode, String) {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let path = head.uri.path().to_owned();
    if path.ends_with("/token") {
        let token = json!({ "token_type": "Bearer", "access_token": "opaque", "expires_in": 3600 });
        return (StatusCode::OK, token.to_string());
    }
    remote.log.lock().unwrap().push(format!("graph {} {path}", head.method));
    let mut subscriptions = remote.held.lock().unwrap();
    let id = path.rsplit('/').next().unwrap_or_default();
    match head.method.as_str() {
        "GET" if id == "subscriptions" => (StatusCode::OK, json!({ "value": *subscriptions }).to_string()),
        "GET"
            if subscriptions
                .iter()
                .any(|known| known["id"] == id && known["gone"] != true) =>
        {
            let found = subscriptions.iter().find(|known| known["id"] == id);
            (StatusCode::OK, json!(found).to_string())
        }
        "POST" if remote.limited.load(Ordering::Relaxed) => {
            let text = "App 'x' has reached its limit of '1' 'CHATS' subscription on tenant 'y'.";
            let error = json!({ "error": { "code": "Forbidden", "message": text } });
            (StatusCode::FORBIDDEN, error.to_string())
        }
        "POST" => {
            let mut made: Value = serde_json::from_slice(&body).unwrap();
            let longest = remote.longest.load(Ordering::Relaxed);
            let expiration: Timestamp = made["expirationDateTime"].as_str().unwrap().parse().unwrap();
            if expiration.duration_since(Timestamp::now()).as_mins() > longest {
                let text = format!("Subscription expiration can only be {longest} minutes in the future.");
                let error = json!({ "error": { "code": "ExtensionError", "message": text } });
                return (StatusCode::BAD_REQUEST, error.to_string());
            }
            made["id"] = json!("made");
            subscriptions.push(made.clone());
            (StatusCode::CREATED, made.to_string())
        }
        "DELETE" => {
            subscriptions.retain(|known| known["id"] != id);
            (StatusCode::NO_CONTENT, String::new())
        }
        _ => {
            let error = json!({ "error": { "code": "ResourceNotFound", "message": "The object was not found." } });
            (StatusCode::NOT_FOUND, error.to_string())
        }
    }
}

fn remote_subscription(id: &str, resource: &str, url: &str, days: i64) -> Value {
    let expiration = Timestamp::now() + SignedDuration::from_hours(24 * days);
    json!({
        "id": id, "resource": resource, "changeType": "updated", "notificationUrl": url,
        "expirationDateTime": expiration.to_string(),
    })
}

const WEBHOOK: &str = "https://hooks.example/notify";

fn object(metadata: &Value, status: &Value) -> GraphSubscription {
    let mut object = json!({
        "apiVersion": "teamsgraph.dev/v1alpha1", "kind": "GraphSubscription",
        "metadata": { "name": "people", "namespace": "n", "uid": "u", "generation": 1, "resourceVersion": "7" },
        "spec": {
            "tenantRef": { "name": "t" }, "resource": "users", "changeTypes": ["Updated"],
            "externalEndpoint": { "notificationUrl": WEBHOOK, "clientStateRef": { "name": "s", "key": "k" } },
        },
        "status": status,
    });
    for (key, value) in metadata.as_object().unwrap() {
        object["metadata"][key] = value.clone();
    }
    serde_json::from_value(object).unwrap()
}

fn tenant() -> GraphTenant {
    serde_json::from_value(json!({
        "apiVersion": "teamsgraph.dev/v1alpha1", "kind": "GraphTenant",
        "metadata": { "name": "t", "namespace": "n", "uid": "t" },
        "spec": { "tenantId": "contoso.example", "credentials": { "workloadIdentity": {} } },
    }))
    .unwrap()
}

/// Answers for the Secret of the webhook and for events; the object's own writes go to `object`.
fn api_server(log: &Log, mut object: impl FnMut(&Asked) -> (u16, Value) + Send + 'static) -> Client {
    let log = log.clone();
    let (client, _) = recording(move |asked| {
        let last = asked.path.rsplit('/').next().unwrap_or_default();
        match asked.path.as_str() {
            path if path.contains("/secrets/") => (
                200,
                json!({
                    "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "s" }, "data": { "k": "c3RhdGU=" },
                }),
            ),
            path if path.contains("/events") => (201, asked.body.clone()),
            path if path.contains("/namespaces/n/graphsub") => {
                log.lock().unwrap().push(format!("api {} {last}", asked.method));
                object(asked)
            }
            _ => refusal(404, "NotFound"),
        }
    });
    client
}

/// The object as the API server keeps it: patches of finalizers and status are merged in.
fn keeps(mut kept: GraphSubscription) -> impl FnMut(&Asked) -> (u16, Value) + Send + 'static {
    let mut version = 7;
    move |asked| {
        version += 1;
        if asked.path.ends_with("/status") {
            kept.status = serde_json::from_value(asked.body["status"].clone()).unwrap();
        } else {
            kept.metadata.finalizers = serde_json::from_value(asked.body["metadata"]["finalizers"].clone()).unwrap();
        }
        kept.metadata.resource_version = Some(version.to_string());
        (200, serde_json::to_value(&kept).unwrap())
    }
}

/// An API server that keeps the object, and the object as it was last written.
fn api_server_of(log: &Log, object: &GraphSubscription) -> (Client, Arc<Mutex<Value>>) {
    let mut keeps = keeps(object.clone());
    let written = Arc::new(Mutex::new(Value::Null));
    let last = written.clone();
    let client = api_server(log, move |asked| {
        let answer = keeps(asked);
        *last.lock().unwrap() = answer.1.clone();
        answer
    });
    (client, written)
}

/// The same, shared with others: as strict about versions as the real one. What `others` do comes before the first write of the
/// status.
fn api_server_shared_with(
    log: &Log,
    object: &GraphSubscription,
    others: fn(&mut GraphSubscription),
) -> (Client, Arc<Mutex<GraphSubscription>>) {
    let kept = Arc::new(Mutex::new(object.clone()));
    let (last, mut others) = (kept.clone(), Some(others));
    let client = api_server(log, move |asked| {
        let mut kept = last.lock().unwrap();
        let is_status = asked.path.ends_with("/status");
        if let Some(others) = others.take_if(|_| is_status) {
            let before = kept.clone();
            others(&mut kept);
            if *kept != before {
                kept.metadata.resource_version = Some("70".to_owned());
            }
        }
        let fence = asked.body["metadata"].get("resourceVersion").and_then(Value::as_str);
        if asked.method == "PATCH" && fence.is_some() && fence != kept.metadata.resource_version.as_deref() {
            return refusal(409, "Conflict");
        }
        if asked.method == "PATCH" {
            let version = kept.metadata.resource_version.clone();
            let (_, answer) = keeps(kept.clone())(asked);
            *kept = serde_json::from_value(answer).unwrap();
            kept.metadata.resource_version = version.map(|version| format!("{version}1"));
        }
        (200, serde_json::to_value(&*kept).unwrap())
    });
    (client, kept)
}

fn prepare(client: &Client, remote: &Remote, object: &GraphSubscription) -> (Arc<Context>, Writers) {
    let (context, mut writers) = context(client, "");
    writers.tenant(&tenant());
    writers.subscription(object);
    let app = App {
        tenant_id: "contoso.example".to_owned(),
        client_id: Some("app".to_owned()),
        login: remote.base.clone(),
        graph: remote.base.clone(),
        credential: Credential::ClientSecret(SecretString::from("secret")),
    };
    context
        .apps
        .client(&tenant_reference(), app, "c", &context.http, &context.graph_metrics);
    context.apps.tried(&tenant_reference());
    (context, writers)
}

fn tenant_reference() -> ObjectRef {
    ObjectRef {
        name: "t".to_owned(),
        namespace: Some("n".to_owned()),
    }
}

fn lines(log: &Log) -> Vec<String> {
    std::mem::take(&mut *log.lock().unwrap())
}

#[tokio::test]
async fn the_finalizer_comes_before_the_first_create() {
    let log = Log::default();
    let remote = Remote::start(Vec::new(), &log).await;
    let object = object(&json!({}), &Value::Null);
    let client = api_server(&log, keeps(object.clone()));
    let (context, _writers) = prepare(&client, &remote, &object);
    run(Arc::new(object), &context).await.unwrap();
    assert_eq!(
        lines(&log),
        [
            "graph GET /v1.0/subscriptions",
            "api PATCH people",
            "graph POST /v1.0/subscriptions",
            "api PATCH status",
        ],
        "of an object without a status the finalizer says that a create may have been sent"
    );
}

/// What Graph answered is written down beside what others wrote, with one write where there is nothing of theirs, but not over a
/// newer status: this process may have stood still while another led.
#[tokio::test]
async fn the_last_write_is_over_all_but_the_status_of_another() {
    let nothing: fn(&mut GraphSubscription) = |_| {};
    let annotates: fn(&mut GraphSubscription) = |object| {
        object.metadata.annotations = Some([("a".to_owned(), "b".to_owned())].into());
        object.spec.suspend = true;
    };
    let subscribes: fn(&mut GraphSubscription) = |object| {
        object.status = serde_json::from_value(json!({ "subscriptionId": "theirs" })).unwrap();
    };
    let replaces: fn(&mut GraphSubscription) = |object| object.metadata.uid = Some("another".to_owned());
    let (write, read) = ("api PATCH status", "api GET people");
    for (others, writes, id) in [
        (nothing, &[write][..], Some("made")),
        (annotates, &[write, read, write], Some("made")),
        (subscribes, &[write, read], Some("theirs")),
        (replaces, &[write, read], None),
    ] {
        let log = Log::default();
        let remote = Remote::start(Vec::new(), &log).await;
        let object = Arc::new(object(&json!({}), &Value::Null));
        let (client, kept) = api_server_shared_with(&log, &object, others);
        let (context, _writers) = prepare(&client, &remote, &object);
        let done = run(object.clone(), &context).await;
        assert_eq!(lines(&log)[3..], *writes, "after list, finalizer and create");
        let is_ours = id == Some("made");
        assert!(if is_ours {
            done.is_ok()
        } else {
            matches!(done, Err(Error::Overtaken))
        });
        let kept = kept.lock().unwrap().clone();
        let status = kept.status.clone().unwrap_or_default();
        assert_eq!(status.subscription_id.as_deref(), id);
        if id.is_some() {
            assert_eq!(*context.written.newest(object), kept, "the next look is at the newest");
        }
    }
}

#[tokio::test]
async fn a_lifetime_that_graph_refuses_is_asked_for_as_it_says_at_once_and_remembered() {
    let log = Log::default();
    let remote = Remote::start(Vec::new(), &log).await;
    remote.longest.store(1440, Ordering::Relaxed);
    let object = object(&json!({}), &Value::Null);
    let (client, written) = api_server_of(&log, &object);
    let (context, _writers) = prepare(&client, &remote, &object);
    run(Arc::new(object), &context).await.unwrap();
    let posts = lines(&log).iter().filter(|line| line.starts_with("graph POST")).count();
    assert_eq!(posts, 2);
    let status = written.lock().unwrap()["status"].clone();
    assert_eq!(status["learnedMaximumMinutes"], 1440, "{status}");
    assert_eq!(status["subscriptionId"], "made");
}

#[tokio::test]
async fn with_a_status_or_an_older_finalizer_the_mark_comes_before_the_create() {
    let seen = json!({ "observedGeneration": 1 });
    for (metadata, status, writes) in [
        (json!({}), &seen, &["api PATCH people", "api PATCH status"][..]),
        (json!({ "finalizers": [FINALIZER] }), &seen, &["api PATCH status"]),
        (
            json!({ "finalizers": [FINALIZER] }),
            &Value::Null,
            &["api PATCH status"],
        ),
    ] {
        let log = Log::default();
        let remote = Remote::start(Vec::new(), &log).await;
        let object = object(&metadata, status);
        let client = api_server(&log, keeps(object.clone()));
        let (context, _writers) = prepare(&client, &remote, &object);
        run(Arc::new(object), &context).await.unwrap();
        let create = ["graph POST /v1.0/subscriptions", "api PATCH status"];
        let expected: Vec<_> = ["graph GET /v1.0/subscriptions"]
            .iter()
            .chain(writes)
            .chain(&create)
            .copied()
            .collect();
        assert_eq!(lines(&log), expected);
    }
}

/// The process ended between the create and its record.
#[tokio::test]
async fn one_that_is_held_and_has_no_status_is_looked_for_and_not_made_twice() {
    for deleted in [false, true] {
        let log = Log::default();
        let remote = Remote::start(vec![remote_subscription("s1", "users", WEBHOOK, 2)], &log).await;
        let mut metadata = json!({ "finalizers": [FINALIZER] });
        if deleted {
            metadata["deletionTimestamp"] = json!(Timestamp::now().to_string());
        }
        let object = object(&metadata, &Value::Null);
        let client = api_server(&log, keeps(object.clone()));
        let (context, _writers) = prepare(&client, &remote, &object);
        run(Arc::new(object), &context).await.unwrap();
        assert_eq!(remote.held.lock().unwrap().len(), usize::from(!deleted));
        assert!(!lines(&log).iter().any(|line| line.contains("POST")));
    }
}

#[tokio::test]
async fn a_mark_that_is_refused_makes_nothing() {
    for refused in ["people", "status"] {
        let log = Log::default();
        let remote = Remote::start(Vec::new(), &log).await;
        // A new object needs no mark beside the finalizer.
        let object = object(&json!({}), &json!({ "observedGeneration": 1 }));
        let mut keeps = keeps(object.clone());
        let client = api_server(&log, move |asked| {
            if asked.path.ends_with(refused) {
                return refusal(409, "Conflict");
            }
            keeps(asked)
        });
        let (context, _writers) = prepare(&client, &remote, &object);
        let error = run(Arc::new(object), &context).await.unwrap_err();
        assert!(matches!(error, Error::Api(kube::Error::Api(status)) if status.code == 409));
        let lines = lines(&log);
        assert!(!lines.iter().any(|line| line.contains("POST")), "{lines:?}");
        assert_eq!(lines.last(), Some(&format!("api PATCH {refused}")));
        assert!(remote.held.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn what_was_just_written_counts_though_the_watch_lags() {
    let log = Log::default();
    let remote = Remote::start(Vec::new(), &log).await;
    let stale = Arc::new(object(&json!({}), &json!({})));
    let client = api_server(&log, keeps((*stale).clone()));
    let (context, _writers) = prepare(&client, &remote, &stale);
    reconcile(stale.clone(), context.clone()).await;
    lines(&log);
    reconcile(stale, context).await;
    assert_eq!(lines(&log), [""; 0], "neither looked for nor adopted again");
}

/// The clock of a machine may have been set by hours: what is due now would seem to be due tomorrow.
#[tokio::test]
async fn what_is_planned_by_a_clock_that_was_not_compared_is_looked_at_again_soon() {
    let log = Log::default();
    let remote = Remote::start(Vec::new(), &log).await;
    let object = Arc::new(object(&json!({}), &json!({})));
    let client = api_server(&log, keeps((*object).clone()));
    let (context, _writers) = prepare(&client, &remote, &object);
    run(object.clone(), &context).await.unwrap();
    let made = context.written.newest(object);
    let sure = run(made.clone(), &context).await.unwrap();
    assert_eq!(sure.again_after, Some(context.settings.longest_rest));
    let (new_leader, _writers) = prepare(&client, &remote, &made);
    let unsure = run(made, &new_leader).await.unwrap();
    assert_eq!(unsure.again_after, Some(std::time::Duration::from_mins(5)));
}

/// A renewal every ten minutes is the most that Graph wants.
#[tokio::test]
async fn what_is_due_only_by_a_clock_that_was_set_is_not_renewed() {
    for (behind, due) in [(24, false), (0, true)] {
        let log = Log::default();
        let at = |hours| (Timestamp::now() + SignedDuration::from_hours(hours)).to_string();
        let mut held = remote_subscription("s1", "users", WEBHOOK, 2);
        held["expirationDateTime"] = json!(at(4));
        let remote = Remote::start(vec![held], &log).await;
        remote.behind.store(behind, Ordering::Relaxed);
        let status = json!({
            "observedGeneration": 1, "subscriptionId": "s1", "expirationTime": at(4), "renewalTime": at(-1),
        });
        let object = object(&json!({ "finalizers": [FINALIZER] }), &status);
        let client = api_server(&log, keeps(object.clone()));
        let (context, _writers) = prepare(&client, &remote, &object);
        run(Arc::new(object), &context).await.unwrap();
        let renewed = lines(&log).iter().any(|line| line.starts_with("graph PATCH"));
        assert_eq!(renewed, due, "{behind} hours behind");
    }
}

#[tokio::test]
async fn a_webhook_may_take_several_subscriptions() {
    let log = Log::default();
    let other = remote_subscription("other", "groups", WEBHOOK, 2);
    let remote = Remote::start(vec![other.clone()], &log).await;
    let object = object(&json!({}), &json!({}));
    let client = api_server(&log, keeps(object.clone()));
    let (context, _writers) = prepare(&client, &remote, &object);
    run(Arc::new(object), &context).await.unwrap();
    let held = remote.held.lock().unwrap();
    assert_eq!((held.len(), &held[0]), (2, &other), "that of another object stays");
}

/// The process died between the mark and the delete of a change from `groups` to `users`.
#[tokio::test]
async fn a_replacement_that_was_cut_off_leaves_no_orphan() {
    let expiration = Timestamp::now() + SignedDuration::from_hours(48);
    let status = json!({
        "subscriptionId": "s1", "expirationTime": expiration.to_string(), "createPendingSince": "2026-01-01T00:00:00Z",
    });
    let deleted = json!({ "finalizers": [FINALIZER], "deletionTimestamp": Timestamp::now().to_string() });
    for (metadata, left) in [(json!({}), vec!["made"]), (deleted, vec![])] {
        let log = Log::default();
        let remote = Remote::start(vec![remote_subscription("s1", "groups", WEBHOOK, 2)], &log).await;
        let object = object(&metadata, &status);
        let client = api_server(&log, keeps(object.clone()));
        let (context, _writers) = prepare(&client, &remote, &object);
        run(Arc::new(object), &context).await.unwrap();
        let held = remote.held.lock().unwrap();
        let ids: Vec<_> = held.iter().map(|one| one["id"].as_str().unwrap()).collect();
        assert_eq!(ids, left);
    }
}

#[tokio::test]
async fn an_expired_entry_beside_a_live_one_is_not_taken() {
    let log = Log::default();
    let held = vec![
        remote_subscription("live", "users", WEBHOOK, 2),
        remote_subscription("expired", "users", WEBHOOK, -2),
    ];
    let remote = Remote::start(held, &log).await;
    let object = object(&json!({}), &json!({}));
    let (client, written) = api_server_of(&log, &object);
    let (context, _writers) = prepare(&client, &remote, &object);
    run(Arc::new(object), &context).await.unwrap();
    assert_eq!(written.lock().unwrap()["status"]["subscriptionId"], "live");
    assert_eq!(remote.held.lock().unwrap().len(), 2);
}

/// Deleted together with its tenant, which has no finalizer and goes first.
#[tokio::test]
async fn the_remote_one_is_deleted_though_the_tenant_went_first() {
    let log = Log::default();
    let remote = Remote::start(vec![remote_subscription("s1", "users", WEBHOOK, 2)], &log).await;
    let deleted = json!({ "finalizers": [FINALIZER], "deletionTimestamp": Timestamp::now().to_string() });
    let expiration = Timestamp::now() + SignedDuration::from_hours(48);
    let status = json!({ "subscriptionId": "s1", "expirationTime": expiration.to_string() });
    let object = object(&deleted, &status);
    let client = api_server(&log, keeps(object.clone()));
    let (context, mut writers) = prepare(&client, &remote, &object);
    writers.tenants.apply_watcher_event(&Event::Delete(tenant()));
    run(Arc::new(object), &context).await.unwrap();
    assert_eq!(lines(&log), ["graph DELETE /v1.0/subscriptions/s1", "api PATCH people"]);
    assert!(remote.held.lock().unwrap().is_empty());
}

/// A create may have succeeded, and without the address nobody can tell which one it made.
#[tokio::test]
async fn a_deletion_does_not_take_an_unknown_address_for_an_absence() {
    let log = Log::default();
    let remote = Remote::start(vec![remote_subscription("s1", "users", WEBHOOK, 2)], &log).await;
    let deleted = json!({ "finalizers": [FINALIZER], "deletionTimestamp": Timestamp::now().to_string() });
    let mut object = object(&deleted, &json!({ "createPendingSince": "2026-01-01T00:00:00Z" }));
    object.spec.external_endpoint = None;
    object.spec.receiver_ref = Some(ObjectRef {
        name: "unread".to_owned(),
        namespace: None,
    });
    let client = api_server(&log, keeps(object.clone()));
    let (context, _writers) = prepare(&client, &remote, &object);
    let object = Arc::new(object);
    run(object.clone(), &context).await.unwrap();
    assert_eq!(lines(&log), ["api PATCH status"], "the finalizer stays");
    let mut later = (*context.written.newest(object)).clone();
    assert!(later.status.as_ref().unwrap().create_pending_since.is_some());
    later.status.as_mut().unwrap().failure = None;
    run(Arc::new(later), &context).await.unwrap();
    assert_eq!(lines(&log), ["api PATCH status"], "and the next time too");
}

#[tokio::test]
async fn what_the_list_shows_and_is_gone_is_not_adopted() {
    let log = Log::default();
    let mut ghost = remote_subscription("ghost", "users", WEBHOOK, 2);
    ghost["gone"] = json!(true);
    let remote = Remote::start(vec![ghost], &log).await;
    let object = object(&json!({}), &json!({}));
    let client = api_server(&log, keeps(object.clone()));
    let (context, _writers) = prepare(&client, &remote, &object);
    run(Arc::new(object), &context).await.unwrap();
    let graph: Vec<_> = lines(&log)
        .into_iter()
        .filter(|line| line.starts_with("graph"))
        .collect();
    assert_eq!(
        graph,
        [
            "graph GET /v1.0/subscriptions",
            "graph GET /v1.0/subscriptions/ghost",
            "graph POST /v1.0/subscriptions",
        ]
    );
}

#[tokio::test]
async fn lifecycle_events_are_struck_off_only_after_the_status_is_written() {
    let log = Log::default();
    let remote = Remote::start(Vec::new(), &log).await;
    let object = object(&json!({}), &json!({}));
    let client = api_server(&log, |_| refusal(500, "InternalError"));
    let (context, _writers) = prepare(&client, &remote, &object);
    context.apps.forget(&tenant_reference());
    let lifecycle = Lifecycle {
        event: LifecycleEvent::Missed,
        subscription_id: None,
        received: Timestamp::UNIX_EPOCH,
    };
    let origin = Origin {
        pod: "p".to_owned(),
        seq: 1,
    };
    context.inbox.put("u", origin, lifecycle);
    run(Arc::new(object), &context).await.unwrap_err();
    assert_eq!(context.inbox.peek("u").len(), 1);
}

/// Graph counts 100 subscriptions to users and groups for an app in a tenant.
#[tokio::test]
async fn a_create_that_graph_would_refuse_for_its_quota_is_not_sent() {
    let other = |n: usize| remote_subscription(&n.to_string(), &format!("users/{n}"), "https://other.example", 2);
    let mut expired = other(100);
    expired["expirationDateTime"] = json!("2026-01-01T00:00:00Z");
    // Its own one is gone, and the list does not know it yet.
    let mut ghost = remote_subscription("ghost", "users", WEBHOOK, 2);
    ghost["gone"] = json!(true);
    for (held, created) in [(100, false), (99, true)] {
        let log = Log::default();
        let mut list: Vec<_> = (0..held).map(other).collect();
        list.extend([expired.clone(), ghost.clone()]);
        let remote = Remote::start(list, &log).await;
        let object = object(
            &json!({ "finalizers": [FINALIZER] }),
            &json!({ "previousIds": ["ghost"] }),
        );
        let client = api_server(&log, keeps(object.clone()));
        let (context, _writers) = prepare(&client, &remote, &object);
        let object = Arc::new(object);
        run(object.clone(), &context).await.unwrap();
        assert_eq!(lines(&log).iter().any(|line| line.contains("POST")), created, "{held}");
        if !created {
            let status = context.written.newest(object).status.clone().unwrap();
            let condition = |type_| condition::find(&status.conditions, type_).unwrap();
            let subscribed = condition(ConditionType::Subscribed);
            assert_eq!(
                (subscribed.status.as_str(), subscribed.reason.as_str()),
                ("False", "QuotaExceeded")
            );
            assert!(
                subscribed.message.contains("holds 100 already"),
                "{}",
                subscribed.message
            );
            assert_eq!(condition(ConditionType::Ready).status, "True", "the spec is fine");
        }
    }
}

/// A new object needs no list; one that was read before tells all the same that there is no room.
#[tokio::test]
async fn for_a_new_object_the_last_list_is_enough_to_suspect_a_used_up_quota() {
    let log = Log::default();
    let other = |n: usize| remote_subscription(&n.to_string(), &format!("users/{n}"), "https://other.example", 2);
    let remote = Remote::start((0..100).map(other).collect(), &log).await;
    let mut object = object(&json!({}), &Value::Null);
    object.spec.external_endpoint = None;
    object.spec.receiver_ref = Some(ObjectRef {
        name: "r".to_owned(),
        namespace: None,
    });
    let client = api_server(&log, keeps(object.clone()));
    let (context, _writers) = prepare(&client, &remote, &object);
    let mut view = observe::observe(&context, Arc::new(object)).await.unwrap();
    let keyring = Keyring::from_base64([("k1", "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=")]).0;
    view.endpoint = Ok(Endpoint::derived("https://hooks.example", &keyring, "u").unwrap());
    let (graph, _) = view.app.clone().unwrap();

    let (_, full) = look_up::look_up(&view).await.unwrap();
    assert_eq!(
        (full, lines(&log).len()),
        (None, 0),
        "nothing is known, and nothing asked"
    );
    graph.list(std::time::Duration::ZERO, view.now).await.unwrap();
    let (found, full) = look_up::look_up(&view).await.unwrap();
    assert_eq!(
        (found, full.map(|full| full.held)),
        (crate::policy::subscription::Remote::Absent, Some(100))
    );
}

/// One at the same address lives, and says nothing about the one that the status names.
#[tokio::test]
async fn a_twin_does_not_hide_that_the_known_one_is_gone() {
    for (lives, id) in [(true, "s1"), (false, "twin")] {
        let log = Log::default();
        let mut held = vec![remote_subscription("twin", "users", WEBHOOK, 3)];
        held.extend(lives.then(|| remote_subscription("s1", "users", WEBHOOK, 2)));
        let remote = Remote::start(held, &log).await;
        let at = |hours| (Timestamp::now() + SignedDuration::from_hours(hours)).to_string();
        let status = json!({
            "observedGeneration": 1, "subscriptionId": "s1", "expirationTime": at(48), "renewalTime": at(24),
            "lastRenewalTime": at(-24),
        });
        let object = Arc::new(object(&json!({ "finalizers": [FINALIZER] }), &status));
        let client = api_server(&log, keeps((*object).clone()));
        let (context, _writers) = prepare(&client, &remote, &object);
        let (graph, _) = observe::observe(&context, object.clone()).await.unwrap().app.unwrap();
        doubts::compare(&context, &tenant_reference(), &graph, &[]);
        run(object.clone(), &context).await.unwrap();
        let status = context.written.newest(object).status.clone().unwrap();
        assert_eq!(status.subscription_id.as_deref(), Some(id));
        let gaps: Vec<_> = status
            .gaps
            .iter()
            .map(|gap| (gap.cause.as_str(), gap.end.is_some()))
            .collect();
        let expected: &[_] = if lives { &[] } else { &[("Removed", true)] };
        assert_eq!(gaps, expected);
    }
}

/// The list is not asked for where all is on record; that one is in the way says that it is not.
#[tokio::test]
async fn one_that_graph_says_is_in_the_way_is_looked_for_and_adopted() {
    let log = Log::default();
    let keyring = Keyring::from_base64([("k1", "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=")]).0;
    let url = Endpoint::derived("https://hooks.example", &keyring, "u")
        .unwrap()
        .notification_url;
    let held = remote_subscription("ours", "users", url.expose_secret(), 2);
    let remote = Remote::start(vec![held], &log).await;
    remote.limited.store(true, Ordering::Relaxed);
    let mut object = object(
        &json!({ "finalizers": [FINALIZER] }),
        &json!({ "observedGeneration": 1 }),
    );
    object.spec.external_endpoint = None;
    object.spec.receiver_ref = Some(ObjectRef {
        name: "r".to_owned(),
        namespace: None,
    });
    let client = api_server(&log, keeps(object.clone()));
    let (context, mut writers) = prepare(&client, &remote, &object);
    let receiver = json!({
        "apiVersion": "teamsgraph.dev/v1alpha1", "kind": "NotificationReceiver",
        "metadata": { "name": "r", "namespace": "n", "uid": "r" },
        "spec": { "publicUrl": "https://hooks.example" },
        "status": { "observedGeneration": 1, "readyReplicas": 1 },
    });
    let receiver = Event::Apply(serde_json::from_value(receiver).unwrap());
    writers.receivers.apply_watcher_event(&receiver);
    context.keyrings.put(object.receiver().unwrap(), keyring);

    let object = Arc::new(object);
    run(object.clone(), &context).await.unwrap();
    let mut later = (*context.written.newest(object.clone())).clone();
    let failure = later.status.as_mut().unwrap().failure.as_mut().unwrap();
    assert_eq!(failure.reason, "Conflict");
    failure.not_before = condition::time(Timestamp::now() - SignedDuration::from_secs(1));
    assert!(!lines(&log).iter().any(|line| line == "graph GET /v1.0/subscriptions"));
    run(Arc::new(later), &context).await.unwrap();
    let status = context.written.newest(object).status.clone().unwrap();
    assert_eq!(status.subscription_id.as_deref(), Some("ours"));
    assert!(!lines(&log).iter().any(|line| line.contains("POST")));
}
