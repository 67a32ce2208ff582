use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::*;
use crate::controller::testing::{Asked, client, refusal};

fn held_by(identity: &str) -> Lease {
    Lease {
        spec: Some(LeaseSpec {
            holder_identity: Some(identity.to_owned()),
            ..Default::default()
        }),
        ..Default::default()
    }
}

#[test]
fn claims_only_what_is_free_own_or_long_unchanged() {
    let second = Duration::from_secs(1);
    let cases = [
        (None, 0, Step::Claim { transition: true }),
        (Some(""), 0, Step::Claim { transition: true }),
        (Some("me"), 0, Step::Claim { transition: false }),
        (Some("other"), 14, Step::Follow),
        (Some("other"), 15, Step::Claim { transition: true }),
    ];
    for (holder, unchanged, expected) in cases {
        let lease = holder.map(held_by);
        assert_eq!(
            decide(lease.as_ref(), "me", second * unchanged),
            expected,
            "{holder:?} {unchanged}"
        );
    }
}

/// The API server's one lease, with optimistic locking. `mood` says how a candidate's requests fare.
#[derive(Clone, Default)]
struct Server {
    lease: Arc<Mutex<Option<Value>>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Mood {
    Fine,
    Faulty,
    Silent,
    /// Reads succeed, writes conflict.
    Conflict,
}

impl Server {
    fn client(&self, mood: &Arc<Mutex<Mood>>) -> Client {
        let (server, mood) = (self.clone(), mood.clone());
        client(move |asked| match *mood.lock().unwrap() {
            Mood::Silent => None,
            Mood::Faulty => Some(refusal(500, "InternalError")),
            Mood::Conflict if asked.method != "GET" => Some(refusal(409, "Conflict")),
            Mood::Fine | Mood::Conflict => Some(server.answer(asked)),
        })
    }

    fn answer(&self, asked: &Asked) -> (u16, Value) {
        let mut lease = self.lease.lock().unwrap();
        let version = |lease: &Value| lease["metadata"]["resourceVersion"].as_str().map(str::to_owned);
        match (asked.method.as_str(), lease.as_ref()) {
            ("GET", None) => refusal(404, "NotFound"),
            ("GET", Some(known)) => (200, known.clone()),
            ("POST", None) => (201, write(&mut lease, &asked.body, 1)),
            ("PUT", Some(known)) if version(known) == version(&asked.body) => {
                let next = version(known).unwrap().parse::<u64>().unwrap() + 1;
                (200, write(&mut lease, &asked.body, next))
            }
            _ => refusal(409, "Conflict"),
        }
    }

    fn holder(&self) -> Value {
        let lease = self.lease.lock().unwrap();
        lease
            .as_ref()
            .map_or(Value::Null, |lease| lease["spec"]["holderIdentity"].clone())
    }

    /// Another writes the lease, however that came to be.
    fn give_to(&self, identity: &str) {
        let mut lease = self.lease.lock().unwrap();
        let mut given = lease.clone().unwrap();
        given["spec"]["holderIdentity"] = json!(identity);
        let next = given["metadata"]["resourceVersion"]
            .as_str()
            .unwrap()
            .parse::<u64>()
            .unwrap()
            + 1;
        write(&mut lease, &given, next);
    }
}

fn write(lease: &mut Option<Value>, body: &Value, version: u64) -> Value {
    let mut written = body.clone();
    written["metadata"]["resourceVersion"] = json!(version.to_string());
    *lease = Some(written.clone());
    written
}

/// A running candidate.
struct Running {
    mood: Arc<Mutex<Mood>>,
    leading: watch::Receiver<bool>,
    candidate: Arc<Candidate>,
    task: tokio::task::JoinHandle<LeaseError>,
}

impl Running {
    fn start(server: &Server, identity: &str) -> Self {
        let mood = Arc::new(Mutex::new(Mood::Fine));
        let candidate = Arc::new(Candidate::new(server.client(&mood), "n", "lease", identity));
        let (sender, leading) = watch::channel(false);
        let task = tokio::spawn({
            let candidate = candidate.clone();
            async move { candidate.run(&sender).await }
        });
        Self {
            mood,
            leading,
            candidate,
            task,
        }
    }

    fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    async fn leads(&mut self) -> Instant {
        self.leading.wait_for(|leading| *leading).await.unwrap();
        Instant::now()
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_one_leads_and_goes_on_leading() {
    let server = Server::default();
    let mut first = Running::start(&server, "first");
    first.leads().await;
    let second = Running::start(&server, "second");
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert!(!*second.leading.borrow() && !first.task.is_finished() && !second.task.is_finished());
    let lease = server.lease.lock().unwrap().clone().unwrap();
    assert_eq!(lease["spec"]["leaseTransitions"], 1);
    assert_eq!(lease["spec"]["leaseDurationSeconds"], 15);
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_cannot_renew_ends_before_another_begins() {
    for mood in [Mood::Faulty, Mood::Silent, Mood::Conflict] {
        let server = Server::default();
        let mut first = Running::start(&server, "first");
        first.leads().await;
        let mut second = Running::start(&server, "second");
        tokio::time::sleep(Duration::from_secs(20)).await;
        first.set(mood);
        let cut = Instant::now();
        let lost = first.task.await.unwrap();
        assert!(matches!(lost, LeaseError::NotRenewed { .. }), "{lost}");
        let ended = Instant::now();
        assert!(ended - cut <= RENEW_DEADLINE, "{:?}", ended - cut);
        assert!(second.leads().await > ended + Duration::from_secs(1), "two at a time");
        assert_eq!(server.holder(), "second");
    }
}

#[tokio::test(start_paused = true)]
async fn a_short_fault_is_survived() {
    let server = Server::default();
    let mut first = Running::start(&server, "first");
    first.leads().await;
    for mood in [Mood::Faulty, Mood::Conflict, Mood::Silent] {
        first.set(mood);
        tokio::time::sleep(Duration::from_secs(5)).await;
        first.set(Mood::Fine);
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert!(!first.task.is_finished());
    }
}

#[tokio::test(start_paused = true)]
async fn a_holder_whose_lease_was_taken_ends_at_its_next_look() {
    let server = Server::default();
    let mut first = Running::start(&server, "first");
    first.leads().await;
    server.give_to("second");
    let taken = Instant::now();
    let lost = first.task.await.unwrap();
    assert!(matches!(&lost, LeaseError::Taken(by) if by == "second"), "{lost}");
    assert!(taken.elapsed() < PERIOD * 2);
}

/// It read the lease, slept, and wrote after another had taken it.
#[tokio::test(start_paused = true)]
async fn a_conflict_while_renewing_shows_at_once_who_holds_it() {
    let server = Server::default();
    let shared = server.clone();
    let racing = client(move |asked| {
        if asked.method == "PUT" {
            shared.give_to("second");
        }
        Some(shared.answer(asked))
    });
    let candidate = Candidate::new(racing, "n", "lease", "first");
    let mut seen = Seen {
        lease: None,
        changed: Instant::now(),
    };
    assert!(candidate.step(&mut seen).await.unwrap(), "created");
    assert!(!candidate.step(&mut seen).await.unwrap());
    assert_eq!(holder(seen.lease.as_ref()), "second");
}

#[tokio::test(start_paused = true)]
async fn of_two_that_create_it_the_slower_follows() {
    let server = Server::default();
    let shared = server.clone();
    let racing = client(move |asked| {
        if asked.method == "POST" {
            let mut body = asked.body.clone();
            body["spec"]["holderIdentity"] = json!("faster");
            write(&mut shared.lease.lock().unwrap(), &body, 1);
        }
        Some(shared.answer(asked))
    });
    let candidate = Candidate::new(racing, "n", "lease", "slower");
    let mut seen = Seen {
        lease: None,
        changed: Instant::now(),
    };
    assert!(!candidate.step(&mut seen).await.unwrap());
    assert!(!candidate.step(&mut seen).await.unwrap());
    assert_eq!(server.holder(), "faster");
}

#[tokio::test(start_paused = true)]
async fn what_is_released_is_claimed_at_the_next_look() {
    let server = Server::default();
    let mut first = Running::start(&server, "first");
    first.leads().await;
    let mut second = Running::start(&server, "second");
    tokio::time::sleep(Duration::from_secs(20)).await;
    second.candidate.release().await.unwrap();
    assert_eq!(server.holder(), "first", "a follower releases nothing");
    first.task.abort();
    first.candidate.release().await.unwrap();
    let released = Instant::now();
    assert!(second.leads().await - released < PERIOD * 2);
}
