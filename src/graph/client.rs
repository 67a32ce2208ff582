//! The client for one app in one tenant.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use secrecy::SecretString;
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::account::Account;
use super::app::App;
use super::applications::AppRoles;
use super::clock::Clock;
use super::error::{Failure, Kind};
use super::exchange::Answer;
use super::kept::Kept;
use super::limiter::{AllTenants, Lane, Limiter};
use super::metrics::{Metrics, Operation};
use super::shared_list::SharedList;
use super::subscription::{NewSubscription, Page, RenewBody, Subscription};
use super::token::{Token, Tokens};
use crate::policy::connector::microsoft::ServiceState;

mod call;

use call::Call;

/// Pages of a list that are followed. At the limiter's pace this many take five minutes.
const MOST_PAGES: usize = 250;

/// What a successful sign-in gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Application permissions in the token, sorted; `None` when the token does not tell. Diagnostic only: Microsoft calls its
    /// tokens opaque.
    pub roles: Option<Vec<String>>,
    /// Object id of the app's service principal, where the token tells. Diagnostic only, likewise.
    pub object_id: Option<String>,
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
    limiter: Arc<Limiter>,
    all_tenants: Arc<AllTenants>,
    clock: Arc<Clock>,
    list: SharedList,
    app_roles: Kept<AppRoles>,
    service_states: Kept<Vec<ServiceState>>,
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Graph").field("app", &self.app).finish_non_exhaustive()
    }
}

impl Graph {
    /// A client. `http` should come from [`http_client`](super::http_client).
    pub fn new(app: App, http: reqwest::Client, metrics: Metrics) -> Self {
        Self::with(app, http, metrics, (Arc::default(), Arc::default()))
    }

    /// A client for another app, which shares the clock and nothing else. `None` unless it is at the same addresses.
    pub fn by_same_clock(&self, app: App) -> Option<Self> {
        let shares = self.app.has_clock_of(&app);
        shares.then(|| self.sharing(app, Arc::default()))
    }

    /// A client for the same app in another tenant, which shares the clock and what Graph admits to the app over all tenants.
    /// `None` for anything else.
    pub fn in_other_tenant(&self, app: App) -> Option<Self> {
        let shares = self.app.is_at_in_any_tenant(&app);
        shares.then(|| self.sharing(app, self.shared.all_tenants.clone()))
    }

    fn sharing(&self, app: App, all_tenants: Arc<AllTenants>) -> Self {
        let Shared {
            http, metrics, clock, ..
        } = &*self.shared;
        Self::with(app, http.clone(), metrics.clone(), (clock.clone(), all_tenants))
    }

    fn with(
        app: App,
        http: reqwest::Client,
        metrics: Metrics,
        (clock, all_tenants): (Arc<Clock>, Arc<AllTenants>),
    ) -> Self {
        let shared = Arc::new(Shared {
            limiter: Arc::new(Limiter::new(metrics.clone(), all_tenants.clone())),
            all_tenants,
            clock,
            list: SharedList::default(),
            app_roles: Kept::default(),
            service_states: Kept::default(),
            http,
            metrics,
        });
        Self::assemble(shared, app, None)
    }

    /// Another client for the same app at the same addresses, with a credential of its own (a rotated secret): a new token, but
    /// the same limiter, clock and list. `None` for anything else.
    pub fn beside(&self, app: App) -> Option<Self> {
        self.is_for(&app)
            .then(|| Self::assemble(self.shared.clone(), app, None))
    }

    /// Another client for the same app, signed in as a person: what the person may, with subscriptions that are the person's.
    /// It shares the limiter and the clock, as Graph counts by app.
    #[must_use]
    pub fn delegated(&self, account: Account) -> Self {
        let shared = Arc::new(Shared {
            http: self.shared.http.clone(),
            metrics: self.shared.metrics.clone(),
            limiter: self.shared.limiter.clone(),
            all_tenants: self.shared.all_tenants.clone(),
            clock: self.shared.clock.clone(),
            list: SharedList::default(),
            app_roles: Kept::default(),
            service_states: Kept::default(),
        });
        Self::assemble(shared, (*self.app).clone(), Some(account))
    }

    /// Whether this is a client for that app, at the same addresses. The credential may differ.
    pub fn is_for(&self, app: &App) -> bool {
        self.app.is_at(app)
    }

