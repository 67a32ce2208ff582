//! Sign-ins that were refused, so that a dead secret is looked at often but tried seldom.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::api::reference::ObjectRef;
use crate::graph::Failure;
use crate::policy::backoff;

/// The last refusal of each tenant.
#[derive(Default)]
pub struct Refusals(Mutex<HashMap<ObjectRef, Refused>>);

/// What was tried. Anything else is worth a try at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// The object: one of the same name may be another.
    pub uid: String,
    /// Its spec, and with it the app.
    pub generation: i64,
    /// Fingerprint of the credential's content.
    pub credential: String,
}

struct Refused {
    tried: Tried,
    count: i32,
    /// By the monotonic clock: the other one may be set back by a day, and nothing would be tried that long.
    not_before: Instant,
    failure: Failure,
}

impl Refusals {
    /// The refusal of the same, while it is too early to try it again.
    pub fn get(&self, tenant: &ObjectRef, tried: &Tried) -> Option<Failure> {
        let refusals = self.lock();
        let refused = refusals.get(tenant).filter(|refused| refused.tried == *tried)?;
        (Instant::now() < refused.not_before).then(|| refused.failure.clone())
    }

    /// Remembers a refusal. One that is only repeated from memory does not count.
    pub fn remember(&self, tenant: &ObjectRef, tried: &Tried, failure: &Failure) {
        let now = Instant::now();
        let mut refusals = self.lock();
        let known = refusals.get(tenant).filter(|refused| refused.tried == *tried);
        if known.is_some_and(|refused| now < refused.not_before) {
            return;
        }
        let count = known.map_or(0, |refused| refused.count).saturating_add(1);
        let delay = backoff::delay(failure.class, count, crate::local_clock::now(), None, fastrand::f64());
        let not_before = now + delay.unsigned_abs();
        let refused = Refused {
            tried: tried.clone(),
            count,
            not_before,
            failure: failure.clone(),
        };
        refusals.insert(tenant.clone(), refused);
    }

    /// Signing in succeeded.
    pub fn forget(&self, tenant: &ObjectRef) {
        self.lock().remove(tenant);
    }

    /// Forgets every tenant but those to `keep`.
    pub fn retain(&self, keep: impl Fn(&ObjectRef) -> bool) {
        self.lock().retain(|tenant, _| keep(tenant));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectRef, Refused>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::graph::Kind;
    use crate::policy::backoff::Class;

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_back_holds_nothing_up() {
        let refusals = Refusals::default();
        let tenant = ObjectRef {
            name: "t".to_owned(),
            namespace: None,
        };
        let tried = Tried {
            uid: "u".to_owned(),
            generation: 1,
            credential: "c".to_owned(),
        };
        let failure = Failure {
            kind: Kind::Unavailable,
            class: Class::Retry,
            message: "out of reach".to_owned(),
        };
        refusals.remember(&tenant, &tried, &failure);
        assert!(refusals.get(&tenant, &tried).is_some());
        // The clock on the wall stands still meanwhile, as if it was set back again and again.
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(refusals.get(&tenant, &tried).is_none());
    }
}
