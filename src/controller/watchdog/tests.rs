use std::sync::{Arc, Mutex};

use kube::runtime::reflector::store;
use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher::Event;
use prometheus::Opts;
use serde_json::{Value, json};

use super::*;
use crate::api::subscription::GraphSubscription;
use crate::controller::testing::{Asked, client, refusal};

/// Name, UID, version.
type Object = (&'static str, &'static str, &'static str);

fn subscription((name, uid, version): Object) -> GraphSubscription {
    serde_json::from_value(json!({
        "apiVersion": "teamsgraph.dev/v1alpha1", "kind": "GraphSubscription",
        "metadata": { "name": name, "namespace": "n", "uid": uid, "resourceVersion": version },
        "spec": {
            "tenantRef": { "name": "t" }, "receiverRef": { "name": "r" }, "resource": "users", "changeTypes": ["Updated"],
        },
    }))
    .unwrap()
}

fn holding(objects: &[Object]) -> HashMap<String, Held> {
    let entry = |object: &Object| {
        let held = Held {
            object: name(&subscription(*object)),
            version: object.2.to_owned(),
        };
        (object.1.to_owned(), held)
    };
    objects.iter().map(entry).collect()
}

/// What it is about, the store at first, the list, the store at the second look, UIDs of what is late.
type Case<'a> = (&'a str, &'a [Object], &'a [Object], &'a [Object], &'a [&'a str]);

/// UIDs of what is late: the store at first, the list, the store at the second look.
fn found(first: &[Object], list: &[Object], second: &[Object]) -> Vec<String> {
    let mut comparison = Comparison::new(holding(first));
    for object in list {
        comparison.listed(&subscription(*object));
    }
    let mut uids: Vec<_> = late(comparison.end(), &holding(second))
        .into_iter()
        .map(|owed| owed.uid)
        .collect();
    uids.sort();
    uids
}

#[test]
fn only_what_the_watch_owes_and_does_not_bring_is_late() {
    let (a1, a2, a3, b1) = (("a", "A", "1"), ("a", "A", "2"), ("a", "A", "3"), ("b", "B", "1"));
    let again = ("a", "C", "4");
    let cases: &[Case] = &[
        ("nothing anywhere", &[], &[], &[], &[]),
        ("the same", &[a1, b1], &[b1, a1], &[a1, b1], &[]),
        ("a change that comes", &[a1, b1], &[a2, b1], &[a2, b1], &[]),
        ("a change that comes with the next one", &[a1], &[a2], &[a3], &[]),
        ("a change that does not come", &[a1, b1], &[a2, b1], &[a1, b1], &["A"]),
        // Versions are opaque: that the server is behind the store is no better.
        ("a store that is ahead and stays there", &[a2], &[a1], &[a2], &["A"]),
        ("a new one that comes", &[a1], &[a1, b1], &[a1, b1], &[]),
        ("a new one that does not come", &[a1], &[a1, b1], &[a1], &["B"]),
        ("a deletion that comes", &[a1, b1], &[a1], &[a1], &[]),
        ("a deletion that does not come", &[a1, b1], &[a1], &[a1, b1], &["B"]),
        ("made anew under the same name", &[a1], &[again], &[again], &[]),
        (
            "made anew, of which the watch says nothing",
            &[a1],
            &[again],
            &[a1],
            &["A", "C"],
        ),
        ("everything lost", &[a1, b1], &[], &[a1, b1], &["A", "B"]),
    ];
    for (what, first, list, second, expected) in cases {
        assert_eq!(found(first, list, second), *expected, "{what}");
    }
}

struct Fixture {
    watchdog: Watchdog,
    writer: Arc<Mutex<Writer<GraphSubscription>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Fixture {
    /// With this in the store, and an API server that answers for subscriptions.
    fn new(held: &[Object], mut answer: impl FnMut(&Asked) -> (u16, Value) + Send + 'static) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        let client = client(move |request| {
            log.lock().unwrap().push(request.clone());
            Some(if request.path.contains("graphsubscriptions") {
                answer(request)
            } else {
                list(&[], "")
            })
        });
        let (subscriptions, mut writer) = store();
        for object in held {
            writer.apply_watcher_event(&Event::Apply(subscription(*object)));
        }
        let opts = Opts::new("teamsgraph_watch_checks_total", "For a test.");
        Self {
            watchdog: Watchdog {
                client,
                namespace: None,
                stores: Stores {
                    tenants: store().0,
                    receivers: store().0,
                    subscriptions,
                    presence: store().0,
                    connectors: store().0,
                    index: crate::controller::index::Index::default(),
                },
                checks: IntCounterVec::new(opts, &["kind", "result"]).unwrap(),
                period: Duration::from_secs(600),
            },
            writer: Arc::new(Mutex::new(writer)),
            asked,
        }
    }

    fn counted(&self, result: &str) -> u64 {
        let checks = &self.watchdog.checks;
        checks.with_label_values(&["GraphSubscription", result]).get()
    }
}

fn list(objects: &[Object], next: &str) -> (u16, Value) {
    let items: Vec<Value> = objects
        .iter()
        .map(|(name, uid, version)| {
            json!({
                "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
                "metadata": { "name": name, "namespace": "n", "uid": uid, "resourceVersion": version },
            })
        })
        .collect();
    let list = json!({
        "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadataList",
        "metadata": { "resourceVersion": "9", "continue": next }, "items": items,
    });
    (200, list)
}

#[tokio::test(start_paused = true)]
async fn all_pages_are_compared_and_nothing_is_written() {
    let fixture = Fixture::new(&[("a", "A", "1"), ("b", "B", "2")], |request| {
        if request.query.contains("continue=more") {
            list(&[("b", "B", "2")], "")
        } else {
            list(&[("a", "A", "1")], "more")
        }
    });
    assert_eq!(fixture.watchdog.look().await, None);
    assert_eq!(fixture.counted("same"), 1);
    let asked = fixture.asked.lock().unwrap();
    assert!(asked.iter().all(|request| request.method == "GET"), "{asked:?}");
    assert!(
        asked.iter().all(|request| request.query.contains("limit=500")),
        "{asked:?}"
    );
    assert_eq!(asked.len(), 6, "two pages, and four kinds without objects");
}

#[tokio::test(start_paused = true)]
async fn a_change_that_the_watch_does_not_bring_is_told() {
    let fixture = Fixture::new(&[("a", "A", "1")], |_| list(&[("a", "A", "2")], ""));
    let stale = fixture.watchdog.look().await.unwrap();
    let expected = "the watch on GraphSubscription is stale: 1 objects are not as the API server had them 60 s ago, n/a for instance";
    assert_eq!(stale, expected);
    assert_eq!((fixture.counted("behind"), fixture.counted("stale")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_only_slow_is_left_alone() {
    let fixture = Fixture::new(&[("a", "A", "1")], |_| list(&[("a", "A", "2")], ""));
    let writer = fixture.writer.clone();
    let slow = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(59)).await;
        let event = Event::Apply(subscription(("a", "A", "2")));
        writer.lock().unwrap().apply_watcher_event(&event);
    });
    assert_eq!(fixture.watchdog.look().await, None);
    slow.await.unwrap();
    assert_eq!((fixture.counted("behind"), fixture.counted("stale")), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn one_that_came_and_went_is_nobodys_fault() {
    for (still_there, stale) in [(false, false), (true, true)] {
        let fixture = Fixture::new(&[], move |request| {
            let look_again = request.query.contains("metadata.name");
            if look_again && !still_there {
                list(&[("a", "another", "3")], "")
            } else {
                list(&[("a", "A", "2")], "")
            }
        });
        assert_eq!(fixture.watchdog.look().await.is_some(), stale);
    }
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_does_not_answer_is_no_stale_watch() {
    let fixture = Fixture::new(&[("a", "A", "1")], |_| refusal(503, "ServiceUnavailable"));
    assert_eq!(fixture.watchdog.look().await, None);
    assert_eq!((fixture.counted("failed"), fixture.counted("same")), (1, 0));
}
