//! Calls between two phones, seen over dialog-info.

use std::time::Duration;

use teams_graph_operator::policy::presence::pbx::Line;

use crate::kamailio::{Kamailio, Options};
use crate::phone::Phone;
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_call_rings_connects_and_ends() {
    for transport in ["TCP", "UDP"] {
        let server = Kamailio::start(Options::default());
        let mut world = World::new(&server, transport);
        world.watch(&["anna", "ben"]).await;
        world.until("Up", |world| world.ups == 1).await;
        let mut anna = Phone::new("anna", server.port).await;
        let mut ben = Phone::new("ben", server.port).await;
        anna.register().await;
        ben.register().await;
        assert_eq!(world.line("anna"), Line::Unknown, "nothing said is nothing known");

        let mut slowest = Duration::ZERO;
        for _ in 0..3 {
            let (mut call, invite) = ben.call(&mut anna).await;
            slowest = slowest.max(world.see_line("anna", Line::Ringing).await);
            anna.take(&mut ben, &mut call, &invite).await;
            slowest = slowest.max(world.see_line("anna", Line::Connected).await);
            slowest = slowest.max(world.see_line("ben", Line::Connected).await);
            ben.hang_up(&mut anna, &call).await;
            slowest = slowest.max(world.see_line("anna", Line::Idle).await);
            slowest = slowest.max(world.see_line("ben", Line::Idle).await);
        }
        assert!(slowest < Duration::from_secs(2), "{slowest:?}");
        println!("{transport}: slowest change of a line {slowest:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_during_a_call_leaves_nothing_known() {
    let mut server = Kamailio::start(Options::default());
    let mut world = World::new(&server, "TCP");
    world.watch(&["anna"]).await;
    world.until("Up", |world| world.ups == 1).await;
    let mut anna = Phone::new("anna", server.port).await;
    let mut ben = Phone::new("ben", server.port).await;
    anna.register().await;
    let (mut call, invite) = ben.call(&mut anna).await;
    anna.take(&mut ben, &mut call, &invite).await;
    world.see_line("anna", Line::Connected).await;
    server.kill();
    world.until("Down", |world| !world.downs.is_empty()).await;
    assert_eq!(world.line("anna"), Line::Unknown);
    server.restart();
    world.until("Up again", |world| world.ups == 2).await;
    // The next call is seen again.
    anna.register().await;
    let (mut call, invite) = ben.call(&mut anna).await;
    anna.take(&mut ben, &mut call, &invite).await;
    world.see_line("anna", Line::Connected).await;
    ben.hang_up(&mut anna, &call).await;
    world.see_line("anna", Line::Idle).await;
}
