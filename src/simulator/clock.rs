//! The simulator's own time: real time that can be shifted and run faster or slower.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// The least pause between two looks at the clock, so that an extreme rate cannot spin.
const SHORTEST_WAIT: Duration = Duration::from_millis(2);

/// What `GET /_simulator/clock` shows.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reading {
    now: String,
    real_now: String,
    offset_seconds: f64,
    rate: f64,
}

/// What `PUT /_simulator/clock` sets; what is left out stays.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Setting {
    offset_seconds: Option<f64>,
    rate: Option<f64>,
}

#[derive(Debug)]
struct Dial {
    base: Timestamp,
    since: Instant,
    rate: f64,
    offset: SignedDuration,
}

impl Dial {
    fn real() -> Self {
        Self {
            base: Timestamp::now(),
            since: Instant::now(),
            rate: 1.0,
            offset: SignedDuration::ZERO,
        }
    }

    fn unshifted(&self) -> Timestamp {
        let elapsed = self.since.elapsed().as_secs_f64() * self.rate;
        self.base.saturating_add(seconds(elapsed)).unwrap_or(self.base)
    }

    fn now(&self) -> Timestamp {
        let base = self.unshifted();
        base.saturating_add(self.offset).unwrap_or(base)
    }
}

/// Time that tests can move.
#[derive(Debug)]
pub struct Clock {
    dial: Mutex<Dial>,
    changed: watch::Sender<()>,
}

impl Default for Clock {
    fn default() -> Self {
        Self {
            dial: Mutex::new(Dial::real()),
            changed: watch::Sender::new(()),
        }
    }
}

impl Clock {
    /// What time it is here.
    pub fn now(&self) -> Timestamp {
        self.lock().now()
    }

    /// Back to real time.
    pub fn reset(&self) {
        *self.lock() = Dial::real();
        self.changed.send_replace(());
    }

    /// Sets shift and speed. The new speed counts from now on.
    pub fn set(&self, setting: &Setting) -> Result<(), String> {
        if setting.rate.is_some_and(|rate| !(0.0..=1_000_000.0).contains(&rate)) {
            return Err("rate must be between 0 and 1000000".into());
        }
        {
            let mut dial = self.lock();
            dial.base = dial.unshifted();
            dial.since = Instant::now();
            dial.rate = setting.rate.unwrap_or(dial.rate);
            dial.offset = setting.offset_seconds.map_or(dial.offset, seconds);
        }
        self.changed.send_replace(());
        Ok(())
    }

    /// Jumps ahead (or back, with a negative number).
    pub fn advance(&self, by_seconds: f64) {
        {
            let mut dial = self.lock();
            dial.offset = dial.offset.saturating_add(seconds(by_seconds));
        }
        self.changed.send_replace(());
    }

    /// Shift, speed and time.
    pub fn reading(&self) -> Reading {
        let dial = self.lock();
        Reading {
            now: precise(dial.now()),
            real_now: precise(Timestamp::now()),
            offset_seconds: dial.offset.as_secs_f64(),
            rate: dial.rate,
        }
    }

    /// Sleeps until this clock shows `moment`; wakes when somebody moves the clock.
    pub async fn wait_until(&self, moment: Timestamp) {
        let mut changed = self.changed.subscribe();
        loop {
            let (remaining, rate) = {
                let dial = self.lock();
                (moment.duration_since(dial.now()).as_secs_f64(), dial.rate)
            };
            if remaining <= 0.0 {
                return;
            }
            // A stopped clock still looks up now and then; `changed` is what wakes it in earnest.
            let real = if rate > 0.0 {
                (remaining / rate).min(3600.0)
            } else {
                3600.0
            };
            let pause = Duration::from_secs_f64(real).max(SHORTEST_WAIT);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = changed.changed() => {}
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Dial> {
        self.dial.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Seconds as a duration; absurd values count as zero.
pub fn seconds(value: f64) -> SignedDuration {
    SignedDuration::try_from_secs_f64(value).unwrap_or(SignedDuration::ZERO)
}

/// `2026-01-31T12:00:00.0000000Z`, as Microsoft Graph prints most times.
pub fn precise(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S%.7fZ").to_string()
}

/// `2026-01-31T12:00:00Z`
pub fn whole(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The form of the HTTP `Date` header.
pub fn http_date(time: Timestamp) -> String {
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// Reads an Internet date and time (RFC 3339) strictly: with `T`, seconds, at most 7 fraction digits and a zone.
pub fn parse_internet_date_time(text: &str) -> Option<Timestamp> {
    let (date_time, zone) = split_zone(text)?;
    let (whole, fraction) = date_time
        .split_once('.')
        .map_or((date_time, None), |(a, b)| (a, Some(b)));
    let shape: String = whole
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    let fraction_ok = fraction.is_none_or(|f| (1..=7).contains(&f.len()) && f.chars().all(|c| c.is_ascii_digit()));
    let zone_ok = zone == "Z" || {
        let shape: String = zone
            .chars()
            .skip(1)
            .map(|c| if c.is_ascii_digit() { '0' } else { c })
            .collect();
        shape == "00:00"
    };
    (shape == "0000-00-00T00:00:00" && fraction_ok && zone_ok).then(|| text.parse().ok())?
}

fn split_zone(text: &str) -> Option<(&str, &str)> {
    if text.ends_with('Z') {
        return text.split_at_checked(text.len() - 1);
    }
    let start = text.len().checked_sub(6)?;
    let (date_time, zone) = text.split_at_checked(start)?;
    zone.starts_with(['+', '-']).then_some((date_time, zone))
}
