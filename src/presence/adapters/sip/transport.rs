//! Sockets to the server: UDP, TCP, TLS.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::framing::{Frame, Framer};
use super::message::{MOST_BYTES, Message};
use crate::policy::presence::pbx::PbxError;
use crate::presence::adapters::metrics::Tally;
use crate::presence::adapters::tls::{self, Stream, broken};

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
        let addresses = tls::addresses(&self.host, self.port).await?;
        match &self.transport {
            Transport::Udp => Wire::datagrams(&addresses).await.map_err(|error| broken(&error)),
            Transport::Tcp => Wire::stream(&addresses, &self.host, None).await,
            Transport::Tls(config) => Wire::stream(&addresses, &self.host, Some(config.clone())).await,
        }
    }
}

impl Wire {
    async fn datagrams(servers: &[SocketAddr]) -> io::Result<Self> {
        let v4 = servers.first().is_none_or(SocketAddr::is_ipv4);
        let socket = UdpSocket::bind(if v4 { "0.0.0.0:0" } else { "[::]:0" }).await?;
        // From now on only the server is heard, and an absent one is noticed.
        socket.connect(servers).await?;
        Ok(Self {
            local: socket.local_addr()?,
            kind: Kind::Datagrams(socket),
            buffer: vec![0; MOST_BYTES],
        })
    }

    async fn stream(servers: &[SocketAddr], host: &str, tls: Option<Arc<ClientConfig>>) -> Result<Self, PbxError> {
        let tcp = TcpStream::connect(servers).await.map_err(|error| broken(&error))?;
        let local = tcp.local_addr().map_err(|error| broken(&error))?;
        let stream = tls::secure(tcp, host, tls).await?;
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
