//! Bounds the connections of a listener, so that nobody can use up the process's files by opening them.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum_server::accept::Accept;
use futures::future::{Ready, ready};
use prometheus::IntCounter;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::Service;

/// Lets so many connections in at once, and closes those beyond.
#[derive(Clone)]
pub struct Bounded {
    free: Arc<Semaphore>,
    refused: IntCounter,
}

impl Bounded {
    /// With so many places. Those who find none are counted.
    pub fn new(most: usize, refused: IntCounter) -> Self {
        Self {
            free: Arc::new(Semaphore::new(most)),
            refused,
        }
    }
}

impl<I, S> Accept<I, S> for Bounded {
    type Stream = I;
    type Service = Counted<S>;
    type Future = Ready<io::Result<(I, Counted<S>)>>;

    fn accept(&self, stream: I, service: S) -> Self::Future {
        let Ok(place) = Arc::clone(&self.free).try_acquire_owned() else {
            self.refused.inc();
            return ready(Err(io::Error::other("too many connections")));
        };
        let counted = Counted {
            service,
            _place: Arc::new(place),
        };
        ready(Ok((stream, counted)))
    }
}

/// A connection's service. It holds the connection's place, and is dropped with it.
#[derive(Clone)]
pub struct Counted<S> {
    service: S,
    _place: Arc<OwnedSemaphorePermit>,
}

impl<S: Service<R>, R> Service<R> for Counted<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        self.service.call(request)
    }
}
