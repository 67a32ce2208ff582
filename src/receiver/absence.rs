//! For how long this pod was away before it started: a file on its volume is touched as long as it takes notifications.
//!
//! Of an outage of the whole cluster nobody else knows.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use serde::Serialize;

use super::log::Log;

const FILE: &str = "alive";
/// What the beginning of an absence is known to within.
const PERIOD: Duration = Duration::from_secs(30);
/// How often it is looked whether the log is open, at the start.
const OPENING: Duration = Duration::from_millis(200);

/// When this pod took no notifications, by its own clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Absence {
    /// When it last did before it started; absent on a new volume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Since when it does again.
    pub until: Timestamp,
}

/// The absence before this start, once it is over.
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
                self.touch(file.clone()).await;
            }
            tokio::time::sleep(if opens || self.0.get().is_some() {
                PERIOD
            } else {
                OPENING
            })
            .await;
        }
    }

    // The storage may not answer; nothing waits for it.
    async fn touch(&self, file: PathBuf) {
        let absences = self.clone();
        let done = tokio::task::spawn_blocking(move || {
            absences.0.get_or_init(|| Absence {
                from: touched(&file),
                until: Timestamp::now(),
            });
            touch(&file)
        });
        if let Ok(Err(error)) = done.await {
            tracing::debug!(%error, "the file that tells of an absence cannot be touched");
        }
    }
}

fn touched(file: &Path) -> Option<Timestamp> {
    let time = std::fs::metadata(file).and_then(|file| file.modified()).ok()?;
    Timestamp::try_from(time).ok()
}

fn touch(file: &Path) -> io::Result<()> {
    let file = File::options().create(true).append(true).open(file)?;
    file.set_modified(SystemTime::now())
}
