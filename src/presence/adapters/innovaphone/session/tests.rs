use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::policy::presence::pbx::{Activity, Origin};

fn part(is_master: bool) -> Part {
    Part {
        app: "presence".to_owned(),
        password: SecretString::from("p:a\"ss wörd"),
        is_master,
        own: OwnContact::new("teams:"),
    }
}

fn all(session: &mut Session) -> Vec<Out> {
    std::iter::from_fn(|| session.next()).collect()
}

fn sent(outs: &[Out]) -> Vec<Value> {
    let texts = outs.iter().filter_map(|out| match out {
        Out::Send(text) => Some(serde_json::from_str(text).unwrap()),
        _ => None,
    });
    texts.collect()
}

fn told(outs: Vec<Out>) -> Vec<Told> {
    let news = outs.into_iter().filter_map(|out| match out {
        Out::Tell(told) => Some(told),
        _ => None,
    });
    news.collect()
}

/// Takes a message, and tells what comes of it.
fn take(session: &mut Session, message: &Value) -> Vec<Out> {
    session.text(&message.to_string(), Instant::now()).unwrap();
    all(session)
}

fn refuses(session: &mut Session, message: &Value) -> PbxError {
    session.text(&message.to_string(), Instant::now()).unwrap_err()
}

fn challenged(is_master: bool) -> Session {
    let mut session = Session::new(part(is_master), Instant::now());
    all(&mut session);
    take(&mut session, &json!({"mt": "AppChallengeResult", "challenge": "123"}));
    session
}

fn logged_in(is_master: bool) -> Session {
    let mut session = challenged(is_master);
    take(&mut session, &json!({"mt": "AppLoginResult", "ok": true}));
    session
}

fn users(mt: &str, columns: &Value) -> Value {
    json!({"mt": mt, "api": "PbxTableUsers", "src": "all", "columns": columns})
}

/// Logged in, with users listed and watched.
fn watching(guids: &[&str]) -> Session {
    let mut session = logged_in(true);
    take(&mut session, &users("ReplicateStartResult", &json!({"guid": {}})));
    for guid in guids {
        take(
            &mut session,
            &users("ReplicateNextResult", &json!({"guid": guid, "h323": guid})),
        );
    }
    take(
        &mut session,
        &json!({"mt": "ReplicateNextResult", "api": "PbxTableUsers", "src": "all"}),
    );
    let wanted = guids.iter().map(|guid| (*guid).to_owned()).collect();
    session.watch(Arc::new(wanted), Instant::now());
    all(&mut session);
    session
}

fn calls(message: &Value) -> Value {
    let mut message = message.clone();
    message["api"] = json!("RCC");
    message
}

fn presence(mt: &str, src: &str, rest: &Value) -> Value {
    let mut message = rest.clone();
    message["mt"] = json!(mt);
    message["api"] = json!("PbxApi");
    message["src"] = json!(src);
    message
}

#[tokio::test]
async fn logs_in_and_asks_for_users_and_calls() {
    let mut session = Session::new(part(true), Instant::now());
    assert_eq!(
        sent(&all(&mut session)),
        [json!({"mt": "AppChallenge", "appObj": "presence"})]
    );
    let login = sent(&take(
        &mut session,
        &json!({"mt": "AppChallengeResult", "challenge": "123"}),
    ));
    assert_eq!(login.len(), 1);
    assert_eq!(login[0]["mt"], "AppLogin");
    let expected = super::super::digest::Login {
        app: "presence",
        ..Default::default()
    };
    assert_eq!(login[0]["digest"], expected.digest("123", &part(true).password));
    assert!(!session.is_up());
    let outs = take(&mut session, &json!({"mt": "AppLoginResult", "ok": true}));
    let asked: Vec<_> = sent(&outs).iter().map(|message| message["mt"].clone()).collect();
    assert_eq!(asked, ["ReplicateStart", "Initialize"]);
    assert!(
        !sent(&outs)[0].to_string().contains("pwd"),
        "passwords of users are not asked for"
    );
    assert_eq!(told(outs), [Told::Up]);
}

#[tokio::test]
async fn a_slave_is_asked_for_calls_only() {
    let mut session = challenged(false);
    let outs = take(&mut session, &json!({"mt": "AppLoginResult", "ok": true}));
    assert_eq!(sent(&outs).len(), 1);
    assert_eq!(sent(&outs)[0]["mt"], "Initialize");
    session.watch(Arc::new(BTreeSet::from(["a1".to_owned()])), Instant::now());
    assert_eq!(all(&mut session), []);
}

