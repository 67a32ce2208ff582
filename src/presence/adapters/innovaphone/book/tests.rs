use proptest::prelude::*;

use super::*;
use crate::policy::presence::pbx::{Activity, Origin, PbxError};

const MASTER: usize = 0;
const SLAVE: usize = 1;

fn book() -> Book {
    Book::new([("hq".to_owned(), true), ("branch".to_owned(), false)])
}

fn row(guid: &str, loc: &str) -> Row {
    Row {
        guid: guid.to_owned(),
        h323: Some(guid.to_owned()),
        loc: Some(loc.to_owned()),
        ..Row::default()
    }
}

fn away() -> Vec<Entry> {
    vec![Entry {
        origin: Origin::User,
        activity: Activity::Away,
        note: String::new(),
        since: None,
    }]
}

fn lost() -> Told {
    Told::Down(PbxError::Transport("gone".to_owned()))
}

fn view(guid: &str, entries: Option<Vec<Entry>>, line: Line) -> PbxEvent {
    PbxEvent::View {
        id: guid.to_owned(),
        view: PbxView { entries, line },
    }
}

/// Both connected; ann is registered at the master, bob at the slave, and both are watched.
fn connected() -> Book {
    let mut book = book();
    book.watch(Arc::new(BTreeSet::from(["ann".to_owned(), "bob".to_owned()])));
    for told in [
        Told::Up,
        Told::User(row("ann", "HQ")),
        Told::User(row("bob", "branch")),
        Told::UsersComplete,
    ] {
        book.apply(MASTER, told);
    }
    book.apply(SLAVE, Told::Up);
    for endpoint in [MASTER, SLAVE] {
        book.apply(endpoint, Told::Visible("ann".to_owned(), None));
        book.apply(endpoint, Told::Visible("bob".to_owned(), None));
        book.apply(endpoint, Told::LinesComplete);
    }
    book
}

#[test]
fn a_view_is_told_when_it_changes() {
    let mut book = connected();
    let entries = Told::Entries("ann".to_owned(), Some(away()));
    assert_eq!(
        book.apply(MASTER, entries.clone()),
        [view("ann", Some(away()), Line::Idle)]
    );
    assert_eq!(book.apply(MASTER, entries), []);
    let connected = Told::Line("ann".to_owned(), Line::Connected);
    assert_eq!(
        book.apply(MASTER, connected),
        [view("ann", Some(away()), Line::Connected)]
    );
    let unknown = Told::Entries("ann".to_owned(), None);
    assert_eq!(book.apply(MASTER, unknown), [view("ann", None, Line::Connected)]);
}

#[test]
fn idle_is_only_said_where_the_user_is_registered() {
    let mut book = connected();
    assert_eq!(book.line("bob"), Line::Idle);
    let events = book.apply(SLAVE, lost());
    assert!(matches!(&events[0], PbxEvent::Down { endpoint, .. } if endpoint == "branch"));
    assert!(events.contains(&view("bob", None, Line::Unknown)), "{events:?}");
    assert!(
        events.contains(&view("ann", None, Line::Idle)),
        "what still holds is told again"
    );
    let call = Told::Line("bob".to_owned(), Line::Connected);
    assert_eq!(
        book.apply(MASTER, call),
        [view("bob", None, Line::Connected)],
        "a call is a call"
    );
}

#[test]
fn where_a_user_is_registered_may_be_told_by_calls_or_not_at_all() {
    let mut book = book();
    book.apply(MASTER, Told::User(row("ann", "")));
    assert!(book.is_home(&book.endpoints[MASTER], "ann"));
    book.apply(SLAVE, Told::Visible("ann".to_owned(), Some("Branch".to_owned())));
    assert!(book.is_home(&book.endpoints[SLAVE], "ann") && !book.is_home(&book.endpoints[MASTER], "ann"));
    book.apply(MASTER, Told::User(row("ann", "elsewhere")));
    book.apply(SLAVE, Told::LinesComplete);
    assert_eq!(book.line("ann"), Line::Unknown);
    book.apply(SLAVE, Told::Name("elsewhere".to_owned()));
    assert_eq!(book.line("ann"), Line::Idle);
}

#[test]
fn after_the_master_was_lost_nothing_old_remains() {
    let mut book = connected();
    book.apply(MASTER, Told::Entries("ann".to_owned(), Some(away())));
    let events = book.apply(MASTER, lost());
    assert!(events.contains(&view("ann", None, Line::Unknown)), "{events:?}");
    assert_eq!(book.apply(MASTER, lost()).len(), 1, "views are told once");
    assert!(matches!(book.apply(MASTER, Told::Up)[0], PbxEvent::Up { .. }));
    let events = book.apply(MASTER, Told::User(row("ann", "hq")));
    assert!(matches!(&events[0], PbxEvent::User(user) if user.id == "ann"));
    let gone = book.apply(MASTER, Told::UsersComplete);
    assert_eq!(gone, [PbxEvent::UserRemoved { id: "bob".to_owned() }]);
}

