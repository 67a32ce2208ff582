//! Names and TCP connections.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};

use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout_at};

use crate::policy::connector::endpoint::{Obstacle, Resolution};

/// The addresses of a host, each once, in order. An address is its own.
pub(super) async fn resolve(host: &str, end: Instant) -> Result<Vec<IpAddr>, Resolution> {
    if let Ok(address) = host.parse() {
        return Ok(vec![address]);
    }
    let found = match timeout_at(end, lookup_host((host, 0))).await {
        Err(_) => return Err(Resolution::Unavailable),
        Ok(Err(error)) => return Err(failure(&error)),
        Ok(Ok(found)) => found,
    };
    let mut addresses: Vec<IpAddr> = found.map(|address| address.ip()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    if addresses.is_empty() {
        return Err(Resolution::NotFound);
    }
    Ok(addresses)
}

/// The system's resolver tells what happened in words alone: those of glibc and of musl for "no such name" and "no address".
fn failure(error: &io::Error) -> Resolution {
    const NOT_FOUND: [&str; 5] = [
        "Name or service not known",
        "No address associated with hostname",
        "Name does not resolve",
        "Name has no usable address",
        "nodename nor servname provided",
    ];
    let text = error.to_string();
    // A name that cannot be one, as with an empty label.
    let no_name = error.kind() == ErrorKind::InvalidInput;
    if no_name || NOT_FOUND.iter().any(|known| text.contains(known)) {
        Resolution::NotFound
    } else {
        Resolution::Unavailable
    }
}

/// Connects to exactly this address.
pub(super) async fn connect(address: IpAddr, port: u16, end: Instant) -> Result<TcpStream, Obstacle> {
    let tcp = match timeout_at(end, TcpStream::connect(SocketAddr::new(address, port))).await {
        Err(_) => return Err(Obstacle::ConnectTimeout),
        Ok(Err(error)) => return Err(refusal(&error)),
        Ok(Ok(tcp)) => tcp,
    };
    // Only a matter of speed.
    let _ = tcp.set_nodelay(true);
    Ok(tcp)
}

fn refusal(error: &io::Error) -> Obstacle {
    match error.kind() {
        ErrorKind::ConnectionRefused => Obstacle::Refused,
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => Obstacle::Closed,
        ErrorKind::TimedOut => Obstacle::ConnectTimeout,
        ErrorKind::HostUnreachable => Obstacle::HostUnreachable,
        ErrorKind::NetworkUnreachable | ErrorKind::AddrNotAvailable => Obstacle::NoRoute,
        other => Obstacle::Other(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_such_name_is_told_from_no_answer() {
        for (text, expected) in [
            (
                "failed to lookup address information: Name or service not known",
                Resolution::NotFound,
            ),
            (
                "failed to lookup address information: No address associated with hostname",
                Resolution::NotFound,
            ),
            (
                "failed to lookup address information: Name does not resolve",
                Resolution::NotFound,
            ),
            (
                "failed to lookup address information: Temporary failure in name resolution",
                Resolution::Unavailable,
            ),
            (
                "failed to lookup address information: Try again",
                Resolution::Unavailable,
            ),
            (
                "failed to lookup address information: System error",
                Resolution::Unavailable,
            ),
        ] {
            assert_eq!(failure(&io::Error::other(text)), expected, "{text}");
        }
    }

    #[tokio::test]
    async fn names_are_looked_up_once_each_and_addresses_not_at_all() {
        let end = Instant::now() + std::time::Duration::from_secs(5);
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(resolve("192.0.2.7", end).await, Ok(vec![ip("192.0.2.7")]));
        assert_eq!(resolve("2001:db8::1", end).await, Ok(vec![ip("2001:db8::1")]));
        assert!(resolve("localhost", end).await.unwrap().contains(&ip("127.0.0.1")));
        // Digits that programs of old read as an address of this machine: only what was checked is connected to, so it does no harm.
        if let Ok(found) = resolve("0x7f.1", end).await {
            assert_eq!(found, [ip("127.0.0.1")]);
        }
    }
}