#[tokio::test]
async fn a_login_that_fails_says_why() {
    let mut session = challenged(true);
    let cases = [
        (json!({"mt": "AppLoginResult"}), "Auth"),
        (json!({"mt": "AppLoginResult", "ok": false}), "Auth"),
        (
            json!({"mt": "AppLoginResult", "ok": false, "errorText": "no such app"}),
            "no such app",
        ),
        (
            json!({"mt": "AppLoginResult", "ok": true, "info": {"unlicensed": true}}),
            "Licence",
        ),
    ];
    for (message, expected) in cases {
        let why = format!("{:?}", refuses(&mut session, &message));
        assert!(why.contains(expected), "{message}: {why}");
        assert!(!why.contains("ss w"), "{why}");
    }
    assert!(!format!("{session:?}").contains("ss w"), "the password shows in Debug");
    let mut session = Session::new(part(true), Instant::now());
    for challenge in ["", "12345678901234567"] {
        let message = json!({"mt": "AppChallengeResult", "challenge": challenge});
        assert!(matches!(refuses(&mut session, &message), PbxError::Protocol(_)));
    }
}

#[tokio::test]
async fn rights_that_are_missing_are_named() {
    let mut session = logged_in(true);
    let apis = json!({"mt": "PbxInfo", "pbx": "hq", "apis": ["PbxApi", "RCC"]});
    let why = refuses(&mut session, &apis);
    // The password is right.
    assert!(matches!(&why, PbxError::Forbidden(text) if text.contains("PbxTableUsers")));
    let apis = json!({"mt": "PbxInfo", "pbx": "hq", "apis": ["PbxApi", "RCC", "PbxTableUsers"]});
    assert_eq!(told(take(&mut logged_in(true), &apis))[0], Told::Name("hq".to_owned()));
    let refused = json!({"mt": "ReplicateStartResult", "api": "PbxTableUsers", "errorText": "no right"});
    assert!(matches!(
        refuses(&mut logged_in(true), &refused),
        PbxError::Forbidden(_)
    ));
    let refused = json!({"mt": "InitializeResult", "api": "RCC", "error": 3});
    assert!(matches!(
        refuses(&mut logged_in(false), &refused),
        PbxError::Forbidden(_)
    ));
}

#[tokio::test]
async fn users_are_listed_row_by_row_and_followed() {
    let mut session = logged_in(true);
    let outs = take(
        &mut session,
        &users("ReplicateStartResult", &json!({"guid": {}, "h323": {}})),
    );
    assert_eq!(sent(&outs)[0]["mt"], "ReplicateNext");
    let row = json!({"guid": "a1", "h323": "ann", "cn": "Ann", "e164": "23", "loc": "hq", "pwd": "x"});
    let outs = take(&mut session, &users("ReplicateNextResult", &row));
    assert_eq!(sent(&outs)[0]["mt"], "ReplicateNext");
    let Some(Told::User(user)) = told(outs).pop() else {
        panic!("no user")
    };
    assert_eq!((user.h323.as_deref(), user.loc.as_deref()), (Some("ann"), Some("hq")));
    let end = json!({"mt": "ReplicateNextResult", "api": "PbxTableUsers", "src": "all"});
    assert_eq!(take(&mut session, &end), [Out::Tell(Told::UsersComplete)]);
    assert_eq!(
        take(&mut session, &end),
        [Out::Ignored("unknown")],
        "there is one end only"
    );
    let outs = take(&mut session, &users("ReplicateDel", &json!({"guid": "a1"})));
    assert_eq!(told(outs), [Told::UserGone("a1".to_owned())]);
    let trunk = json!({"guid": "t1", "h323": "trunk", "pseudo": "gw"});
    assert_eq!(take(&mut session, &users("ReplicateAdd", &trunk)), []);
}

#[tokio::test]
async fn presence_of_watched_users_is_told() {
    let mut session = watching(&["a1", "b2"]);
    let items = json!([{"contact": "tel:", "activity": "busy", "note": "n"}]);
    let outs = take(
        &mut session,
        &presence("PresenceUpdate", "a1", &json!({"presence": items})),
    );
    let Some(Told::Entries(guid, Some(entries))) = told(outs).pop() else {
        panic!("no entries")
    };
    assert_eq!(guid, "a1");
    assert_eq!(
        (&entries[0].origin, &entries[0].activity),
        (&Origin::User, &Activity::Busy)
    );
    let empty = take(
        &mut session,
        &presence("PresenceUpdate", "a1", &json!({"presence": []})),
    );
    assert_eq!(told(empty), [Told::Entries("a1".to_owned(), Some(vec![]))]);
    let down = take(&mut session, &presence("PresenceState", "a1", &json!({"up": false})));
    assert_eq!(
        told(down),
        [Told::Entries("a1".to_owned(), None)],
        "unknown, not available"
    );
    let up = take(&mut session, &presence("PresenceState", "a1", &json!({"up": true})));
    assert_eq!(told(up), []);
}

