//! Looks at an endpoint: its name, each of its addresses, TLS, one request. Collects, and judges nothing:
//! [`crate::policy::connector::endpoint::judge`] does.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use crate::api::connector::{Endpoint, EndpointProtocol};
use crate::policy::connector::clock::ClockSample;
use crate::policy::connector::endpoint::{AddressEvidence, EndpointEvidence, Obstacle, Resolution, forbidden};

mod connect;
mod documents;
mod hello;
mod http;
mod tls;

pub use documents::Cache;

/// So many addresses of a name are looked at; a status lists no more.
const MOST_ADDRESSES: usize = 16;
/// Largest bundle of certificates that is read, in bytes.
const LONGEST_BUNDLE: usize = 1024 * 1024;

/// What to look at, with all that was read from Secrets.
#[derive(Clone, Debug)]
pub struct Plan {
    endpoint: Endpoint,
    bundle: Vec<Vec<u8>>,
    client: Option<Arc<CertifiedKey>>,
    cache: Arc<Cache>,
}

/// Why what was read from a Secret is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// The bundle of trusted certificates.
    #[error("the bundle of trusted certificates {0}")]
    Bundle(&'static str),
    /// The client certificate or its key.
    #[error("the client certificate {0}")]
    ClientCertificate(&'static str),
}

impl Plan {
    /// To look at this endpoint. What addresses within certificates give is kept in `cache`, one for all endpoints.
    pub fn new(endpoint: Endpoint, cache: Arc<Cache>) -> Self {
        Self {
            endpoint,
            bundle: Vec::new(),
            client: None,
            cache,
        }
    }

    /// With trusted certificates (PEM), of which there must be one.
    pub fn with_bundle(mut self, pem: &[u8]) -> Result<Self, Unusable> {
        if pem.len() > LONGEST_BUNDLE {
            return Err(Unusable::Bundle("is too long"));
        }
        self.bundle = CertificateDer::pem_slice_iter(pem)
            .map(|der| der.map(|der| der.to_vec()))
            .collect::<Result<_, _>>()
            .map_err(|_| Unusable::Bundle("is not PEM"))?;
        if self.bundle.is_empty() {
            return Err(Unusable::Bundle("holds no certificate"));
        }
        Ok(self)
    }

    /// With a certificate (PEM, with its intermediates) to show when the server asks for one, and its key (PEM).
    pub fn with_client_certificate(mut self, certificates: &[u8], key: &SecretString) -> Result<Self, Unusable> {
        let unusable = Unusable::ClientCertificate;
        let chain: Vec<_> = CertificateDer::pem_slice_iter(certificates)
            .collect::<Result<_, _>>()
            .map_err(|_| unusable("is not PEM"))?;
        if chain.is_empty() {
            return Err(unusable("is missing"));
        }
        let key = PrivateKeyDer::from_pem_slice(key.expose_secret().as_bytes())
            .map_err(|_| unusable("has a key that is not PEM"))?;
        let client = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())
            .map_err(|_| unusable("and its key do not belong together, or cannot be used"))?;
        self.client = Some(Arc::new(client));
        Ok(self)
    }

    /// A TLS configuration that accepts every certificate, and the name to ask for: for SIP, which is spoken after certificates were
    /// judged.
    pub fn accepting(&self) -> Option<(Arc<rustls::ClientConfig>, rustls::pki_types::ServerName<'static>)> {
        tls::accepting(self)
    }

    /// The name in handshake, certificate and request.
    fn server_name(&self) -> &str {
        let given = self.endpoint.tls.as_ref().and_then(|tls| tls.server_name.as_deref());
        given.unwrap_or(&self.endpoint.host).trim_end_matches('.')
    }

    fn port(&self) -> u16 {
        // The schema admits nothing else.
        u16::try_from(self.endpoint.port).unwrap_or_default()
    }
}

