//! The certificate with which the pod itself ends TLS, if it has one.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum_server::tls_rustls::RustlsConfig;
use rustls::ServerConfig;
use x509_parser::pem::parse_x509_pem;

use super::metrics::Metrics;

const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";

#[derive(PartialEq, Eq)]
struct Pair {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// A certificate in use, that follows its files.
pub struct Certificate {
    /// What the listener serves with: TLS 1.2 and 1.3, since Graph does not speak 1.3 everywhere.
    pub config: RustlsConfig,
    known: Pair,
}

impl Certificate {
    /// Loads the certificate; `None` if the folder holds none.
    pub async fn load(dir: &Path, metrics: &Metrics) -> Result<Option<Self>, std::io::Error> {
        if !dir.join(CERTIFICATE).exists() {
            return Ok(None);
        }
        let known = read(dir)?;
        let config = RustlsConfig::from_config(serve_with(&known).await?);
        tell_expiry(&known, metrics);
        Ok(Some(Self { config, known }))
    }

    /// Looks at the files again and again; a pair that cannot be used leaves the old one in place.
    pub async fn follow(mut self, dir: std::path::PathBuf, every: Duration, metrics: Arc<Metrics>) {
        loop {
            tokio::time::sleep(every).await;
            let new = match read(&dir) {
                Ok(new) if new == self.known => continue,
                Ok(new) => new,
                Err(error) => {
                    tracing::warn!("the certificate cannot be read: {error}");
                    continue;
                }
            };
            match serve_with(&new).await {
                Ok(config) => {
                    self.config.reload_from_config(config);
                    tracing::info!("the certificate changed, using the new one");
                    tell_expiry(&new, &metrics);
                }
                // Seen half-way through a change, it is complete the next time, and differs again.
                Err(error) => {
                    metrics.config_failures.inc();
                    tracing::warn!("the new certificate cannot be used: {error}");
                }
            }
            self.known = new;
        }
    }
}

// HTTP/1.1 is all that the listener speaks.
async fn serve_with(pair: &Pair) -> Result<Arc<ServerConfig>, std::io::Error> {
    let config = RustlsConfig::from_pem(pair.certificate.clone(), pair.key.clone()).await?;
    let mut config = ServerConfig::clone(&config.get_inner());
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn read(dir: &Path) -> Result<Pair, std::io::Error> {
    Ok(Pair {
        certificate: std::fs::read(dir.join(CERTIFICATE))?,
        key: std::fs::read(dir.join(KEY))?,
    })
}

#[allow(clippy::cast_precision_loss)] // seconds since 1970 fit
fn tell_expiry(pair: &Pair, metrics: &Metrics) {
    let Ok((_, pem)) = parse_x509_pem(&pair.certificate) else {
        return;
    };
    if let Ok(certificate) = pem.parse_x509() {
        let expiry = certificate.validity().not_after.timestamp();
        metrics.certificate_expiration.set(expiry as f64);
    }
}
