//! What the operator is doing when it dies, and what must be so in the end.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};
use teams_graph_operator::api::subscription::GraphSubscription;
use teams_graph_operator::simulator::{DEFAULT_APP, DEFAULT_SECRET, DEFAULT_TENANT};

use crate::stand::Stand;
use crate::world::{RECEIVER, SUBSCRIPTION, TENANT, condition, subscription_spec};

/// Longer than two thirds of the life of a subscription to call records, give or take a twentieth; shorter than all of it.
const UNTIL_RENEWAL: i64 = 51 * 3600;
/// Longer than all of it.
const UNTIL_LAPSED: i64 = 80 * 3600;
const RESOURCE: &str = "communications/callRecords";
/// The subscription of every scenario, and the receiver.
const NAME: &str = "calls";
/// Ids of keys sort by age.
const NEW_KEY: &str = "k9999999999";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Create,
    Renew,
    RecreateRemoved,
    RecreateLapsed,
    Adopt,
    Change,
    Delete,
    RotateClientState,
    RotateClientSecret,
    /// A new key in the keyring of the receiver.
    RotateKey,
}

/// A deed, and where the subscription delivers: much is decided otherwise for a receiver, as only its address proves whose a
/// subscription is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Scenario {
    deed: Deed,
    has_receiver: bool,
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let address = if self.has_receiver { "WithReceiver" } else { "" };
        write!(f, "{:?}{address}", self.deed)
    }
}

impl Scenario {
    const fn to_webhook(deed: Deed) -> Self {
        Self {
            deed,
            has_receiver: false,
        }
    }

    const fn to_receiver(deed: Deed) -> Self {
        Self {
            deed,
            has_receiver: true,
        }
    }

    /// All there are: a receiver's client state comes from its key, and a webhook has no key.
    pub const ALL: [Self; 18] = [
        Self::to_webhook(Deed::Create),
        Self::to_receiver(Deed::Create),
        Self::to_webhook(Deed::Renew),
        Self::to_receiver(Deed::Renew),
        Self::to_webhook(Deed::RecreateRemoved),
        Self::to_receiver(Deed::RecreateRemoved),
        Self::to_webhook(Deed::RecreateLapsed),
        Self::to_receiver(Deed::RecreateLapsed),
        Self::to_webhook(Deed::Adopt),
        Self::to_receiver(Deed::Adopt),
        Self::to_webhook(Deed::Change),
        Self::to_receiver(Deed::Change),
        Self::to_webhook(Deed::Delete),
        Self::to_receiver(Deed::Delete),
        Self::to_webhook(Deed::RotateClientSecret),
        Self::to_receiver(Deed::RotateClientSecret),
        Self::to_webhook(Deed::RotateClientState),
        Self::to_receiver(Deed::RotateKey),
    ];

    /// Whether nothing is left in the end.
    pub fn deletes(self) -> bool {
        self.deed == Deed::Delete
    }

    pub async fn stand(self) -> Stand {
        if self.has_receiver {
            Stand::with_receiver("life", NAME).await
        } else {
            Stand::new("life").await
        }
    }

