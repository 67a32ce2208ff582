//! Access tokens: kept, renewed in time, fetched by one task for all.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::account::Account;
use super::app::App;
use super::classify;
use super::clock::Clock;
use super::credential::Credential;
use super::error::{Class, Failure, Kind};
use super::exchange::{Answer, Bounds, exchange};
use super::metrics::{Metrics, Operation};

mod request;

#[cfg(test)]
pub(super) use request::request as sign_in;

/// What the sign-in service may take.
const BOUNDS: Bounds = Bounds {
    time: Duration::from_secs(15),
    mebibytes: 1,
};
/// A token that lives shorter than this is not offered any more.
const LAST_MOMENT: Duration = Duration::from_secs(30);
/// A token younger than this that Graph refuses is not the trouble: another one would be refused too.
const YOUNG: Duration = Duration::from_mins(1);
/// Longest life that is believed.
const LONGEST_LIFE: i64 = 86_400;

/// An access token. Debug shows no secret.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) secret: SecretString,
    pub(super) roles: Option<Vec<String>>,
    pub(super) object_id: Option<String>,
    pub(super) expires: Timestamp,
    /// The same, by the monotonic clock.
    until: Instant,
    life: Duration,
}

impl Token {
    fn remaining(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    fn age(&self) -> Duration {
        self.life.saturating_sub(self.remaining())
    }

    /// Whether more than a fifth of its life is left, and as much as needed. No more than half its life can be asked.
    fn lasts(&self, needed: Duration) -> bool {
        self.remaining() >= (self.life / 5).max(needed.min(self.life / 2))
    }
}

type Fetched = Result<Arc<Token>, Failure>;

/// The tokens of one app in one tenant.
pub(super) struct Tokens(Arc<Inner>);

struct Inner {
    app: Arc<App>,
    /// Who is signed in; without, the app itself.
    account: Option<Account>,
    http: reqwest::Client,
    clock: Arc<Clock>,
    metrics: Metrics,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    token: Option<Arc<Token>>,
    /// The last failure, and until when it stands in for another attempt.
    failure: Option<(Instant, Failure)>,
    /// The fetch under way.
    fetch: Option<Fetch>,
}

/// A fetch in a task of its own, which goes on when those who wait for it go away.
struct Fetch {
    task: AbortHandle,
    result: Shared<BoxFuture<'static, Fetched>>,
}

impl State {
    fn failure(&self) -> Option<Failure> {
        let (until, failure) = self.failure.as_ref()?;
        (*until > Instant::now()).then(|| failure.clone())
    }

    fn lasting(&self, needed: Duration) -> Option<Arc<Token>> {
        self.token.clone().filter(|token| token.lasts(needed))
    }

    fn usable(&self) -> Option<Arc<Token>> {
        self.token.clone().filter(|token| token.remaining() > LAST_MOMENT)
    }
}

impl Tokens {
    pub(super) fn new(
        app: Arc<App>,
        account: Option<Account>,
        http: reqwest::Client,
        clock: Arc<Clock>,
        metrics: Metrics,
    ) -> Self {
        Self(Arc::new(Inner {
            app,
            account,
            http,
            clock,
            metrics,
            state: Mutex::default(),
        }))
    }

    /// A token that lives at least `needed`, if one can be had; one that still lives beats a failure, and is not waited for a
    /// better one when nothing is `needed`.
    pub(super) async fn get(&self, needed: Duration) -> Fetched {
        let (usable, fetch) = {
            let mut state = self.0.state();
            if let Some(token) = state.lasting(needed) {
                return Ok(token);
            }
            let usable = state.usable();
            if let Some(failure) = state.failure() {
                return usable.ok_or(failure);
            }
            (usable, self.join(&mut state))
        };
        match usable {
            Some(token) if needed.is_zero() => Ok(token),
            usable => fetch.await.or_else(|failure| usable.ok_or(failure)),
        }
    }

    /// A token that needs no refresh, or why there is none.
    pub(super) async fn current(&self) -> Fetched {
        let lasting = self.0.state().lasting(Duration::ZERO);
        match lasting {
            Some(token) => Ok(token),
            None => self.fresh().await,
        }
    }

    /// A new token, whatever is at hand; what is at hand is kept until there is one.
    pub(super) async fn fresh(&self) -> Fetched {
        let fetch = {
            let mut state = self.0.state();
            if let Some(failure) = state.failure() {
                return Err(failure);
            }
            self.join(&mut state)
        };
        fetch.await
    }

    /// Graph refused this token. Whether another one is worth a try: then the next caller gets another.
    pub(super) fn reject(&self, token: &Arc<Token>) -> bool {
        let mut state = self.0.state();
        let is_current = state.token.as_ref().is_some_and(|current| Arc::ptr_eq(current, token));
        if !is_current {
            return true;
        }
        let old = token.age() >= YOUNG;
        if old {
            state.token = None;
        }
        old
    }

