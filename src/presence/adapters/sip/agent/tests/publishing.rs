use super::*;

const LOST: &str = "lost";

fn accepted(world: &mut World, etag: &str) -> Message {
    let publish = world.only("PUBLISH");
    world.answer_to(&publish, 200, &[("SIP-ETag", etag), ("Expires", "900")]);
    publish
}

fn body(publish: &Message) -> String {
    String::from_utf8(publish.body.clone()).unwrap()
}

#[test]
fn an_entry_is_made_changed_refreshed_and_taken_back() {
    let mut world = World::settled(&[]);
    world.put(1, "anna", Activity::Busy, 36_000);
    let made = accepted(&mut world, "e1");
    assert_eq!(
        made.start,
        Start::Request {
            method: "PUBLISH".to_owned(),
            uri: "sip:anna@example.test".to_owned()
        }
    );
    assert_eq!(made.field("SIP-If-Match"), None);
    assert_eq!(
        made.number("Expires"),
        Some(900),
        "not all at once: it shall lapse if the worker dies"
    );
    assert!(
        made.field("From").unwrap().starts_with("<sip:anna@example.test>"),
        "without a name of its own, as the user"
    );
    assert!(body(&made).contains("<r:busy/>"));
    assert_eq!(world.done(), [(1, Ok(()))]);

    world.put(2, "anna", Activity::Meeting, 3600);
    let changed = accepted(&mut world, "e2");
    assert_eq!(changed.field("SIP-If-Match"), Some("e1"));
    assert_eq!(changed.sequence(), Some((2, "PUBLISH")));

    let mut refreshes = 0;
    let mut etag = "e2".to_owned();
    world.pass(3000, |world| {
        for refresh in world.requests("PUBLISH") {
            assert_eq!(refresh.field("SIP-If-Match"), Some(&*etag));
            assert_eq!(body(&refresh), body(&changed), "with the whole document, unchanged");
            refreshes += 1;
            etag = format!("r{refreshes}");
            world.answer_to(&refresh, 200, &[("SIP-ETag", &etag), ("Expires", "900")]);
        }
    });
    assert!((4..=7).contains(&refreshes), "{refreshes}");

    world.clear(3, "anna");
    let removal = world.only("PUBLISH");
    assert_eq!(removal.field("SIP-If-Match"), Some(&*etag));
    assert_eq!((removal.number("Expires"), removal.body.len()), (Some(0), 0));
    world.answer_to(&removal, 200, &[]);
    assert_eq!(world.done(), [(2, Ok(())), (3, Ok(()))]);
    world.clear(4, "anna");
    assert_eq!(world.done(), [(4, Ok(()))], "nothing there is no error");
    assert!(world.agent.publications.is_empty());
}

#[test]
fn a_server_that_forgot_an_entry_gets_it_anew() {
    for status in [412, 500] {
        let mut world = World::settled(&[]);
        world.put(1, "anna", Activity::Busy, 3600);
        let made = accepted(&mut world, "e1");
        world.put(2, "anna", Activity::Away, 3600);
        let refused = world.only("PUBLISH");
        world.answer_to(&refused, status, &[]);
        let anew = world.only("PUBLISH");
        assert_eq!(anew.field("SIP-If-Match"), None);
        assert!(body(&anew).contains("<r:away/>"));
        let id = |publish: &Message| {
            body(publish)
                .split("tuple id=\"")
                .nth(1)
                .unwrap()
                .split('"')
                .next()
                .unwrap()
                .to_owned()
        };
        assert_ne!(
            id(&made),
            id(&anew),
            "should the old one still be there, it must not hide the new one"
        );
        world.answer_to(&anew, 200, &[("SIP-ETag", "e2"), ("Expires", "900")]);
        assert_eq!(world.done(), [(1, Ok(())), (2, Ok(()))]);
        // What is gone need not be taken back.
        world.clear(3, "anna");
        let removal = world.only("PUBLISH");
        world.answer_to(&removal, status, &[]);
        assert_eq!(world.requests("PUBLISH").len(), 0);
        assert_eq!(world.done(), [(3, Ok(()))]);
    }
}

