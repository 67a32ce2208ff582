//! The adapter, and what it has told.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use prometheus::Registry;
use rustls::pki_types::CertificateDer;
use secrecy::SecretString;
use serde_json::json;
use teams_graph_operator::api::presence::Sip as Config;
use teams_graph_operator::policy::presence::pbx::{Activity, Line, Origin, OwnEntry, PbxError, PbxEvent, PbxView};
use teams_graph_operator::presence::adapters::metrics::Metrics;
use teams_graph_operator::presence::adapters::sip::{self, Sip};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::kamailio::Kamailio;

const PATIENCE: Duration = Duration::from_secs(20);
pub const HOUR: Duration = Duration::from_secs(3600);

pub struct World {
    pub adapter: Sip,
    events: mpsc::Receiver<PbxEvent>,
    views: HashMap<String, PbxView>,
    pub ups: usize,
    pub downs: Vec<PbxError>,
}

impl World {
    pub fn new(server: &Kamailio, transport: &str) -> Self {
        Self::with(server, transport, None, &[])
    }

    pub fn with(
        server: &Kamailio,
        transport: &str,
        password: Option<(&str, &str)>,
        roots: &[CertificateDer<'static>],
    ) -> Self {
        let port = if transport == "TLS" {
            server.tls_port
        } else {
            server.port
        };
        let username = password.map(|(name, _)| name);
        let config = json!({
            "host": if transport == "TLS" { "localhost" } else { "127.0.0.1" },
            "port": port, "transport": transport, "domain": "example.test", "username": username,
        });
        let config: Config = serde_json::from_value(config).unwrap();
        let metrics = Metrics::new(&Registry::new()).unwrap();
        let (sender, events) = mpsc::channel(8);
        let secret = password.map(|(_, secret)| SecretString::from(secret.to_owned()));
        let adapter = sip::start(&config, secret.as_ref(), roots, &metrics, sender).unwrap();
        Self {
            adapter,
            events,
            views: HashMap::new(),
            ups: 0,
            downs: Vec::new(),
        }
    }

    pub async fn watch(&self, users: &[&str]) {
        self.adapter
            .watch(users.iter().map(|user| (*user).to_owned()).collect())
            .await;
    }

    pub async fn put(&mut self, user: &str, activity: Activity, ttl: Duration) -> Result<(), PbxError> {
        let entry = OwnEntry {
            activity,
            note: "in <Teams> & \"away\" äöü".to_owned(),
        };
        self.adapter.put_own(user, &entry, ttl).await
    }

    /// Takes what was told in, until it is so.
    pub async fn until(&mut self, what: &str, so: impl Fn(&Self) -> bool) -> Duration {
        let begin = Instant::now();
        while !so(self) {
            let left = PATIENCE.saturating_sub(begin.elapsed());
            let Ok(event) = timeout(left, self.events.recv()).await else {
                let seen: Vec<_> = self.views.iter().take(5).collect();
                panic!(
                    "not within {PATIENCE:?}: {what}; seen: {seen:?}, ups: {}, downs: {:?}",
                    self.ups, self.downs
                );
            };
            self.take(event.expect("the adapter goes on"));
        }
        begin.elapsed()
    }

    fn take(&mut self, event: PbxEvent) {
        match event {
            PbxEvent::Up { .. } => self.ups += 1,
            PbxEvent::Down { why, .. } => {
                self.downs.push(why);
                self.views.clear();
            }
            PbxEvent::View { id, view } => {
                self.views.insert(id, view);
            }
            PbxEvent::Exists { .. } | PbxEvent::NoEntries { .. } => {}
            other => panic!("a SIP server does not tell {other:?}"),
        }
    }

    /// Who says what of a user, newest first; `None` if nobody knows.
    pub fn entries(&self, user: &str) -> Option<Vec<(Origin, Activity)>> {
        let entries = self.views.get(user)?.entries.clone()?;
        Some(
            entries
                .into_iter()
                .map(|entry| (entry.origin, entry.activity))
                .collect(),
        )
    }

    /// Nobody says anything of a user: nothing is known, or what was said is closed, as Kamailio writes it.
    pub async fn see_nothing(&mut self, user: &str) -> Duration {
        let what = format!("nothing of {user}");
        let nothing = |world: &Self| world.entries(user).is_none_or(|entries| entries.is_empty());
        self.until(&what, nothing).await
    }

    pub fn line(&self, user: &str) -> Line {
        self.views.get(user).map_or(Line::Unknown, |view| view.line)
    }

    pub async fn see(&mut self, user: &str, expected: &[(Origin, Activity)]) -> Duration {
        let what = format!("{user}: {expected:?}");
        self.until(&what, |world| world.entries(user).as_deref() == Some(expected))
            .await
    }

    pub async fn see_line(&mut self, user: &str, expected: Line) -> Duration {
        let what = format!("{user}: {expected:?}");
        self.until(&what, |world| world.line(user) == expected).await
    }
}
