//! What the connectors of the bench are made of: a TLS server that notes who is looked for and when, one that takes connections,
//! and one that answers requests.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::Router;
use axum::routing::get;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Names of the objects end with it; the certificate is for all of them.
pub const DOMAIN: &str = "bench.test";

/// When each name was asked for.
type Arrivals = Arc<Mutex<HashMap<String, Vec<Instant>>>>;

/// They run until the process ends.
pub struct Servers {
    pub tls_port: u16,
    pub tcp_port: u16,
    pub http_port: u16,
    /// The authority (PEM) that signed the certificate.
    pub authority: String,
    arrivals: Arrivals,
}

impl Servers {
    pub async fn start() -> Self {
        let arrivals = Arrivals::default();
        let (config, authority) = certificates();
        let (tls, tls_port) = listen().await;
        tokio::spawn(serve_tls(tls, TlsAcceptor::from(Arc::new(config)), arrivals.clone()));
        let (tcp, tcp_port) = listen().await;
        tokio::spawn(serve_tcp(tcp));
        let (http, http_port) = listen().await;
        let app = Router::new().route("/", get(async || "ok\n"));
        tokio::spawn(async move { axum::serve(http, app).await });
        Self {
            tls_port,
            tcp_port,
            http_port,
            authority,
            arrivals,
        }
    }

    /// When each object was looked at, by its name.
    pub fn arrivals(&self) -> HashMap<String, Vec<Instant>> {
        self.arrivals.lock().unwrap().clone()
    }
}

async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

fn certificates() -> (ServerConfig, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![format!("*.{DOMAIN}")]).unwrap();
    params.not_after = rcgen::date_time_ymd(2100, 1, 1);
    let leaf = params.signed_by(&key, &issuer).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from(leaf.der().to_vec())],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    (config, authority)
}

async fn serve_tls(listener: TcpListener, acceptor: TlsAcceptor, arrivals: Arrivals) {
    loop {
        let (tcp, _) = listener.accept().await.unwrap();
        let at = Instant::now();
        let (acceptor, arrivals) = (acceptor.clone(), arrivals.clone());
        tokio::spawn(async move {
            // A probe may try several ways to shake hands; only the one that comes to an end is an arrival.
            let Ok(mut stream) = acceptor.accept(tcp).await else {
                return;
            };
            if let Some(name) = stream.get_ref().1.server_name() {
                let name = name.split('.').next().unwrap_or_default().to_owned();
                arrivals.lock().unwrap().entry(name).or_default().push(at);
            }
            let _ = stream.read(&mut [0; 1]).await;
        });
    }
}

async fn serve_tcp(listener: TcpListener) {
    loop {
        let (mut tcp, _) = listener.accept().await.unwrap();
        tokio::spawn(async move {
            let _ = tcp.read(&mut [0; 1]).await;
        });
    }
}