#[test]
fn refusals_are_told_by_class() {
    type Class = fn(&PbxError) -> bool;
    let auth: Class = |why| matches!(why, PbxError::Auth(_));
    let forbidden: Class = |why| matches!(why, PbxError::Forbidden(_));
    let not_found: Class = |why| matches!(why, PbxError::NotFound(_));
    let protocol: Class = |why| matches!(why, PbxError::Protocol(_));
    let transport: Class = |why| matches!(why, PbxError::Transport(_));
    let throttled: Class = |why| *why == PbxError::Throttled(Duration::from_secs(7));
    let later = [("Retry-After", "7 (later)")];
    let longer = [("Min-Expires", "0")];
    let cases = [
        (403, &[][..], auth),
        (404, &[], not_found),
        (400, &[], protocol),
        (405, &[], forbidden),
        (489, &[], forbidden),
        (501, &[], forbidden),
        (500, &[], transport),
        (503, &later, throttled),
        (200, &[], protocol),
        (423, &longer, protocol),
    ];
    for (status, fields, expected) in cases {
        let mut world = World::settled(&["a", "b"]);
        world.put(1, "anna", Activity::Busy, 3600);
        let publish = world.only("PUBLISH");
        world.answer_to(&publish, status, fields);
        let done = world.done();
        assert!(
            matches!(&done[..], [(1, Err(why))] if expected(why)),
            "{status}: {done:?}"
        );
        assert!(world.agent.publications.is_empty(), "nothing is left behind");
    }
}

#[test]
fn a_longer_life_is_granted_if_the_server_insists() {
    let mut world = World::settled(&[]);
    world.put(1, "anna", Activity::Busy, 60);
    let publish = world.only("PUBLISH");
    assert_eq!(publish.number("Expires"), Some(60));
    world.answer_to(&publish, 423, &[("Min-Expires", "300")]);
    let again = world.only("PUBLISH");
    assert_eq!(again.number("Expires"), Some(300));
    world.answer_to(&again, 200, &[("SIP-ETag", "e"), ("Expires", "300")]);
    assert_eq!(world.done(), [(1, Ok(()))]);
    // Then its end is not left to the server.
    world.advance(300.0);
    let removals: Vec<_> = world.requests("PUBLISH");
    assert_eq!(removals.last().and_then(|removal| removal.number("Expires")), Some(0));
}

#[test]
fn changes_while_one_is_under_way_become_one() {
    let mut world = World::settled(&[]);
    world.put(1, "anna", Activity::Busy, 3600);
    let first = world.only("PUBLISH");
    world.put(2, "anna", Activity::Away, 3600);
    world.put(3, "anna", Activity::Meeting, 3600);
    assert_eq!(world.requests("PUBLISH").len(), 0);
    world.answer_to(&first, 200, &[("SIP-ETag", "e1"), ("Expires", "900")]);
    assert_eq!(world.done(), [(1, Ok(()))]);
    let second = accepted(&mut world, "e2");
    assert!(body(&second).contains("<r:meeting/>"));
    let mut done = world.done();
    done.sort_by_key(|(ticket, _)| *ticket);
    assert_eq!(done, [(2, Ok(())), (3, Ok(()))]);
    // An end that comes while a change is under way is the last word.
    world.put(4, "anna", Activity::Busy, 3600);
    world.clear(5, "anna");
    accepted(&mut world, "e3");
    let removal = world.only("PUBLISH");
    assert_eq!(
        (removal.field("SIP-If-Match"), removal.number("Expires")),
        (Some("e3"), Some(0))
    );
}

#[test]
fn a_lost_connection_fails_what_was_under_way_and_keeps_what_was_held() {
    let lost = || Err(PbxError::Transport(LOST.to_owned()));
    let mut world = World::settled(&[]);
    world.put(1, "anna", Activity::Busy, 3600);
    accepted(&mut world, "e1");
    world.put(2, "ben", Activity::Busy, 3600);
    accepted(&mut world, "b1");
    world.put(3, "carl", Activity::Busy, 3600);
    world.done();
    world.lose();
    assert_eq!(world.done(), [(3, lost())]);
    world.put(4, "anna", Activity::Away, 3600);
    world.clear(5, "ben");
    let done = world.done();
    assert!(
        matches!(
            done[..],
            [(4, Err(PbxError::Transport(_))), (5, Err(PbxError::Transport(_)))]
        ),
        "{done:?}"
    );

    world.connect();
    world.answer(0, 200, &[]);
    let mut publishes = world.requests("PUBLISH");
    publishes.sort_by_key(|publish| publish.field("To").unwrap().to_owned());
    let [anna, ben] = &publishes[..] else {
        panic!("{publishes:?}");
    };
    assert_eq!(anna.field("SIP-If-Match"), Some("e1"));
    assert!(body(anna).contains("<r:busy/>"), "what failed is not done later");
    assert_eq!(
        (ben.field("SIP-If-Match"), ben.number("Expires")),
        (Some("b1"), Some(0)),
        "but an end is"
    );
}

