//! The client for one app in one tenant.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use secrecy::SecretString;
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::app::App;
use super::clock::Clock;
use super::credential::Credential;
use super::error::{Failure, Kind};
use super::exchange::Answer;
use super::limiter::{Lane, Limiter};
use super::metrics::{Metrics, Operation};
use super::shared_list::SharedList;
use super::subscription::{NewSubscription, Page, RenewBody, Subscription};
use super::token::Tokens;

mod call;

use call::Call;

/// Pages of a list that are followed; far more than the quotas admit.
const MOST_PAGES: usize = 1000;

/// What a successful sign-in gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Application permissions in the token, sorted; `None` when the token does not tell. Diagnostic only: Microsoft calls its
    /// tokens opaque.
    pub roles: Option<Vec<String>>,
    /// When the token expires, by Microsoft's clock.
    pub expires: Timestamp,
}

/// Graph for one app in one tenant: its token, its limiter, its clock. Cheap to clone; clones share all of it.
///
/// `deadline` says by when a call matters, such as the expiry of the subscription: among waiting calls the earliest goes first.
/// It does not cut a call short. Nothing is repeated here except one call after a 401: the caller decides.
#[derive(Clone)]
pub struct Graph {
    shared: Arc<Shared>,
    tokens: Arc<Tokens>,
    app: Arc<App>,
}

/// What outlives a change of credentials.
struct Shared {
    http: reqwest::Client,
    metrics: Metrics,
    limiter: Limiter,
    clock: Arc<Clock>,
    list: SharedList,
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Graph").field("app", &self.app).finish_non_exhaustive()
    }
}

impl Graph {
    /// A client. `http` should come from [`http_client`](super::http_client).
    pub fn new(app: App, http: reqwest::Client, metrics: Metrics) -> Self {
        let shared = Arc::new(Shared {
            limiter: Limiter::new(metrics.clone()),
            clock: Arc::default(),
            list: SharedList::default(),
            http,
            metrics,
        });
        Self::assemble(shared, app)
    }

    /// The same app with another credential (a rotated secret): a new token, but the same limiter, clock and list.
    #[must_use]
    pub fn with_credential(&self, credential: Credential) -> Self {
        let mut app = App::clone(&self.app);
        app.credential = credential;
        Self::assemble(self.shared.clone(), app)
    }

    fn assemble(shared: Arc<Shared>, app: App) -> Self {
        let app = Arc::new(app);
        let tokens = Tokens::new(
            app.clone(),
            shared.http.clone(),
            shared.clock.clone(),
            shared.metrics.clone(),
        );
        Self {
            tokens: Arc::new(tokens),
            shared,
            app,
        }
    }

    /// Signs in, unless a token is at hand that needs no refresh. A refusal is remembered for some seconds.
    pub async fn authenticate(&self) -> Result<Grant, Failure> {
        let token = self.tokens.current().await?;
        Ok(Grant {
            roles: token.roles.clone(),
            expires: token.expires,
        })
    }

    /// Signs in with a new token, whatever is at hand: what was granted or revoked since shows only there.
    pub async fn authenticate_anew(&self) -> Result<Grant, Failure> {
        self.tokens.discard().await;
        self.authenticate().await
    }

    /// Signs in anew and asks Graph something: shows whether the token is good there, and what time it is there.
    pub async fn check(&self) -> Result<Grant, Failure> {
        let grant = self.authenticate_anew().await?;
        self.list(Duration::ZERO, self.now()).await?;
        Ok(grant)
    }

    /// Microsoft's clock minus the local one, to about a second; `None` until an answer was seen, and again after the local
    /// clock was set.
    pub fn skew(&self) -> Option<SignedDuration> {
        self.shared.clock.skew()
    }

    /// The time: the local clock, corrected when it is more than five seconds off Microsoft's.
    pub fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// Creates a subscription. Graph validates both URLs before it answers, so this may take up to 35 s.
    /// After [`Kind::Unavailable`] or [`Kind::Protocol`] it may exist nevertheless.
    pub async fn create(&self, new: &NewSubscription, deadline: Timestamp) -> Result<Subscription, Failure> {
        let url = self.url(None)?;
        let call = Call {
            operation: Operation::Create,
            lane: Lane::Write,
            deadline,
            method: Method::POST,
            url: &url,
            body: Some(json(&new.body())?),
        };
        parse(&self.call(&call).await?)
    }

