use super::*;

#[test]
fn presence_and_calls_become_views() {
    let mut world = World::up(&["anna"]);
    let requests = world.requests("SUBSCRIBE");
    for request in &requests {
        world.answer_to(request, 200, &[("Expires", "600"), ("Contact", "<sip:pbx:5060>")]);
    }
    let (presence, dialog) = (of_event(&requests, "presence"), of_event(&requests, "dialog"));
    assert_eq!(
        presence.field("From").unwrap().split(';').next(),
        Some("<sip:teams-graph-operator@example.test>")
    );
    assert_eq!(
        presence.start,
        Start::Request {
            method: "SUBSCRIBE".to_owned(),
            uri: "sip:anna@example.test".to_owned()
        }
    );

    assert_eq!(world.notify(presence, "active;expires=600", &pidf("busy")), 200);
    assert_eq!(world.notify(dialog, "active", &dialog_info("early")), 200);
    let mut view = PbxView {
        entries: Some(vec![user_entry(Activity::Busy)]),
        line: Line::Ringing,
    };
    assert_eq!(
        world.views(),
        [("anna".to_owned(), view.clone())],
        "two changes that were not told yet are one"
    );

    world.notify(dialog, "active", &dialog_info("confirmed"));
    view.line = Line::Connected;
    assert_eq!(world.views(), [("anna".to_owned(), view.clone())]);
    world.notify(dialog, "active", &dialog_info("confirmed"));
    assert_eq!(world.views(), [], "nothing new");

    // Nothing said is nothing known.
    world.notify(dialog, "active", "");
    world.notify(presence, "active", "");
    assert_eq!(world.views(), [("anna".to_owned(), PbxView::default())]);
    // So is what cannot be read.
    world.notify(presence, "active", &pidf("busy"));
    world.notify(presence, "active", "<presence");
    assert_eq!(world.views(), []);
}

#[test]
fn only_the_next_notification_of_the_subscription_counts() {
    let mut world = World::up(&["anna"]);
    let requests = world.requests("SUBSCRIBE");
    let presence = of_event(&requests, "presence");
    // Before the answer: it may overtake it.
    assert_eq!(world.notify_as(presence, 5, "active", &pidf("busy")), 200);
    world.answer_to(presence, 200, &[("Expires", "600")]);
    assert_eq!(world.views().len(), 1);
    assert_eq!(
        world.notify_as(presence, 5, "active", &pidf("away")),
        200,
        "repeated, and not looked at"
    );
    assert_eq!(world.notify_as(presence, 4, "active", &pidf("away")), 500, "overtaken");
    assert_eq!(world.views(), []);
    let stranger = Message::request("SUBSCRIBE", "sip:x")
        .with("From", "<sip:me>;tag=guessed")
        .with("Call-ID", presence.field("Call-ID").unwrap())
        .with("Event", "presence")
        .with("Accept", "application/pidf+xml");
    assert_eq!(world.notify_as(&stranger, 6, "active", &pidf("away")), 481);
    let other_event = Message::request("SUBSCRIBE", "sip:x")
        .with("From", presence.field("From").unwrap())
        .with("Call-ID", presence.field("Call-ID").unwrap())
        .with("Event", "dialog")
        .with("Accept", "application/pidf+xml");
    assert_eq!(world.notify_as(&other_event, 7, "active", &pidf("away")), 489);
    assert_eq!(world.views(), []);
}

