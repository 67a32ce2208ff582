//! The files that say how the receiver works: read at the start, and again whenever they change.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::watch;

use super::event::Kind;
use super::log::{Log, Reader, Rules};
use super::metrics::Metrics;
use crate::api::receiver_config::{CONFIG_FILE, CONTROLLER_CONSUMER, ReceiverConfig};
use crate::policy::identity::{Keyring, equal};

/// How many dead letters a sink may have.
const DEAD_LETTERS: u64 = 10_000;

/// Where the files are.
#[derive(Clone, Debug)]
pub struct Dirs {
    /// Of the configuration.
    pub config: PathBuf,
    /// Of the keys.
    pub keyring: PathBuf,
    /// Of the tokens of sinks and consumers.
    pub tokens: PathBuf,
    /// Of the certificate, if there is one.
    pub tls: PathBuf,
}

/// What the files say.
#[derive(Debug)]
pub struct Setup {
    /// The configuration.
    pub config: ReceiverConfig,
    /// The keys that prove notifications genuine.
    pub keyring: Keyring,
    tokens: BTreeMap<String, SecretString>,
}

/// What cannot be used of the files. Never says what is in them.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A file could not be read.
    #[error("cannot read the configuration: {0}")]
    Read(#[from] std::io::Error),
    /// The configuration is not what it should be.
    #[error("the configuration is malformed at line {line}, column {column}")]
    Malformed {
        /// Line of the problem.
        line: usize,
        /// Column of the problem.
        column: usize,
    },
}

type Content = BTreeMap<String, Vec<u8>>;

/// The files' content, kept to see whether it changes.
#[derive(PartialEq, Eq)]
pub struct Files {
    config: Vec<u8>,
    keyring: Content,
    tokens: Content,
}

impl Files {
    /// Reads the files.
    pub fn read(dirs: &Dirs) -> Result<Self, SetupError> {
        Ok(Self {
            config: std::fs::read(dirs.config.join(CONFIG_FILE))?,
            keyring: read_dir(&dirs.keyring)?,
            tokens: read_dir(&dirs.tokens)?,
        })
    }

    /// What they say.
    pub fn parse(&self) -> Result<Setup, SetupError> {
        let config = serde_json::from_slice(&self.config).map_err(|error| SetupError::Malformed {
            line: error.line(),
            column: error.column(),
        })?;
        let texts = |content: &Content| -> BTreeMap<String, String> {
            let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).trim().to_owned();
            content
                .iter()
                .map(|(name, bytes)| (name.clone(), text(bytes)))
                .collect()
        };
        let keys = texts(&self.keyring);
        let (keyring, malformed) = Keyring::from_base64(keys.iter().map(|(id, text)| (id.as_str(), text.as_str())));
        if !malformed.is_empty() {
            tracing::warn!(
                count = malformed.len(),
                "some keys of the keyring are malformed and left out"
            );
        }
        let tokens = texts(&self.tokens);
        let tokens = tokens
            .into_iter()
            .map(|(name, token)| (name, SecretString::from(token)));
        Ok(Setup {
            config,
            keyring,
            tokens: tokens.collect(),
        })
    }
}

// Kubernetes keeps the real files in hidden folders; the visible names are links to them. A missing folder holds nothing.
fn read_dir(dir: &Path) -> Result<Content, std::io::Error> {
    let mut content = Content::new();
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(content),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') && entry.path().is_file() {
            content.insert(name, std::fs::read(entry.path())?);
        }
    }
    Ok(content)
}

impl Setup {
    /// A token by the name of its file. An empty file holds none.
    pub fn token(&self, file: &str) -> Option<&SecretString> {
        self.tokens.get(file).filter(|token| !token.expose_secret().is_empty())
    }

    /// Whether this is the token of the users' consumers.
    pub fn admits_consumer(&self, given: &str) -> bool {
        let token = self.config.pull.as_ref().and_then(|pull| self.token(&pull.token_file));
        token.is_some_and(|token| equal(token.expose_secret(), given))
    }

    /// Whether a consumer of this name may pull.
    pub fn knows_consumer(&self, name: &str) -> bool {
        let pull = self.config.pull.as_ref();
        name == CONTROLLER_CONSUMER || pull.is_some_and(|pull| pull.consumers.iter().any(|known| known == name))
    }

    /// What the log keeps, for whom.
    pub fn rules(&self) -> Rules {
        let controller = Reader::of_consumer(CONTROLLER_CONSUMER, Some(Kind::Lifecycle));
        let sinks = self.config.sinks.iter().map(|sink| Reader::of_sink(&sink.name));
        let consumers = self.config.pull.iter().flat_map(|pull| &pull.consumers);
        let consumers = consumers
            .filter(|name| *name != CONTROLLER_CONSUMER)
            .map(|name| Reader::of_consumer(name, None));
        Rules {
            limit_bytes: self.config.storage_bytes,
            retention_millis: self.config.retention_seconds.saturating_mul(1000),
            dead_letters: DEAD_LETTERS,
            readers: std::iter::once(controller).chain(sinks).chain(consumers).collect(),
        }
    }
}

/// Looks at the files again and again. What cannot be used leaves the old in place.
pub async fn follow(
    dirs: Dirs,
    mut known: Files,
    every: Duration,
    setup: watch::Sender<Arc<Setup>>,
    log: Log,
    metrics: Arc<Metrics>,
) {
    let mut usable = true;
    loop {
        tokio::time::sleep(every).await;
        let looked = dirs.clone();
        let Ok(read) = tokio::task::spawn_blocking(move || Files::read(&looked)).await else {
            continue;
        };
        let parsed = match read {
            Ok(files) if files == known => {
                // Perhaps they could not be read for a moment.
                metrics.config_current.set(i64::from(usable));
                continue;
            }
            Ok(files) => {
                known = files;
                let parsed = known.parse();
                usable = parsed.is_ok();
                parsed
            }
            Err(error) => Err(error),
        };
        match parsed {
            Ok(new) => {
                tracing::info!("configuration changed, using the new one");
                log.set_rules(new.rules());
                setup.send_replace(Arc::new(new));
                metrics.config_current.set(1);
            }
            Err(error) => {
                tracing::warn!("new configuration is not used: {error}");
                metrics.config_failures.inc();
                metrics.config_current.set(0);
            }
        }
    }
}
