//! Who a notification is for, proved without a lookup.
//!
//! The path and the `clientState` of a subscription are derived from a key that only the controller and the receiver hold,
//! over the UID of the `GraphSubscription`. A receiver can therefore answer Graph's handshake and judge an event before, during
//! and after the create. The key's id travels in the path, so keys can be rotated while both are in use.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use subtle::ConstantTimeEq;

/// Length of a key in bytes.
pub const KEY_BYTES: usize = 32;
/// Path segment of notification addresses.
const NOTIFICATION: &str = "n";
/// Path segment of lifecycle addresses.
const LIFECYCLE: &str = "l";

/// Which of a subscription's two addresses a request came in on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// Change notifications.
    Notification,
    /// Lifecycle events.
    Lifecycle,
}

impl Channel {
    fn segment(self) -> &'static str {
        match self {
            Self::Notification => NOTIFICATION,
            Self::Lifecycle => LIFECYCLE,
        }
    }
}

/// A secret key for derivations.
#[derive(Clone)]
pub struct Key(hmac::Key);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

impl Key {
    /// A key from its bytes.
    pub fn new(bytes: &[u8; KEY_BYTES]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// A key from the base64 text in which it is stored. `None` unless it is exactly [`KEY_BYTES`] long.
    pub fn from_base64(text: &str) -> Option<Self> {
        let bytes: [u8; KEY_BYTES] = STANDARD.decode(text.trim()).ok()?.try_into().ok()?;
        Some(Self::new(&bytes))
    }

    fn derive(&self, purpose: &str, subject: &str) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(purpose.as_bytes());
        context.update(b"\0");
        context.update(subject.as_bytes());
        URL_SAFE_NO_PAD.encode(context.sign())
    }

    /// The `clientState` of the subscription of the object with this UID: 43 characters; Graph admits 128.
    pub fn client_state(&self, uid: &str) -> String {
        self.derive("client-state", uid)
    }

    /// The token with which the controller calls the receiver's internal API.
    pub fn internal_token(&self) -> String {
        self.derive("internal-api", "")
    }

    fn path_proof(&self, channel: Channel, uid: &str) -> String {
        self.derive("path", &format!("{}/{uid}", channel.segment()))
    }
}

/// Keys by id. New derivations use the active one; all are accepted.
#[derive(Clone, Debug, Default)]
pub struct Keyring {
    /// Shared: a keyring is handed out for each look at a subscription.
    keys: Arc<BTreeMap<String, Key>>,
    /// Id of the active key, where it is not the newest.
    active: Option<String>,
}

/// A request path that was proved genuine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addressee {
    /// UID of the `GraphSubscription`.
    pub uid: String,
    /// Id of the key that the path was derived from.
    pub key_id: String,
    /// Which of the two addresses it is.
    pub channel: Channel,
}

impl Keyring {
    /// A keyring from stored texts; malformed entries are left out and their ids returned.
    pub fn from_base64<'a>(entries: impl IntoIterator<Item = (&'a str, &'a str)>) -> (Self, Vec<String>) {
        let mut keys = BTreeMap::new();
        let mut malformed = Vec::new();
        for (id, text) in entries {
            match Key::from_base64(text) {
                Some(key) if is_key_id(id) => {
                    keys.insert(id.to_owned(), key);
                }
                _ => malformed.push(id.to_owned()),
            }
        }
        let keys = Arc::new(keys);
        (Self { keys, active: None }, malformed)
    }

    /// The same keys, with the newest as the active one if everybody is `ready` for it; until then the one that `was`.
    #[must_use]
    pub fn advanced(mut self, ready: impl Fn(&str) -> bool, was: Option<&str>) -> Self {
        let newest = self.keys.last_key_value().map(|(id, _)| id.as_str());
        self.active = was
            .filter(|was| self.keys.contains_key(*was) && !newest.is_some_and(ready))
            .map(str::to_owned);
        self
    }

    /// The key for new derivations: the one with the greatest id, unless not everybody has it yet. Ids are made to sort by age.
    pub fn active(&self) -> Option<(&str, &Key)> {
        let chosen = self.active.as_ref().and_then(|id| self.keys.get_key_value(id));
        chosen
            .or_else(|| self.keys.last_key_value())
            .map(|(id, key)| (id.as_str(), key))
    }

    /// All keys with their ids, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Key)> {
        self.keys.iter().map(|(id, key)| (id.as_str(), key))
    }

    /// A key by id.
    pub fn get(&self, id: &str) -> Option<&Key> {
        self.keys.get(id)
    }

    /// Whether `token` is the internal token of any key, in constant time per key.
    pub fn admits_internal(&self, token: &str) -> bool {
        self.keys.values().any(|key| equal(&key.internal_token(), token))
    }

    /// Whom a path is for; `None` unless its proof holds. `path` is what follows the receiver's prefix.
    pub fn addressee(&self, path: &str) -> Option<Addressee> {
        let mut parts = path.strip_prefix("/v1/")?.split('/');
        let channel = match parts.next()? {
            NOTIFICATION => Channel::Notification,
            LIFECYCLE => Channel::Lifecycle,
            _ => return None,
        };
        let (key_id, uid, proof) = (parts.next()?, parts.next()?, parts.next()?);
        let genuine = parts.next().is_none() && equal(&self.keys.get(key_id)?.path_proof(channel, uid), proof);
        genuine.then(|| Addressee {
            uid: uid.to_owned(),
            key_id: key_id.to_owned(),
            channel,
        })
    }
}