#[test]
fn subscriptions_are_refreshed_in_their_dialog() {
    let mut world = World::up(&["anna"]);
    let requests = world.requests("SUBSCRIBE");
    let presence = of_event(&requests, "presence").clone();
    let route = [
        ("Expires", "60"),
        ("Contact", "<sip:node7@pbx:5060>"),
        ("Record-Route", "<sip:p2;lr>, <sip:p1;lr>"),
    ];
    world.answer_to(&presence, 200, &route);
    world.notify(&presence, "active", &pidf("busy"));
    world.answer_to(of_event(&requests, "dialog"), 489, &[]);
    world.events();
    world.advance(46.0);
    let refreshes = world.requests("SUBSCRIBE");
    let refresh = &refreshes[0];
    assert_eq!(
        refresh.start,
        Start::Request {
            method: "SUBSCRIBE".to_owned(),
            uri: "sip:node7@pbx:5060".to_owned()
        }
    );
    assert_eq!(refresh.field("Call-ID"), presence.field("Call-ID"));
    assert_eq!(refresh.tag("To"), Some("server"));
    assert_eq!(refresh.sequence(), Some((2, "SUBSCRIBE")));
    assert_eq!(refresh.all("Route").collect::<Vec<_>>(), ["<sip:p1;lr>", "<sip:p2;lr>"]);
    assert!(
        refreshes.iter().all(|one| one.field("Event") == Some("presence")),
        "dialog is not known there"
    );
    world.answer_to(refresh, 200, &[("Expires", "60")]);
    assert_eq!(world.views(), [], "what is known stays");
}

#[test]
fn what_cannot_be_refreshed_is_forgotten_when_it_expires() {
    let mut world = World::up(&["anna"]);
    for request in world.requests("SUBSCRIBE") {
        world.answer_to(&request, 200, &[("Expires", "600")]);
        let presence = request.field("Event") == Some("presence");
        let body = if presence {
            pidf("busy")
        } else {
            dialog_info("confirmed")
        };
        world.notify(&request, "active", &body);
    }
    assert_eq!(world.views().len(), 1);
    let mut forgotten = None;
    world.pass(700, |world| {
        for request in world.requests("SUBSCRIBE") {
            world.answer_to(&request, 500, &[]);
        }
        forgotten = world.views().pop().or(forgotten.take());
    });
    assert_eq!(forgotten, Some(("anna".to_owned(), PbxView::default())));
    assert_eq!(world.dropped, None);
    let mut anew = 0;
    world.pass(400, |world| {
        for request in world.requests("SUBSCRIBE") {
            assert_eq!(request.tag("To"), None, "as a new one");
            anew += 1;
            world.answer_to(&request, 500, &[]);
        }
    });
    assert!(anew >= 2, "{anew}");
}

#[test]
fn a_server_that_forgot_is_subscribed_anew_and_all_are_looked_at() {
    let mut world = World::settled(&["anna", "ben"]);
    world.put(1, "ben", Activity::Away, 3600);
    let publish = world.only("PUBLISH");
    world.answer_to(&publish, 200, &[("SIP-ETag", "e1"), ("Expires", "900")]);
    world.advance(30.5);
    let question = world.only("SUBSCRIBE");
    world.answer_to(&question, 481, &[]);
    let requests = world.requests("SUBSCRIBE");
    assert_eq!(requests.len(), 4, "the forgotten one anew, the three others refreshed");
    assert_eq!(requests.iter().filter(|request| request.tag("To").is_none()).count(), 1);
    assert_eq!(world.only("PUBLISH").field("SIP-If-Match"), Some("e1"));
    for request in requests.iter().filter(|request| request.tag("To").is_some()) {
        world.answer_to(request, 481, &[]);
    }
    let anew = world.requests("SUBSCRIBE");
    assert_eq!(anew.len(), 3, "and no second look at all");
    assert!(anew.iter().all(|request| request.tag("To").is_none()));
}

