//! One life: a scenario during which the process dies once or more, is started again, and must put everything right.

use std::time::Duration;

use crate::scenario::Scenario;
use crate::stand::{Replica, Stand};
use crate::trap::{Death, Trap};

/// When nothing was asked for so long, nothing is under way. Events are written 50 ms apart.
const QUIET: Duration = Duration::from_millis(400);

pub struct Lived {
    /// Deaths that came about. A life may be over before.
    pub died: usize,
    /// The requests up to the first death, or all.
    pub seen: Vec<String>,
    /// What was wrong in the end.
    pub faults: Vec<String>,
}

/// A namespace, a lease and a simulator of its own; dies as told, in this order.
pub async fn live(scenario: Scenario, deaths: &[Death]) -> Lived {
    let stand = scenario.stand().await;
    let settings = [("INTERVAL_SECONDS", scenario.interval())];
    let trap = Trap::new();
    let replica = Replica::new(&stand.world, "one", trap.judge("api"), trap.judge("graph")).await;
    let world = &stand.world;
    replica.start(world, &settings).await;
    world.until("it leads", async || replica.leads(world).await).await;
    scenario.prepare(&stand).await;
    world
        .until("nothing is left to do", async || trap.quiet_for() > QUIET)
        .await;

    let mut died = 0;
    let mut seen = Vec::new();
    trap.arm(deaths.first().cloned());
    scenario.begin(&stand).await;
    while died < deaths.len() && dies(scenario, &stand, &trap, &replica, died).await {
        if seen.is_empty() {
            seen = trap.seen();
        }
        died += 1;
        trap.arm(deaths.get(died).cloned());
        // The same identity: it leads at once.
        replica.start(world, &settings).await;
    }
    if deaths.is_empty() {
        done(scenario, &stand, &trap, &replica).await;
    }
    trap.disarm();
    if replica.process.has_ended().await {
        // Just when all was done.
        died += 1;
        replica.start(world, &settings).await;
    }
    done(scenario, &stand, &trap, &replica).await;
    if seen.is_empty() {
        seen = trap.seen();
    }
    let mut faults = scenario.faults(&stand).await;
    if faults.is_empty() {
        scenario.look_again(&stand).await;
        faults = scenario.faults(&stand).await;
    }
    if !faults.is_empty() {
        faults.push(world.logs());
    }
    replica.process.kill().await;
    Lived { died, seen, faults }
}

/// Until it dies; `false` when all was done before.
async fn dies(scenario: Scenario, stand: &Stand, trap: &Trap, replica: &Replica, died: usize) -> bool {
    let times = u32::try_from(died + 1).unwrap();
    tokio::select! {
        () = replica.process.killed(times) => true,
        () = done(scenario, stand, trap, replica) => false,
    }
}

async fn done(scenario: Scenario, stand: &Stand, trap: &Trap, replica: &Replica) {
    let world = &stand.world;
    world
        .until(&format!("{scenario} is done"), async || {
            trap.quiet_for() > QUIET
                && scenario.is_done(stand).await
                && replica.leads(world).await
                && (scenario.deletes() || has_looked(stand, replica).await)
        })
        .await;
}

/// Whether this process has looked at the subscription at all.
async fn has_looked(stand: &Stand, replica: &Replica) -> bool {
    let series = "teamsgraph_reconciles_total{kind=\"GraphSubscription\",result=\"ok\"}";
    replica.metric(&stand.world, series).await > 0.0
}
