//! A stage for simulations: on its thread the local clock is the stage's, and every HTTP request goes to it instead of the network.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;
use reqwest::{Request, RequestBuilder, Response};

/// Answers a request, or never does.
type Answer = dyn Fn(Request) -> BoxFuture<'static, Option<http::Response<Vec<u8>>>> + Send + Sync;

/// What stands in for the world outside.
#[derive(Clone)]
pub struct Stage {
    /// The local clock.
    pub now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// The network. `None`: the connection broke.
    pub answer: Arc<Answer>,
}

thread_local! {
    static STAGE: RefCell<Option<Stage>> = const { RefCell::new(None) };
}

/// Sets the stage of this thread; `None` for the real world.
pub fn set(stage: Option<Stage>) {
    STAGE.with_borrow_mut(|known| *known = stage);
}

/// The stage's clock, if there is one.
pub fn now() -> Option<Timestamp> {
    STAGE
        .with_borrow(|stage| stage.as_ref().map(|stage| stage.now.clone()))
        .map(|now| now())
}

/// Has the stage answer; without one, the request comes back to be sent.
pub async fn divert(request: RequestBuilder, limit: Duration) -> Result<Option<Response>, RequestBuilder> {
    let Some(stage) = STAGE.with_borrow(Clone::clone) else {
        return Err(request);
    };
    let request = request.build().unwrap();
    let answer = tokio::time::timeout(limit, (stage.answer)(request)).await;
    Ok(answer.ok().flatten().map(Response::from))
}
