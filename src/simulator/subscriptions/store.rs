//! The subscriptions that exist, and those that did.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};

use super::bearer::Caller;
use super::catalogue;
use super::paths;
use super::payload::Wanted;
use crate::simulator::clock;
use crate::simulator::entra::token::service_principal_id;

/// How long before the end of token or subscription a challenge goes out.
pub const CHALLENGED_AHEAD: SignedDuration = SignedDuration::from_mins(15);
const CLOSE_TOGETHER: SignedDuration = SignedDuration::from_mins(10);

/// Why a subscription is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum End {
    /// Its app deleted it.
    Deleted,
    /// Its time was over.
    Expired,
    /// It was taken away: by a test, or with `subscriptionRemoved`.
    Removed,
}

/// One subscription.
#[derive(Debug, Clone)]
pub struct Subscription {
    /// GUID.
    pub id: String,
    /// Order of creation.
    pub seq: u64,
    /// Whose tenant.
    pub tenant: String,
    /// Whose app.
    pub app: String,
    /// What was asked for.
    pub wanted: Wanted,
    /// When it ends.
    pub expires: Timestamp,
    /// When the token of its last write ends.
    pub token_ends: Timestamp,
    /// When `reauthorizationRequired` went out since the last write.
    pub challenged: Option<Timestamp>,
    /// Why it is gone.
    pub end: Option<(End, Timestamp)>,
    created: Timestamp,
    renewals: u32,
    reauthorizations: u32,
    last_write: Option<(&'static str, Timestamp)>,
    last_token_issued: i64,
}

impl Subscription {
    /// The object as Graph returns it.
    pub fn view(&self, with_client_state: bool) -> Value {
        let w = &self.wanted;
        // Graph prints fractions most of the time, but not always.
        let has_fraction = self.expires.subsec_nanosecond() != 0;
        let expires = if has_fraction || self.seq % 2 == 1 {
            clock::precise(self.expires)
        } else {
            clock::whole(self.expires)
        };
        json!({
            "id": self.id,
            "resource": w.resource,
            "applicationId": self.app,
            "changeType": w.change_type,
            "clientState": if with_client_state { w.client_state.as_deref() } else { None },
            "notificationUrl": w.notification_url,
            "notificationQueryOptions": w.notification_query_options,
            "lifecycleNotificationUrl": w.lifecycle_notification_url,
            "expirationDateTime": expires,
            "creatorId": service_principal_id(&self.app),
            "includeResourceData": w.include_resource_data,
            "latestSupportedTlsVersion": w.latest_supported_tls_version.as_deref().unwrap_or("v1_2"),
            "encryptionCertificate": w.encryption_certificate,
            "encryptionCertificateId": w.encryption_certificate_id,
            "notificationUrlAppId": w.notification_url_app_id,
        })
    }

    /// The object as the admin API shows it.
    pub fn admin_view(&self) -> Value {
        let mut view = self.view(true);
        view["tenantId"] = json!(self.tenant);
        view["created"] = json!(clock::precise(self.created));
        view["renewed"] = json!(self.renewals);
        view["reauthorized"] = json!(self.reauthorizations);
        view["live"] = json!(self.end.is_none());
        view["reason"] = match self.end {
            Some((end, _)) => json!(end),
            None if self.renewals > 0 => json!("renewed"),
            None => json!("created"),
        };
        view["ended"] = json!(self.end.map(|(_, at)| clock::precise(at)));
        view
    }

    /// Whether it belongs to this caller.
    pub fn is_of(&self, caller: &Caller) -> bool {
        self.tenant == caller.tenant && self.app == caller.app
    }

    /// Whether a change of this type is wanted.
    pub fn wants_change(&self, change: &str) -> bool {
        self.wanted.change_type.split(',').any(|one| one.trim() == change)
    }

    /// Notes a renewal (`PATCH`) or `reauthorize`. The answer names the rules that it breaks.
    pub fn written(&mut self, what: &'static str, caller: &Caller, now: Timestamp) -> Vec<(&'static str, String)> {
        let mut breaches = Vec::new();
        if let Some((before, at)) = self.last_write
            && now.duration_since(at).abs() < CLOSE_TOGETHER
        {
            let same = before == what;
            let kind = if same {
                "repeatedWithin10Minutes"
            } else {
                "patchAndReauthorizeWithin10Minutes"
            };
            breaches.push((kind, format!("{what} at {now}, after {before} at {at}")));
        }
        if caller.token_issued < self.last_token_issued {
            breaches.push((
                "olderToken",
                format!("{what} with a token older than the one of the write before"),
            ));
        }
        let dying = caller.token_ends.duration_since(now) <= CHALLENGED_AHEAD;
        if self.challenged.is_some() && dying && caller.token_issued == self.last_token_issued {
            let detail = format!("{what} after a challenge, with the very token whose end was the reason");
            breaches.push(("sameTokenAfterChallenge", detail));
        }
        match what {
            "PATCH" => self.renewals += 1,
            _ => self.reauthorizations += 1,
        }
        self.last_write = Some((what, now));
        self.last_token_issued = caller.token_issued;
        self.token_ends = caller.token_ends;
        self.challenged = None;
        breaches
    }
}

/// All subscriptions of all tenants.
#[derive(Debug, Default)]
pub struct Subscriptions {
    last: u64,
    live: Vec<Subscription>,
    ended: Vec<Subscription>,
}

impl Subscriptions {
    /// Those that exist, in order of creation.
    pub fn live(&self) -> &[Subscription] {
        &self.live
    }

