//! A PBX for tests: keeps what it was told, fails when it shall, and says what the test says.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc;

use crate::policy::presence::pbx::{
    Activity, Capabilities, Entry, Line, Origin, OwnEntry, PbxError, PbxEvent, PbxUser, PbxView,
};

/// The PBX. Clones are the same one.
#[derive(Clone)]
pub struct Scripted(Arc<Mutex<State>>);

struct State {
    events: Option<mpsc::Sender<PbxEvent>>,
    capabilities: Capabilities,
    users: Vec<PbxUser>,
    others: BTreeMap<String, Vec<Entry>>,
    lines: BTreeMap<String, Line>,
    own: BTreeMap<String, OwnEntry>,
    watched: Vec<String>,
    recalled: Vec<String>,
    failure: Option<PbxError>,
    clock_ahead: SignedDuration,
    is_slow: bool,
    is_broken: bool,
    puts: usize,
    watches: usize,
}

impl Default for Scripted {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(State {
            events: None,
            capabilities: Capabilities {
                reads_presence: true,
                own_entry: true,
                own_entry_expires: false,
                line: true,
                enumerates_users: true,
                own_is_do_not_disturb: false,
            },
            users: Vec::new(),
            others: BTreeMap::new(),
            lines: BTreeMap::new(),
            own: BTreeMap::new(),
            watched: Vec::new(),
            recalled: Vec::new(),
            failure: None,
            clock_ahead: SignedDuration::ZERO,
            is_slow: false,
            is_broken: false,
            puts: 0,
            watches: 0,
        })))
    }
}