#[test]
fn an_endpoint_is_complete_once_all_its_lists_have_ended() {
    let mut book = book();
    let complete = |name: &str, users| PbxEvent::Complete {
        endpoint: name.to_owned(),
        users,
    };
    book.apply(MASTER, Told::Up);
    assert_eq!(book.apply(MASTER, Told::UsersComplete), []);
    assert_eq!(book.apply(MASTER, Told::LinesComplete), [complete("hq", true)]);
    book.apply(SLAVE, Told::Up);
    assert_eq!(book.apply(SLAVE, Told::LinesComplete), [complete("branch", false)]);
    book.apply(MASTER, Told::Up);
    assert_eq!(book.apply(MASTER, Told::LinesComplete), [], "its users are listed anew");
    assert_eq!(book.apply(MASTER, Told::UsersComplete), [complete("hq", true)]);
}

#[test]
fn a_list_that_ends_twice_and_the_end_of_another_list_remove_nobody() {
    let mut book = connected();
    book.apply(MASTER, Told::UsersComplete);
    book.apply(SLAVE, Told::UsersComplete);
    book.apply(MASTER, Told::User(row("carl", "hq")));
    for number in [MASTER, SLAVE, MASTER] {
        let events = book.apply(number, Told::UsersComplete);
        let gone = events.iter().any(|event| matches!(event, PbxEvent::UserRemoved { .. }));
        assert!(!gone, "{events:?}");
    }
}

#[test]
fn only_watched_users_are_told_of() {
    let mut book = connected();
    assert_eq!(book.watch(Arc::new(BTreeSet::from(["bob".to_owned()]))), []);
    assert_eq!(book.apply(MASTER, Told::Entries("ann".to_owned(), Some(away()))), []);
    let both = BTreeSet::from(["ann".to_owned(), "bob".to_owned()]);
    assert_eq!(book.watch(Arc::new(both)), [view("ann", Some(away()), Line::Idle)]);
    assert_eq!(book.apply(MASTER, Told::UserGone("ann".to_owned())).len(), 1);
    assert_eq!(book.apply(MASTER, Told::UserGone("ann".to_owned())), []);
}

fn news() -> impl Strategy<Value = (usize, Told)> {
    let guid = || prop::sample::select(vec!["ann", "bob", "cat"]).prop_map(str::to_owned);
    let line = prop::sample::select(vec![Line::Idle, Line::Ringing, Line::Connected]);
    let loc = prop::sample::select(vec!["hq", "branch", "", "elsewhere"]);
    let told = prop_oneof![
        Just(Told::Up),
        Just(lost()),
        Just(Told::UsersComplete),
        Just(Told::LinesComplete),
        (guid(), loc).prop_map(|(guid, loc)| Told::User(row(&guid, loc))),
        guid().prop_map(Told::UserGone),
        (guid(), any::<bool>()).prop_map(|(guid, known)| Told::Entries(guid, known.then(away))),
        guid().prop_map(|guid| Told::Visible(guid, None)),
        guid().prop_map(Told::Hidden),
        (guid(), line).prop_map(|(guid, line)| Told::Line(guid, line)),
    ];
    (0..2_usize, told)
}

proptest! {
    /// Who listens to all events knows of each watched user exactly what the book knows.
    #[test]
    fn events_carry_everything(history in prop::collection::vec((news(), 0..8_u8), 0..80)) {
        let mut book = book();
        let mut seen: BTreeMap<String, PbxView> = BTreeMap::new();
        let mut users = BTreeSet::new();
        for ((number, told), mask) in history {
            let wanted: BTreeSet<String> = ["ann", "bob", "cat"]
                .into_iter()
                .enumerate()
                .filter(|(bit, _)| mask & (1 << bit) != 0)
                .map(|(_, guid)| guid.to_owned())
                .collect();
            let mut events = book.watch(Arc::new(wanted.clone()));
            seen.retain(|guid, _| wanted.contains(guid));
            events.extend(book.apply(number, told));
            for event in events {
                match event {
                    PbxEvent::View { id, view } => {
                        prop_assert!(wanted.contains(&id) && users.contains(&id));
                        seen.insert(id, view);
                    }
                    PbxEvent::User(user) => {
                        users.insert(user.id);
                    }
                    PbxEvent::UserRemoved { id } => {
                        prop_assert!(users.remove(&id));
                        seen.remove(&id);
                    }
                    PbxEvent::Exists { .. } | PbxEvent::NoEntries { .. } => panic!("innovaphone does not say so"),
                    PbxEvent::Up { .. } | PbxEvent::Down { .. } | PbxEvent::Complete { .. } => {}
                }
            }
            for guid in wanted.intersection(&users) {
                let told = seen.get(guid).cloned().unwrap_or_default();
                prop_assert_eq!(told, book.view(guid), "{}", guid);
            }
        }
    }
}