    /// Reads a subscription.
    pub async fn get(&self, id: &str, deadline: Timestamp) -> Result<Subscription, Failure> {
        let url = self.url(Some(id))?;
        parse(&self.call(&Call::get(Operation::Get, Lane::Get, &url, deadline)).await?)
    }

    /// All subscriptions of this app in this tenant, on all pages, or a failure. Callers at the same time share one fetch, and
    /// a result whose fetch began at most `max_age` ago is returned again; with zero it begins after this call.
    /// Graph's list has been seen to lack live subscriptions: confirm with [`Graph::get`] before acting on an absence.
    pub async fn list(&self, max_age: Duration, deadline: Timestamp) -> Result<Arc<[Subscription]>, Failure> {
        self.shared.list.get(max_age, self.pages(deadline)).await
    }

    async fn pages(&self, deadline: Timestamp) -> Result<Vec<Subscription>, Failure> {
        let mut all = Vec::new();
        let mut url = self.url(None)?;
        for _ in 0..MOST_PAGES {
            let answer = self
                .call(&Call::get(Operation::List, Lane::List, &url, deadline))
                .await?;
            let page: Page = parse(&answer)?;
            all.extend(page.value);
            match page.next_link {
                Some(next) => url = self.next(&next)?,
                None => return Ok(all),
            }
        }
        Err(Failure::of(
            Kind::Protocol,
            "Graph's list of subscriptions does not end.",
        ))
    }

    /// Extends a subscription, which also reauthorizes it. The returned expiry counts, not the asked one.
    /// With `url` (secret) it also delivers there from now on; Graph validates that address before it answers.
    /// [`Kind::NotFound`] is final: create a new one.
    pub async fn renew(
        &self,
        id: &str,
        expiration: Timestamp,
        url: Option<&SecretString>,
        deadline: Timestamp,
    ) -> Result<Subscription, Failure> {
        let body = RenewBody::new(expiration, url);
        let url = self.url(Some(id))?;
        let call = Call {
            operation: Operation::Renew,
            lane: Lane::Write,
            deadline,
            method: Method::PATCH,
            url: &url,
            body: Some(json(&body)?),
        };
        let answer = self.call(&call).await?;
        match parse(&answer) {
            Ok(subscription) => Ok(subscription),
            // 204, or a body without the subscription: what holds now has to be asked for.
            Err(_) => self.get(id, deadline).await,
        }
    }

    /// Deletes a subscription; also succeeds when there is none.
    pub async fn delete(&self, id: &str, deadline: Timestamp) -> Result<(), Failure> {
        let url = self.url(Some(id))?;
        let mut call = Call::get(Operation::Delete, Lane::Write, &url, deadline);
        call.method = Method::DELETE;
        match self.call(&call).await {
            Err(failure) if failure.kind != Kind::NotFound => Err(failure),
            _ => Ok(()),
        }
    }

    /// The collection, or one subscription in it.
    fn url(&self, id: Option<&str>) -> Result<Url, Failure> {
        let base = self.app.graph.trim_end_matches('/');
        let mut url = Url::parse(&format!("{base}/v1.0/subscriptions"))
            .map_err(|_| Failure::of(Kind::Rejected, "The address of Graph is not a URL."))?;
        if let (Some(id), Ok(mut path)) = (id, url.path_segments_mut()) {
            path.push(id);
        }
        Ok(url)
    }

    /// The next page. The token must not follow a link to elsewhere.
    fn next(&self, link: &str) -> Result<Url, Failure> {
        let own = self.url(None)?;
        Url::parse(link)
            .ok()
            .filter(|next| next.origin() == own.origin() && next.username().is_empty())
            .ok_or_else(|| Failure::of(Kind::Protocol, "Graph's list continues at another address."))
    }
}

fn json(body: &impl Serialize) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec(body).map_err(|_| Failure::of(Kind::Rejected, "The request cannot be written as JSON."))
}

fn parse<T: DeserializeOwned>(answer: &Answer) -> Result<T, Failure> {
    serde_json::from_slice(&answer.body).map_err(|_| {
        let status = answer.status;
        Failure::of(
            Kind::Protocol,
            format!("Graph's answer (status {status}) cannot be read."),
        )
    })
}

#[cfg(test)]
mod tests;