#[tokio::test]
async fn what_was_not_asked_for_is_left_aside() {
    let mut session = watching(&["a1"]);
    let cases = [
        (
            presence("PresenceUpdate", "zz", &json!({"presence": []})),
            "unknown_src",
        ),
        (
            json!({"mt": "PresenceUpdate", "api": "PbxApi", "presence": []}),
            "unknown_src",
        ),
        (presence("SetPresenceResult", "set-9", &json!({})), "unexpected"),
        (presence("Surprise", "a1", &json!({})), "unknown"),
        (json!({"mt": "Surprise"}), "unknown"),
        (json!({"mt": "Surprise", "api": "Admin"}), "unknown"),
        (json!({"mt": "AppLoginResult", "ok": false}), "unexpected"),
        (json!({"mt": "AppChallengeResult", "challenge": "1"}), "unexpected"),
        (calls(&json!({"mt": "CallDel", "call": 77})), "unknown_call"),
        (json!("no object"), "unreadable"),
    ];
    for (message, reason) in cases {
        assert_eq!(take(&mut session, &message), [Out::Ignored(reason)], "{message}");
    }
    let early = presence("PresenceUpdate", "a1", &json!({"presence": []}));
    assert_eq!(take(&mut challenged(true), &early), [Out::Ignored("before_login")]);
}

#[tokio::test]
async fn writes_are_answered() {
    let mut session = watching(&["a1"]);
    let busy = OwnEntry {
        activity: Activity::Busy,
        note: "in \"Teams\"".to_owned(),
    };
    session.put(1, "a1", Some(&busy), Instant::now());
    let message = sent(&all(&mut session)).pop().unwrap();
    let src = message["src"].as_str().unwrap().to_owned();
    let expected = json!({
        "mt": "SetPresence", "api": "PbxApi", "src": src, "guid": "a1",
        "contact": "teams:", "activity": "busy", "note": "in \"Teams\"",
    });
    assert_eq!(message, expected);
    let outs = take(&mut session, &presence("SetPresenceResult", &src, &json!({"error": 0})));
    assert_eq!(outs, [Out::Answer(1, Ok(()))]);
    session.put(2, "a1", None, Instant::now());
    let message = sent(&all(&mut session)).pop().unwrap();
    assert_eq!((&message["activity"], &message["note"]), (&json!(""), &json!("")));
    let refused = json!({"mt": "SetPresenceResult", "api": "PbxApi", "error": 7});
    let outs = take(&mut session, &refused);
    assert!(
        matches!(&outs[..], [Out::Answer(2, Err(PbxError::Protocol(_)))]),
        "{outs:?}"
    );
    session.put(3, "zz", None, Instant::now());
    assert!(matches!(
        session.next(),
        Some(Out::Answer(3, Err(PbxError::NotFound(_))))
    ));
    let mut early = challenged(true);
    early.put(4, "a1", None, Instant::now());
    assert!(matches!(
        early.next(),
        Some(Out::Answer(4, Err(PbxError::Transport(_))))
    ));
}

#[tokio::test]
async fn lines_follow_calls() {
    let mut session = logged_in(false);
    let line = |session: &mut Session, message: Value| told(take(session, &calls(&message))).pop();
    let user = json!({"mt": "UserInfo", "guid": "a1", "cn": "Ann", "pbx": "branch"});
    let seen = Some(Told::Visible("a1".to_owned(), Some("branch".to_owned())));
    assert_eq!(line(&mut session, user), seen);
    assert_eq!(
        line(&mut session, json!({"mt": "InitializeResult"})),
        Some(Told::LinesComplete)
    );
    let is = |line| Some(Told::Line("a1".to_owned(), line));
    let add = json!({"mt": "CallAdd", "guid": "a1", "call": 7, "state": 4 + 128});
    assert_eq!(line(&mut session, add), is(Line::Ringing));
    let update = json!({"mt": "CallUpdate", "call": 7, "msg": "r-conn"});
    assert_eq!(line(&mut session, update), is(Line::Connected));
    let update = json!({"mt": "CallUpdate", "call": 7, "msg": "x-info"});
    assert_eq!(line(&mut session, update), is(Line::Connected));
    assert_eq!(line(&mut session, json!({"mt": "CallDel", "call": 7})), is(Line::Idle));
    let gone = json!({"mt": "UserInfo", "guid": "a1", "update": "del"});
    assert_eq!(line(&mut session, gone), Some(Told::Hidden("a1".to_owned())));
}

