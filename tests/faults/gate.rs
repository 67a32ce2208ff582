//! The network between the operator and the API server, which may be cut.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    Fine,
    /// Nothing arrives, and nobody is told.
    Silent,
    /// Connections are closed, and no new ones accepted.
    Cut,
}

/// It ends when this is dropped.
pub struct Gate {
    pub address: SocketAddr,
    network: watch::Sender<Network>,
    task: JoinHandle<()>,
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Gate {
    pub async fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (network, state) = watch::channel(Network::Fine);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                if *state.borrow() != Network::Cut {
                    tokio::spawn(connect(stream, to, state.clone()));
                }
            }
        });
        Self { address, network, task }
    }

    pub fn set(&self, network: Network) {
        self.network.send_replace(network);
    }
}

async fn connect(near: TcpStream, to: SocketAddr, mut state: watch::Receiver<Network>) -> io::Result<()> {
    let far = TcpStream::connect(to).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
    let (up, down) = (
        carry(from_near, to_far, state.clone()),
        carry(from_far, to_near, state.clone()),
    );
    tokio::select! {
        done = async { tokio::try_join!(up, down) } => done.map(drop),
        _ = state.wait_for(|network| *network == Network::Cut) => Ok(()),
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut state: watch::Receiver<Network>) -> io::Result<()> {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        let length = from.read(&mut bytes).await?;
        if state.wait_for(|network| *network == Network::Fine).await.is_err() {
            return Ok(());
        }
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(&bytes[..length]).await?;
    }
}
