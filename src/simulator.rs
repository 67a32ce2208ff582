//! A stand-in for Microsoft Entra and Microsoft Graph, for PBXs and for a Pexip deployment, for tests, demos and users' own CI.
//! It is not Microsoft's code and never says so. It is as strict as the documentation and field reports make the originals: a wrong field, date or
//! state is refused with the original's status and error body. Where the original's wording is not known, status and
//! code are kept and the words are the simulator's own.
//!
//! It shares no type with the operator's own client, receiver or kinds, so that it can disagree with them.
//!
//! Tests steer it through the admin API under `/_simulator/`, in the same way in the process and outside of it; see
//! `GET /_simulator/`. The clock can be shifted and sped up; tokens, subscriptions and delivery follow it. Request limits
//! and HTTP time-outs are in real time.

mod admin;
mod clock;
mod config;
mod delivery;
mod entra;
mod errors;
mod families;
mod faults;
mod front;
mod innovaphone;
mod jwt;
mod objects;
mod outbound;
mod people;
mod pexip;
mod portal;
mod presence;
mod reading;
mod sink;
mod stamps;
mod state;
mod subscriptions;
mod throttle;
mod webex;
mod xsi;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware;
use axum_server::tls_rustls::RustlsConfig;
use tokio::signal::unix::{SignalKind, signal};

pub use config::{
    App, Config, DEFAULT_APP, DEFAULT_SECRET, DEFAULT_TENANT, DeliverySettings, DeltaSettings, FederatedCredential,
    PresenceSettings, Secret, Settings, Tenant, TlsPem,
};
use errors::GraphError;
use outbound::Outbound;
use state::{Shared, Simulation};

/// Settings.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where to listen.
    #[arg(long, env = "SIMULATOR_LISTEN", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Serve TLS with this certificate chain (PEM).
    #[arg(long, requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The private key of the certificate (PEM).
    #[arg(long, requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// CAs (PEM) to trust when notification URLs are called. No others are trusted.
    #[arg(long)]
    ca_file: Option<PathBuf>,
    /// Initial tenants, apps and settings (JSON).
    #[arg(long)]
    config: Option<PathBuf>,
    /// Accept http:// notification URLs, which Microsoft refuses. For tests without TLS.
    #[arg(long)]
    allow_http: bool,
    /// Send reauthorizationRequired when a token or subscription nears its end.
    #[arg(long)]
    challenges: bool,
}

/// Runs until told to stop.
pub async fn run(args: Args) -> crate::RunResult {
    let simulator = Simulator::start(read_config(&args)?).await?;
    tracing::info!(
        url = simulator.url(),
        "simulator (a stand-in, not Microsoft) listens; help is at /_simulator/"
    );
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => {}
        stopped = tokio::signal::ctrl_c() => stopped?,
    }
    Ok(())
}

fn read_config(args: &Args) -> Result<Config, Box<dyn std::error::Error + Send + Sync>> {
    let mut config: Config = match &args.config {
        Some(path) => serde_json::from_slice(&read(path)?).map_err(|error| format!("{}: {error}", path.display()))?,
        None => Config::default(),
    };
    config.listen = args.listen;
    if let (Some(certificate), Some(key)) = (&args.tls_cert, &args.tls_key) {
        config.tls = Some(TlsPem {
            certificate: read(certificate)?,
            key: read(key)?,
        });
    }
    if let Some(path) = &args.ca_file {
        config.trusted_ca = Some(String::from_utf8(read(path)?)?);
    }
    config.settings.allow_http |= args.allow_http;
    config.settings.challenges |= args.challenges;
    Ok(config)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// A running simulator. It ends when this is dropped.
pub struct Simulator {
    url: String,
    shared: Shared,
    handle: axum_server::Handle<SocketAddr>,
}

impl Simulator {
    /// Starts one; by default on a free loopback port.
    pub async fn start(config: Config) -> io::Result<Self> {
        let listener = TcpListener::bind(config.listen)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let outbound = Outbound::new(config.trusted_ca.as_deref()).map_err(io::Error::other)?;
        let tls = match &config.tls {
            Some(pem) => Some(RustlsConfig::from_pem(pem.certificate.clone(), pem.key.clone()).await?),
            None => None,
        };
        let shared = Arc::new(Simulation::new(config, outbound));
        let handle = axum_server::Handle::new();
        serve(listener, tls, router(&shared), handle.clone())?;
        let (watched, stop) = (shared.clone(), shared.stop.clone());
        tokio::spawn(async move { stop.run_until_cancelled(delivery::lifecycle::watch(watched)).await });
        let (watched, stop) = (shared.clone(), shared.stop.clone());
        tokio::spawn(async move { stop.run_until_cancelled(presence::told::watch(watched)).await });
        Ok(Self {
            url: format!("{}://{address}", shared.scheme),
            shared,
            handle,
        })
    }

    /// `http://127.0.0.1:port`, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.shared.stop.cancel();
        self.handle.shutdown();
    }
}

fn serve(
    listener: TcpListener,
    tls: Option<RustlsConfig>,
    router: Router,
    handle: axum_server::Handle<SocketAddr>,
) -> io::Result<()> {
    let service = router.into_make_service();
    if let Some(tls) = tls {
        tokio::spawn(
            axum_server::from_tcp_rustls(listener, tls)?
                .handle(handle)
                .serve(service),
        );
    } else {
        tokio::spawn(axum_server::from_tcp(listener)?.handle(handle).serve(service));
    }
    Ok(())
}

fn router(shared: &Shared) -> Router {
    entra::routes()
        .merge(subscriptions::routes())
        .merge(reading::routes())
        .merge(presence::routes())
        .merge(portal::routes())
        .merge(webex::routes())
        .merge(xsi::routes())
        .merge(pexip::routes())
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(shared.clone(), front::pass))
        .merge(innovaphone::routes())
        .merge(admin::routes())
        .with_state(shared.clone())
}

async fn unknown() -> GraphError {
    GraphError::new(
        StatusCode::BAD_REQUEST,
        "BadRequest",
        "Resource not found for the segment.",
    )
}

async fn wrong_method() -> GraphError {
    GraphError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "Request_BadRequest",
        "Specified HTTP method is not allowed.",
    )
}

#[cfg(test)]
mod tests;