#[tokio::test]
async fn of_a_deleted_user_nothing_more_is_taken() {
    let mut session = watching(&["a1"]);
    let outs = take(&mut session, &users("ReplicateDel", &json!({"guid": "a1"})));
    assert_eq!(outs, [Out::Tell(Told::UserGone("a1".to_owned()))]);
    let late = take(
        &mut session,
        &presence("PresenceUpdate", "a1", &json!({"presence": []})),
    );
    assert_eq!(late, [Out::Ignored("unknown_src")]);
}

#[tokio::test]
async fn silence_is_first_questioned_and_then_the_end() {
    let mut session = watching(&[]);
    take(&mut session, &calls(&json!({"mt": "InitializeResult"})));
    let start = Instant::now();
    session.heard(start);
    session.tick(start + QUIET / 2).unwrap();
    assert_eq!(all(&mut session), []);
    session.tick(start + QUIET).unwrap();
    session.tick(start + QUIET).unwrap();
    assert_eq!(all(&mut session), [Out::Send(message::keep_alive()), Out::Ping]);
    let dead = session.tick(start + DEAD).unwrap_err();
    assert_eq!(dead, PbxError::Transport("it is silent".to_owned()));
    session.heard(start + QUIET);
    session.tick(start + DEAD).unwrap();
    assert_eq!(all(&mut session).len(), 2, "asked again");
}

#[tokio::test]
async fn steps_that_are_not_answered_end_the_connection() {
    let start = Instant::now();
    let ended = |mut session: Session, after: Duration| {
        session.heard(start + after);
        session
            .tick(start + after + Duration::from_secs(1))
            .unwrap_err()
            .to_string()
    };
    assert!(ended(Session::new(part(true), start), LOGIN).contains("AppChallenge"));
    assert!(ended(challenged(true), LOGIN).contains("AppLogin"));
    assert!(ended(logged_in(true), LISTING).contains("TableUsers"));
    assert!(ended(logged_in(false), LISTING).contains("RCC"));
    let mut session = watching(&["a1"]);
    take(&mut session, &calls(&json!({"mt": "InitializeResult"})));
    session.put(5, "a1", None, start);
    all(&mut session);
    session.heard(start + LOGIN * 2);
    session.tick(start + LOGIN * 2).unwrap();
    assert!(matches!(
        &all(&mut session)[..],
        [Out::Answer(5, Err(PbxError::Transport(_)))]
    ));
}

/// Words that a PBX could send, in any order and mixture.
fn anything() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "AppChallengeResult",
        "AppLoginResult",
        "PbxInfo",
        "KeepAlive",
        "ReplicateStartResult",
        "ReplicateNextResult",
        "ReplicateAdd",
        "ReplicateUpdate",
        "ReplicateDel",
        "SubscribePresenceResult",
        "PresenceState",
        "PresenceUpdate",
        "SetPresenceResult",
        "UserInfo",
        "InitializeResult",
        "CallAdd",
        "CallUpdate",
        "CallDel",
        "Other",
    ]);
    let api = prop::sample::select(vec!["PbxApi", "PbxTableUsers", "RCC", ""]);
    let src = prop::sample::select(vec!["a1", "b2", "set-1", "set-", "all", ""]);
    let structured =
        (word, api, src, any::<u8>(), any::<u32>(), any::<bool>()).prop_map(|(mt, api, src, guid, state, up)| {
            let guid = ["a1", "b2", "c3"][usize::from(guid) % 3];
            json!({
                "mt": mt, "api": api, "src": src, "guid": guid, "call": state % 5, "state": state, "up": up, "ok": up,
                "challenge": "1", "columns": {"guid": guid, "h323": guid}, "presence": [{"contact": "teams:"}],
            })
            .to_string()
        });
    prop_oneof![4 => structured, 1 => "\\PC{0,40}"]
}

proptest! {
    /// Whatever comes, the session does not panic, and asks for few subscriptions at a time.
    #[test]
    fn nothing_that_a_pbx_sends_is_fatal(messages in prop::collection::vec(anything(), 0..60), is_up: bool) {
        let now = Instant::now();
        let mut session = if is_up { watching(&["a1", "b2"]) } else { challenged(true) };
        session.watch(Arc::new(BTreeSet::from(["a1".to_owned(), "c3".to_owned()])), now);
        for (number, text) in messages.iter().enumerate() {
            let at = now + Duration::from_secs(number as u64);
            session.heard(at);
            session.put(number as u64, "a1", None, at);
            if session.text(text, at).is_err() || session.tick(at).is_err() {
                break;
            }
            prop_assert!(all(&mut session).len() < 100);
        }
    }
}
