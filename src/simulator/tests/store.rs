//! The store of subscriptions finds the same by its indexes as by looking at each.

use jiff::{SignedDuration, Timestamp};

use crate::simulator::subscriptions::bearer::Caller;
use crate::simulator::subscriptions::catalogue;
use crate::simulator::subscriptions::payload::Wanted;
use crate::simulator::subscriptions::store::{End, Subscription, Subscriptions};

const RESOURCES: [&str; 9] = [
    "users/Ada/messages",
    "/users/ada/events",
    "users/ada/mailFolders/inbox/messages",
    "users",
    "groups",
    "chats/1",
    "chats/getAllMessages",
    "communications/callRecords",
    "drives/7/root",
];
const EVENTS: [(&str, &[&str]); 5] = [
    (
        "users/ada/mailFolders/Inbox/messages/3",
        &["users/Ada/messages", "users/ada/mailFolders/inbox/messages"],
    ),
    ("users/7", &["users"]),
    ("chats/1/messages/2", &["chats/getAllMessages"]),
    ("chats/getAllMessages", &["chats/getAllMessages"]),
    ("drives/7/root", &["drives/7/root"]),
];

fn caller(tenant: u64, app: u64, token_ends: Timestamp) -> Caller {
    Caller {
        tenant: format!("t{tenant}"),
        app: format!("a{app}"),
        user: None,
        roles: Vec::new(),
        token_issued: 0,
        token_ends,
    }
}

fn wanted(resource: &str, change_type: &str, expires: Timestamp, with_lifecycle: bool) -> Wanted {
    Wanted {
        resource: resource.into(),
        change_type: change_type.into(),
        notification_url: "https://example.org".into(),
        lifecycle_notification_url: with_lifecycle.then(|| "https://example.org".into()),
        expires,
        client_state: None,
        include_resource_data: None,
        encryption_certificate: None,
        encryption_certificate_id: None,
        latest_supported_tls_version: None,
        notification_query_options: None,
        notification_url_app_id: None,
    }
}

fn ids<'a>(found: impl IntoIterator<Item = &'a Subscription>) -> Vec<String> {
    found.into_iter().map(|s| s.id.clone()).collect()
}

fn check(store: &Subscriptions, now: Timestamp) {
    let live: Vec<&Subscription> = store.live().collect();
    let of = |wanted: &dyn Fn(&Subscription) -> bool| ids(live.iter().copied().filter(|s| wanted(s)));
    assert!(live.iter().all(|s| s.expires > now), "what is over is gone");
    for s in &live {
        assert_eq!(store.get(&s.id.to_uppercase()).map(|found| found.seq), Some(s.seq));
    }
    let mut due = ids(store.due(now));
    due.sort();
    let mut expected = of(&|s| s.challenge_due().is_some_and(|at| at <= now));
    expected.sort();
    assert_eq!(due, expected);
    for (tenant, app) in [(0, 0), (0, 1), (1, 0), (2, 0)] {
        let caller = caller(tenant, app, now);
        let after = live.get(live.len() / 2).map_or(0, |s| s.seq);
        let own = of(&|s| s.is_of(&caller) && s.seq > after);
        assert_eq!(ids(store.after(&caller, after)), own);
        for resource in RESOURCES {
            let rules = catalogue::rules(resource).unwrap();
            let alike = |s: &Subscription| {
                let other = catalogue::rules(&s.wanted.resource).unwrap();
                s.tenant == caller.tenant && other.teams == rules.teams && (rules.teams || other.roles == rules.roles)
            };
            let all = of(&alike).len();
            let own = of(&|s| alike(s) && s.app == caller.app).len();
            assert_eq!(store.alike(&caller, rules), (all, own), "{resource}");
            let twin = store.duplicate(&caller, resource, Some("updated,created"));
            let same = |s: &Subscription| {
                let same = s
                    .wanted
                    .resource
                    .trim_matches('/')
                    .eq_ignore_ascii_case(resource.trim_matches('/'));
                s.is_of(&caller) && same && s.wanted.change_type == "created,updated"
            };
            assert_eq!(twin.map(|s| s.id.clone()), of(&same).first().cloned(), "{resource}");
        }
        let mailbox = |s: &Subscription| {
            s.tenant == caller.tenant
                && s.wanted
                    .resource
                    .to_lowercase()
                    .trim_matches('/')
                    .starts_with("users/ada/")
        };
        assert_eq!(store.in_mailbox(&caller, "users/ADA/contacts"), of(&mailbox).len());
        for (event, resources) in EVENTS {
            let concerned = |s: &Subscription| {
                s.tenant == caller.tenant && resources.iter().any(|r| s.wanted.resource.trim_matches('/') == *r)
            };
            assert_eq!(ids(store.concerned(&caller.tenant, event)), of(&concerned), "{event}");
        }
    }
}

#[test]
fn indexes_tell_what_a_search_would() {
    for seed in 0..5 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut store = Subscriptions::default();
        let mut now = Timestamp::UNIX_EPOCH;
        let later = |random: &mut fastrand::Rng, now: Timestamp| now + SignedDuration::from_mins(random.i64(1..300));
        for step in 0..200 {
            let known = ids(store.live());
            let some = known
                .get(random.usize(0..known.len().max(1)))
                .cloned()
                .unwrap_or_default();
            match random.u8(0..10) {
                0..5 => {
                    let token_ends = later(&mut random, now);
                    let caller = caller(random.u64(0..2), random.u64(0..2), token_ends);
                    let changes = if random.bool() { "created,updated" } else { "deleted" };
                    let resource = RESOURCES[random.usize(0..RESOURCES.len())];
                    let wanted = wanted(resource, changes, later(&mut random, now), random.bool());
                    store.add(format!("id-{seed}-{step}"), &caller, wanted, now);
                }
                5..7 => {
                    let (expires, token_ends) = (later(&mut random, now), later(&mut random, now));
                    let challenged = random.bool().then_some(now);
                    store.change(&some, |s| {
                        (s.expires, s.token_ends, s.challenged) = (expires, token_ends, challenged);
                    });
                }
                7 => {
                    store.end(&some, End::Deleted, now);
                }
                _ => {
                    now += SignedDuration::from_mins(random.i64(0..30));
                    store.expire(now);
                }
            }
            if step % 5 == 0 {
                check(&store, now);
            }
        }
        assert!(
            store
                .ended()
                .iter()
                .any(|s| matches!(s.end, Some((End::Expired, at)) if at == s.expires))
        );
    }
}
