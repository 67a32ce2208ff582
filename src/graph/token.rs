//! Access tokens: kept, renewed in time, fetched by one caller for all.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;

use super::app::App;
use super::classify;
use super::clock::Clock;
use super::error::{Class, Failure, Kind};
use super::exchange::{Answer, exchange};
use super::metrics::{Metrics, Operation};

mod request;

/// How long the sign-in service may take.
const LIMIT: Duration = Duration::from_secs(15);
/// A token that lives shorter than this is not offered any more.
const LAST_MOMENT: Duration = Duration::from_secs(30);
/// Longest life that is believed.
const LONGEST_LIFE: u64 = 86_400;

/// An access token. Debug shows no secret.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) secret: SecretString,
    pub(super) roles: Option<Vec<String>>,
    pub(super) expires: Timestamp,
    /// The same, by the monotonic clock.
    until: Instant,
    life: Duration,
}

impl Token {
    fn remaining(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// Whether more than a fifth of its life is left, and as much as needed. Of a short-lived token no more than half its life
    /// can be asked.
    fn lasts(&self, needed: Duration) -> bool {
        self.remaining() >= (self.life / 5).max(needed.min(self.life / 2))
    }
}

/// The tokens of one app in one tenant.
#[derive(Debug)]
pub(super) struct Tokens {
    app: Arc<App>,
    http: reqwest::Client,
    clock: Arc<Clock>,
    metrics: Metrics,
    /// Held while fetching: others wait and then find the result.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    token: Option<Arc<Token>>,
    /// The last failure, and until when it stands in for another attempt.
    failure: Option<(Instant, Failure)>,
}

impl State {
    fn failure(&self) -> Option<Failure> {
        let (until, failure) = self.failure.as_ref()?;
        (*until > Instant::now()).then(|| failure.clone())
    }
}

impl Tokens {
    pub(super) fn new(app: Arc<App>, http: reqwest::Client, clock: Arc<Clock>, metrics: Metrics) -> Self {
        Self {
            app,
            http,
            clock,
            metrics,
            state: Mutex::default(),
        }
    }

    /// A token that lives at least `needed`, if one can be had; one that still lives beats a failure.
    pub(super) async fn get(&self, needed: Duration) -> Result<Arc<Token>, Failure> {
        let mut state = self.state.lock().await;
        let old = state.token.clone().filter(|token| token.remaining() > LAST_MOMENT);
        match self.refreshed(&mut state, needed).await {
            Ok(token) => Ok(token),
            Err(failure) => old.ok_or(failure),
        }
    }

    /// A token that needs no refresh, or why there is none.
    pub(super) async fn current(&self) -> Result<Arc<Token>, Failure> {
        let mut state = self.state.lock().await;
        self.refreshed(&mut state, Duration::ZERO).await
    }

    /// Graph refused this token: the next caller gets another one.
    pub(super) async fn reject(&self, token: &Arc<Token>) {
        let mut state = self.state.lock().await;
        if state.token.as_ref().is_some_and(|current| Arc::ptr_eq(current, token)) {
            state.token = None;
        }
    }

    /// The next caller gets another token.
    pub(super) async fn discard(&self) {
        self.state.lock().await.token = None;
    }

    async fn refreshed(&self, state: &mut State, needed: Duration) -> Result<Arc<Token>, Failure> {
        if let Some(token) = state.token.as_ref().filter(|token| token.lasts(needed)) {
            return Ok(token.clone());
        }
        if let Some(failure) = state.failure() {
            return Err(failure);
        }
        let started = Instant::now();
        let result = self.fetch().await;
        let outcome = result.as_ref().map_or_else(|failure| failure.kind.label(), |_| "ok");
        self.metrics.request(Operation::Token, outcome, started.elapsed());
        match result {
            Ok(token) => {
                let token = Arc::new(token);
                state.token = Some(token.clone());
                state.failure = None;
                Ok(token)
            }
            Err(failure) => {
                let usable = state.token.as_ref().is_some_and(|t| t.remaining() > LAST_MOMENT);
                state.failure = Some((Instant::now() + rest(&failure, usable), failure.clone()));
                Err(failure)
            }
        }
    }

    async fn fetch(&self) -> Result<Token, Failure> {
        let request = request::request(&self.app, &self.http, self.clock.now()).await?;
        let answer = exchange(request, LIMIT, &self.clock, "The sign-in service").await?;
        if !answer.is_success() {
            return Err(classify::entra(answer.status, answer.retry_after, &answer.body));
        }
        read(&answer, self.clock.now())
    }
}

/// How long a failure stands in for another attempt, so that a thousand subscriptions do not all knock at a closed door.
fn rest(failure: &Failure, usable: bool) -> Duration {
    match failure.class {
        Class::Throttled(Some(after)) => after.clamp(Duration::from_secs(1), Duration::from_mins(10)),
        _ if usable => Duration::from_secs(30),
        Class::Retry => Duration::from_secs(1),
        Class::Throttled(None) | Class::RetrySlowly | Class::Invalid => Duration::from_secs(10),
    }
}

#[derive(Deserialize)]
struct Body {
    access_token: String,
    /// A number; text from the managed identity endpoint.
    expires_in: Value,
}

fn read(answer: &Answer, now: Timestamp) -> Result<Token, Failure> {
    let unreadable = || Failure::of(Kind::Protocol, "The sign-in service's token cannot be read.");
    let body: Body = serde_json::from_slice(&answer.body).map_err(|_| unreadable())?;
    let seconds = match &body.expires_in {
        Value::String(text) => text.parse().ok(),
        number => number.as_u64(),
    };
    let seconds = seconds
        .filter(|seconds| *seconds > 0)
        .ok_or_else(unreadable)?
        .min(LONGEST_LIFE);
    let life = Duration::from_secs(seconds);
    Ok(Token {
        roles: roles(&body.access_token),
        secret: SecretString::from(body.access_token),
        expires: now
            .checked_add(SignedDuration::try_from(life).unwrap_or_default())
            .unwrap_or(now),
        until: Instant::now() + life,
        life,
    })
}

/// The permissions in a token, sorted; `None` when it is not a JWT.
fn roles(token: &str) -> Option<Vec<String>> {
    #[derive(Deserialize)]
    struct Claims {
        #[serde(default)]
        roles: Vec<String>,
    }
    let payload = token.split('.').nth(1)?;
    let json = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    let mut roles = serde_json::from_slice::<Claims>(&json).ok()?.roles;
    roles.sort_unstable();
    roles.dedup();
    Some(roles)
}

#[cfg(test)]
mod tests;