/// The path, below the receiver's prefix, of one of a subscription's addresses. Treat it as a secret.
pub fn path(key_id: &str, key: &Key, channel: Channel, uid: &str) -> String {
    format!(
        "/v1/{}/{key_id}/{uid}/{}",
        channel.segment(),
        key.path_proof(channel, uid)
    )
}

/// A short one-way fingerprint, for telling in a status whether a secret text changed.
pub fn fingerprint(text: &str) -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    URL_SAFE_NO_PAD.encode(&hash.as_ref()[..12])
}

/// Whether two texts are equal, in a time that does not tell where they differ.
pub fn equal(left: &str, right: &str) -> bool {
    left.as_bytes().ct_eq(right.as_bytes()).into()
}

fn is_key_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= 32 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "3b1f5f0e-1111-2222-3333-444455556666";

    fn keyring() -> Keyring {
        let one = STANDARD.encode([1; KEY_BYTES]);
        let two = STANDARD.encode([2; KEY_BYTES]);
        let (keyring, malformed) = Keyring::from_base64([
            ("k1", one.as_str()),
            ("k2", two.as_str()),
            ("short", "AAAA"),
            ("b/ad", &one),
        ]);
        assert_eq!(malformed, ["short", "b/ad"]);
        keyring
    }

    #[test]
    fn a_new_key_counts_when_everybody_has_it() {
        let active = |ready: bool, was: Option<&str>| {
            let keyring = keyring().advanced(|newest| ready && newest == "k2", was);
            keyring.active().unwrap().0.to_owned()
        };
        assert_eq!(active(false, Some("k1")), "k1");
        assert_eq!(active(true, Some("k1")), "k2");
        assert_eq!(active(false, None), "k2", "nothing was made with an older one");
        assert_eq!(active(false, Some("k0")), "k2", "the one before is gone");
    }

    #[test]
    fn a_derived_path_names_its_addressee_and_nothing_else_does() {
        let keyring = keyring();
        let (id, key) = keyring.active().unwrap();
        assert_eq!(id, "k2");
        for channel in [Channel::Notification, Channel::Lifecycle] {
            let good = path(id, key, channel, UID);
            let expected = Addressee {
                uid: UID.to_owned(),
                key_id: "k2".to_owned(),
                channel,
            };
            assert_eq!(keyring.addressee(&good), Some(expected));
            let other_uid = good.replace(UID, "3b1f5f0e-1111-2222-3333-444455556667");
            let other_key = good.replace("/k2/", "/k1/");
            let other_channel = good.replace("/n/", "/x/").replace("/l/", "/n/").replace("/x/", "/l/");
            for bad in [
                other_uid,
                other_key,
                other_channel,
                format!("{good}/"),
                good[1..].to_owned(),
                "/v1/n".into(),
            ] {
                assert_eq!(keyring.addressee(&bad), None, "{bad}");
            }
        }
    }

    #[test]
    fn older_keys_stay_accepted() {
        let keyring = keyring();
        let key = keyring.get("k1").unwrap();
        assert!(
            keyring
                .addressee(&path("k1", key, Channel::Notification, UID))
                .is_some()
        );
        assert!(keyring.admits_internal(&key.internal_token()));
        assert!(!keyring.admits_internal(""));
    }

    #[test]
    fn client_state_fits_graphs_limit_and_debug_tells_nothing() {
        let keyring = keyring();
        let key = keyring.get("k1").unwrap();
        assert_eq!(key.client_state(UID).len(), 43);
        assert_ne!(key.client_state(UID), keyring.get("k2").unwrap().client_state(UID));
        assert_eq!(format!("{key:?}"), "Key(…)");
    }
}
