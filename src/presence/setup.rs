//! The files that say what the worker does: read at the start, and again whenever they change.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tokio::sync::watch;

use super::metrics::Metrics;
use super::settings::Dirs;
use crate::api::presence_config::{CONFIG_FILE, PresenceConfig};
use crate::api::reference::SecretKeyRef;

/// Longest file: what Kubernetes admits for a ConfigMap or Secret.
const LONGEST: u64 = 1 << 20;
/// Most folders, and most files in one.
const MOST: usize = 1000;

/// What the files say.
pub struct Setup {
    /// The configuration.
    pub config: PresenceConfig,
    secrets: BTreeMap<String, BTreeMap<String, SecretString>>,
}

/// What cannot be used of the files. Never says what is in them.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A file could not be read.
    #[error("the configuration cannot be read: {0}")]
    Read(#[from] io::Error),
    /// The configuration is not what it should be.
    #[error("the configuration is malformed at line {line}, column {column}")]
    Malformed {
        /// Line of the problem.
        line: usize,
        /// Column of the problem.
        column: usize,
    },
}

type Folder = BTreeMap<String, Vec<u8>>;

/// The files' content, kept to see whether it changes.
#[derive(PartialEq, Eq)]
pub struct Files {
    config: Vec<u8>,
    secrets: BTreeMap<String, Folder>,
}

/// What is in force, and why a newer one is not.
#[derive(Clone)]
pub struct InForce {
    /// What the worker goes by.
    pub setup: Arc<Setup>,
    /// Why the files as they are now cannot be used.
    pub error: Option<String>,
}

impl Files {
    /// Reads the files.
    pub fn read(dirs: &Dirs) -> Result<Self, SetupError> {
        let mut secrets = BTreeMap::new();
        for name in names(&dirs.secrets, Path::is_dir)? {
            let dir = dirs.secrets.join(&name);
            let mut folder = Folder::new();
            for key in names(&dir, Path::is_file)? {
                let content = bounded(&dir.join(&key))?;
                folder.insert(key, content);
            }
            secrets.insert(name, folder);
        }
        Ok(Self {
            config: bounded(&dirs.config.join(CONFIG_FILE))?,
            secrets,
        })
    }

    /// What they say.
    pub fn parse(&self) -> Result<Setup, SetupError> {
        let config = serde_json::from_slice(&self.config).map_err(|error| SetupError::Malformed {
            line: error.line(),
            column: error.column(),
        })?;
        let texts = |folder: &Folder| {
            let texts = folder
                .iter()
                .filter_map(|(key, bytes)| Some((key.clone(), text(bytes)?)));
            texts.collect::<BTreeMap<_, _>>()
        };
        let secrets = self.secrets.iter().map(|(name, folder)| (name.clone(), texts(folder)));
        Ok(Setup {
            config,
            secrets: secrets.collect(),
        })
    }
}

/// Without the line break that an editor may have left at the end; spaces may belong to a password.
fn text(bytes: &[u8]) -> Option<SecretString> {
    let text = std::str::from_utf8(bytes).ok()?.trim_end_matches(['\r', '\n']);
    (!text.is_empty()).then(|| SecretString::from(text))
}

// Kubernetes keeps the real files in hidden folders; the visible names are links to them. A missing folder holds nothing.
fn names(dir: &Path, wanted: fn(&Path) -> bool) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries.take(MOST) {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') && wanted(&entry.path()) {
            names.push(name);
        }
    }
    Ok(names)
}

fn bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path)?.take(LONGEST + 1).read_to_end(&mut content)?;
    if content.len() as u64 > LONGEST {
        return Err(io::Error::new(ErrorKind::FileTooLarge, "a file is larger than 1 MiB"));
    }
    Ok(content)
}

#[cfg(test)]
impl Setup {
    /// A configuration, and Secrets: name, key and text of each.
    pub(super) fn for_test(config: &serde_json::Value, secrets: &[(&str, &str, &str)]) -> Self {
        let of = |(name, key, text): &(&str, &str, &str)| {
            let keys = BTreeMap::from([((*key).to_owned(), SecretString::from(*text))]);
            ((*name).to_owned(), keys)
        };
        Self {
            config: serde_json::from_value(config.clone()).unwrap(),
            secrets: secrets.iter().map(of).collect(),
        }
    }
}

impl Setup {
    /// The text under a key of a Secret. An empty one is none.
    pub fn secret(&self, name: &str, key: &str) -> Option<SecretString> {
        self.secrets.get(name)?.get(key).cloned()
    }

    /// The same, or what to say when it is missing.
    pub fn wanted(&self, what: &str, reference: &SecretKeyRef) -> Result<SecretString, String> {
        let SecretKeyRef { name, key } = reference;
        self.secret(name, key)
            .ok_or_else(|| format!("{what}: Secret {name} has no text under the key {key}; add it"))
    }
}

/// Looks at the files again and again. What cannot be used leaves the old in force.
pub async fn follow(
    dirs: Dirs,
    mut known: Files,
    every: Duration,
    in_force: watch::Sender<InForce>,
    metrics: Arc<Metrics>,
) {
    metrics.config_current.set(1);
    loop {
        tokio::time::sleep(every).await;
        let looked = dirs.clone();
        let Ok(read) = tokio::task::spawn_blocking(move || Files::read(&looked)).await else {
            continue;
        };
        let parsed = match read {
            // Perhaps they could not be read for a moment; what could not be used before cannot be used now.
            Ok(files) if files == known => {
                if known.parse().is_ok() {
                    mended(&in_force, &metrics);
                }
                continue;
            }
            Ok(files) => {
                known = files;
                known.parse()
            }
            Err(error) => Err(error),
        };
        match parsed {
            Ok(setup) => {
                tracing::info!(
                    generation = setup.config.generation,
                    "configuration changed, using the new one"
                );
                metrics.config_current.set(1);
                let setup = Arc::new(setup);
                in_force.send_replace(InForce { setup, error: None });
            }
            Err(error) => unusable(&error, &in_force, &metrics),
        }
    }
}

fn mended(in_force: &watch::Sender<InForce>, metrics: &Metrics) {
    metrics.config_current.set(1);
    in_force.send_if_modified(|now| {
        now.error = None;
        false
    });
}

fn unusable(error: &SetupError, in_force: &watch::Sender<InForce>, metrics: &Metrics) {
    tracing::warn!("new configuration is not used: {error}");
    metrics.config_failures.inc();
    metrics.config_current.set(0);
    // Nobody has to begin anew for this.
    in_force.send_if_modified(|now| {
        now.error = Some(error.to_string());
        false
    });
}
