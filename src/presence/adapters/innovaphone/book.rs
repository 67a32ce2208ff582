//! What all PBXs of an installation tell, put together.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::message::Row;
use super::session::Told;
use crate::policy::presence::pbx::{Entry, Line, PbxEvent, PbxUser, PbxView};

/// What is known, and what was told of it.
#[derive(Debug)]
pub(super) struct Book {
    endpoints: Vec<Endpoint>,
    /// The users, and where each is registered if the PBX told. What else it told of them is passed on and not kept.
    users: BTreeMap<String, Option<Box<str>>>,
    /// Users told of since the master's last login, until all were told of.
    fresh: HashSet<String>,
    entries: HashMap<String, Vec<Entry>>,
    wanted: Arc<BTreeSet<String>>,
    shown: HashMap<String, PbxView>,
}

/// One PBX.
#[allow(clippy::struct_excessive_bools)] // independent facts, not states
#[derive(Debug)]
struct Endpoint {
    name: String,
    /// What the PBX calls itself, if it told.
    own_name: Option<String>,
    is_master: bool,
    is_up: bool,
    /// Whether all users there are were told of.
    users_complete: bool,
    /// Whether all users whose calls are seen were told of.
    lines_complete: bool,
    /// Users whose calls are seen, and the PBX where each is registered.
    visible: HashMap<String, Option<String>>,
    /// Lines that are not idle.
    lines: HashMap<String, Line>,
}

impl Book {
    /// An empty book for these PBXs: name, and whether it is the master.
    pub(super) fn new(endpoints: impl IntoIterator<Item = (String, bool)>) -> Self {
        let endpoint = |(name, is_master)| Endpoint {
            name,
            own_name: None,
            is_master,
            is_up: false,
            users_complete: false,
            lines_complete: false,
            visible: HashMap::new(),
            lines: HashMap::new(),
        };
        Self {
            endpoints: endpoints.into_iter().map(endpoint).collect(),
            users: BTreeMap::new(),
            fresh: HashSet::new(),
            entries: HashMap::new(),
            wanted: Arc::default(),
            shown: HashMap::new(),
        }
    }

    /// Whom to tell of from now on.
    pub(super) fn watch(&mut self, wanted: Arc<BTreeSet<String>>) -> Vec<PbxEvent> {
        self.shown.retain(|guid, _| wanted.contains(guid));
        let added: Vec<String> = wanted.difference(&self.wanted).cloned().collect();
        self.wanted = wanted;
        added.iter().filter_map(|guid| self.show(guid)).collect()
    }

    /// News of the PBX with this number.
    pub(super) fn apply(&mut self, number: usize, told: Told) -> Vec<PbxEvent> {
        let Some(endpoint) = self.endpoints.get_mut(number) else {
            return Vec::new();
        };
        match told {
            Told::Up => self.up(number),
            Told::Down(why) => {
                let event = PbxEvent::Down {
                    endpoint: endpoint.name.clone(),
                    why,
                };
                self.down(number, event)
            }
            Told::Name(name) => {
                endpoint.own_name = Some(name);
                self.show_all()
            }
            Told::User(row) => self.user(row),
            Told::UserGone(guid) => self.user_gone(&guid),
            Told::UsersComplete => {
                let was_complete = std::mem::replace(&mut endpoint.users_complete, true);
                let is_first = endpoint.is_master && !was_complete;
                let complete = endpoint.complete();
                let gone = if is_first { self.users_gone() } else { Vec::new() };
                gone.into_iter().chain(complete).collect()
            }
            Told::Entries(guid, entries) => {
                match entries {
                    Some(entries) => self.entries.insert(guid.clone(), entries),
                    None => self.entries.remove(&guid),
                };
                self.show(&guid).into_iter().collect()
            }
            Told::Visible(guid, at) => {
                endpoint.visible.insert(guid.clone(), at);
                self.show(&guid).into_iter().collect()
            }
            Told::Hidden(guid) => {
                endpoint.visible.remove(&guid);
                endpoint.lines.remove(&guid);
                self.show(&guid).into_iter().collect()
            }
            Told::LinesComplete => {
                endpoint.lines_complete = true;
                let complete = endpoint.complete();
                self.show_all().into_iter().chain(complete).collect()
            }
            Told::Line(guid, line) => {
                match line {
                    Line::Idle | Line::Unknown => endpoint.lines.remove(&guid),
                    busy => endpoint.lines.insert(guid.clone(), busy),
                };
                self.show(&guid).into_iter().collect()
            }
        }
    }

    fn up(&mut self, number: usize) -> Vec<PbxEvent> {
        let Some(endpoint) = self.endpoints.get_mut(number) else {
            return Vec::new();
        };
        endpoint.forget();
        endpoint.is_up = true;
        if endpoint.is_master {
            self.fresh.clear();
            self.entries.clear();
        }
        let event = PbxEvent::Up {
            endpoint: endpoint.name.clone(),
        };
        self.tell_again(event)
    }

