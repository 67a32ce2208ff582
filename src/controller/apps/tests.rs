use prometheus::Registry;
use secrecy::SecretString;

use super::*;
use crate::api::condition::Reason;
use crate::graph::{Credential, http_client};

struct World {
    apps: Apps,
    http: reqwest::Client,
    metrics: Metrics,
}

impl World {
    fn new() -> Self {
        Self {
            apps: Apps::default(),
            http: http_client().unwrap(),
            metrics: Metrics::new(&Registry::new()).unwrap(),
        }
    }

    fn client(&self, namespace: &str, login: &str, secret: &str) -> Graph {
        let app = app(login, secret);
        self.apps
            .client(&tenant(namespace), app, secret, &self.http, &self.metrics)
    }
}

fn app(login: &str, secret: &str) -> App {
    App {
        tenant_id: "contoso.example".to_owned(),
        client_id: Some("app".to_owned()),
        login: login.to_owned(),
        graph: "https://graph.example".to_owned(),
        credential: Credential::ClientSecret(SecretString::from(secret)),
    }
}

fn tenant(namespace: &str) -> ObjectRef {
    ObjectRef {
        name: "t".to_owned(),
        namespace: Some(namespace.to_owned()),
    }
}

fn missing() -> Refusal {
    Refusal::waiting(Reason::SecretNotFound, "no Secret")
}

/// Somebody copies the ids of another namespace's app, and names a sign-in service of his own.
#[test]
fn equal_ids_with_another_sign_in_service_share_nothing() {
    let world = World::new();
    let victim = world.client("victim", "https://login.example", "secret");
    let evil = world.client("evil", "https://login.evil.example", "x");
    assert!(evil.is_for(&app("https://login.evil.example", "x")));
    assert!(!evil.shares_with(&victim));
    let twin = world.client("twin", "https://login.example/", "other");
    assert!(twin.shares_with(&victim));
    assert!(!twin.is_same(&victim), "each signs in with a credential of its own");
}

/// What one app's answers tell of the clock holds for all: an app that cannot be asked may have to be planned for.
#[test]
fn apps_at_the_same_addresses_share_the_clock_alone() {
    let world = World::new();
    let first = world.client("n", "https://login.example", "secret");
    let other = App {
        tenant_id: "fabrikam.example".to_owned(),
        ..app("https://login.example/", "secret")
    };
    let other = world
        .apps
        .client(&tenant("other"), other, "secret", &world.http, &world.metrics);
    assert!(other.has_clock_of(&first) && !other.shares_with(&first));
    let elsewhere = world.client("elsewhere", "https://login.evil.example", "secret");
    assert!(!elsewhere.has_clock_of(&first));
}

/// Graph counts an app over all its tenants too.
#[test]
fn one_app_in_several_tenants_shares_its_limits_and_the_clock() {
    let world = World::new();
    let client = |name: &str, client_id: &str, login: &str| {
        let app = App {
            tenant_id: format!("{name}.example"),
            client_id: Some(client_id.to_owned()),
            ..app(login, "secret")
        };
        let reference = tenant(name);
        world
            .apps
            .client(&reference, app, "secret", &world.http, &world.metrics)
    };
    let another = client("another", "other-app", "https://login.example");
    let first = client("first", "app", "https://login.example");
    let second = client("second", "APP", "https://login.example/");
    assert!(second.has_limits_of(&first) && second.has_clock_of(&first) && !second.shares_with(&first));
    assert!(another.has_clock_of(&first) && !another.has_limits_of(&first));
    assert!(!client("evil", "app", "https://login.evil.example").has_limits_of(&first));
}

#[test]
fn a_corrected_address_has_an_effect_and_keeps_the_fingerprint() {
    let world = World::new();
    world.client("n", "https://login.exmaple", "secret");
    let before = world.apps.get(&tenant("n")).unwrap().fingerprint;
    let corrected = world.client("n", "https://login.example", "secret");
    assert!(corrected.is_for(&app("https://login.example", "secret")));
    assert_eq!(world.apps.get(&tenant("n")).unwrap().fingerprint, before);
}

#[test]
fn the_same_stays_and_a_rotated_secret_shares() {
    let world = World::new();
    let first = world.client("n", "https://login.example", "secret");
    assert!(first.is_same(&world.client("n", "https://login.example", "secret")));
    let rotated = world.client("n", "https://login.example", "new");
    assert!(!rotated.is_same(&first) && rotated.shares_with(&first));
}

#[test]
fn a_secret_that_cannot_be_read_for_a_while_forgets_nothing() {
    let world = World::new();
    assert!(world.apps.last_good(&tenant("n")).is_none());
    let first = world.client("n", "https://login.example", "secret");
    world.apps.set_permissions(&tenant("n"), Some(vec!["A".to_owned()]));
    assert!(world.apps.refuse(&tenant("n"), missing()));
    assert!(!world.apps.refuse(&tenant("n"), missing()), "no news");
    assert_eq!(world.apps.get(&tenant("n")).unwrap().graph.unwrap_err(), missing());
    let kept = world.apps.last_good(&tenant("n")).unwrap();
    assert_eq!(kept.fingerprint, app("https://login.example", "").fingerprint());
    assert!(kept.graph.unwrap().is_same(&first));
    assert!(first.is_same(&world.client("n", "https://login.example", "secret")));
    assert_eq!(
        world.apps.get(&tenant("n")).unwrap().permissions,
        Some(vec!["A".to_owned()])
    );
}

#[test]
fn what_nobody_names_is_forgotten() {
    let world = World::new();
    let gone = world.client("gone", "https://login.example", "secret");
    world.client("kept", "https://login.other.example", "secret");
    world.apps.retain(|reference| *reference == tenant("kept"));
    assert!(world.apps.get(&tenant("gone")).is_none() && world.apps.last_good(&tenant("gone")).is_none());
    assert!(world.apps.get(&tenant("kept")).is_some());
    assert!(
        !world
            .client("gone", "https://login.example", "secret")
            .shares_with(&gone)
    );
}

#[test]
fn clocks_that_moved_are_news_once_whoever_measured_it() {
    let world = World::new();
    world.client("n", "https://login.example", "secret");
    let moved = |seconds| {
        world
            .apps
            .clocks_moved(&tenant("n"), SignedDuration::from_secs(seconds))
    };
    assert!(!moved(50));
    assert!(moved(7200));
    world.client("n", "https://login.example", "new secret");
    assert!(!moved(7230), "a new credential does not move clocks");
    assert!(moved(0));
    assert!(!world.apps.clocks_moved(&tenant("other"), SignedDuration::from_hours(2)));
}
