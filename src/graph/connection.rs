//! Why no answer came, in words that do not change and name no address.

use std::error::Error;
use std::io::{self, ErrorKind};

use rustls::CertificateError;

use super::error::{Failure, Kind};

/// Why no answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Too slow.
    Timeout,
    /// The server's certificate is not acceptable.
    NotTrusted(&'static str),
    /// Anything else on the way.
    Connection(&'static str),
}

impl Fault {
    pub(crate) fn of(error: &reqwest::Error) -> Self {
        if error.is_timeout() {
            return Self::Timeout;
        }
        if error.is_dns() {
            return Self::Connection("the name cannot be resolved");
        }
        if error.is_builder() {
            return Self::Connection("the request cannot be built");
        }
        causes(error)
            .find_map(recognise)
            .unwrap_or(Self::Connection("the connection broke"))
    }

    /// The same for a connection that is not HTTP.
    pub(crate) fn of_io(error: &io::Error) -> Self {
        causes(error)
            .find_map(recognise)
            .unwrap_or(Self::Connection("the connection broke"))
    }

    /// The failure of a call to `peer`.
    pub(super) fn failure(self, peer: &str) -> Failure {
        let why = match self {
            Self::Timeout => "it does not answer in time",
            Self::NotTrusted(why) | Self::Connection(why) => why,
        };
        Failure::of(Kind::Unavailable, format!("{peer} is out of reach: {why}."))
    }
}

/// The chain of causes. An `io::Error` hides its own cause behind `get_ref`.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| match error.downcast_ref::<io::Error>() {
        Some(io) => io.get_ref().map(|inner| inner as &(dyn Error + 'static)),
        None => error.source(),
    })
}

fn recognise(error: &(dyn Error + 'static)) -> Option<Fault> {
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return Some(match tls {
            rustls::Error::InvalidCertificate(why) => Fault::NotTrusted(distrust(why)),
            _ => Fault::Connection("the TLS handshake failed"),
        });
    }
    let io = error.downcast_ref::<io::Error>()?;
    Some(Fault::Connection(match io.kind() {
        ErrorKind::ConnectionRefused => "the connection is refused",
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof => "the connection was reset",
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => "there is no route",
        ErrorKind::TimedOut => return Some(Fault::Timeout),
        _ => return None,
    }))
}

fn distrust(why: &CertificateError) -> &'static str {
    match why {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "the certificate has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the certificate is not valid yet"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the certificate is for another name"
        }
        CertificateError::UnknownIssuer => "the certificate's issuer is not trusted, or an intermediate is missing",
        CertificateError::Revoked => "the certificate is revoked",
        _ => "the certificate is not acceptable",
    }
}
