//! Connections to a PBX that are not HTTP: TCP, and TLS with the platform's trusted authorities and those of the spec.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls_platform_verifier::Verifier;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::graph::connection::Fault;
use crate::policy::presence::pbx::PbxError;

/// Largest bundle of certificates that is read, in bytes.
const LONGEST_BUNDLE: usize = 1024 * 1024;

/// A connection, with TLS or without.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// The certificates of a bundle (PEM). At least one is expected.
pub fn roots(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, PbxError> {
    let unusable =
        |why: &str| PbxError::NotTrusted(format!("the bundle of trusted certificates cannot be used: {why}"));
    if pem.len() > LONGEST_BUNDLE {
        return Err(unusable("it is too long"));
    }
    let roots: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|_| unusable("it is not PEM"))?;
    if roots.is_empty() {
        return Err(unusable("it holds no certificate"));
    }
    Ok(roots)
}

/// TLS 1.2 or later, with the platform's authorities and these: as the HTTP clients have it.
pub fn client_config(extra_roots: &[CertificateDer<'static>]) -> Result<Arc<ClientConfig>, PbxError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let unusable = |_| PbxError::NotTrusted("the trusted certificates cannot be used".to_owned());
    let verifier = Verifier::new_with_extra_roots(extra_roots.iter().cloned(), provider.clone()).map_err(unusable)?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Connects to a host; without `tls` in clear. The caller sets the time limit.
pub async fn connect(host: &str, port: u16, tls: Option<Arc<ClientConfig>>) -> Result<Box<dyn Stream>, PbxError> {
    let tcp = TcpStream::connect(&*addresses(host, port).await?)
        .await
        .map_err(|error| broken(&error))?;
    secure(tcp, host, tls).await
}

/// The addresses of a host.
pub async fn addresses(host: &str, port: u16) -> Result<Vec<SocketAddr>, PbxError> {
    let unknown = || PbxError::Transport("the name cannot be resolved".to_owned());
    let found = tokio::net::lookup_host((bare(host), port))
        .await
        .map_err(|_| unknown())?;
    let addresses: Vec<SocketAddr> = found.collect();
    if addresses.is_empty() {
        return Err(unknown());
    }
    Ok(addresses)
}

/// A connection as it is used: small messages at once, and under TLS if that is wanted.
pub async fn secure(tcp: TcpStream, host: &str, tls: Option<Arc<ClientConfig>>) -> Result<Box<dyn Stream>, PbxError> {
    tcp.set_nodelay(true).map_err(|error| broken(&error))?;
    let Some(config) = tls else {
        return Ok(Box::new(tcp));
    };
    let name = ServerName::try_from(bare(host).to_owned())
        .map_err(|_| PbxError::Transport("the address holds no host name".to_owned()))?;
    let tls = TlsConnector::from(config)
        .connect(name, tcp)
        .await
        .map_err(|error| broken(&error))?;
    Ok(Box::new(tls))
}

/// An IPv6 address in a URL stands in brackets.
fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

/// Why a connection failed, in words that do not change and name no address.
pub fn broken(error: &io::Error) -> PbxError {
    Fault::of_io(error).into()
}

impl From<Fault> for PbxError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Timeout => Self::Transport("it does not answer in time".to_owned()),
            Fault::NotTrusted(why) => Self::NotTrusted(why.to_owned()),
            Fault::Connection(why) => Self::Transport(why.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests;
