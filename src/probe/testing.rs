//! For tests: servers that misbehave.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

/// Beginnings of answers that never end: within the head, and within a body of JSON.
pub(crate) const DRIPS: [&str; 2] = [
    "HTTP/1.1 200 OK\r\nX: ",
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n",
];

/// Answers a request with this, and goes on byte by byte for as long as somebody reads.
pub(crate) async fn drip(mut stream: TcpStream, beginning: &'static str) {
    // An answer to nothing would be no answer.
    let asked = stream.read(&mut [0; 4096]).await;
    if asked.is_err() || stream.write_all(beginning.as_bytes()).await.is_err() {
        return;
    }
    while stream.write_all(b"x").await.is_ok() {
        sleep(Duration::from_millis(50)).await;
    }
}

/// A server that does so with everyone: its address.
pub(crate) async fn drips(beginning: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(drip(stream, beginning));
        }
    });
    format!("http://{address}")
}

/// A port of `::1` where connections are neither accepted nor refused, as long as this is held.
pub(crate) struct BlackHole {
    pub(crate) port: u16,
    _listener: TcpListener,
    _waiting: Vec<TcpStream>,
}

impl BlackHole {
    /// One, and a listener at the same port of 127.0.0.1. `None` on a machine without `::1`.
    pub(crate) async fn beside_ipv4() -> Option<(Self, TcpListener)> {
        loop {
            let hole = Self::new().await?;
            // Somebody else may have that port.
            if let Ok(listener) = TcpListener::bind(("127.0.0.1", hole.port)).await {
                return Some((hole, listener));
            }
        }
    }

    async fn new() -> Option<Self> {
        let socket = TcpSocket::new_v6().ok()?;
        socket.bind("[::1]:0".parse().unwrap()).ok()?;
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut waiting = Vec::new();
        // The kernel takes some by itself.
        while let Ok(stream) = timeout(Duration::from_millis(300), TcpStream::connect(address)).await {
            waiting.push(stream.unwrap());
        }
        Some(Self {
            port: address.port(),
            _listener: listener,
            _waiting: waiting,
        })
    }
}