    fn down(&mut self, number: usize, event: PbxEvent) -> Vec<PbxEvent> {
        let Some(endpoint) = self.endpoints.get_mut(number) else {
            return Vec::new();
        };
        if !endpoint.is_up {
            return vec![event];
        }
        endpoint.forget();
        if endpoint.is_master {
            self.entries.clear();
        }
        self.tell_again(event)
    }

    /// After an endpoint came or went, every view is told as it is now: what another endpoint tells still holds.
    fn tell_again(&mut self, event: PbxEvent) -> Vec<PbxEvent> {
        let shown: Vec<String> = self.shown.keys().cloned().collect();
        let mut events = vec![event];
        for id in shown {
            let view = self.view(&id);
            self.shown.insert(id.clone(), view.clone());
            events.push(PbxEvent::View { id, view });
        }
        events
    }

    fn user(&mut self, row: Row) -> Vec<PbxEvent> {
        let guid = row.guid.clone();
        let is_complete = |endpoint: &Endpoint| endpoint.is_master && endpoint.users_complete;
        if !self.endpoints.iter().any(is_complete) {
            self.fresh.insert(guid.clone());
        }
        let user = PbxUser {
            id: row.guid,
            cn: row.cn,
            h323: row.h323,
            extension: row.e164,
        };
        let home = row.loc.filter(|name| !name.is_empty());
        self.users.insert(guid.clone(), home.map(String::into_boxed_str));
        std::iter::once(PbxEvent::User(user)).chain(self.show(&guid)).collect()
    }

    fn user_gone(&mut self, guid: &str) -> Vec<PbxEvent> {
        self.entries.remove(guid);
        self.shown.remove(guid);
        let gone = self
            .users
            .remove_entry(guid)
            .map(|(id, _)| PbxEvent::UserRemoved { id });
        gone.into_iter().collect()
    }

    /// Users that were not told of since the login left while nobody looked.
    fn users_gone(&mut self) -> Vec<PbxEvent> {
        let gone: Vec<String> = self
            .users
            .keys()
            .filter(|guid| !self.fresh.contains(*guid))
            .cloned()
            .collect();
        self.fresh = HashSet::new();
        gone.iter().flat_map(|guid| self.user_gone(guid)).collect()
    }

    fn show_all(&mut self) -> Vec<PbxEvent> {
        let wanted: Vec<String> = self.wanted.iter().cloned().collect();
        wanted.iter().filter_map(|guid| self.show(guid)).collect()
    }

    /// Tells a user's view if it is watched, and the view differs from what was told.
    fn show(&mut self, guid: &str) -> Option<PbxEvent> {
        if !self.wanted.contains(guid) || !self.users.contains_key(guid) {
            return None;
        }
        let view = self.view(guid);
        let is_news = match self.shown.get(guid) {
            Some(shown) => *shown != view,
            None => view != PbxView::default(),
        };
        is_news.then(|| {
            self.shown.insert(guid.to_owned(), view.clone());
            let id = guid.to_owned();
            PbxEvent::View { id, view }
        })
    }

    fn view(&self, guid: &str) -> PbxView {
        PbxView {
            entries: self.entries.get(guid).cloned(),
            line: self.line(guid),
        }
    }

    /// A call is a call wherever it is seen. That there is none, only the PBX can tell where the user is registered.
    fn line(&self, guid: &str) -> Line {
        let busy = |busy: Line| {
            self.endpoints
                .iter()
                .any(|endpoint| endpoint.lines.get(guid) == Some(&busy))
        };
        if busy(Line::Connected) {
            return Line::Connected;
        }
        if busy(Line::Ringing) {
            return Line::Ringing;
        }
        let at_home = |endpoint: &&Endpoint| self.is_home(endpoint, guid);
        match self.endpoints.iter().find(at_home) {
            Some(home) if home.lines_complete && home.visible.contains_key(guid) => Line::Idle,
            _ => Line::Unknown,
        }
    }

    fn is_home(&self, endpoint: &Endpoint, guid: &str) -> bool {
        let by_table = || self.users.get(guid)?.as_deref();
        let by_calls = || {
            let mut tells = self.endpoints.iter().filter_map(|endpoint| endpoint.visible.get(guid));
            tells.find_map(|at| at.as_deref())
        };
        match by_table().or_else(by_calls) {
            Some(name) => endpoint.is_called(name),
            None => endpoint.is_master,
        }
    }
}

impl Endpoint {
    fn forget(&mut self) {
        self.is_up = false;
        self.users_complete = false;
        self.lines_complete = false;
        self.visible.clear();
        self.lines.clear();
    }

    /// Tells so once everything that comes first was told.
    fn complete(&self) -> Option<PbxEvent> {
        let is_complete = self.lines_complete && (self.users_complete || !self.is_master);
        is_complete.then(|| PbxEvent::Complete {
            endpoint: self.name.clone(),
            users: self.is_master,
        })
    }

    fn is_called(&self, name: &str) -> bool {
        let own = self.own_name.as_deref();
        [Some(self.name.as_str()), own]
            .into_iter()
            .flatten()
            .any(|known| known.eq_ignore_ascii_case(name))
    }
}

#[cfg(test)]
mod tests;
