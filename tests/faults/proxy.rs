//! A proxy between the operator and one of its peers. What becomes of each request is for a judge to say.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, Response, StatusCode, header};
use axum::serve::ListenerExt;
use futures::{StreamExt, stream};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::process::Process;

/// Larger than any request or answer in these tests.
const LARGEST: usize = 64 << 20;

/// A request, as a judge sees it.
#[derive(Clone, Debug)]
pub struct Call {
    pub method: Method,
    pub path: String,
    pub query: String,
}

impl Call {
    pub fn is_write(&self) -> bool {
        self.method != Method::GET
    }

    pub fn is_watch(&self) -> bool {
        self.query.contains("watch=true")
    }

    pub fn is_lease(&self) -> bool {
        self.path.contains("/leases")
    }

    /// One that asks for many objects at once.
    pub fn is_list(&self) -> bool {
        let last = self.path.rsplit('/').next().unwrap_or_default();
        let many = [
            "graphsubscriptions",
            "graphtenants",
            "notificationreceivers",
            "statefulsets",
        ];
        self.method == Method::GET && !self.is_watch() && many.contains(&last)
    }
}

/// At which side of a request the process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum When {
    /// Its peer never sees the request.
    Before,
    /// Its peer has acted on it; the answer is never seen.
    After,
}

/// What a watch event becomes: a copy for each pause, none at all for none.
pub type Meddler = Arc<dyn Fn(&Value) -> Vec<Duration> + Send + Sync>;

/// What becomes of a request.
#[derive(Clone)]
pub enum Verdict {
    Pass,
    /// The process is killed, at once and for good.
    Kill(When),
    /// Passed on, but the process is frozen before: the answer waits for it.
    Freeze,
    /// Not passed on, but answered with this status.
    Refuse(u16),
    /// Passed on late.
    Delay(Duration),
    /// Passed on; of the answer, a stream of events, each goes through here.
    Meddle(Meddler),
}

pub type Judge = Arc<dyn Fn(&Call) -> Verdict + Send + Sync>;

/// Whom the requests are for.
pub enum Upstream {
    /// The API server; the client adds its credentials.
    ApiServer(kube::Client),
    /// Whoever the request names, as it comes to an HTTP proxy.
    Named(reqwest::Client),
}

struct Shared {
    upstream: Upstream,
    judge: Judge,
    process: Arc<Process>,
}

/// It ends when this is dropped.
pub struct Proxy {
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    pub async fn start(upstream: Upstream, process: Arc<Process>, judge: Judge) -> Self {
        let shared = Arc::new(Shared {
            upstream,
            judge,
            process,
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let listener = listener.tap_io(|stream| stream.set_nodelay(true).unwrap());
        let router = axum::Router::new().fallback(take).with_state(shared);
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, task }
    }
}

/// In a task of its own, because a server goes on with a request whose client died.
async fn take(State(shared): State<Arc<Shared>>, request: Request) -> Response<Body> {
    let (head, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, LARGEST).await else {
        return nothing();
    };
    tokio::spawn(async move { shared.treat(head, body).await })
        .await
        .unwrap()
}

impl Shared {
    async fn treat(&self, head: http::request::Parts, body: Bytes) -> Response<Body> {
        let call = Call {
            method: head.method.clone(),
            path: head.uri.path().to_owned(),
            query: head.uri.query().unwrap_or_default().to_owned(),
        };
        match (self.judge)(&call) {
            Verdict::Pass => self.forward(head, body).await,
            Verdict::Kill(When::Before) => {
                self.process.kill().await;
                nothing()
            }
            Verdict::Kill(When::After) => {
                let answer = self.forward(head, body).await;
                let _ = answer.into_body().collect().await;
                self.process.kill().await;
                nothing()
            }
            Verdict::Freeze => {
                self.process.freeze().await;
                self.forward(head, body).await
            }
            Verdict::Refuse(status) => refusal(status),
            Verdict::Delay(pause) => {
                tokio::time::sleep(pause).await;
                self.forward(head, body).await
            }
            Verdict::Meddle(meddler) => {
                let (head, body) = self.forward(head, body).await.into_parts();
                let body = if head.status == StatusCode::OK {
                    meddled(body, meddler)
                } else {
                    body
                };
                Response::from_parts(head, body)
            }
        }
    }

    async fn forward(&self, head: http::request::Parts, body: Bytes) -> Response<Body> {
        let headers = passed_on(&head.headers);
        match &self.upstream {
            Upstream::ApiServer(client) => {
                let mut request = http::Request::builder()
                    .method(head.method)
                    .uri(head.uri.path_and_query().unwrap().as_str())
                    .body(kube::client::Body::from(body.to_vec()))
                    .unwrap();
                *request.headers_mut() = headers;
                let Ok(answer) = client.send(request).await else {
                    return nothing();
                };
                let (mut head, body) = answer.into_parts();
                head.headers = passed_on(&head.headers);
                Response::from_parts(head, Body::new(body))
            }
            Upstream::Named(client) => {
                let request = client
                    .request(head.method, head.uri.to_string())
                    .headers(headers)
                    .body(body);
                let Ok(answer) = request.send().await else {
                    return nothing();
                };
                let (status, headers) = (answer.status(), passed_on(answer.headers()));
                let Ok(bytes) = answer.bytes().await else {
                    return nothing();
                };
                let mut answer = Response::new(Body::from(bytes));
                *answer.status_mut() = status;
                *answer.headers_mut() = headers;
                answer
            }
        }
    }
}

/// Without what concerns one connection alone.
fn passed_on(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    for name in [
        header::HOST,
        header::CONNECTION,
        header::TRANSFER_ENCODING,
        header::CONTENT_LENGTH,
    ] {
        headers.remove(name);
    }
    headers
}

/// What nobody reads, or a peer that is away.
fn nothing() -> Response<Body> {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::BAD_GATEWAY;
    answer
}

/// In the words of the API server.
fn refusal(status: u16) -> Response<Body> {
    let reason = match status {
        409 => "Conflict",
        429 => "TooManyRequests",
        _ => "ServiceUnavailable",
    };
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "refused by the proxy of a test", "reason": reason, "code": status,
    });
    let mut answer = Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/json");
    if status == 429 {
        answer = answer.header(header::RETRY_AFTER, "1");
    }
    answer.body(Body::from(body.to_string())).unwrap()
}

struct Events {
    source: axum::body::BodyDataStream,
    begun: Vec<u8>,
    due: VecDeque<(Duration, Bytes)>,
}

/// A stream of lines, each a watch event.
fn meddled(body: Body, meddler: Meddler) -> Body {
    let events = Events {
        source: body.into_data_stream(),
        begun: Vec::new(),
        due: VecDeque::new(),
    };
    let lines = stream::unfold((events, meddler), |(mut events, meddler)| async move {
        loop {
            if let Some((pause, line)) = events.due.pop_front() {
                tokio::time::sleep(pause).await;
                return Some((Ok::<_, std::io::Error>(line), (events, meddler)));
            }
            let bytes = events.source.next().await?.ok()?;
            events.begun.extend_from_slice(&bytes);
            while let Some(end) = events.begun.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = events.begun.drain(..=end).collect();
                let event = serde_json::from_slice(&line).unwrap_or_default();
                let copies = meddler(&event).into_iter();
                events
                    .due
                    .extend(copies.map(|pause| (pause, Bytes::from(line.clone()))));
            }
        }
    });
    Body::from_stream(lines)
}
