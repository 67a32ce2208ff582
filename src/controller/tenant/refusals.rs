//! Sign-ins that were refused, so that a dead secret is looked at often but tried seldom.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

use crate::api::reference::ObjectRef;
use crate::graph::Failure;
use crate::policy::backoff;

/// The last refusal of each tenant.
#[derive(Default)]
pub struct Refusals(Mutex<HashMap<ObjectRef, Refused>>);

struct Refused {
    credential: String,
    count: i32,
    not_before: Timestamp,
    failure: Failure,
}

impl Refusals {
    /// The refusal of this credential, while it is too early to try it again.
    pub fn get(&self, tenant: &ObjectRef, credential: &str) -> Option<Failure> {
        let refusals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = refusals
            .get(tenant)
            .filter(|refused| refused.credential == credential)?;
        (Timestamp::now() < refused.not_before).then(|| refused.failure.clone())
    }

    /// Remembers a refusal. One that is only repeated from memory does not count.
    pub fn remember(&self, tenant: &ObjectRef, credential: &str, failure: &Failure) {
        let now = Timestamp::now();
        let mut refusals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = refusals.get(tenant).filter(|refused| refused.credential == credential);
        if known.is_some_and(|refused| now < refused.not_before) {
            return;
        }
        let count = known.map_or(0, |refused| refused.count).saturating_add(1);
        let not_before = now + backoff::delay(failure.class, count, now, None, fastrand::f64());
        let refused = Refused {
            credential: credential.to_owned(),
            count,
            not_before,
            failure: failure.clone(),
        };
        refusals.insert(tenant.clone(), refused);
    }

    /// Signing in succeeded.
    pub fn forget(&self, tenant: &ObjectRef) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(tenant);
    }
}
