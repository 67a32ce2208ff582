//! What the worker remembers on its volume: for each person the record of what it wrote, and who is watched by which account.
//!
//! Records are few and small: all of them are read at the start, and a commit holds those of all people who changed together.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde::{Deserialize, Serialize};

use crate::policy::presence::engine::Owned;

const NAME: &str = "presence.redb";
const DAMAGED: &str = "presence.redb.damaged";
const CACHE_BYTES: usize = 4 << 20;

/// Object id of a person to the record, as JSON.
const OWNED: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("owned");
/// Object id of a person to the name of the account that watches.
const PLACES: TableDefinition<'static, &str, &str> = TableDefinition::new("places");

/// What was written for a person, and who that is on the PBX.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// What the adapter calls the user.
    pub pbx: String,
    /// What is ours.
    pub owned: Owned,
}

/// Something to be stored: a record, or that there is none any more.
pub type Change = (String, Option<Record>);

/// Why something could not be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file.
    #[error("the volume cannot be used: {0}")]
    File(Box<redb::Error>),
    /// The folder.
    #[error("the volume cannot be used: {0}")]
    Folder(std::io::Error),
    /// A record cannot be written as JSON.
    #[error("a record cannot be written")]
    Record,
    /// The process is ending.
    #[error("the process is ending")]
    Ending,
}

impl<E: Into<redb::Error>> From<E> for StoreError {
    fn from(error: E) -> Self {
        Self::File(Box::new(error.into()))
    }
}

/// The file. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    path: PathBuf,
    /// `None` after a failure: then the library wants the file opened again.
    database: Arc<Mutex<Option<Database>>>,
    is_new: bool,
}

impl Store {
    /// Opens the file in this folder, or makes one. A damaged one is put aside: what it held counts as lost.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        std::fs::create_dir_all(dir).map_err(StoreError::Folder)?;
        let path = dir.join(NAME);
        let mut is_new = !path.exists();
        let database = match open(&path) {
            Err(error) if is_damage(&error) => {
                tracing::error!("the file of what was written is damaged and put aside: {error}");
                std::fs::rename(&path, dir.join(DAMAGED)).map_err(StoreError::Folder)?;
                is_new = true;
                open(&path)?
            }
            database => database?,
        };
        // The name has to be as lasting as the content.
        let synced = std::fs::File::open(dir).and_then(|dir| dir.sync_all());
        synced.map_err(StoreError::Folder)?;
        Ok(Self {
            path,
            database: Arc::new(Mutex::new(Some(database))),
            is_new,
        })
    }

    /// Whether there was no file.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// All records. One that cannot be read is left out and told in the log: it expires at Teams by itself.
    pub fn records(&self) -> Result<BTreeMap<String, Record>, StoreError> {
        self.with(|database| {
            let table = database.begin_read()?.open_table(OWNED)?;
            let mut records = BTreeMap::new();
            for row in table.iter()? {
                let (person, bytes) = row?;
                match serde_json::from_slice(bytes.value()) {
                    Ok(record) => drop(records.insert(person.value().to_owned(), record)),
                    Err(error) => tracing::error!("a record of what was written cannot be read: {error}"),
                }
            }
            Ok(records)
        })
    }

    /// Stores changes, all or none; on stable storage when this returns.
    pub async fn put(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        let store = self.clone();
        let stored = tokio::task::spawn_blocking(move || store.put_now(&changes));
        stored.await.unwrap_or(Err(StoreError::Ending))
    }

    fn put_now(&self, changes: &[Change]) -> Result<(), StoreError> {
        self.with(|database| {
            let transaction = database.begin_write()?;
            {
                let mut table = transaction.open_table(OWNED)?;
                for (person, record) in changes {
                    match record {
                        Some(record) => {
                            let bytes = serde_json::to_vec(record).map_err(|_| StoreError::Record)?;
                            table.insert(person.as_str(), bytes.as_slice())?;
                        }
                        None => drop(table.remove(person.as_str())?),
                    }
                }
            }
            Ok(transaction.commit()?)
        })
    }

    fn with<T>(&self, work: impl FnOnce(&Database) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut guard = self.lock();
        let database = match guard.take() {
            Some(database) => database,
            None => open(&self.path)?,
        };
        let result = work(&database);
        if result.is_ok() {
            *guard = Some(database);
        }
        result
    }

    fn lock(&self) -> MutexGuard<'_, Option<Database>> {
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who is watched by which account.
    pub fn places(&self) -> Result<BTreeMap<String, String>, StoreError> {
        self.with(|database| {
            let table = database.begin_read()?.open_table(PLACES)?;
            let mut places = BTreeMap::new();
            for row in table.iter()? {
                let (person, account) = row?;
                places.insert(person.value().to_owned(), account.value().to_owned());
            }
            Ok(places)
        })
    }

    /// Stores who is watched by which account, in place of what was stored.
    pub async fn put_places(&self, places: BTreeMap<String, String>) -> Result<(), StoreError> {
        let store = self.clone();
        let stored = tokio::task::spawn_blocking(move || store.put_places_now(&places));
        stored.await.unwrap_or(Err(StoreError::Ending))
    }

    fn put_places_now(&self, places: &BTreeMap<String, String>) -> Result<(), StoreError> {
        self.with(|database| {
            let transaction = database.begin_write()?;
            transaction.delete_table(PLACES)?;
            {
                let mut table = transaction.open_table(PLACES)?;
                for (person, account) in places {
                    table.insert(person.as_str(), account.as_str())?;
                }
            }
            Ok(transaction.commit()?)
        })
    }
}

