//! What the connectors of the bench are made of: a TLS server that notes who is looked for and when, one that takes connections,
//! and one that answers requests.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::Router;
use axum::routing::get;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::world::tls_server;

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
        let (acceptor, authority) = tls_server(&format!("*.{DOMAIN}"));
        let (tls, tls_port) = listen().await;
        tokio::spawn(serve_tls(tls, acceptor, arrivals.clone()));
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
