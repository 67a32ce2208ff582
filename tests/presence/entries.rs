//! Presence entries beside each other, over every transport.

use std::time::Duration;

use teams_graph_operator::policy::presence::pbx::{Activity, Origin, PbxError};

use crate::kamailio::{Kamailio, Options};
use crate::phone::Phone;
use crate::world::{HOUR, World};

const OURS: Origin = Origin::Ours;
const USER: Origin = Origin::User;

#[tokio::test(flavor = "multi_thread")]
async fn an_own_entry_beside_that_of_the_user() {
    for transport in ["TCP", "UDP"] {
        let server = Kamailio::start(Options::default());
        let mut world = World::new(&server, transport);
        world.watch(&["anna", "ben"]).await;
        world.until("Up", |world| world.ups == 1).await;
        let mut phone = Phone::new("anna", server.port).await;
        phone.publish("busy", 3600).await;
        world.see("anna", &[(USER, Activity::Busy)]).await;

        for activity in [
            Activity::Meeting,
            Activity::DoNotDisturb,
            Activity::BeRightBack,
            Activity::Unset,
        ] {
            world.put("anna", activity.clone(), HOUR).await.unwrap();
            world.see("anna", &[(OURS, activity), (USER, Activity::Busy)]).await;
            let published = server.published("anna");
            assert_eq!(published.len(), 2, "{published:?}");
            assert_eq!(published.iter().filter(|body| body.contains("teamsgraph-")).count(), 1);
        }
        // The user's entry is as it was, and that of somebody else untouched.
        world.adapter.clear_own("anna").await.unwrap();
        world.see("anna", &[(USER, Activity::Busy)]).await;
        // Kamailio notifies first, and forgets then.
        let mut published = server.published("anna");
        for _ in 0..50 {
            if published.len() < 2 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            published = server.published("anna");
        }
        assert!(
            matches!(&published[..], [body] if body.contains("rpid:busy")),
            "{published:?}"
        );
        assert_eq!(world.entries("ben"), None, "nobody knows anything of Ben");
        assert_eq!(world.downs, []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_expire_or_are_refreshed_with_their_body() {
    let server = Kamailio::start(Options::default());
    let mut world = World::new(&server, "TCP");
    world.watch(&["anna"]).await;
    world.until("Up", |world| world.ups == 1).await;
    // The phone's entry lapses, as the phone is gone.
    let mut phone = Phone::new("anna", server.port).await;
    phone.publish("away", 3).await;
    world.see("anna", &[(USER, Activity::Away)]).await;
    world.see_nothing("anna").await;
    // Ours lives for as long as it was asked for: it is refreshed at half of that or later, and stays what it was.
    let ttl = Duration::from_secs(8);
    world.put("anna", Activity::Meeting, ttl).await.unwrap();
    world.see("anna", &[(OURS, Activity::Meeting)]).await;
    let before = server.published("anna");
    tokio::time::sleep(Duration::from_millis(6500)).await;
    assert_eq!(server.published("anna"), before, "refreshed, with the whole document");
    let lived = world.see_nothing("anna").await.as_secs_f64() + 6.5;
    assert!((6.6..14.0).contains(&lived), "{lived} s");
    assert_eq!(server.published("anna").len(), 0);
    assert_eq!(world.downs, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_killed_gets_everything_anew() {
    for transport in ["TCP", "UDP"] {
        let mut server = Kamailio::start(Options::default());
        let mut world = World::new(&server, transport);
        world.watch(&["anna"]).await;
        world.until("Up", |world| world.ups == 1).await;
        world.put("anna", Activity::Meeting, HOUR).await.unwrap();
        world.see("anna", &[(OURS, Activity::Meeting)]).await;

        server.kill();
        if transport == "UDP" {
            // Without a connection nobody tells: the next write does.
            let failed = world.put("anna", Activity::Busy, HOUR).await;
            assert!(matches!(failed, Err(PbxError::Transport(_))), "{failed:?}");
        }
        world.until("Down", |world| !world.downs.is_empty()).await;
        assert!(matches!(world.downs[0], PbxError::Transport(_)), "{:?}", world.downs);
        let failed = world.put("anna", Activity::Busy, HOUR).await;
        assert!(matches!(failed, Err(PbxError::Transport(_))), "{failed:?}");

        // It knows nothing: the refresh of the entry is answered with 412, and it is published anew.
        server.restart();
        world.until("Up again", |world| world.ups == 2).await;
        world.see("anna", &[(OURS, Activity::Meeting)]).await;
        assert_eq!(server.published("anna").len(), 1);
        let mut phone = Phone::new("anna", server.port).await;
        phone.publish("away", 3600).await;
        world
            .see("anna", &[(USER, Activity::Away), (OURS, Activity::Meeting)])
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_between_two_messages_is_noticed() {
    // Over UDP, with nothing said meanwhile: only the next refresh can tell.
    let mut server = Kamailio::start(Options::default());
    let mut world = World::new(&server, "UDP");
    world.watch(&["anna", "ben"]).await;
    world.until("Up", |world| world.ups == 1).await;
    world.put("anna", Activity::Meeting, HOUR).await.unwrap();
    world.see("anna", &[(OURS, Activity::Meeting)]).await;
    server.restart();
    // A change of ours meets 412, and is made anew without anybody noticing.
    world.put("anna", Activity::Busy, HOUR).await.unwrap();
    assert_eq!(server.published("anna").len(), 1);
    world.put("anna", Activity::Away, HOUR).await.unwrap();
    assert_eq!(server.published("anna").len(), 1);
    assert_eq!(world.downs, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_earlier_workers_entry_does_not_hide_the_new_one() {
    let server = Kamailio::start(Options::default());
    let mut first = World::new(&server, "TCP");
    first.until("Up", |world| world.ups == 1).await;
    first.put("anna", Activity::Busy, HOUR).await.unwrap();
    first.adapter.close().await;

    let mut second = World::new(&server, "TCP");
    second.watch(&["anna"]).await;
    second.see("anna", &[(OURS, Activity::Busy)]).await;
    second.put("anna", Activity::Meeting, HOUR).await.unwrap();
    second.see("anna", &[(OURS, Activity::Meeting)]).await;
    assert_eq!(server.published("anna").len(), 2, "the earlier one lapses by itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_users_at_once() {
    let server = Kamailio::start(Options::default());
    let names: Vec<String> = (0..300).map(|at| format!("user{at}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut world = World::new(&server, "TCP");
    world.watch(&names).await;
    world.until("Up", |world| world.ups == 1).await;
    for name in &names {
        world.put(name, Activity::Busy, HOUR).await.unwrap();
    }
    let all = |world: &World| {
        names
            .iter()
            .all(|name| world.entries(name).as_deref() == Some(&[(OURS, Activity::Busy)]))
    };
    world.until("all of them", all).await;
    assert_eq!(world.downs, []);
    world.watch(&["user1"]).await;
    world.adapter.clear_own("user1").await.unwrap();
    world.see_nothing("user1").await;
}
