//! Reads a request's body, within limits of size, time and memory.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use futures::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::problem;

/// Limits of the public listener.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of one body.
    pub body_bytes: usize,
    /// Time from a request's head to its answer, whatever it is spent on. Graph itself waits 3 s at first and 10 s later.
    pub answer_time: Duration,
    /// Bytes of all bodies that are not yet stored.
    pub memory_bytes: usize,
    /// How long a commit may take before requests are refused without waiting for it.
    pub slow_commit: Duration,
    /// How many connections may be open.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 4 << 20,
            answer_time: Duration::from_secs(9),
            memory_bytes: 64 << 20,
            slow_commit: Duration::from_secs(2),
            // Many systems give a process 1024 files.
            connections: 768,
        }
    }
}

/// A body, with its share of the memory.
pub struct Held {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Its share of the memory, until it is stored.
    pub share: OwnedSemaphorePermit,
}

/// Why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// It is larger than the limit.
    TooLarge,
    /// It did not come in time.
    TooSlow,
    /// The connection broke.
    Broken,
    /// Too many bodies are being worked on.
    NoMemory,
}

impl BodyError {
    /// What to tell the sender.
    pub fn response(self) -> Response {
        let (status, _, title) = self.answer();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            return problem::unavailable(title);
        }
        problem::answer(status, title)
    }

    /// Its name in metrics.
    pub fn reason(self) -> &'static str {
        self.answer().1
    }

    fn answer(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too_large", "the body is too large"),
            Self::TooSlow => (StatusCode::REQUEST_TIMEOUT, "too_slow", "the body did not come in time"),
            Self::Broken => (StatusCode::BAD_REQUEST, "broken", "the body broke off"),
            Self::NoMemory => (StatusCode::SERVICE_UNAVAILABLE, "busy", "too many requests at once"),
        }
    }
}

/// Reads a body whole, until a point in time.
pub async fn read(
    headers: &HeaderMap,
    body: Body,
    most: usize,
    until: Instant,
    memory: &Arc<Semaphore>,
) -> Result<Held, BodyError> {
    let announced = announced(headers);
    if announced.is_some_and(|length| length > most) {
        return Err(BodyError::TooLarge);
    }
    let share = u32::try_from(announced.unwrap_or(most).max(1)).map_err(|_| BodyError::TooLarge)?;
    let share = Arc::clone(memory)
        .try_acquire_many_owned(share)
        .map_err(|_| BodyError::NoMemory)?;
    let bytes = tokio::time::timeout_at(until.into(), collect(body, announced.unwrap_or(0), most));
    let bytes = bytes.await.unwrap_or(Err(BodyError::TooSlow))?;
    Ok(Held { bytes, share })
}

fn announced(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

async fn collect(body: Body, announced: usize, limit: usize) -> Result<Vec<u8>, BodyError> {
    let mut bytes = Vec::with_capacity(announced);
    let mut stream = body.into_data_stream();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|_| BodyError::Broken)?;
        if bytes.len() + chunk.len() > limit {
            return Err(BodyError::TooLarge);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}