#[test]
fn answers_that_decide_when_it_is_tried_again() {
    // Status, header fields, and how many requests there were after 1 s, 40 s, 20 min.
    let longer = [("Min-Expires", "7200")];
    let none = [("Expires", "0")];
    let cases = [
        (500, &[][..], [0, 4, 9]),
        (404, &[], [0, 1, 6]),
        (480, &[], [0, 1, 6]),
        (603, &[], [0, 1, 6]),
        (405, &[], [0, 0, 0]),
        (489, &[], [0, 0, 0]),
        (423, &longer, [1, 2, 7]),
        (200, &none, [0, 1, 6]),
    ];
    for (status, fields, expected) in cases {
        let mut world = World::up(&["anna"]);
        let requests = world.requests("SUBSCRIBE");
        world.answer_to(of_event(&requests, "dialog"), 489, &[]);
        let mut waiting = vec![of_event(&requests, "presence").clone()];
        let mut seen = 0;
        let mut counts = Vec::new();
        for (from, to) in [(0, 1), (1, 40), (40, 1200)] {
            for _ in from..to {
                for request in waiting.drain(..) {
                    world.answer_to(&request, status, fields);
                }
                world.advance(1.0);
                for probe in world.requests("OPTIONS") {
                    world.answer_to(&probe, 200, &[]);
                }
                waiting = world.requests("SUBSCRIBE");
                seen += waiting.len();
            }
            counts.push(seen);
        }
        for (seen, expected) in counts.iter().zip(expected) {
            // The waits are spread by up to a fifth.
            assert!(
                seen.abs_diff(expected) <= usize::from(expected > 2),
                "{status}: {counts:?}"
            );
        }
        assert_eq!(world.dropped, None, "{status}");
    }
}

#[test]
fn an_account_that_may_nothing_is_an_error_of_the_account() {
    let users: Vec<String> = (0..20).map(|at| format!("u{at}")).collect();
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    let mut world = World::up(&users);
    let requests = world.requests("SUBSCRIBE");
    for request in requests.iter().take(9) {
        world.answer_to(request, 403, &[]);
    }
    assert_eq!(world.dropped, None);
    world.answer_to(&requests[9], 403, &[]);
    assert!(matches!(world.dropped, Some(PbxError::Auth(_))));
    // But one that may watch some is right, and the others are not its users.
    let mut world = World::up(&users);
    let requests = world.requests("SUBSCRIBE");
    world.answer_to(&requests[0], 200, &[("Expires", "60")]);
    for request in &requests[1..] {
        world.answer_to(request, 403, &[]);
    }
    assert_eq!(world.dropped, None);
}

#[test]
fn not_too_much_is_under_way() {
    let users: Vec<String> = (0..100).map(|at| format!("u{at}")).collect();
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    let mut world = World::up(&users);
    assert_eq!(world.sent.len(), WINDOW);
    world.put(1, "u1", Activity::Busy, 600);
    world.answer(0, 200, &[("Expires", "600")]);
    let last = world.sent.last().unwrap();
    assert_eq!(
        last.field("Event").zip(last.field("Content-Type")),
        Some(("presence", "application/pidf+xml")),
        "own entries go first"
    );
    world.accept_all();
    assert_eq!(world.agent.calls.len(), 200);
}

/// Answers all requests that were sent, again and again. Returns how many ended a subscription, and the most under way at a time.
fn end_all(world: &mut World) -> (usize, usize) {
    let (mut ended, mut most) = (0, 0);
    loop {
        let requests = world.requests("SUBSCRIBE");
        if requests.is_empty() {
            return (ended, most);
        }
        most = most.max(requests.len());
        for request in requests {
            assert_eq!(request.number("Expires"), Some(0));
            assert_eq!(request.tag("To"), Some("server"), "within its dialog");
            ended += 1;
            world.answer_to(&request, 200, &[("Expires", "0")]);
        }
    }
}

#[test]
fn many_subscriptions_end_a_few_at_a_time() {
    let users: Vec<String> = (0..100).map(|at| format!("u{at}")).collect();
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    let mut world = World::settled(&users);
    world.watch(&[]);
    assert_eq!(world.sent.len(), WINDOW);
    world.put(1, "u1", Activity::Busy, 600);
    world.watch(&["new"]);
    let first = world.sent[0].clone();
    world.answer_to(&first, 200, &[("Expires", "0")]);
    world.sent.remove(0);
    assert_eq!(world.requests("PUBLISH").len(), 1, "own entries go first");
    let second = world.sent.remove(0);
    world.answer_to(&second, 200, &[("Expires", "0")]);
    let begun = world.sent.pop().unwrap();
    assert_eq!(begun.number("Expires"), Some(1800), "then whom somebody waits for");
    world.watch(&[]);
    let (ended, most) = end_all(&mut world);
    assert_eq!(ended, 198);
    assert!(most <= WINDOW, "{most}");
    assert!(!world.agent.is_leaving() && world.agent.calls.is_empty());
}

