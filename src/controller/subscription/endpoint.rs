//! Where the notifications of a subscription go: the derived addresses and client state, or a user's own.

use secrecy::{ExposeSecret, SecretString};

use crate::graph::Subscription;
use crate::policy::identity::{self, Channel, Keyring};
use crate::policy::subscription::EndpointView;

/// Both addresses and the client state. Debug shows none of them.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// For notifications.
    pub notification_url: SecretString,
    /// For lifecycle events.
    pub lifecycle_url: SecretString,
    /// What Graph repeats in each of them.
    pub client_state: SecretString,
    /// Whether something answers there.
    pub ready: bool,
    /// Whether it was seen to answer at just these addresses.
    pub proven: bool,
    /// Notification addresses that only a subscription of this object can have, from current and earlier keys.
    own_urls: Vec<SecretString>,
}

impl Endpoint {
    /// At a receiver that is not known to answer yet. `None` while its keyring is empty.
    pub fn derived(public_url: &str, keyring: &Keyring, uid: &str) -> Option<Self> {
        let base = public_url.trim_end_matches('/');
        let url =
            |id: &str, key, channel| SecretString::from(format!("{base}{}", identity::path(id, key, channel, uid)));
        let (id, key) = keyring.active()?;
        Some(Self {
            notification_url: url(id, key, Channel::Notification),
            lifecycle_url: url(id, key, Channel::Lifecycle),
            client_state: SecretString::from(key.client_state(uid)),
            ready: false,
            proven: false,
            own_urls: keyring
                .iter()
                .map(|(id, key)| url(id, key, Channel::Notification))
                .collect(),
        })
    }

    /// At a webhook that is run elsewhere.
    pub fn external(notification_url: &str, lifecycle_url: Option<&str>, client_state: SecretString) -> Self {
        Self {
            notification_url: SecretString::from(notification_url),
            lifecycle_url: SecretString::from(lifecycle_url.unwrap_or(notification_url)),
            client_state,
            ready: true,
            proven: true,
            own_urls: vec![SecretString::from(notification_url)],
        }
    }

    /// Fingerprints, for comparing and for the status.
    pub fn view(&self) -> EndpointView {
        EndpointView {
            notification_url: identity::fingerprint(self.notification_url.expose_secret()),
            lifecycle_url: identity::fingerprint(self.lifecycle_url.expose_secret()),
            client_state: identity::fingerprint(self.client_state.expose_secret()),
            ready: self.ready,
            proven: self.proven,
        }
    }

    /// Whether a remote subscription is provably this object's: it delivers to an address derived from its UID. The host may
    /// have changed since, so only the path is compared for derived addresses.
    pub fn owns(&self, remote: &Subscription) -> bool {
        self.own_urls
            .iter()
            .any(|url| same_path(url.expose_secret(), &remote.notification_url))
    }
}

/// Derived paths end in a proof that nothing else has; an external address has to be equal as a whole.
fn same_path(own: &str, remote: &str) -> bool {
    own == remote || proof(own).is_some_and(|own| proof(remote) == Some(own))
}

fn proof(url: &str) -> Option<&str> {
    url.find("/v1/n/").and_then(|start| url.get(start..))
}