fn open(path: &Path) -> Result<Database, StoreError> {
    let database = redb::Builder::new().set_cache_size(CACHE_BYTES).create(path)?;
    let transaction = database.begin_write()?;
    transaction.open_table(OWNED)?;
    transaction.open_table(PLACES)?;
    transaction.commit()?;
    Ok(database)
}

/// Whether the content is the trouble, and not the volume.
fn is_damage(error: &StoreError) -> bool {
    let StoreError::File(error) = error else { return false };
    match error.as_ref() {
        redb::Error::Corrupted(_) => true,
        redb::Error::Io(error) => matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(pbx: &str) -> Record {
        Record {
            pbx: pbx.to_owned(),
            owned: Owned::default(),
        }
    }

    #[tokio::test]
    async fn what_was_stored_is_there_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        assert!(store.is_new());
        let change = |person: &str, pbx: Option<&str>| (person.to_owned(), pbx.map(record));
        store
            .put(vec![change("a", Some("1")), change("b", Some("2"))])
            .await
            .unwrap();
        store.put(vec![change("a", None)]).await.unwrap();
        let places = BTreeMap::from([("b".to_owned(), "sync-1".to_owned())]);
        store
            .put_places(BTreeMap::from([("z".to_owned(), "old".to_owned())]))
            .await
            .unwrap();
        store.put_places(places.clone()).await.unwrap();
        drop(store);
        let store = Store::open(dir.path()).unwrap();
        assert!(!store.is_new());
        assert_eq!(
            store.records().unwrap(),
            BTreeMap::from([("b".to_owned(), record("2"))])
        );
        assert_eq!(store.places().unwrap(), places);
    }

    #[tokio::test]
    async fn an_unreadable_record_does_not_hide_the_others() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        store.put(vec![("a".to_owned(), Some(record("1")))]).await.unwrap();
        let broken = |database: &Database| {
            let transaction = database.begin_write()?;
            transaction.open_table(OWNED)?.insert("b", b"{".as_slice())?;
            Ok(transaction.commit()?)
        };
        store.with(broken).unwrap();
        assert_eq!(store.records().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_damaged_file_is_put_aside_and_work_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(NAME), vec![7_u8; 100_000]).unwrap();
        let store = Store::open(dir.path()).unwrap();
        assert!(store.is_new() && dir.path().join(DAMAGED).exists());
        store.put(vec![("a".to_owned(), Some(record("1")))]).await.unwrap();
        assert_eq!(store.records().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn after_a_failure_the_file_is_opened_again() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        store.with(|_| Err::<(), _>(StoreError::Record)).unwrap_err();
        store.put(vec![("a".to_owned(), Some(record("1")))]).await.unwrap();
        assert_eq!(store.records().unwrap().len(), 1);
    }
}
