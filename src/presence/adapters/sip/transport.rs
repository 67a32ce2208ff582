//! Sockets to the server: UDP, TCP, TLS.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::framing::{Frame, Framer};
use super::message::{MOST_BYTES, Message};
use crate::policy::presence::pbx::PbxError;
use crate::presence::adapters::metrics::Tally;
use crate::presence::adapters::tls::{Stream, broken};

/// How long a connection may take to be made, TLS included.
const CONNECT: Duration = Duration::from_secs(10);
/// How long the server may take to accept what is written.
const WRITE: Duration = Duration::from_secs(10);

/// Where the server is, and how it is reached.
#[derive(Clone, Debug)]
pub(super) struct Server {
    /// Host name or address.
    pub(super) host: String,
    /// Port.
    pub(super) port: u16,
    /// The transport.
    pub(super) transport: Transport,
}

/// How the server is reached.
#[derive(Clone, Debug)]
pub(super) enum Transport {
    /// One message in each datagram.
    Udp,
    /// A stream in clear.
    Tcp,
    /// A stream under TLS.
    Tls(Arc<ClientConfig>),
}

/// An open way to the server.
pub(super) struct Wire {
    kind: Kind,
    buffer: Vec<u8>,
    /// Of ours.
    pub(super) local: SocketAddr,
}

enum Kind {
    Datagrams(UdpSocket),
    Stream(Box<dyn Stream>, Framer),
}

impl Server {
    /// Opens a way to the server.
    pub(super) async fn connect(&self) -> Result<Wire, PbxError> {
        timeout(CONNECT, self.try_connect())
            .await
            .unwrap_or_else(|_| Err(slow()))
    }

    async fn try_connect(&self) -> Result<Wire, PbxError> {
        // An IPv6 address may stand in brackets.
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        let unknown = || PbxError::Transport("the name cannot be resolved".to_owned());
        let addresses = lookup_host((host, self.port)).await.map_err(|_| unknown())?;
        let addresses: Vec<SocketAddr> = addresses.collect();
        let first = addresses.first().ok_or_else(unknown)?;
        let wire = match &self.transport {
            Transport::Udp => Wire::datagrams(*first).await,
            Transport::Tcp => Wire::stream(&addresses, None).await,
            Transport::Tls(config) => Wire::stream(&addresses, Some((config, host))).await,
        };
        wire.map_err(|error| broken(&error))
    }
}

impl Wire {
    async fn datagrams(server: SocketAddr) -> std::io::Result<Self> {
        let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any).await?;
        // From now on only the server is heard, and an absent one is noticed.
        socket.connect(server).await?;
        Ok(Self {
            local: socket.local_addr()?,
            kind: Kind::Datagrams(socket),
            buffer: vec![0; MOST_BYTES],
        })
    }

    async fn stream(addresses: &[SocketAddr], tls: Option<(&Arc<ClientConfig>, &str)>) -> std::io::Result<Self> {
        let tcp = TcpStream::connect(addresses).await?;
        tcp.set_nodelay(true)?;
        let local = tcp.local_addr()?;
        let stream: Box<dyn Stream> = match tls {
            None => Box::new(tcp),
            Some((config, host)) => {
                let name = ServerName::try_from(host.to_owned()).map_err(std::io::Error::other)?;
                Box::new(TlsConnector::from(config.clone()).connect(name, tcp).await?)
            }
        };
        Ok(Self {
            local,
            kind: Kind::Stream(stream, Framer::default()),
            buffer: vec![0; 16 * 1024],
        })
    }

    /// The next message. May be given up at any time without losing one.
    pub(super) async fn receive(&mut self, tally: &Tally) -> Result<Frame, PbxError> {
        loop {
            match &mut self.kind {
                Kind::Datagrams(socket) => {
                    let length = socket.recv(&mut self.buffer).await.map_err(|error| broken(&error))?;
                    let bytes = self.buffer.get(..length).unwrap_or_default();
                    match Message::read(bytes) {
                        Ok(message) => return Ok(Frame::Message(Box::new(message))),
                        // Some clients keep a way open with empty datagrams.
                        Err(_) => tally.ignored("malformed"),
                    }
                }
                Kind::Stream(stream, framer) => {
                    let frame = framer.next().map_err(|why| PbxError::Protocol(why.to_string()))?;
                    if let Some(frame) = frame {
                        return Ok(frame);
                    }
                    let length = stream.read(&mut self.buffer).await.map_err(|error| broken(&error))?;
                    if length == 0 {
                        return Err(PbxError::Transport("the server closed the connection".to_owned()));
                    }
                    framer.push(self.buffer.get(..length).unwrap_or_default());
                }
            }
        }
    }

    /// Sends messages, in order.
    pub(super) async fn send(&mut self, messages: &[Vec<u8>]) -> Result<(), PbxError> {
        let sent = match &mut self.kind {
            Kind::Datagrams(socket) => {
                for message in messages {
                    socket.send(message).await.map_err(|error| broken(&error))?;
                }
                return Ok(());
            }
            Kind::Stream(stream, _) => {
                let bytes = messages.concat();
                timeout(WRITE, async {
                    stream.write_all(&bytes).await?;
                    stream.flush().await
                })
                .await
            }
        };
        match sent {
            Ok(sent) => sent.map_err(|error| broken(&error)),
            Err(_) => Err(slow()),
        }
    }
}

fn slow() -> PbxError {
    PbxError::Transport("it does not answer in time".to_owned())
}