/// Looks once; returns within `deadline`, whatever the other side does.
pub async fn look(plan: &Plan, deadline: Duration) -> EndpointEvidence {
    let start = Instant::now();
    let end = start + deadline;
    // What is within the certificates is looked at last, and needs time too.
    let wants_documents = documents::wanted(&plan.endpoint);
    let contacts_end = if wants_documents { start + deadline * 3 / 4 } else { end };
    let (resolution, addresses) = match connect::resolve(&plan.endpoint.host, contacts_end).await {
        Ok(addresses) => (Resolution::Found, addresses),
        Err(resolution) => (resolution, Vec::new()),
    };
    let (addresses, clock) = look_at_all(plan, &addresses, contacts_end).await;
    let documents = documents::fetch_all(plan, &addresses, end).await;
    EndpointEvidence {
        resolution,
        addresses,
        bundle: plan.bundle.clone(),
        documents,
        clock,
    }
}

/// Looks at these addresses, all at once: one that swallows packets takes nothing from the others.
async fn look_at_all(plan: &Plan, addresses: &[IpAddr], end: Instant) -> (Vec<AddressEvidence>, Vec<ClockSample>) {
    let first = addresses.iter().take(MOST_ADDRESSES);
    let looks = join_all(first.map(|address| look_at(plan, *address, end))).await;
    let (found, clock): (Vec<_>, Vec<_>) = looks.into_iter().unzip();
    (found, clock.into_iter().flatten().collect())
}

/// Looks at one address: the very one that was checked is connected to.
async fn look_at(plan: &Plan, address: IpAddr, end: Instant) -> (AddressEvidence, Option<ClockSample>) {
    let mut found = AddressEvidence::new(address);
    let mut clock = None;
    found.obstacle = forbidden(&plan.endpoint, address);
    if found.obstacle.is_none() && plan.endpoint.protocol != EndpointProtocol::Udp {
        found.obstacle = contact(plan, &mut found, &mut clock, end).await.err();
    }
    (found, clock)
}

async fn contact(
    plan: &Plan,
    found: &mut AddressEvidence,
    clock: &mut Option<ClockSample>,
    end: Instant,
) -> Result<(), Obstacle> {
    let tcp = connect::connect(found.address, plan.port(), end).await?;
    if plan.endpoint.protocol == EndpointProtocol::Tcp {
        return request(plan, tcp, found, clock, end).await;
    }
    let (seen, stream) = tls::handshake(plan, tcp, end).await;
    found.tls = seen;
    match stream {
        Ok(mut stream) if plan.endpoint.http.is_none() => {
            let late = tls::late_refusal(&found.tls, &mut stream, end).await;
            tls::close(&mut stream).await;
            late
        }
        Ok(stream) => request(plan, stream, found, clock, end).await,
        Err(obstacle) => {
            if found.tls.chain.is_empty() && may_be_old(&obstacle) {
                fall_back(plan, found, end).await;
            }
            Err(obstacle)
        }
    }
}

/// Whether a server may have meant: not with this client.
fn may_be_old(obstacle: &Obstacle) -> bool {
    matches!(
        obstacle,
        Obstacle::Alert(_) | Obstacle::Incompatible(_) | Obstacle::Closed
    )
}

/// Asks again as clients did ten years ago. What comes is shown without encryption, so that nothing has to be agreed on.
async fn fall_back(plan: &Plan, found: &mut AddressEvidence, end: Instant) {
    let Ok(tcp) = connect::connect(found.address, plan.port(), end).await else {
        return;
    };
    let answer = hello::ask(tcp, plan.server_name(), end).await;
    found.tls.fallback = answer.fallback;
    found.tls.chain = answer.chain;
}

async fn request<S>(
    plan: &Plan,
    stream: S,
    found: &mut AddressEvidence,
    clock: &mut Option<ClockSample>,
    end: Instant,
) -> Result<(), Obstacle>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let Some(expected) = &plan.endpoint.http else {
        return Ok(());
    };
    let default_port = if plan.endpoint.protocol == EndpointProtocol::Tls {
        443
    } else {
        80
    };
    let authority = http::authority(plan.server_name(), plan.port(), default_port);
    let reply = http::get(stream, &authority, &expected.path, http::Reading::UntilText, end).await?;
    found.http = Some(reply.evidence());
    *clock = reply.clock(&plan.endpoint.name);
    Ok(())
}

#[cfg(test)]
mod tests;
