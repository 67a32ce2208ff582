//! SIP OPTIONS (RFC 3261 section 11): whether a session border controller takes part in SIP, whatever it thinks of us.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use crate::graph::connection::Fault;
use crate::policy::connector::sip::{SipEvidence, SipReply};

mod message;

use message::{Options, Reading};

/// First and longest pause between repetitions over UDP: T1 and T2 of RFC 3261 section 17.1.2.1.
const T1: Duration = Duration::from_millis(500);
const T2: Duration = Duration::from_secs(4);
/// Longest datagram that is read, and longest beginning of a stream in which an answer must be.
const LONGEST: usize = 65_536;

/// How a server is spoken to.
#[derive(Clone, Debug)]
pub enum Transport {
    /// Datagrams, repeated until something comes back.
    Udp,
    /// A connection in the clear.
    Tcp,
    /// A connection under TLS: with which trust, as whom, and to which name.
    Tls(Arc<ClientConfig>, ServerName<'static>),
}

/// What to ask.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Addresses that may be asked. They were checked, and are connected to as they stand.
    pub addresses: Vec<SocketAddr>,
    /// How.
    pub transport: Transport,
    /// Domain or address in the request.
    pub domain: String,
    /// How long one address may take in all.
    pub limit: Duration,
}

/// Asks every address, all at once.
pub async fn look(plan: &Plan) -> SipEvidence {
    let asked = plan.addresses.iter().map(|address| async move {
        let reply = ask(plan, *address).await;
        (address.to_string(), reply)
    });
    SipEvidence {
        replies: join_all(asked).await,
    }
}

async fn ask(plan: &Plan, address: SocketAddr) -> SipReply {
    let deadline = Instant::now() + plan.limit;
    let asked = async {
        match &plan.transport {
            Transport::Udp => over_udp(plan, address).await,
            Transport::Tcp => {
                let stream = TcpStream::connect(address).await.map_err(|error| broken(&error))?;
                let local = stream.local_addr().map_err(|error| broken(&error))?;
                Ok(speak(stream, "TCP", &plan.domain, local).await)
            }
            Transport::Tls(config, name) => {
                let stream = TcpStream::connect(address).await.map_err(|error| broken(&error))?;
                let local = stream.local_addr().map_err(|error| broken(&error))?;
                let connector = TlsConnector::from(config.clone());
                let stream = connector
                    .connect(name.clone(), stream)
                    .await
                    .map_err(|error| broken(&error))?;
                Ok(speak(stream, "TLS", &plan.domain, local).await)
            }
        }
    };
    match timeout_at(deadline, asked).await {
        Ok(Ok(reply) | Err(reply)) => reply,
        Err(_) => SipReply::Silent,
    }
}

fn broken(error: &std::io::Error) -> SipReply {
    match Fault::of_io(error) {
        Fault::Connection("the connection is refused") => SipReply::Refused,
        Fault::Timeout => SipReply::Silent,
        Fault::NotTrusted(why) | Fault::Connection(why) => SipReply::Broken(why.to_owned()),
    }
}

/// Sends until a final answer comes; the caller sees to it that this ends.
async fn over_udp(plan: &Plan, address: SocketAddr) -> Result<SipReply, SipReply> {
    let any: SocketAddr = if address.is_ipv4() {
        ([0, 0, 0, 0], 0).into()
    } else {
        ([0_u16; 8], 0).into()
    };
    let socket = UdpSocket::bind(any).await.map_err(|error| broken(&error))?;
    // Connected: answers of others are not seen, and a closed port is told.
    socket.connect(address).await.map_err(|error| broken(&error))?;
    let local = socket.local_addr().map_err(|error| broken(&error))?;
    let options = Options::new("UDP", &plan.domain, local);
    let mut buffer = vec![0; LONGEST];
    let (mut pause, mut odd) = (T1, false);
    let begun = Instant::now();
    loop {
        socket.send(&options.bytes()).await.map_err(|error| broken(&error))?;
        let next = Instant::now() + pause;
        while let Ok(received) = timeout_at(next, socket.recv(&mut buffer)).await {
            let length = received.map_err(|error| broken(&error))?;
            match options.read(buffer.get(..length).unwrap_or_default()) {
                Reading::Final(status) => return Ok(SipReply::Final(status)),
                Reading::NotSip => odd = true,
                Reading::Unfinished | Reading::Other(_) => {}
            }
        }
        pause = (pause * 2).min(T2);
        // Something that answers thrice and never in SIP will not do so later.
        if odd && begun.elapsed() > T1 * 3 {
            return Ok(SipReply::NotSip);
        }
    }
}

/// The same over a connection that somebody else made, such as the probe of certificates. `transport` is `TCP` or `TLS`. It may
/// wait for ever: the caller sees to it that this ends.
pub(super) async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    transport: &str,
    domain: &str,
    local: SocketAddr,
) -> SipReply {
    match over_stream(stream, &Options::new(transport, domain, local)).await {
        Ok(reply) | Err(reply) => reply,
    }
}

/// Sends once, and reads until a final answer comes or the other side ends.
async fn over_stream(mut stream: impl AsyncRead + AsyncWrite + Unpin, options: &Options) -> Result<SipReply, SipReply> {
    stream
        .write_all(&options.bytes())
        .await
        .map_err(|error| broken(&error))?;
    stream.flush().await.map_err(|error| broken(&error))?;
    let mut bytes: Vec<u8> = Vec::new();
    loop {
        match options.read(&bytes) {
            Reading::Final(status) => {
                // Politeness that must not cost the answer.
                let _ = timeout(T1, stream.shutdown()).await;
                return Ok(SipReply::Final(status));
            }
            Reading::NotSip => return Ok(SipReply::NotSip),
            Reading::Other(length) => {
                bytes.drain(..length.min(bytes.len()));
                continue;
            }
            Reading::Unfinished if bytes.len() > LONGEST => return Ok(SipReply::NotSip),
            Reading::Unfinished => {}
        }
        match stream.read_buf(&mut bytes).await {
            Ok(0) => return Err(SipReply::Broken("it ends the connection".to_owned())),
            Ok(_) => {}
            Err(error) => return Err(broken(&error)),
        }
    }
}

#[cfg(test)]
mod tests;
