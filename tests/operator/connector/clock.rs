//! Clocks that differ. The local one is moved by libfaketime, which leaves the controller's monotonic clock alone.

use std::fs;
use std::path::Path;
use std::time::Instant;

use serde_json::json;

use super::{CONNECTOR, apply_pexip, series};
use crate::world::World;

const INTERVAL: f64 = 15.0;

/// Starts a controller whose time is what these variables of libfaketime say.
async fn start_controller(world: &mut World, time: &[(&str, &str)]) {
    let Ok(library) = std::env::var("LIBFAKETIME") else {
        panic!(
            "no libfaketime: run `tests/support/gate cluster`, or set LIBFAKETIME=$(tests/support/tools libfaketime)"
        )
    };
    let mut environment = vec![("LD_PRELOAD", library.as_str()), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")];
    environment.extend_from_slice(time);
    world.start_controller(&environment).await;
}

/// In one step, so that no reading of the clock finds an empty file.
fn set(file: &Path, offset: &str) {
    let new = file.with_extension("new");
    fs::write(&new, offset).unwrap();
    fs::rename(&new, file).unwrap();
}

/// Waits until the local clock is said to be apart from others, in this direction.
async fn apart(world: &World, direction: &str) {
    let message = world
        .condition(CONNECTOR, "c", "ClockSynchronized", "False", "SkewTooLarge")
        .await;
    assert!(
        message.starts_with(&format!("The local clock is {direction} that of ")) && message.contains("more than 2m"),
        "{message}"
    );
}

async fn together(world: &World) {
    world
        .condition(CONNECTOR, "c", "ClockSynchronized", "True", "Succeeded")
        .await;
}

/// Looks at connectors, of which the world has one.
async fn looks(world: &World) -> f64 {
    let mut all = 0.0;
    for result in ["on_time", "late"] {
        let series = format!("teams_connector_looks_total{{result=\"{result}\"}}");
        all += world.metric(world.telemetry_port, &series).await;
    }
    all
}

// An API server's certificate would not be valid yet if the local clock were behind: the simulator's is ahead instead.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_behind_is_told() {
    let world = World::new("connector-behind").await;
    world.simulator_put("clock", json!({ "offsetSeconds": 300 })).await;
    apply_pexip(&world).await;
    apart(&world, "behind").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_ahead_is_told() {
    let mut world = World::without_controller("connector-ahead").await;
    start_controller(&mut world, &[("FAKETIME", "+300s")]).await;
    apply_pexip(&world).await;
    apart(&world, "ahead of").await;
    let metrics = world.metrics(world.telemetry_port).await;
    let skew = series(&world, "teams_connector_clock_skew_seconds", "");
    let skews: Vec<f64> = metrics
        .lines()
        .filter(|line| line.starts_with(&skew))
        .map(|line| line.rsplit(' ').next().unwrap().parse().unwrap())
        .collect();
    assert!(
        !skews.is_empty() && skews.iter().all(|skew| (-310.0..-290.0).contains(skew)),
        "{skews:?}"
    );
    // Killed, it would leave libfaketime's shared memory behind.
    world.stop_first_controller().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_is_told_and_the_looks_go_on() {
    let mut world = World::without_controller("connector-jump").await;
    let file = world.path("clock");
    set(&file, "+0s");
    let time = [
        ("FAKETIME_TIMESTAMP_FILE", file.to_str().unwrap()),
        ("FAKETIME_NO_CACHE", "1"),
    ];
    start_controller(&mut world, &time).await;
    apply_pexip(&world).await;
    together(&world).await;
    let (began, before) = (Instant::now(), looks(&world).await);
    set(&file, "+300s");
    apart(&world, "ahead of").await;
    // Went the looks by this clock, the next would be due in five minutes.
    set(&file, "+0s");
    together(&world).await;
    let (took, looks) = (began.elapsed().as_secs_f64(), looks(&world).await - before);
    assert!(
        (2.0..=took / INTERVAL + 1.0).contains(&looks),
        "{looks} looks in {took} s"
    );
    world.stop_first_controller().await;
}
