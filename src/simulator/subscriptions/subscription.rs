//! One subscription.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};

use super::bearer::Caller;
use super::payload::Wanted;
use super::watched;
use crate::simulator::clock;
use crate::simulator::entra::token::service_principal_id;

/// How long before the end of token or subscription a challenge goes out.
pub const CHALLENGED_AHEAD: SignedDuration = SignedDuration::from_mins(15);
const CLOSE_TOGETHER: SignedDuration = SignedDuration::from_mins(10);

/// Why a subscription is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
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
    /// On behalf of whom, if a person signed in.
    pub user: Option<String>,
    /// The people whose presence is watched, if they are listed.
    watched: Option<Arc<HashSet<String>>>,
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
    /// A fresh one.
    pub fn new(id: String, seq: u64, caller: &Caller, wanted: Wanted, now: Timestamp) -> Self {
        Self {
            id,
            seq,
            tenant: caller.tenant.clone(),
            app: caller.app.clone(),
            user: caller.user.clone(),
            watched: watched::ids(&wanted.resource).map(Arc::new),
            expires: wanted.expires,
            wanted,
            token_ends: caller.token_ends,
            challenged: None,
            end: None,
            created: now,
            renewals: 0,
            reauthorizations: 0,
            last_write: None,
            last_token_issued: caller.token_issued,
        }
    }

    /// When it is to be challenged: ahead of the end of its token or its own, and then again and again. Never, if there
    /// is nowhere to send it.
    pub fn challenge_due(&self) -> Option<Timestamp> {
        self.wanted.lifecycle_notification_url.as_ref()?;
        let end = self.token_ends.min(self.expires);
        let first = end.saturating_sub(CHALLENGED_AHEAD).unwrap_or(Timestamp::MIN);
        let again = self
            .challenged
            .map(|at| at.saturating_add(CHALLENGED_AHEAD).unwrap_or(at));
        Some(again.map_or(first, |again| first.max(again)))
    }

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
            "creatorId": self.user.clone().unwrap_or_else(|| service_principal_id(&self.app)),
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
        view["userId"] = json!(self.user);
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
        self.tenant == caller.tenant && self.app == caller.app && self.user == caller.user
    }

    /// Whether something at this path is watched, as far as its filter says.
    pub fn watches(&self, path: &str) -> bool {
        let last = path.rsplit('/').next().unwrap_or_default();
        self.watched.as_ref().is_none_or(|watched| watched.contains(last))
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