#[test]
fn what_has_lapsed_need_not_be_ended() {
    let users: Vec<String> = (0..100).map(|at| format!("u{at}")).collect();
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    let mut world = World::settled(&users);
    world.watch(&[]);
    assert!(world.agent.is_leaving());
    world.requests("SUBSCRIBE");
    // Nobody answers; when those under way are given up, the others are over.
    world.now += Duration::from_secs(601);
    world.advance(1.0);
    assert_eq!(world.requests("SUBSCRIBE").len(), 0);
    assert!(!world.agent.is_leaving());
}

#[test]
fn a_subscription_is_ended_also_when_the_nonce_is_old() {
    let mut world = World::new("TCP", Some("sync"));
    world.watch(&["anna"]);
    world.connect();
    let challenge = |nonce: &str| format!(r#"Digest realm="r", nonce="{nonce}", stale=true"#);
    world.answer(0, 401, &[("WWW-Authenticate", &challenge("n1"))]);
    world.answer(0, 200, &[]);
    world.accept_all();
    world.watch(&[]);
    for request in world.requests("SUBSCRIBE") {
        world.answer_to(&request, 401, &[("WWW-Authenticate", &challenge("n2"))]);
    }
    let proven = world.requests("SUBSCRIBE");
    assert_eq!(proven.len(), 2);
    for request in &proven {
        let proof = request.field("Authorization").unwrap();
        assert!(proof.contains(r#"nonce="n2""#), "{proof}");
        assert_eq!(request.sequence(), Some((3, "SUBSCRIBE")));
        // A refusal is nobody's concern any more.
        world.answer_to(request, 401, &[("WWW-Authenticate", r#"Digest realm="r", nonce="n3""#)]);
    }
    assert_eq!((world.requests("SUBSCRIBE").len(), world.dropped.clone()), (0, None));
}

#[test]
fn a_server_that_grants_a_second_is_not_asked_without_end() {
    for (granted, expected) in [("1", 5..=6), ("12", 5..=8), ("40", 2..=5)] {
        let mut world = World::up(&["anna"]);
        world.put(1, "anna", Activity::Busy, 600);
        let (mut subscribes, mut publishes) = (0, 0);
        world.pass(60, |world| {
            for request in world.requests("SUBSCRIBE") {
                subscribes += usize::from(request.field("Event") == Some("presence"));
                world.answer_to(&request, 200, &[("Expires", granted)]);
                world.notify(&request, &format!("active;expires={granted}"), &pidf("busy"));
            }
            for request in world.requests("PUBLISH") {
                publishes += 1;
                world.answer_to(&request, 200, &[("Expires", granted), ("SIP-ETag", "e")]);
            }
        });
        assert!(
            expected.contains(&subscribes),
            "{granted} s: {subscribes} subscriptions"
        );
        assert!(expected.contains(&publishes), "{granted} s: {publishes} publications");
        assert_eq!(world.dropped, None);
    }
}

#[test]
fn a_busy_server_is_left_alone() {
    let mut world = World::up(&["anna"]);
    let requests = world.requests("SUBSCRIBE");
    world.answer_to(&requests[0], 503, &[("Retry-After", "20")]);
    world.put(1, "anna", Activity::Busy, 600);
    assert!(matches!(world.done()[..], [(1, Err(PbxError::Throttled(_)))]));
    world.advance(19.0);
    assert_eq!(world.sent.len(), 0);
    world.advance(2.0);
    assert_eq!(world.requests("SUBSCRIBE").len(), 1);
}

#[test]
fn subscriptions_that_the_server_ends() {
    // What it says, and after how many seconds it is asked again at the earliest and latest.
    let cases = [
        ("terminated;reason=deactivated", 2.0, 2.5),
        ("terminated;reason=timeout", 2.0, 2.5),
        ("terminated;reason=rejected", 15.0, 18.1),
        ("terminated", 15.0, 18.1),
        ("terminated;reason=probation;retry-after=25", 25.0, 30.1),
    ];
    for (state, earliest, latest) in cases {
        let mut world = World::up(&["anna"]);
        let requests = world.requests("SUBSCRIBE");
        let presence = of_event(&requests, "presence");
        world.answer_to(presence, 200, &[("Expires", "600")]);
        world.answer_to(of_event(&requests, "dialog"), 489, &[]);
        world.notify(presence, "active", &pidf("busy"));
        world.events();
        assert_eq!(world.notify(presence, state, ""), 200);
        assert_eq!(world.views(), [("anna".to_owned(), PbxView::default())], "{state}");
        world.advance(earliest - 0.1);
        assert_eq!(world.requests("SUBSCRIBE").len(), 0, "{state}");
        world.advance(latest - earliest + 0.1);
        let again = world.only("SUBSCRIBE");
        assert_ne!(again.field("Call-ID"), presence.field("Call-ID"), "{state}");
    }
}

#[test]
fn a_subscription_that_the_server_ends_during_its_refresh_is_made_anew() {
    for is_answered in [true, false] {
        let mut world = World::settled(&["anna"]);
        world.advance(37.0);
        let refresh = world.only("SUBSCRIBE");
        assert_eq!(world.notify(&refresh, "terminated;reason=timeout", ""), 200);
        if is_answered {
            world.answer_to(&refresh, 481, &[]);
        }
        let mut names = Vec::new();
        world.pass(60, |world| {
            for request in world.requests("SUBSCRIBE") {
                if request.field("Event") == refresh.field("Event") {
                    names.push(request.field("Call-ID").unwrap().to_owned());
                }
                world.answer_to(&request, 200, &[("Expires", "600"), ("Contact", "<sip:pbx:5060>")]);
                world.notify(&request, "active", "");
            }
        });
        assert!(
            names
                .first()
                .is_some_and(|name| Some(name.as_str()) != refresh.field("Call-ID")),
            "answered: {is_answered}, {names:?}"
        );
    }
}

#[test]
fn a_subscription_without_notification_does_not_work() {
    let mut world = World::up(&["anna", "ben"]);
    let is_of = |request: &Message, user: &str| request.field("To").unwrap().contains(user);
    for request in world.requests("SUBSCRIBE") {
        world.answer_to(&request, 200, &[("Expires", "600")]);
        if is_of(&request, "ben") {
            world.notify(&request, "active", "");
        }
    }
    let mut again = 0;
    world.pass(60, |world| {
        for request in world.requests("SUBSCRIBE") {
            if is_of(&request, "ben") {
                world.answer_to(&request, 200, &[("Expires", "600")]);
            } else {
                assert_eq!(request.tag("To"), None, "as a new one");
                again += 1;
            }
        }
    });
    assert_eq!(again, 2);
    assert_eq!(world.dropped, None);
}

#[test]
fn a_server_whose_notifications_do_not_arrive_is_of_no_use() {
    let mut world = World::up(&["anna"]);
    for request in world.requests("SUBSCRIBE") {
        world.answer_to(&request, 200, &[("Expires", "600")]);
    }
    world.pass(33, |_| {});
    assert!(
        matches!(world.dropped, Some(PbxError::Protocol(_))),
        "{:?}",
        world.dropped
    );
}

#[test]
fn a_change_that_does_not_fit_makes_it_ask_for_all() {
    let partial = r#"<dialog-info xmlns="urn:ietf:params:xml:ns:dialog-info" version="7" state="partial"><dialog id="1"><state>confirmed</state></dialog></dialog-info>"#;
    let mut world = World::up(&["anna"]);
    let requests = world.requests("SUBSCRIBE");
    for request in &requests {
        world.answer_to(request, 200, &[("Expires", "600")]);
    }
    let dialog = of_event(&requests, "dialog");
    world.notify(dialog, "active", partial);
    assert_eq!(world.views().first().map(|(_, view)| view.line), Some(Line::Unknown));
    world.advance(2.0);
    assert_eq!(world.only("SUBSCRIBE").field("Call-ID"), dialog.field("Call-ID"));
}

#[test]
fn users_come_and_go() {
    let mut world = World::settled(&["anna", "ben"]);
    world.watch(&["ben", "carl"]);
    let requests = world.requests("SUBSCRIBE");
    let ended: Vec<_> = requests
        .iter()
        .filter(|request| request.number("Expires") == Some(0))
        .collect();
    assert_eq!(ended.len(), 2);
    assert!(
        ended
            .iter()
            .all(|request| request.field("To").unwrap().contains("sip:anna@"))
    );
    let begun: Vec<_> = requests
        .iter()
        .filter(|request| request.number("Expires") != Some(0))
        .collect();
    assert_eq!(begun.len(), 2);
    assert!(
        begun
            .iter()
            .all(|request| request.field("To").unwrap().contains("sip:carl@"))
    );
    assert_eq!(
        world.notify(ended[0], "terminated", ""),
        481,
        "nobody is there for it any more"
    );
    world.watch(&["ben", "carl"]);
    assert_eq!(world.requests("SUBSCRIBE").len(), 0, "nothing changed");
}

#[test]
fn after_a_new_connection_all_is_told_again() {
    let mut world = World::up(&["anna"]);
    for _ in 0..2 {
        let requests = world.requests("SUBSCRIBE");
        for request in &requests {
            world.answer_to(request, 200, &[("Expires", "600")]);
        }
        let presence = of_event(&requests, "presence");
        world.notify(presence, "active", &pidf("busy"));
        let entries = Some(vec![user_entry(Activity::Busy)]);
        assert_eq!(
            world.views().last().map(|(_, view)| view.entries.clone()),
            Some(entries)
        );
        world.lose();
        assert_eq!(world.notify_after_loss(presence), None);
        world.connect();
        world.answer(0, 200, &[]);
        let told = world.events();
        assert!(
            matches!(told[..], [PbxEvent::Down { .. }, PbxEvent::Up { .. }]),
            "{told:?}"
        );
    }
}

impl World {
    /// What a notification of the connection before changes: nothing.
    fn notify_after_loss(&mut self, subscribe: &Message) -> Option<PbxView> {
        assert_eq!(self.notify(subscribe, "active", &pidf("away")), 481);
        None
    }
}

#[test]
fn who_is_not_on_the_server_is_told_until_it_is() {
    let mut world = World::up(&["anna", "ben"]);
    let exists = |id: &str, exists| PbxEvent::Exists {
        id: id.to_owned(),
        exists,
    };
    let (anna, ben): (Vec<_>, Vec<_>) = world
        .requests("SUBSCRIBE")
        .into_iter()
        .partition(|request| matches!(&request.start, Start::Request { uri, .. } if uri.contains("anna")));
    world.answer_to(of_event(&anna, "dialog"), 489, &[]);
    world.answer_to(of_event(&anna, "presence"), 404, &[]);
    let told = world.events();
    assert_eq!(told[0], exists("anna", false), "{told:?}");
    assert_eq!(
        told.iter()
            .filter(|event| matches!(event, PbxEvent::Exists { .. }))
            .count(),
        1
    );
    // Whose presence the server knows is there, whatever it says of calls.
    world.answer_to(of_event(&ben, "presence"), 200, &[("Expires", "600")]);
    world.notify(of_event(&ben, "presence"), "active;expires=600", &pidf("busy"));
    world.answer_to(of_event(&ben, "dialog"), 404, &[]);
    assert!(!world.events().contains(&exists("ben", false)));
    // It stays so over failures of another sort, and until the server accepts.
    let mut statuses = [404, 503, 200].into_iter();
    let mut told = Vec::new();
    world.pass(1200, |world| {
        for request in world.requests("SUBSCRIBE") {
            let is_anna = matches!(&request.start, Start::Request { uri, .. } if uri.contains("anna"));
            let status = if is_anna { statuses.next().unwrap_or(200) } else { 200 };
            world.answer_to(&request, status, &[("Expires", "600"), ("Retry-After", "1")]);
        }
        let events = world.events();
        told.extend(
            events
                .into_iter()
                .filter(|event| matches!(event, PbxEvent::Exists { .. })),
        );
    });
    assert_eq!(told, [exists("anna", true)]);
}
