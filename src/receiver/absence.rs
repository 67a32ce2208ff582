//! For how long this pod was away before it started: a file on its volume is touched as long as it takes notifications.
//!
//! Of an outage of the whole cluster nobody else knows. The file holds the last long absence, so that a second start soon after does
//! not hide it.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::log::Log;

const FILE: &str = "alive";
/// What the beginning of an absence is known to within.
const PERIOD: Duration = Duration::from_secs(30);
/// How often it is looked whether the log is open, at the start.
const OPENING: Duration = Duration::from_millis(200);
/// Graph repeats what is not answered: a shorter absence is not worth keeping.
const LONG: SignedDuration = SignedDuration::from_mins(10);

/// When this pod took no notifications, by its own clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Absence {
    /// When it last did before; absent on a new volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Since when it did again.
    pub until: Timestamp,
}

impl Absence {
    fn is_long(&self) -> bool {
        self.from.is_some_and(|from| self.until.duration_since(from) >= LONG)
    }
}

/// The last long absence, or else the one before this start, once that is over.
#[derive(Clone, Debug, Default)]
pub struct Absences(Arc<OnceLock<Absence>>);

impl Absences {
    /// It, if it is over.
    pub fn last(&self) -> Option<Absence> {
        self.0.get().copied()
    }

    /// Finds it out, and touches the file from then on while `log` takes events.
    pub async fn keep(self, dir: PathBuf, log: Log) {
        let file = dir.join(FILE);
        loop {
            let opens = log.problem().is_none();
            if opens {
                self.touch(file.clone(), &log).await;
            }
            tokio::time::sleep(if opens { PERIOD } else { OPENING }).await;
        }
    }

    // The storage may not answer; nothing waits for it.
    async fn touch(&self, file: PathBuf, log: &Log) {
        let (absences, log) = (self.clone(), log.clone());
        let done = tokio::task::spawn_blocking(move || {
            if absences.last().is_some() {
                return touch(&file);
            }
            let received = log.status().subscriptions;
            let newest = received.values().map(|received| received.last_millis).max();
            let absence = find_out(&file, newest, Timestamp::now());
            let _ = absences.0.set(absence);
            write(&file, &absence)
        });
        if let Ok(Err(error)) = done.await {
            tracing::debug!(%error, "the file that tells of an absence cannot be written");
        }
    }
}

/// The absence that ends now, or a long one before it. A version that touched no file may have taken notifications: the `newest`,
/// in milliseconds since 1970, tells.
fn find_out(file: &Path, newest: Option<i64>, now: Timestamp) -> Absence {
    let newest = newest.and_then(|millis| Timestamp::from_millisecond(millis).ok());
    let this = Absence {
        from: touched(file).map(|from| newest.map_or(from, |newest| from.max(newest))),
        until: now,
    };
    let earlier = || {
        serde_json::from_slice(&std::fs::read(file).ok()?)
            .ok()
            .filter(Absence::is_long)
    };
    if this.is_long() {
        this
    } else {
        earlier().unwrap_or(this)
    }
}

fn touched(file: &Path) -> Option<Timestamp> {
    let time = std::fs::metadata(file).and_then(|file| file.modified()).ok()?;
    Timestamp::try_from(time).ok()
}

fn write(file: &Path, absence: &Absence) -> io::Result<()> {
    File::create(file)?.write_all(&serde_json::to_vec(absence)?)
}

fn touch(file: &Path) -> io::Result<()> {
    File::options()
        .create(true)
        .append(true)
        .open(file)?
        .set_modified(SystemTime::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + minutes * 60).unwrap()
    }

    fn absence(from: i64, until: i64) -> Absence {
        Absence {
            from: Some(at(from)),
            until: at(until),
        }
    }

    #[test]
    fn a_long_absence_is_told_of_until_the_next_long_one() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(FILE);
        let new = Absence {
            from: None,
            until: at(0),
        };
        assert_eq!(find_out(&file, None, at(0)), new, "a new volume");
        let start = |alive: i64, newest: Option<i64>, now: i64| {
            let touched = File::options().append(true).open(&file).unwrap();
            touched.set_modified(at(alive).into()).unwrap();
            let found = find_out(&file, newest.map(|minutes| at(minutes).as_millisecond()), at(now));
            write(&file, &found).unwrap();
            found
        };
        write(&file, &new).unwrap();
        assert_eq!(start(1, None, 3), absence(1, 3));
        assert_eq!(start(60, None, 360), absence(60, 360));
        assert_eq!(start(361, None, 362), absence(60, 360), "a second start soon after");
        assert_eq!(
            start(400, Some(900), 901),
            absence(60, 360),
            "another version took events meanwhile"
        );
        assert_eq!(start(1000, None, 2000), absence(1000, 2000));
    }

    #[test]
    fn a_file_that_says_nothing_is_no_obstacle() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(FILE);
        std::fs::write(&file, "?").unwrap();
        let found = find_out(&file, None, Timestamp::now());
        assert!(found.from.is_some() && !found.is_long());
    }
}
