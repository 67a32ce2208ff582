//! For tests: an API server that answers as told, and a context to go with it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Request, Response};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::store;
use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher::Event;
use prometheus::Registry;
use serde_json::{Value, json};

use super::context::{Context, Keyrings, Queues, Settings, Stores};
use super::index::Index;
use super::metrics::Metrics;
use crate::api::connector::TeamsConnectorHealth;
use crate::api::presence::PresenceSync;
use crate::api::receiver::NotificationReceiver;
use crate::api::subscription::GraphSubscription;
use crate::api::tenant::GraphTenant;

/// A request to the API server.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    pub method: String,
    pub path: String,
    pub query: String,
    pub body: Value,
}

/// A client whose requests `answer` answers with a status and a body; `None` leaves one without an answer.
pub fn client(mut answer: impl FnMut(&Asked) -> Option<(u16, Value)> + Send + 'static) -> Client {
    let (service, mut handle) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
    tokio::spawn(async move {
        let mut unanswered = Vec::new();
        while let Some((request, reply)) = handle.next_request().await {
            let (head, body) = request.into_parts();
            let bytes = body.collect().await.unwrap().to_bytes();
            let asked = Asked {
                method: head.method.to_string(),
                path: head.uri.path().to_owned(),
                query: head.uri.query().unwrap_or_default().to_owned(),
                body: serde_json::from_slice(&bytes).unwrap_or_default(),
            };
            match answer(&asked) {
                None => unanswered.push(reply),
                Some((status, body)) => {
                    let body = Body::from(body.to_string().into_bytes());
                    reply.send_response(Response::builder().status(status).body(body).unwrap());
                }
            }
        }
    });
    Client::new(service, "default")
}

/// A client that answers from `answer`, and the requests it got.
pub fn recording(mut answer: impl FnMut(&Asked) -> (u16, Value) + Send + 'static) -> (Client, Arc<Mutex<Vec<Asked>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = asked.clone();
    let client = client(move |request| {
        log.lock().unwrap().push(request.clone());
        Some(answer(request))
    });
    (client, asked)
}

/// What the API server says when it refuses.
pub fn refusal(code: u16, reason: &str) -> (u16, Value) {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "no", "reason": reason, "code": code,
    });
    (code, status)
}

/// Fills the stores as a watch does.
pub struct Writers {
    pub tenants: Writer<GraphTenant>,
    pub subscriptions: Writer<GraphSubscription>,
    pub receivers: Writer<NotificationReceiver>,
    pub presence: Writer<PresenceSync>,
    pub connectors: Writer<TeamsConnectorHealth>,
    pub index: Index,
}

impl Writers {
    pub fn tenant(&mut self, tenant: &GraphTenant) {
        self.tenants.apply_watcher_event(&Event::Apply(tenant.clone()));
    }

    pub fn subscription(&mut self, subscription: &GraphSubscription) {
        self.subscriptions
            .apply_watcher_event(&Event::Apply(subscription.clone()));
        self.index.put(Arc::new(subscription.clone()));
    }
}

/// A context with empty stores. Receiver pods are looked for at `receiver_address`.
pub fn context(client: &Client, receiver_address: &str) -> (Arc<Context>, Writers) {
    context_with(client, receiver_address, &crate::graph::http_client_inside().unwrap())
}

/// The same with an HTTP client that there is: making one reads many certificates.
pub fn context_with(client: &Client, receiver_address: &str, http: &reqwest::Client) -> (Arc<Context>, Writers) {
    let registry = Registry::new();
    let ((tenants, tenant_writer), (subscriptions, subscription_writer)) = (store(), store());
    let (receivers, receiver_writer) = store::<NotificationReceiver>();
    let (presence, presence_writer) = store::<PresenceSync>();
    let (connectors, connector_writer) = store::<TeamsConnectorHealth>();
    let stores = Stores {
        tenants,
        receivers,
        subscriptions,
        presence,
        connectors,
        index: Index::default(),
    };
    let writers = Writers {
        index: stores.index.clone(),
        tenants: tenant_writer,
        subscriptions: subscription_writer,
        receivers: receiver_writer,
        presence: presence_writer,
        connectors: connector_writer,
    };
    let observed = super::observed::Observed::default();
    let apps = Arc::<super::apps::Apps>::default();
    let reporter = Reporter {
        controller: "test".to_owned(),
        instance: None,
    };
    let metrics = Metrics::new(&registry).unwrap();
    let context = Context {
        http: http.clone(),
        http_inside: http.clone(),
        events: super::events::Events::start(Recorder::new(client.clone(), reporter), metrics.events_left_out.clone()),
        graph_metrics: crate::graph::Metrics::new(&registry).unwrap(),
        queues: Queues::new(&stores, apps.clone()),
        apps,
        keyrings: Keyrings::default(),
        handshakes: super::receiver::Handshakes::default(),
        workers: super::presence::Workers::default(),
        connectors: super::connector::Connectors::new(metrics.looks.requests.clone(), super::feeds::Feeds::default()),
        inbox: super::inbox::Inbox::default(),
        backfills: super::backfill::Backfills::default(),
        doubts: super::doubts::Doubts::default(),
        observed,
        attempts: super::reconcile::Attempts::default(),
        written: super::written::Written::new(stores.subscriptions.clone()),
        stores,
        refusals: super::tenant::Refusals::default(),
        orphans: super::tenant::Orphans::default(),
        leading_since: std::sync::OnceLock::new(),
        settings: settings(receiver_address),
        metrics,
        client: client.clone(),
    };
    (Arc::new(context), writers)
}

/// Settings for tests. The operator's own namespace is `operator`.
pub fn settings(receiver_address: &str) -> Settings {
    Settings {
        namespace: None,
        receiver_image: "image".to_owned(),
        receiver_image_pull_policy: None,
        logging: Vec::new(),
        receiver_address: receiver_address.to_owned(),
        presence_address: receiver_address.to_owned(),
        interval: Duration::from_secs(300),
        longest_rest: Duration::from_hours(1),
        sweep_grace: Duration::ZERO,
        identity_namespaces: vec!["operator".to_owned()],
    }
}
