//! A TLS handshake that accepts every certificate and keeps what it saw.

use std::io::{self, ErrorKind};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, InvalidMessage, ProtocolVersion, SignatureScheme,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::Plan;
use crate::policy::connector::endpoint::{CertificateRequest, Obstacle, Proof, TlsEvidence};

/// So many certificates of a server are kept.
const MOST_CERTIFICATES: usize = 16;
/// How long a server may take to refuse a client certificate after a handshake of TLS 1.3.
const LATE: Duration = Duration::from_secs(1);
/// How long a farewell may take.
const FAREWELL: Duration = Duration::from_millis(100);

static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));

/// Keeps what the server shows, and accepts it: it is judged later.
#[derive(Debug, Default)]
struct Recorder {
    seen: Mutex<TlsEvidence>,
    client: Option<Arc<CertifiedKey>>,
}

impl Recorder {
    fn seen(&self) -> MutexGuard<'_, TlsEvidence> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A certificate that cannot be read proves nothing, either way.
    fn keep_proof(&self, checked: &Result<HandshakeSignatureValid, Error>) {
        self.seen().proof = match checked {
            Ok(_) => Proof::Right,
            Err(Error::InvalidCertificate(CertificateError::BadSignature)) => Proof::Wrong,
            Err(_) => Proof::None,
        };
    }
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain = std::iter::once(end_entity).chain(intermediates);
        self.seen().chain = chain.take(MOST_CERTIFICATES).map(|der| der.to_vec()).collect();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &PROVIDER.signature_verification_algorithms;
        self.keep_proof(&verify_tls12_signature(message, certificate, signature, algorithms));
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &PROVIDER.signature_verification_algorithms;
        self.keep_proof(&verify_tls13_signature(message, certificate, signature, algorithms));
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        PROVIDER.signature_verification_algorithms.supported_schemes()
    }
}

impl ResolvesClientCert for Recorder {
    fn resolve(&self, authorities: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.seen().asked = Some(CertificateRequest {
            authorities: authorities.len(),
            shown: self.client.is_some(),
        });
        self.client.clone()
    }

    fn has_certs(&self) -> bool {
        self.client.is_some()
    }
}

/// A configuration that accepts every certificate, for what is spoken after certificates were judged. `None` for a name that cannot
/// be one.
pub(super) fn accepting(plan: &Plan) -> Option<(Arc<ClientConfig>, ServerName<'static>)> {
    let recorder = Arc::new(Recorder {
        client: plan.client.clone(),
        ..Recorder::default()
    });
    let name = ServerName::try_from(plan.server_name().to_owned()).ok()?;
    Some((Arc::new(config(&recorder).ok()?), name))
}

fn config(recorder: &Arc<Recorder>) -> Result<ClientConfig, Error> {
    let mut config = ClientConfig::builder_with_provider(PROVIDER.clone())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(recorder.clone())
        .with_client_cert_resolver(recorder.clone());
    // A resumed session shows no certificates.
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// A handshake, with what was seen however it ended.
pub(super) async fn handshake(
    plan: &Plan,
    tcp: TcpStream,
    end: Instant,
) -> (TlsEvidence, Result<TlsStream<TcpStream>, Obstacle>) {
    let recorder = Arc::new(Recorder {
        client: plan.client.clone(),
        ..Recorder::default()
    });
    let stream = shake(plan, tcp, &recorder, end).await;
    let mut seen = std::mem::take(&mut *recorder.seen());
    let stream = match stream {
        Ok(stream) => {
            seen.version = stream.get_ref().1.protocol_version().map(u16::from);
            Ok(stream)
        }
        Err(Ended::Early(obstacle)) => Err(obstacle),
        Err(Ended::Io(error)) => Err(obstacle(&error, &seen)),
    };
    (seen, stream)
}

enum Ended {
    Early(Obstacle),
    Io(io::Error),
}

async fn shake(
    plan: &Plan,
    tcp: TcpStream,
    recorder: &Arc<Recorder>,
    end: Instant,
) -> Result<TlsStream<TcpStream>, Ended> {
    let name = ServerName::try_from(plan.server_name().to_owned()).map_err(|_| Ended::Early(Obstacle::UnusableName))?;
    let mut config = config(recorder).map_err(|error| Ended::Early(Obstacle::Other(error.to_string())))?;
    if plan.endpoint.http.is_some() {
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
    }
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, tcp);
    match timeout_at(end, connecting).await {
        Err(_) => Err(Ended::Early(Obstacle::HandshakeTimeout)),
        Ok(stream) => stream.map_err(Ended::Io),
    }
}

/// In TLS 1.3 a server judges the client's certificate, or its absence, after the client has done its part: the handshake seems to
/// succeed, and the first thing to be read is the refusal.
pub(super) async fn late_refusal(
    seen: &TlsEvidence,
    stream: &mut TlsStream<TcpStream>,
    end: Instant,
) -> Result<(), Obstacle> {
    if seen.asked.is_none() || seen.version != Some(u16::from(ProtocolVersion::TLSv1_3)) {
        return Ok(());
    }
    let mut first = [0];
    let patience = end.min(Instant::now() + LATE);
    match timeout_at(patience, stream.read(&mut first)).await {
        Ok(Ok(0)) => Err(Obstacle::Closed),
        Ok(Err(error)) => Err(obstacle(&error, seen)),
        // It waits for us, or speaks first.
        Err(_) | Ok(Ok(_)) => Ok(()),
    }
}

/// Says farewell, so that the server's log stays clean.
pub(super) async fn close(stream: &mut TlsStream<TcpStream>) {
    let _ = timeout(FAREWELL, stream.shutdown()).await;
}

/// What an error of a TLS connection means.
pub(super) fn obstacle(error: &io::Error, seen: &TlsEvidence) -> Obstacle {
    if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        return tls_obstacle(error, seen);
    }
    match error.kind() {
        ErrorKind::UnexpectedEof
        | ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe => Obstacle::Closed,
        ErrorKind::TimedOut => Obstacle::HandshakeTimeout,
        other => Obstacle::Other(other.to_string()),
    }
}

fn tls_obstacle(error: &Error, seen: &TlsEvidence) -> Obstacle {
    match error {
        Error::AlertReceived(alert) => Obstacle::Alert(u8::from(*alert)),
        Error::InvalidMessage(
            InvalidMessage::HandshakePayloadTooLarge | InvalidMessage::CertificatePayloadTooLarge,
        ) => Obstacle::ChainTooLong,
        Error::InvalidMessage(_) | Error::PeerSentOversizedRecord if seen.chain.is_empty() => Obstacle::NotTls,
        other => Obstacle::Incompatible(other.to_string()),
    }
}
