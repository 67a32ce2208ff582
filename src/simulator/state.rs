//! What one simulator knows. Everything sits behind one lock that is never held across an await.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::clock::{self, Clock};
use super::config::{App, Config, Settings, Tenant};
use super::delivery::endpoint::Endpoints;
use super::delivery::record::Notifications;
use super::entra::account::RefreshTokens;
use super::errors::GraphResult;
use super::faults::Faults;
use super::innovaphone::site::Site;
use super::objects::{Objects, View};
use super::outbound::Outbound;
use super::people::Account;
use super::pexip::site::Site as PexipSite;
use super::portal::registry::Registry;
use super::presence::book::{Book, Setting};
use super::sink::Sink;
use super::stamps::Stamping;
use super::subscriptions::bearer::Caller;
use super::subscriptions::store::Subscriptions;
use super::throttle::{Kind, Throttle};
use super::webex::site::Site as Webex;
use super::xsi::host::Host;

const LOGGED_REQUESTS: usize = 10_000;
const USERS: &str = "users";
const CALL_RECORDS: &str = "communications/callrecords";

/// The simulator, as every handler sees it.
pub type Shared = Arc<Simulation>;

/// Clock, way out and state.
pub struct Simulation {
    /// The simulated time.
    pub clock: Clock,
    /// How notification URLs are called.
    pub outbound: Outbound,
    /// Ends everything that runs in the background.
    pub stop: CancellationToken,
    /// Rings when somebody's presence has changed.
    pub presence_news: Arc<Notify>,
    /// `https` or `http`, for absolute links.
    pub scheme: &'static str,
    state: Mutex<State>,
    initial: Config,
}

/// Everything that changes.
pub struct State {
    /// Tenants with apps. Their users and call records are among the objects.
    pub tenants: Vec<Tenant>,
    /// What is in the tenants.
    pub objects: Objects,
    /// Who shows what.
    pub presence: Book,
    /// The innovaphone PBXs.
    pub site: Site,
    /// The BroadWorks behind the XSPs.
    pub xsi: Host,
    /// What administrators look at.
    pub portal: Registry,
    /// Webex, and its status page.
    pub webex: Webex,
    /// The Pexip deployment.
    pub pexip: PexipSite,
    /// How people sign in, by tenant and object id.
    pub accounts: HashMap<(String, String), Account>,
    /// Refresh tokens that were given out.
    pub refresh_tokens: RefreshTokens,
    /// How it behaves.
    pub settings: Settings,
    /// Live and past subscriptions.
    pub subscriptions: Subscriptions,
    /// What was sent to notification URLs.
    pub notifications: Notifications,
    /// How notification hosts answered lately.
    pub endpoints: Endpoints,
    /// Faults in force.
    pub faults: Faults,
    /// Requests counted against Graph's limits.
    pub throttle: Throttle,
    /// Assertions that were used, so that none works twice.
    pub used_assertions: HashSet<String>,
    /// The latest requests.
    pub requests: RequestLog,
    /// Breaches of the rules that Graph states but does not enforce.
    pub violations: Vec<Violation>,
    /// The demo sink.
    pub sink: Sink,
}

/// A rule was broken that Graph itself would not refuse.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Violation {
    /// Simulated time.
    pub at: String,
    /// Which rule.
    pub kind: &'static str,
    /// Which subscription.
    pub subscription_id: String,
    /// In words.
    pub detail: String,
}

/// One line of the request log.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LoggedRequest {
    /// Counts from 1.
    pub seq: u64,
    /// Simulated time.
    pub time: String,
    /// HTTP method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Who asked, if it could be told.
    pub client_id: Option<String>,
    /// Status of the answer; 0 when the connection was closed instead.
    pub status: u16,
    /// Whether an injected fault decided.
    pub fault: bool,
}

/// The latest requests to Entra and Graph.
#[derive(Debug, Default)]
pub struct RequestLog {
    last: u64,
    lines: VecDeque<LoggedRequest>,
    totals: BTreeMap<String, BTreeMap<u16, u64>>,
}