    /// The result of the fetch under way, which is started if there is none.
    fn join(&self, state: &mut State) -> impl Future<Output = Fetched> + use<> {
        if let Some(fetch) = state.fetch.as_ref().filter(|fetch| !fetch.task.is_finished()) {
            return fetch.result.clone();
        }
        let task = tokio::spawn(self.0.clone().refresh());
        let handle = task.abort_handle();
        let cut_off = |_| Err(Failure::of(Kind::Unavailable, "Signing in was cut off."));
        let result = task.map(move |ended| ended.unwrap_or_else(cut_off)).boxed().shared();
        state.fetch = Some(Fetch {
            task: handle,
            result: result.clone(),
        });
        result
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn refresh(self: Arc<Self>) -> Fetched {
        let started = Instant::now();
        let result = self.fetch().await.map(Arc::new);
        let took = started.elapsed();
        let outcome = result.as_ref().map_or_else(|failure| failure.kind.label(), |_| "ok");
        self.metrics.request(Operation::Token, outcome, took);
        let mut state = self.state();
        state.fetch = None;
        match &result {
            Ok(token) => {
                state.token = Some(token.clone());
                state.failure = None;
            }
            Err(failure) => {
                let rest = rest(failure, state.usable().is_some(), took);
                state.failure = Some((Instant::now() + rest, failure.clone()));
            }
        }
        result
    }

    async fn fetch(&self) -> Result<Token, Failure> {
        let request = request::request(&self.app, self.account.as_ref(), &self.http, self.clock.now()).await?;
        let answer = exchange(request, BOUNDS, "The sign-in service").await?;
        // A managed identity is served by this machine, whose clock is the one to be checked.
        if !matches!(self.app.credential, Credential::ManagedIdentity) {
            answer.tell_time(&self.clock);
        }
        if !answer.is_success() {
            return Err(classify::entra(answer.status, answer.retry_after, &answer.body));
        }
        let (token, refresh) = read(&answer, self.clock.now())?;
        if let (Some(account), Some(refresh)) = (&self.account, refresh) {
            account.rotate(refresh);
        }
        Ok(token)
    }
}

/// How long a failure stands in for another attempt, so that a thousand subscriptions do not all knock at a closed door.
/// Whoever waits for one holds up others, so that after one that took its time a longer rest follows.
fn rest(failure: &Failure, usable: bool, took: Duration) -> Duration {
    match failure.class {
        Class::Throttled(Some(after)) => after.clamp(Duration::from_secs(1), Duration::from_mins(10)),
        _ if usable => Duration::from_secs(30),
        Class::Retry => (took * 4).clamp(Duration::from_secs(1), Duration::from_mins(1)),
        Class::Throttled(None) | Class::RetrySlowly | Class::Invalid => Duration::from_secs(10),
    }
}

#[derive(Deserialize)]
struct Body {
    access_token: String,
    refresh_token: Option<String>,
    /// Seconds: a number, or text from the managed identity endpoint of machines.
    expires_in: Option<Value>,
    /// Seconds since 1970, likewise. App Service tells nothing else.
    expires_on: Option<Value>,
}

impl Body {
    /// How long it lives, in seconds.
    fn life(&self, now: Timestamp) -> Option<i64> {
        let left = || Some(number(self.expires_on.as_ref()?)? - now.as_second());
        self.expires_in.as_ref().map_or_else(left, number)
    }
}

fn number(value: &Value) -> Option<i64> {
    value.as_str().map_or_else(|| value.as_i64(), |text| text.parse().ok())
}

/// The token, and the one that the next is to be had for, if there is any.
fn read(answer: &Answer, now: Timestamp) -> Result<(Token, Option<SecretString>), Failure> {
    let unreadable = || Failure::of(Kind::Protocol, "The sign-in service's token cannot be read.");
    let body: Body = serde_json::from_slice(&answer.body).map_err(|_| unreadable())?;
    let seconds = body
        .life(now)
        .filter(|seconds| *seconds > 0)
        .ok_or_else(unreadable)?
        .min(LONGEST_LIFE);
    let life = SignedDuration::from_secs(seconds);
    let claims = claims(&body.access_token);
    let token = Token {
        object_id: claims.as_ref().and_then(|claims| claims.oid.clone()),
        roles: claims.map(Claims::roles),
        secret: SecretString::from(body.access_token),
        expires: now.checked_add(life).unwrap_or(now),
        until: Instant::now() + life.unsigned_abs(),
        life: life.unsigned_abs(),
    };
    Ok((token, body.refresh_token.map(SecretString::from)))
}

#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    roles: Vec<String>,
    oid: Option<String>,
}

impl Claims {
    /// Sorted.
    fn roles(mut self) -> Vec<String> {
        self.roles.sort_unstable();
        self.roles.dedup();
        self.roles
    }
}

/// What a token says; `None` when it is not a JWT.
fn claims(token: &str) -> Option<Claims> {
    let payload = token.split('.').nth(1)?;
    let json = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    serde_json::from_slice(&json).ok()
}

#[cfg(test)]
mod tests;