    /// Those that are gone.
    pub fn ended(&self) -> &[Subscription] {
        &self.ended
    }

    /// A live one.
    pub fn get_mut(&mut self, id: &str) -> Option<&mut Subscription> {
        self.live.iter_mut().find(|s| s.id.eq_ignore_ascii_case(id))
    }

    /// A live one of this caller.
    pub fn of_caller(&mut self, id: &str, caller: &Caller) -> Option<&mut Subscription> {
        self.get_mut(id).filter(|s| s.is_of(caller))
    }

    /// Live ones of the organisation with the same rules, and how many of them are this caller's.
    pub fn alike(&self, caller: &Caller, rules: &catalogue::Rules) -> (usize, usize) {
        let same = |s: &&Subscription| {
            s.tenant == caller.tenant
                && catalogue::rules(&s.wanted.resource).is_some_and(|other| {
                    if rules.teams {
                        other.teams
                    } else {
                        other.roles == rules.roles
                    }
                })
        };
        let organisation = self.live.iter().filter(same);
        let own = self.live.iter().filter(same).filter(|s| s.is_of(caller)).count();
        (organisation.count(), own)
    }

    /// Live ones of any app of the organisation in the mailbox of this resource.
    pub fn in_mailbox(&self, caller: &Caller, resource: &str) -> usize {
        let owner = |resource: &str| {
            let path = paths::path(resource).to_ascii_lowercase();
            path.split('/').nth(1).map(String::from)
        };
        let wanted = owner(resource);
        let same = |s: &&Subscription| {
            s.tenant == caller.tenant
                && catalogue::rules(&s.wanted.resource).is_some_and(|rules| rules.per_mailbox.is_some())
                && owner(&s.wanted.resource) == wanted
        };
        self.live.iter().filter(same).count()
    }

    /// The caller's live subscription to this resource; with the same change types, if `changes` is given.
    pub fn duplicate(&self, caller: &Caller, resource: &str, changes: Option<&str>) -> Option<&Subscription> {
        let key = |text: &str| text.trim_matches('/').to_ascii_lowercase();
        self.live.iter().filter(|s| s.is_of(caller)).find(|s| {
            key(&s.wanted.resource) == key(resource)
                && changes.is_none_or(|changes| change_set(changes) == change_set(&s.wanted.change_type))
        })
    }

    /// Adds one.
    pub fn add(&mut self, id: String, caller: &Caller, wanted: Wanted, now: Timestamp) -> &Subscription {
        self.last += 1;
        let expires = wanted.expires;
        let index = self.live.len();
        self.live.push(Subscription {
            id,
            seq: self.last,
            tenant: caller.tenant.clone(),
            app: caller.app.clone(),
            wanted,
            expires,
            token_ends: caller.token_ends,
            challenged: None,
            end: None,
            created: now,
            renewals: 0,
            reauthorizations: 0,
            last_write: None,
            last_token_issued: caller.token_issued,
        });
        &self.live[index]
    }

    /// Ends one. False if there is none.
    pub fn end(&mut self, id: &str, why: End, now: Timestamp) -> bool {
        let Some(index) = self.live.iter().position(|s| s.id.eq_ignore_ascii_case(id)) else {
            return false;
        };
        let mut gone = self.live.remove(index);
        gone.end = Some((why, now));
        self.ended.push(gone);
        true
    }

    /// Ends all whose time is over.
    pub fn expire(&mut self, now: Timestamp) {
        let over: Vec<(String, Timestamp)> = self
            .live
            .iter()
            .filter(|s| s.expires <= now)
            .map(|s| (s.id.clone(), s.expires))
            .collect();
        for (id, at) in over {
            self.end(&id, End::Expired, at);
        }
    }
}

fn change_set(text: &str) -> Vec<&str> {
    let mut changes: Vec<&str> = text.split(',').map(str::trim).collect();
    changes.sort_unstable();
    changes.dedup();
    changes
}
