//! Syslog over TCP and UDP, of which the support log counts. Anybody who reaches the port may write: what is written there can make a
//! connector look bad, and no more.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::local_clock;
use crate::policy::connector::pexip::syslog::{Frame, Frames, LONGEST};
use crate::probe::pexip::Log;

/// Connections at a time; each node has one.
const CONNECTIONS: usize = 256;
/// How long a connection may be silent: a node writes much more often.
const SILENT: Duration = Duration::from_mins(15);
/// How much is read at a time, in bytes.
const CHUNK: usize = 16 << 10;
/// The pause when no connection or datagram can be taken, for want of files or memory for instance.
const PAUSE: Duration = Duration::from_secs(1);

/// Takes lines over UDP.
pub async fn datagrams(socket: UdpSocket, log: Arc<Log>) -> io::Result<()> {
    // One more than is kept, to see that there is more.
    let mut buffer = vec![0; LONGEST + 1];
    loop {
        match socket.recv_from(&mut buffer).await {
            Ok((length, _)) => {
                let bytes = buffer.get(..length.min(LONGEST)).unwrap_or_default();
                take(&log, bytes, length > LONGEST);
            }
            Err(error) => {
                tracing::warn!("no datagram of the support log could be taken: {error}");
                sleep(PAUSE).await;
            }
        }
    }
}

/// Takes lines over TCP. Connections end with this future.
pub async fn connections(listener: TcpListener, log: Arc<Log>) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut running = JoinSet::new();
    loop {
        while running.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            log.counts().line("connection_refused");
            continue;
        };
        let log = log.clone();
        running.spawn(async move {
            connection(stream, &log).await;
            drop(place);
        });
    }
}

async fn connection(mut stream: TcpStream, log: &Log) {
    let (mut frames, mut buffer) = (Frames::default(), vec![0; CHUNK]);
    let take = |frame: Frame| take(log, &frame.bytes, frame.is_cut);
    while let Ok(Ok(length @ 1..)) = timeout(SILENT, stream.read(&mut buffer)).await {
        frames.push(buffer.get(..length).unwrap_or_default(), take);
    }
    frames.finish().into_iter().for_each(take);
    let _ = stream.shutdown().await;
}

fn take(log: &Log, line: &[u8], is_cut: bool) {
    if is_cut {
        log.counts().line("cut");
    }
    log.take(line, local_clock::now());
}
