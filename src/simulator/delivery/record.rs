//! The book of every notification: attempts, outcomes, and how it ended.

use std::collections::HashMap;

use serde::Serialize;

/// Where a notification stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Fate {
    /// Not answered with 2xx yet.
    Pending,
    /// Answered with 2xx.
    Acknowledged,
    /// Given up.
    Dropped,
}

/// One try.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// Simulated time.
    pub at: String,
    /// HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// Why there was none.
    pub error: Option<String>,
    /// Real milliseconds.
    pub latency_ms: u64,
}

/// One notification.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Notification {
    /// Also in the payload, as `id` and (for collections) as the id of the resource.
    pub id: String,
    /// Of which subscription.
    pub subscription_id: String,
    /// Where to.
    pub url: String,
    /// What happened to what.
    pub resource: String,
    /// Change type or lifecycle event.
    pub event: String,
    /// Simulated time.
    pub created: String,
    /// All tries.
    pub attempts: Vec<Attempt>,
    /// Where it stands.
    pub state: Fate,
    /// Why it was dropped.
    pub reason: Option<String>,
}

/// Counts of notifications.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Summary {
    sent: usize,
    acknowledged: usize,
    pending: usize,
    dropped: usize,
}

/// All notifications since the start or the last reset.
#[derive(Debug, Default)]
pub struct Notifications {
    list: Vec<Notification>,
    index: HashMap<String, usize>,
    summary: Summary,
}

impl Summary {
    fn of(&mut self, fate: Fate) -> &mut usize {
        match fate {
            Fate::Pending => &mut self.pending,
            Fate::Acknowledged => &mut self.acknowledged,
            Fate::Dropped => &mut self.dropped,
        }
    }
}

impl Notifications {
    /// Adds one.
    pub fn add(&mut self, notification: Notification) {
        self.summary.sent += 1;
        *self.summary.of(notification.state) += 1;
        self.index.insert(notification.id.clone(), self.list.len());
        self.list.push(notification);
    }

    /// In the order in which they were made.
    pub fn list(&self) -> &[Notification] {
        &self.list
    }

    /// Whether it is in the book.
    pub fn knows(&self, id: &str) -> bool {
        self.index.contains_key(id)
    }

    /// Notes a try for each of these.
    pub fn tried(&mut self, ids: &[String], attempt: &Attempt) {
        self.change(ids, |n, _| n.attempts.push(attempt.clone()));
    }

    /// Notes how these ended.
    pub fn ended(&mut self, ids: &[String], fate: Fate, reason: Option<&str>) {
        self.change(ids, |n, summary| {
            *summary.of(n.state) -= 1;
            *summary.of(fate) += 1;
            n.state = fate;
            n.reason = reason.map(String::from);
        });
    }

    /// The counts.
    pub fn summary(&self) -> Summary {
        self.summary.clone()
    }

    fn change(&mut self, ids: &[String], mut change: impl FnMut(&mut Notification, &mut Summary)) {
        for id in ids {
            if let Some(notification) = self.index.get(id).and_then(|i| self.list.get_mut(*i)) {
                change(notification, &mut self.summary);
            }
        }
    }
}