    /// Seconds between two looks without cause: nothing periodic, or the requests could not be counted. Where a receiver becomes
    /// ready meanwhile, it is found to be at such a look.
    pub fn interval(self) -> &'static str {
        match self.deed {
            Deed::Create | Deed::RotateKey if self.has_receiver => "5",
            _ => "86400",
        }
    }

    /// Up to where it begins.
    pub async fn prepare(self, stand: &Stand) {
        match self.deed {
            Deed::Create => return,
            Deed::Adopt if !self.has_receiver => {
                stand.apply_tenant().await;
                stand
                    .world
                    .condition(TENANT, "contoso", "Authenticated", "True", "Succeeded")
                    .await;
                make_by_hand(stand).await;
                return;
            }
            _ => {}
        }
        self.apply(stand).await;
        stand
            .world
            .until("it is subscribed", async || {
                if self.has_receiver {
                    // Ready or not.
                    stand.world.ask(RECEIVER, NAME).await;
                }
                stand.is_settled(NAME).await
            })
            .await;
    }

    /// What sets the operator to work.
    pub async fn begin(self, stand: &Stand) {
        let world = &stand.world;
        match self.deed {
            Deed::Create => self.apply(stand).await,
            Deed::Renew => pass(stand, UNTIL_RENEWAL).await,
            Deed::RecreateRemoved => {
                let id = world.remote().await[0]["id"].as_str().unwrap().to_owned();
                advance(stand, UNTIL_RENEWAL).await;
                // Not before: a look at Graph's list may find it missing at any time, and what is made then would be renewed.
                world.simulator_delete(&format!("subscriptions/{id}")).await;
                world.ask(TENANT, "contoso").await;
            }
            Deed::RecreateLapsed => pass(stand, UNTIL_LAPSED).await,
            Deed::Adopt if self.has_receiver => lose_status(stand).await,
            Deed::Adopt => apply_subscription(stand).await,
            Deed::Change => {
                let patch = json!({ "spec": { "changeTypes": ["Created"] } });
                world.patch(SUBSCRIPTION, NAME, patch).await;
            }
            Deed::Delete => world.delete(SUBSCRIPTION, NAME).await,
            Deed::RotateClientState => {
                world.secret("state", &[("client-state", "second")]).await;
                world.ask(SUBSCRIPTION, NAME).await;
            }
            Deed::RotateClientSecret => {
                let secrets = json!(["another-secret"]);
                world
                    .simulator_put(&format!("apps/{DEFAULT_APP}/secrets"), secrets)
                    .await;
                world.secret("app", &[("client-secret", "another-secret")]).await;
                pass(stand, UNTIL_RENEWAL).await;
            }
            Deed::RotateKey => {
                let key = BASE64.encode([7; 32]);
                world.secret("calls-receiver-keyring", &[(NEW_KEY, &key)]).await;
                world.ask(RECEIVER, NAME).await;
            }
        }
    }

    async fn apply(self, stand: &Stand) {
        stand.apply_tenant().await;
        if self.has_receiver {
            let world = &stand.world;
            world.apply(RECEIVER, NAME, world.receiver_spec()).await;
            world.apply(SUBSCRIPTION, NAME, subscription_spec()).await;
        } else {
            apply_subscription(stand).await;
        }
    }

    /// Whether the work is done as far as can be seen.
    pub async fn is_done(self, stand: &Stand) -> bool {
        let remote = stand.world.remote().await;
        if self.deed == Deed::Delete {
            return stand.world.get(SUBSCRIPTION, NAME).await.is_none() && remote.is_empty();
        }
        remote.len() == 1
            && self.is_as_wanted(&remote[0])
            && stand.is_settled(NAME).await
            && (self.deed != Deed::Adopt || is_on_record(stand, &remote[0]).await)
    }

    fn is_as_wanted(self, remote: &Value) -> bool {
        let changes = if self.deed == Deed::Change {
            "created"
        } else {
            "created,updated"
        };
        let state = if self.deed == Deed::RotateClientState {
            "second"
        } else {
            "first"
        };
        let renewals = i32::from(matches!(self.deed, Deed::Renew | Deed::RotateClientSecret));
        let url = remote["notificationUrl"].as_str().unwrap_or_default();
        let addressed = match self.deed {
            // The key id is in the path, and what is derived from the key with it.
            Deed::RotateKey => url.contains(NEW_KEY),
            _ if self.has_receiver => url.contains("/v1/n/") && !url.contains(NEW_KEY),
            _ => remote["clientState"] == state,
        };
        remote["changeType"] == changes && addressed && remote["renewed"] == renewals
    }

    /// What is wrong after all.
    pub async fn faults(self, stand: &Stand) -> Vec<String> {
        let world = &stand.world;
        let mut faults = Vec::new();
        let mut must = |so: bool, what: String| {
            if !so {
                faults.push(what);
            }
        };
        let violations = world.simulator_get("violations").await;
        must(
            violations == json!([]),
            format!("rules of Graph were broken: {violations}"),
        );
        let ever = world.simulator_get("subscriptions?all=true").await;
        let made = ever.as_array().unwrap().len();
        must(made == self.made(), format!("{made} subscriptions were made: {ever:#}"));
        let remote = world.remote().await;
        let object = world.get(SUBSCRIPTION, NAME).await;
        if self.deed == Deed::Delete {
            must(object.is_none(), format!("the object is still there: {object:?}"));
            must(remote.is_empty(), format!("an orphan is left: {remote:?}"));
            return faults;
        }
        let (object, one) = (object.unwrap_or_default(), remote.first().cloned().unwrap_or_default());
        let status = &object["status"];
        must(remote.len() == 1, format!("not one but {remote:?}"));
        must(self.is_as_wanted(&one), format!("not as wanted: {one:#}"));
        must(stand.is_settled(NAME).await, format!("not settled: {object:#}"));
        must(
            status["subscriptionId"] == one["id"],
            format!("the status names {}, not {}", status["subscriptionId"], one["id"]),
        );
        let finalizers = object["metadata"]["finalizers"].to_string();
        must(
            finalizers.contains("teamsgraph.dev/"),
            format!("no finalizer: {finalizers}"),
        );
        let missing = match self.deed {
            Deed::RecreateLapsed => Some("Lapsed"),
            Deed::RecreateRemoved => Some("Removed"),
            _ => None,
        };
        if let Some(cause) = missing {
            let reason = &condition(&object, "GapFree")["reason"];
            must(*reason == cause, format!("GapFree says {reason}, not {cause}"));
        }
        faults
    }

    /// How many subscriptions there may ever have been.
    fn made(self) -> usize {
        match self.deed {
            Deed::RecreateRemoved | Deed::RecreateLapsed | Deed::Change | Deed::RotateClientState | Deed::RotateKey => {
                2
            }
            _ => 1,
        }
    }

    /// Has the operator look at its own work once more, as it has by then forgotten what it did.
    pub async fn look_again(self, stand: &Stand) {
        if self.deed == Deed::Delete {
            return;
        }
        let world = &stand.world;
        world.ask(SUBSCRIPTION, NAME).await;
        world
            .until("it was looked at", async || {
                let object = world.get(SUBSCRIPTION, NAME).await.unwrap();
                let asked = &object["metadata"]["annotations"]["teamsgraph.dev/reconcile-requested-at"];
                object["status"]["lastHandledReconcileAt"] == *asked
            })
            .await;
    }
}