impl RequestLog {
    /// Adds a line; its number is set here.
    pub fn add(&mut self, mut line: LoggedRequest, route: &str) {
        let total = self.totals.entry(format!("{} {route}", line.method)).or_default();
        *total.entry(line.status).or_default() += 1;
        self.last += 1;
        line.seq = self.last;
        if self.lines.len() == LOGGED_REQUESTS {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// How many requests each route had since the start, by status.
    pub fn totals(&self) -> &BTreeMap<String, BTreeMap<u16, u64>> {
        &self.totals
    }

    /// The lines after `seq`.
    pub fn since(&self, seq: u64) -> Vec<LoggedRequest> {
        // Numbers are without gaps, so it is known where to begin.
        let first = self.lines.front().map_or(0, |line| line.seq);
        let known = usize::try_from((seq + 1).saturating_sub(first)).unwrap_or(usize::MAX);
        self.lines.iter().skip(known).cloned().collect()
    }
}

impl Simulation {
    /// A fresh one.
    pub fn new(config: Config, outbound: Outbound) -> Self {
        let clock = Clock::default();
        let presence_news = Arc::new(Notify::new());
        let state = State::new(&config, clock.now(), &presence_news);
        Self {
            clock,
            outbound,
            stop: CancellationToken::new(),
            presence_news,
            scheme: if config.tls.is_some() { "https" } else { "http" },
            state: Mutex::new(state),
            initial: config,
        }
    }

    /// The state, with everything ended that has expired by now.
    pub fn state(&self) -> MutexGuard<'_, State> {
        let mut guard = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (now, state) = (self.clock.now(), &mut *guard);
        state.subscriptions.expire(now);
        state.presence.settle(Setting {
            now,
            objects: &mut state.objects,
            vague: state.settings.presence.vague_echo,
        });
        guard
    }

    /// Counts a request against Graph's limits, if they are switched on.
    pub fn throttle(&self, caller: &Caller, kind: Kind) -> GraphResult<()> {
        self.throttle_on(caller, kind, "")
    }

    /// The same for a limit that each mailbox or record has for itself.
    pub fn throttle_on(&self, caller: &Caller, kind: Kind, subject: &str) -> GraphResult<()> {
        let mut state = self.state();
        if state.settings.throttling {
            state.throttle.count(&caller.tenant, &caller.app, kind, subject)
        } else {
            Ok(())
        }
    }

    /// Back to how it started.
    pub fn reset(&self) {
        self.clock.reset();
        let fresh = State::new(&self.initial, self.clock.now(), &self.presence_news);
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
    }
}

impl State {
    fn new(config: &Config, now: Timestamp, presence_news: &Arc<Notify>) -> Self {
        let mut state = Self {
            tenants: Vec::new(),
            objects: Objects::default(),
            presence: Book::new(presence_news.clone()),
            site: Site::default(),
            xsi: Host::default(),
            portal: Registry::new(),
            webex: Webex::default(),
            pexip: PexipSite::default(),
            accounts: HashMap::new(),
            refresh_tokens: RefreshTokens::default(),
            settings: config.settings.clone(),
            subscriptions: Subscriptions::default(),
            notifications: Notifications::default(),
            endpoints: Endpoints::default(),
            faults: Faults::default(),
            throttle: Throttle::default(),
            used_assertions: HashSet::new(),
            requests: RequestLog::default(),
            violations: Vec::new(),
            sink: Sink::default(),
        };
        state.set_tenants(config.tenants.clone(), now);
        state
    }

    /// Takes tenants in place of those that were there; their users and call records go to the objects.
    pub fn set_tenants(&mut self, mut tenants: Vec<Tenant>, now: Timestamp) {
        for tenant in &mut tenants {
            let users = std::mem::take(&mut tenant.users);
            let mut records = std::mem::take(&mut tenant.call_records);
            let stamping = Stamping {
                collection: CALL_RECORDS,
                before: None,
                version: 0,
                now,
            };
            for record in records.iter_mut().filter_map(Value::as_object_mut) {
                stamping.apply(record);
            }
            self.objects.replace(&tenant.id, USERS, users, now);
            self.objects.replace(&tenant.id, CALL_RECORDS, records, now);
        }
        self.tenants = tenants;
    }

    /// The tenants with their users and call records, as they can be given back.
    pub fn full_tenants(&self) -> Vec<Tenant> {
        let all = |tenant: &Tenant, key: &str| {
            let live = self.objects.live(&tenant.id, &View::One(key.into()));
            live.into_iter().cloned().collect()
        };
        let full = |tenant: &Tenant| Tenant {
            users: all(tenant, USERS),
            call_records: all(tenant, CALL_RECORDS),
            ..tenant.clone()
        };
        self.tenants.iter().map(full).collect()
    }

    /// A tenant by id or domain.
    pub fn tenant(&self, name: &str) -> Option<&Tenant> {
        self.tenants
            .iter()
            .find(|t| t.id.eq_ignore_ascii_case(name) || t.domain.eq_ignore_ascii_case(name))
    }

    /// An app in every tenant that has it.
    pub fn apps_mut(&mut self, client_id: &str) -> Vec<&mut App> {
        let apps = self.tenants.iter_mut().flat_map(|tenant| tenant.apps.iter_mut());
        apps.filter(|app| app.client_id.eq_ignore_ascii_case(client_id))
            .collect()
    }

    /// Notes a breach of the rules.
    pub fn violation(&mut self, now: Timestamp, kind: &'static str, subscription_id: &str, detail: String) {
        tracing::warn!(kind, subscription_id, detail, "protocol violation");
        let at = clock::whole(now);
        self.violations.push(Violation {
            at,
            kind,
            subscription_id: subscription_id.into(),
            detail,
        });
    }
}

impl Tenant {
    /// An app by its client id.
    pub fn app(&self, client_id: &str) -> Option<&App> {
        self.apps
            .iter()
            .find(|app| app.client_id.eq_ignore_ascii_case(client_id))
    }
}