    fn assemble(shared: Arc<Shared>, app: App, account: Option<Account>) -> Self {
        let app = Arc::new(app);
        let tokens = Tokens::new(
            app.clone(),
            account,
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
        self.tokens.current().await.map(|token| grant(&token))
    }

    /// Signs in with a new token, whatever is at hand: what was granted or revoked since shows only there. Without a new one,
    /// the one at hand stays.
    pub async fn authenticate_anew(&self) -> Result<Grant, Failure> {
        self.tokens.fresh().await.map(|token| grant(&token))
    }

    /// Signs in anew and asks Graph something: shows whether the token is good there, and what time it is there.
    pub async fn check(&self) -> Result<Grant, Failure> {
        let grant = self.authenticate_anew().await?;
        self.list(Duration::ZERO, self.now()).await?;
        Ok(grant)
    }

    /// Asks Graph something, so that its clock is seen: one page of the list, however long that is, which needs no permission.
    pub async fn see_clock(&self, deadline: Timestamp) -> Result<(), Failure> {
        let url = self.url(None)?;
        let call = Call::get(Operation::List, Lane::List, &url, deadline);
        self.call(&call).await.map(drop)
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
        // Only who can sign in may read what another client of this app fetched, or fetch for all.
        self.tokens.get(Duration::ZERO).await?;
        let graph = self.clone();
        let pages = move || async move { graph.pages(deadline).await };
        self.shared.list.get(max_age, pages).await
    }

    /// The last list that was read, however old, without a request for another.
    pub async fn last_list(&self) -> Result<Option<Arc<[Subscription]>>, Failure> {
        // As above.
        self.tokens.get(Duration::ZERO).await?;
        Ok(self.shared.list.last())
    }

    async fn pages(&self, deadline: Timestamp) -> Result<Vec<Subscription>, Failure> {
        let mut all = Vec::new();
        let mut unreadable = 0;
        let mut seen = HashSet::new();
        let mut url = self.url(None)?;
        while seen.len() < MOST_PAGES && seen.insert(url.clone()) {
            let answer = self
                .call(&Call::get(Operation::List, Lane::List, &url, deadline))
                .await?;
            let page: Page = parse(&answer)?;
            for entry in page.value {
                match serde_json::from_value(entry) {
                    Ok(subscription) => all.push(subscription),
                    Err(_) => unreadable += 1,
                }
            }
            match page.next_link {
                Some(next) => url = self.next(&next)?,
                None => return Ok(self.complete(all, unreadable)),
            }
        }
        Err(Failure::of(
            Kind::Protocol,
            "Graph's list of subscriptions does not end.",
        ))
    }

    /// One odd entry must not stop all subscriptions of the app; but it may be one of ours.
    fn complete(&self, all: Vec<Subscription>, unreadable: usize) -> Vec<Subscription> {
        if unreadable > 0 {
            tracing::warn!(unreadable, "entries in Graph's list of subscriptions cannot be read");
            self.shared.metrics.unreadable(unreadable);
        }
        all
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

    /// The tenant, as the app names it: an id or a domain.
    pub fn tenant_id(&self) -> &str {
        &self.app.tenant_id
    }

    /// The app's id.
    pub fn client_id(&self) -> Option<&str> {
        self.app.client_id.as_deref()
    }

    /// How many questions about changes are asked in a minute, at least 12.
    pub fn set_changes_budget(&self, per_minute: u32) {
        self.shared.limiter.set_changes_budget(per_minute);
    }

    pub(super) async fn read_changes(&self, url: &Url, deadline: Timestamp) -> Result<Vec<u8>, Failure> {
        let call = Call::get(Operation::Changes, Lane::Changes, url, deadline);
        self.call(&call).await.map(|answer| answer.body)
    }

    /// A call that is not about subscriptions, and its answer's body.
    pub(super) async fn ask(
        &self,
        (operation, lane): (Operation, Lane),
        (method, url): (Method, &Url),
        body: Option<&impl Serialize>,
        deadline: Timestamp,
    ) -> Result<Vec<u8>, Failure> {
        let call = Call {
            operation,
            lane,
            deadline,
            method,
            url,
            body: body.map(json).transpose()?,
        };
        self.call(&call).await.map(|answer| answer.body)
    }

    /// Graph's own application permissions, once they were asked for.
    pub(super) fn app_roles(&self) -> &Kept<AppRoles> {
        &self.shared.app_roles
    }

    /// Microsoft's word on its services, as it was last.
    pub(super) fn service_states(&self) -> &Kept<Vec<ServiceState>> {
        &self.shared.service_states
    }

    /// What all addresses begin with.
    pub(super) fn version_url(&self) -> Result<Url, Failure> {
        let base = self.app.graph.trim_end_matches('/');
        Url::parse(&format!("{base}/v1.0/"))
            .map_err(|_| Failure::of(Kind::Rejected, "The address of Graph is not a URL."))
    }

    /// The collection, or one subscription in it.
    fn url(&self, id: Option<&str>) -> Result<Url, Failure> {
        let mut url = self.version_url()?;
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push("subscriptions");
        }
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

fn grant(token: &Token) -> Grant {
    Grant {
        roles: token.roles.clone(),
        object_id: token.object_id.clone(),
        expires: token.expires,
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

#[cfg(test)]
impl Graph {
    /// Whether both have the same limiter, clock and list.
    pub(crate) fn shares_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// Whether both keep to the same limits of an app over all tenants.
    pub(crate) fn has_limits_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared.all_tenants, &other.shared.all_tenants)
    }

    /// Whether both have at least the same clock.
    pub(crate) fn has_clock_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared.clock, &other.shared.clock)
    }

    /// Whether both have the same tokens too.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.app, &other.app)
    }
}