async fn is_on_record(stand: &Stand, remote: &Value) -> bool {
    let object = stand.world.get(SUBSCRIPTION, NAME).await;
    object.is_some_and(|object| object["status"]["subscriptionId"] == remote["id"])
}

/// As a backup leaves an object, which has no status in it.
async fn lose_status(stand: &Stand) {
    let world = &stand.world;
    let objects: Api<GraphSubscription> = Api::namespaced(world.client.clone(), &world.namespace);
    let none = Patch::Merge(json!({ "status": null }));
    objects
        .patch_status(NAME, &PatchParams::default(), &none)
        .await
        .unwrap();
    world.ask(SUBSCRIPTION, NAME).await;
}

async fn apply_subscription(stand: &Stand) {
    let spec = stand.subscription_spec(NAME, RESOURCE);
    stand.world.apply(SUBSCRIPTION, NAME, spec).await;
}

/// Time passes at Microsoft, which the operator learns from the next answer.
async fn pass(stand: &Stand, seconds: i64) {
    advance(stand, seconds).await;
    stand.world.ask(TENANT, "contoso").await;
}

async fn advance(stand: &Stand, seconds: i64) {
    let time = json!({ "seconds": seconds });
    stand.world.simulator_post("clock/advance", time).await;
}

/// A subscription as an earlier tool may have left it.
async fn make_by_hand(stand: &Stand) {
    let url = stand.world.simulator.url();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", DEFAULT_APP),
        ("client_secret", DEFAULT_SECRET),
        ("scope", &format!("{url}/.default")),
    ];
    let token = http
        .post(format!("{url}/{DEFAULT_TENANT}/oauth2/v2.0/token"))
        .form(&form);
    let token: Value = token.send().await.unwrap().json().await.unwrap();
    let expires = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(48);
    let body = json!({
        "changeType": "created,updated",
        "resource": RESOURCE,
        "notificationUrl": stand.webhook_url(NAME),
        "lifecycleNotificationUrl": stand.webhook_url(NAME),
        "clientState": "first",
        "expirationDateTime": expires.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    });
    let create = http
        .post(format!("{url}/v1.0/subscriptions"))
        .bearer_auth(token["access_token"].as_str().unwrap())
        .json(&body);
    let answer = create.send().await.unwrap();
    let status = answer.status();
    assert!(status.is_success(), "{status} {}", answer.text().await.unwrap());
}