impl Scripted {
    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.0.lock().unwrap())
    }

    /// A user named `name` in every way.
    pub fn user(&self, name: &str) {
        let user = PbxUser {
            id: format!("guid-{name}"),
            cn: Some(name.to_owned()),
            h323: Some(name.to_owned()),
            extension: None,
        };
        self.with(|state| state.users.push(user));
    }

    /// Connects, and tells everything; ends at once while it is broken.
    pub fn connect(&self, events: mpsc::Sender<PbxEvent>) {
        if self.with(|state| state.is_broken) {
            return;
        }
        self.with(|state| state.events = Some(events));
        self.up();
    }

    pub fn up(&self) {
        self.tell(PbxEvent::Up {
            endpoint: "pbx".to_owned(),
        });
        if !self.with(|state| state.is_slow) {
            self.list();
        }
    }

    /// Lists its users only when told to.
    pub fn slow(&self) {
        self.with(|state| state.is_slow = true);
    }

    /// Tells its users, to the end.
    pub fn list(&self) {
        let users = self.with(|state| state.users.clone());
        for user in users {
            let id = user.id.clone();
            self.tell(PbxEvent::User(user));
            self.show(&id);
        }
        self.tell(PbxEvent::Complete {
            endpoint: "pbx".to_owned(),
            users: true,
        });
    }

    pub fn down(&self, why: PbxError) {
        self.tell(PbxEvent::Down {
            endpoint: "pbx".to_owned(),
            why,
        });
    }

    /// Two users take each other's names.
    pub fn swap(&self, one: &str, other: &str) {
        for (id, name) in [(one, other), (other, one)] {
            let user = PbxUser {
                id: format!("guid-{id}"),
                cn: Some(name.to_owned()),
                h323: Some(name.to_owned()),
                extension: None,
            };
            self.with(|state| {
                state.users.retain(|known| known.id != user.id);
                state.users.push(user.clone());
            });
            self.tell(PbxEvent::User(user));
        }
    }

    /// It ends without being asked to, and again whenever it is started.
    pub fn end(&self) {
        self.with(|state| (state.events, state.is_broken) = (None, true));
    }

    /// It works when it is started next.
    pub fn mend(&self) {
        self.with(|state| state.is_broken = false);
    }

    /// A user goes while nobody listens.
    pub fn vanish(&self, name: &str) {
        let id = format!("guid-{name}");
        self.with(|state| state.users.retain(|user| user.id != id));
    }

    /// How often it was told whom to watch.
    pub fn watches(&self) -> usize {
        self.with(|state| state.watches)
    }

    pub fn remove(&self, name: &str) {
        let id = format!("guid-{name}");
        self.with(|state| state.users.retain(|user| user.id != id));
        self.tell(PbxEvent::UserRemoved { id });
    }

    /// The line of a user changes.
    pub fn line(&self, name: &str, line: Line) {
        let id = format!("guid-{name}");
        self.with(|state| state.lines.insert(id.clone(), line));
        self.show(&id);
    }

    /// A user's own entry changes.
    pub fn choose(&self, name: &str, activity: Activity) {
        let id = format!("guid-{name}");
        let entry = Entry {
            origin: Origin::User,
            activity,
            note: String::new(),
            since: self.with(|state| Timestamp::now().checked_add(state.clock_ahead).ok()),
        };
        self.with(|state| state.others.insert(id.clone(), vec![entry]));
        self.show(&id);
    }

    /// A PBX that does not tell which users there are.
    pub fn hide_users(&self) {
        self.with(|state| state.capabilities.enumerates_users = false);
    }

    /// Whether it has the user of this address.
    pub fn exists(&self, id: &str, exists: bool) {
        let id = id.to_owned();
        self.tell(PbxEvent::Exists { id, exists });
    }

    /// Puts an entry of ours there, as an earlier worker did.
    pub fn left_behind(&self, name: &str, activity: Activity) {
        let entry = OwnEntry {
            activity,
            note: String::new(),
        };
        self.with(|state| state.own.insert(format!("guid-{name}"), entry));
    }

    /// The PBX's clock is so far ahead.
    pub fn set_clock(&self, ahead: SignedDuration) {
        self.with(|state| state.clock_ahead = ahead);
    }

    /// Entries of ours are not taken.
    pub fn take_no_entries(&self, why: &str) {
        self.tell(PbxEvent::NoEntries { why: why.to_owned() });
    }

    pub fn fail(&self, failure: Option<PbxError>) {
        self.with(|state| state.failure = failure);
    }

    /// What our entry says.
    pub fn own(&self, name: &str) -> Option<Activity> {
        self.with(|state| {
            state
                .own
                .get(&format!("guid-{name}"))
                .map(|entry| entry.activity.clone())
        })
    }

    pub fn puts(&self) -> usize {
        self.with(|state| state.puts)
    }

    pub fn watched(&self) -> Vec<String> {
        self.with(|state| state.watched.clone())
    }

    pub fn recalled(&self) -> Vec<String> {
        self.with(|state| state.recalled.clone())
    }

    fn show(&self, id: &str) {
        let view = self.with(|state| {
            let own = state.own.get(id).map(|entry| Entry {
                origin: Origin::Ours,
                activity: entry.activity.clone(),
                note: entry.note.clone(),
                since: None,
            });
            let others = state.others.get(id).cloned().unwrap_or_default();
            PbxView {
                entries: Some(own.into_iter().chain(others).collect()),
                line: state.lines.get(id).copied().unwrap_or(Line::Idle),
            }
        });
        self.tell(PbxEvent::View {
            id: id.to_owned(),
            view,
        });
    }

    fn tell(&self, event: PbxEvent) {
        if let Some(events) = self.with(|state| state.events.clone()) {
            // The worker may have begun anew.
            let _ = events.try_send(event);
        }
    }

    pub fn capabilities(&self) -> Capabilities {
        self.with(|state| state.capabilities)
    }

    pub fn watch(&self, users: Vec<String>) {
        self.with(|state| {
            state.watches += 1;
            state.watched = users;
        });
    }

    pub fn recall_own(&self, users: Vec<String>) {
        self.with(|state| state.recalled = users);
    }

    pub fn put_own(&self, user: &str, entry: &OwnEntry) -> Result<(), PbxError> {
        self.with(|state| {
            state.failure.clone().map_or(Ok(()), Err)?;
            state.puts += 1;
            state.own.insert(user.to_owned(), entry.clone());
            Ok::<_, PbxError>(())
        })?;
        self.show(user);
        Ok(())
    }

    pub fn clear_own(&self, user: &str) -> Result<(), PbxError> {
        self.with(|state| {
            state.failure.clone().map_or(Ok(()), Err)?;
            state.own.remove(user);
            Ok::<_, PbxError>(())
        })?;
        self.show(user);
        Ok(())
    }

    pub fn close(self) {
        self.with(|state| state.events = None);
    }
}