#[test]
fn an_end_that_failed_is_tried_again() {
    let mut world = World::settled(&[]);
    world.put(1, "anna", Activity::Busy, 3600);
    accepted(&mut world, "e1");
    world.clear(2, "anna");
    let removal = world.only("PUBLISH");
    world.answer_to(&removal, 408, &[]);
    assert!(matches!(
        world.done()[..],
        [(1, Ok(())), (2, Err(PbxError::Transport(_)))]
    ));
    world.advance(3.0);
    let again = world.only("PUBLISH");
    assert_eq!(
        (again.field("SIP-If-Match"), again.number("Expires")),
        (Some("e1"), Some(0))
    );
}

#[test]
fn before_the_server_answers_nothing_is_written() {
    let mut world = World::new("TCP", None);
    world.connect();
    world.put(1, "anna", Activity::Busy, 3600);
    assert!(matches!(world.done()[..], [(1, Err(PbxError::Transport(_)))]));
    world.answer(0, 200, &[]);
    assert_eq!(world.requests("PUBLISH").len(), 0);
}

#[test]
fn what_an_earlier_process_published_is_not_told_once_it_was_to_be_taken_back() {
    let mut world = World::up(&["anna"]);
    let subscribes = world.requests("SUBSCRIBE");
    let presence = of_event(&subscribes, "presence").clone();
    world.answer_to(&presence, 200, &[("Expires", "600"), ("Contact", "<sip:pbx:5060>")]);
    let left = pidf("busy").replace("id=\"p\"", "id=\"teamsgraph-earlier-p\"");
    let origins = |world: &mut World| {
        let views = world.views();
        let last = views.last()?.1.entries.clone()?;
        Some(last.into_iter().map(|entry| entry.origin).collect::<Vec<_>>())
    };
    assert_eq!(world.notify(&presence, "active", &left), 200);
    assert_eq!(origins(&mut world), Some(vec![Origin::Ours]));
    world.clear(1, "anna");
    assert_eq!(world.done(), [(1, Ok(()))]);
    assert_eq!(origins(&mut world), Some(vec![]));
    // It is there until it lapses, and news of others come.
    world.notify(&presence, "active", &left);
    assert_eq!(world.views(), []);
    world.put(2, "anna", Activity::Away, 3600);
    let own = accepted(&mut world, "e1");
    world.notify(&presence, "active", &body(&own));
    assert_eq!(origins(&mut world), Some(vec![Origin::Ours]), "its own is");
}

/// Asterisk knows subscriptions alone.
#[test]
fn a_server_without_publications_is_asked_once_over_a_connection() {
    let mut world = World::settled(&["anna", "bob"]);
    world.put(1, "anna", Activity::Busy, 3600);
    let publish = world.only("PUBLISH");
    world.answer_to(&publish, 489, &[]);
    let events = world.events();
    assert!(
        matches!(&events[..], [PbxEvent::NoEntries { why }] if why.contains("489")),
        "{events:?}"
    );
    world.put(2, "bob", Activity::Busy, 3600);
    world.advance(20.0);
    assert_eq!(world.requests("PUBLISH").len(), 0);
    let done = world.done();
    assert!(
        matches!(
            &done[..],
            [(1, Err(PbxError::Forbidden(_))), (2, Err(PbxError::Forbidden(_)))]
        ),
        "{done:?}"
    );
    assert_eq!(world.dropped, None, "calls are told all the same");

    let mut world = World::settled(&["anna"]);
    world.put(1, "anna", Activity::Busy, 3600);
    let publish = world.only("PUBLISH");
    world.answer_to(&publish, 405, &[]);
    world.lose();
    world.connect();
    world.answer(0, 200, &[]);
    world.put(2, "anna", Activity::Busy, 3600);
    assert_eq!(world.requests("PUBLISH").len(), 1, "another may be there now");
}
