//! Graph's request limits, in real time.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use axum::http::StatusCode;

use super::errors::{GraphError, GraphResult};

/// A kind of request with its own limit per app and tenant, and for some per app over all tenants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// POST, PATCH, DELETE.
    Write,
    /// `reauthorize`.
    Reauthorize,
    /// GET by id.
    Get,
    /// GET of the collection.
    List,
    /// GET of the call record collection.
    CallRecords,
    /// GET of one call record; counted for each record.
    OneCallRecord,
    /// Anything about call records.
    AnyCallRecord,
    /// Reading presence. Microsoft states 10,000 on one page and this on others.
    Presence,
    /// Users and groups in a tenant with so many users.
    Directory(Size),
    /// Keys of apps: 150 in a minute. <https://learn.microsoft.com/graph/api/resources/keycredential>
    AppKeys,
    /// Outlook; counted for each mailbox.
    Mailbox,
}

/// How large a directory is: the limit grows with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Size {
    /// Below 50 users.
    Small,
    /// Up to 500 users.
    Middle,
    /// More.
    Large,
}

impl Size {
    /// The size of a directory with so many users.
    pub fn of(users: usize) -> Self {
        match users {
            0..50 => Self::Small,
            50..=500 => Self::Middle,
            _ => Self::Large,
        }
    }
}

/// What a list of users costs in the units of the directory. All its reads are charged this.
const DIRECTORY_COST: usize = 2;

impl Kind {
    fn limit(self) -> usize {
        match self {
            Self::Write | Self::Get => 500,
            Self::Reauthorize => 1_000,
            Self::List => 25,
            Self::CallRecords | Self::OneCallRecord => 40,
            Self::AnyCallRecord | Self::Presence => 1_500,
            Self::Directory(Size::Small) => 3_500 / DIRECTORY_COST,
            Self::Directory(Size::Middle) => 5_000 / DIRECTORY_COST,
            Self::Directory(Size::Large) => 8_000 / DIRECTORY_COST,
            Self::AppKeys => 150,
            Self::Mailbox => 10_000,
        }
    }

    /// For an app over all tenants.
    fn limit_of_app(self) -> Option<usize> {
        match self {
            Self::Write | Self::Get => Some(2_000),
            Self::Reauthorize => Some(4_000),
            Self::List => Some(40),
            Self::AnyCallRecord => Some(15_000),
            _ => None,
        }
    }

    fn window(self) -> Duration {
        Duration::from_secs(match self {
            Self::Directory(_) => 10,
            Self::Presence => 30,
            Self::AppKeys => 60,
            Self::Mailbox => 600,
            _ => 20,
        })
    }
}

/// The latest requests per app, tenant, kind and what they are about; without a tenant, over all of them.
#[derive(Debug, Default)]
pub struct Throttle(HashMap<(Option<String>, String, Kind, String), Latest>);

/// The latest requests, oldest first.
#[derive(Debug, Default)]
struct Latest(VecDeque<Instant>);

impl Latest {
    /// Counts a request. A refused one counts too: hammering keeps the limit shut. Returns how long it does.
    fn count(&mut self, limit: usize, window: Duration, now: Instant) -> Option<Duration> {
        let age = |seen: &VecDeque<Instant>| seen.front().map_or(Duration::ZERO, |first| now.duration_since(*first));
        let seen = &mut self.0;
        while age(seen) >= window {
            seen.pop_front();
        }
        let refused = seen.len() >= limit;
        if refused {
            seen.pop_front();
        }
        seen.push_back(now);
        refused.then(|| window.saturating_sub(age(seen)))
    }
}

impl Throttle {
    /// Counts a request, in its tenant and for the app over all tenants.
    pub fn count(&mut self, tenant: &str, app: &str, kind: Kind, subject: &str) -> GraphResult<()> {
        let now = Instant::now();
        let limits = [
            Some((Some(tenant.into()), kind.limit())),
            kind.limit_of_app().map(|limit| (None, limit)),
        ];
        let waits = limits.into_iter().flatten().filter_map(|(tenant, limit)| {
            let latest = self.0.entry((tenant, app.into(), kind, subject.into())).or_default();
            latest.count(limit, kind.window(), now)
        });
        let Some(wait) = waits.max() else {
            return Ok(());
        };
        Err(
            GraphError::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", "Too many requests.")
                .retry_after((wait.as_secs() + 1).to_string()),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many requests pass before the first refusal.
    fn room(kind: Kind) -> usize {
        let mut throttle = Throttle::default();
        (0..20_000)
            .take_while(|_| throttle.count("t", "a", kind, "one").is_ok())
            .count()
    }

    #[test]
    fn each_kind_has_its_own_room() {
        for (kind, expected) in [
            (Kind::List, 25),
            (Kind::OneCallRecord, 40),
            (Kind::AnyCallRecord, 1_500),
            (Kind::Presence, 1_500),
            (Kind::Mailbox, 10_000),
            (Kind::Directory(Size::of(49)), 1_750),
            (Kind::Directory(Size::of(50)), 2_500),
            (Kind::Directory(Size::of(500)), 2_500),
            (Kind::Directory(Size::of(501)), 4_000),
        ] {
            assert_eq!(room(kind), expected, "{kind:?}");
        }
    }

    /// How many requests of one app pass, of so many in each of so many tenants.
    fn room_in(tenants: usize, kind: Kind, each: usize) -> usize {
        let mut throttle = Throttle::default();
        let requests = (0..tenants).flat_map(|tenant| (0..each).map(move |_| tenant.to_string()));
        requests
            .filter(|tenant| throttle.count(tenant, "a", kind, "").is_ok())
            .count()
    }

    #[test]
    fn an_app_has_less_room_than_its_tenants_together() {
        assert_eq!(room_in(200, Kind::List, 1), 40);
        assert_eq!(room_in(2, Kind::List, 30), 25 + 15 - 5);
        assert_eq!(room_in(5, Kind::Write, 500), 2_000);
        assert_eq!(room_in(5, Kind::Get, 500), 2_000);
        assert_eq!(room_in(5, Kind::Reauthorize, 1_000), 4_000);
        assert_eq!(room_in(20, Kind::Presence, 1_500), 30_000, "no such limit is stated");
        let mut throttle = Throttle::default();
        assert!((0..40).all(|tenant| throttle.count(&tenant.to_string(), "a", Kind::List, "").is_ok()));
        assert!(throttle.count("40", "a", Kind::List, "").is_err());
        assert!(throttle.count("40", "another", Kind::List, "").is_ok());
    }

    #[test]
    fn a_full_mailbox_leaves_room_for_others() {
        let mut throttle = Throttle::default();
        let mut ask = |subject: &str| throttle.count("t", "a", Kind::OneCallRecord, subject).is_ok();
        assert!((0..40).all(|_| ask("one")));
        assert!(!ask("one"));
        assert!(ask("two"));
    }
}
