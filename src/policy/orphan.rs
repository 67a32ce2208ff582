//! Subscriptions at Graph that prove to be ours and belong to no object any more.
//!
//! An address is derived from a key of a receiver's keyring over the UID of a `GraphSubscription` (see [`identity`]). One that
//! holds for a UID that no object has was left behind: by a finalizer that got lost, by a cluster that was restored from a
//! backup, or by `deletionPolicy: Orphan`.
//!
//! [`identity`]: super::identity

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::identity::{Channel, Keyring};
use crate::api::tenant::OrphanPolicy;

/// A subscription has to look like an orphan at two looks this far apart: the list, the stores and another leader may each lag.
pub const PATIENCE: SignedDuration = SignedDuration::from_mins(10);

/// An entry of Graph's list.
#[derive(Clone, Copy, Debug)]
pub struct Listed<'a> {
    /// Its id.
    pub id: &'a str,
    /// Where it delivers.
    pub notification_url: &'a str,
    /// When it expires.
    pub expiration: Timestamp,
}

/// What looks like an orphan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspect {
    /// Since when.
    pub since: Timestamp,
    /// When it expires. Who sees that move knows that somebody renews it.
    pub expiration: Timestamp,
    /// Whether Graph, asked for it by id, said that it exists.
    pub confirmed: bool,
}

impl Suspect {
    /// Whether it has looked like one for long enough.
    pub fn is_ripe(&self, now: Timestamp) -> bool {
        now >= self.since + PATIENCE
    }
}

/// By id.
pub type Suspects = BTreeMap<String, Suspect>;

/// What looks like an orphan now, with what is remembered from the look `before`. One that was not there, that belonged to
/// somebody or was renewed meanwhile begins anew.
pub fn suspects<'a>(
    before: &Suspects,
    listed: impl Iterator<Item = Listed<'a>>,
    keyrings: &[Keyring],
    exists: impl Fn(&str) -> bool,
    now: Timestamp,
) -> Suspects {
    listed
        .filter(|entry| entry.expiration > now && belongs_to_nobody(entry.notification_url, keyrings, &exists))
        .map(|entry| {
            let known = before
                .get(entry.id)
                .filter(|known| known.expiration == entry.expiration);
            let suspect = known.cloned().unwrap_or(Suspect {
                since: now,
                expiration: entry.expiration,
                confirmed: false,
            });
            (entry.id.to_owned(), suspect)
        })
        .collect()
}

/// Whether an address is proved to be derived for the UID of no object. The host may have changed since, so only the path counts.
fn belongs_to_nobody(url: &str, keyrings: &[Keyring], exists: impl Fn(&str) -> bool) -> bool {
    let Some(path) = url.find("/v1/n/").map(|start| &url[start..]) else {
        return false;
    };
    // Most belong to an object, and a look is cheaper than a proof.
    if path.split('/').nth(4).is_none_or(exists) {
        return false;
    }
    let proofs = keyrings.iter().filter_map(|keyring| keyring.addressee(path));
    proofs
        .into_iter()
        .any(|addressee| addressee.channel == Channel::Notification)
}

/// What becomes of an orphan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// It is only told of, because the policy says so.
    Report,
    /// It is only told of: its object may be in a namespace that is not watched.
    ReportUnsure,
    /// It is deleted.
    Delete,
}

/// What becomes of orphans. `sees_all`: whether every namespace is watched.
pub fn treatment(policy: OrphanPolicy, sees_all: bool) -> Treatment {
    match (policy, sees_all) {
        (OrphanPolicy::Report, true) => Treatment::Report,
        (_, false) => Treatment::ReportUnsure,
        (OrphanPolicy::Delete, true) => Treatment::Delete,
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use crate::policy::identity::{KEY_BYTES, path};

    const ALIVE: &str = "uid-of-an-object";
    const GONE: &str = "uid-of-none";

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + 60 * minute).unwrap()
    }

    fn keyring(byte: u8) -> Keyring {
        let text = STANDARD.encode([byte; KEY_BYTES]);
        Keyring::from_base64([("k1", text.as_str())]).0
    }

    fn url(byte: u8, channel: Channel, uid: &str) -> String {
        let keyring = keyring(byte);
        let (id, key) = keyring.active().unwrap();
        format!("https://hooks.example/below{}", path(id, key, channel, uid))
    }

    fn look(before: &Suspects, url: &str, expiration: i64, now: i64) -> Suspects {
        let listed = Listed {
            id: "s1",
            notification_url: url,
            expiration: at(expiration),
        };
        let keyrings = [keyring(1), keyring(2)];
        suspects(before, std::iter::once(listed), &keyrings, |uid| uid == ALIVE, at(now))
    }

    #[test]
    fn only_what_is_provably_ours_and_has_no_object_is_suspected() {
        let notification = |byte, uid| url(byte, Channel::Notification, uid);
        let cases = [
            ("of no object", notification(1, GONE), true),
            ("by the key of another receiver", notification(2, GONE), true),
            ("of an object", notification(1, ALIVE), false),
            ("by a key that is not ours", notification(3, GONE), false),
            ("another's proof", notification(1, ALIVE).replace(ALIVE, GONE), false),
            ("a lifecycle address", url(1, Channel::Lifecycle, GONE), false),
            (
                "somebody's webhook",
                "https://hooks.example/v1/n/k1/x".to_owned(),
                false,
            ),
            (
                "an event hub",
                "EventHub:https://vault.example/secrets/x".to_owned(),
                false,
            ),
            ("more below", format!("{}/x", notification(1, GONE)), false),
            ("nothing", String::new(), false),
        ];
        for (name, url, suspected) in cases {
            assert_eq!(
                look(&Suspects::new(), &url, 60, 0).len(),
                usize::from(suspected),
                "{name}"
            );
            assert!(look(&Suspects::new(), &url, 0, 0).is_empty(), "{name}: expired");
        }
    }

    #[test]
    fn it_takes_two_looks_ten_minutes_apart() {
        let url = url(1, Channel::Notification, GONE);
        let first = look(&Suspects::new(), &url, 60, 0);
        assert!(!first["s1"].is_ripe(at(0)));
        let early = look(&first, &url, 60, 9);
        assert!(!early["s1"].is_ripe(at(9)));
        let late = look(&early, &url, 60, 10);
        assert!(late["s1"].is_ripe(at(10)));
        let renewed = look(&early, &url, 90, 10);
        assert!(!renewed["s1"].is_ripe(at(10)), "somebody renews it");
        let back = look(&Suspects::new(), &url, 60, 10);
        assert!(!back["s1"].is_ripe(at(10)), "it was away");
    }

    #[test]
    fn nothing_is_deleted_unless_asked_for_and_all_is_seen() {
        for (policy, sees_all, expected) in [
            (OrphanPolicy::Report, true, Treatment::Report),
            (OrphanPolicy::Report, false, Treatment::ReportUnsure),
            (OrphanPolicy::Delete, false, Treatment::ReportUnsure),
            (OrphanPolicy::Delete, true, Treatment::Delete),
        ] {
            assert_eq!(treatment(policy, sees_all), expected, "{policy:?} {sees_all}");
        }
    }
}
