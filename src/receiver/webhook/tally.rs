//! Counts requests and their items to the end, also when the sender hangs up and nothing is answered any more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::StatusCode;

use super::super::answers::Answers;
use super::super::metrics::Metrics;

/// The status of a request whose sender hung up first, as nginx names it.
const HUNG_UP: u16 = 499;
/// A sender's clock began before ours: whoever gives up after 3 s does so before we have counted 3 s.
const HEAD_START: Duration = Duration::from_millis(250);

/// A request that is being answered.
pub struct Answering {
    metrics: Arc<Metrics>,
    channel: &'static str,
    answers: Option<Arc<Answers>>,
    since: Instant,
    status: Option<StatusCode>,
}

impl Answering {
    /// Begins with the request's head. It counts among `answers`, too, if they are given.
    pub fn begin(metrics: &Arc<Metrics>, channel: &'static str, answers: Option<Arc<Answers>>) -> Self {
        Self {
            metrics: Arc::clone(metrics),
            channel,
            answers,
            since: Instant::now(),
            status: None,
        }
    }

    /// Since when.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// Ends with an answer.
    pub fn end(mut self, status: StatusCode) {
        self.status = Some(status);
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let now = Instant::now();
        let took = now.duration_since(self.since);
        let (code, took) = match self.status {
            Some(status) => (status.as_u16(), took),
            None => (HUNG_UP, took + HEAD_START),
        };
        self.metrics.answered(self.channel, code, took.as_secs_f64());
        if let Some(answers) = &self.answers {
            answers.count(now, took);
        }
    }
}

/// Good items on their way to the storage.
pub struct Items<'a> {
    metrics: &'a Metrics,
    count: u64,
}

impl<'a> Items<'a> {
    /// So many of them.
    pub fn new(metrics: &'a Metrics, count: u64) -> Self {
        Self { metrics, count }
    }

    /// They are on stable storage, where they are counted.
    pub fn stored(mut self) {
        self.count = 0;
    }

    /// They are not.
    pub fn rejected(mut self, reason: &str) {
        self.metrics.rejected(reason, std::mem::take(&mut self.count));
    }
}

impl Drop for Items<'_> {
    fn drop(&mut self) {
        if self.count > 0 {
            self.metrics.rejected("abandoned", self.count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::answers::Counts;
    use super::*;

    #[test]
    fn hang_ups_count_with_their_time_and_strangers_do_not() {
        let metrics = Arc::new(Metrics::new(&prometheus::Registry::new()).unwrap());
        let answers = Arc::new(Answers::new(Instant::now()));
        let after = |millis, known: bool| {
            let mut answering = Answering::begin(&metrics, "notification", known.then(|| Arc::clone(&answers)));
            answering.since -= Duration::from_millis(millis);
            answering
        };
        after(3001, true).end(StatusCode::SERVICE_UNAVAILABLE);
        drop(after(2800, true));
        drop(after(10_001, true));
        after(10_001, false).end(StatusCode::NOT_FOUND);
        let expected = Counts {
            answers: 3,
            slow: 3,
            late: 1,
        };
        assert_eq!(answers.counts(Instant::now()), expected);
    }
}
