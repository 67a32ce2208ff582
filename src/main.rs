//! The one binary: every process of the operator is a subcommand of it.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use teams_graph_operator::telemetry::logs::{self, LogFormat};
use teams_graph_operator::{RunResult, api, controller, explain, import, presence, receiver, simulator};

/// Keeps Microsoft Graph change-notification subscriptions alive, and loses no notification.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    /// How log lines are written.
    #[arg(long, env = "LOG_FORMAT", default_value = "text", global = true)]
    log_format: LogFormat,
    /// What is logged: a level, or directives such as `info,teams_graph_operator::graph=debug`.
    #[arg(long, env = "LOG_FILTER", default_value = "info", global = true)]
    log_filter: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Reconcile the kinds of teamsgraph.dev (runs in the cluster, or beside it with your kubeconfig).
    Controller(Box<controller::Args>),
    /// Take notifications, store them, deliver them (built by the controller from a NotificationReceiver).
    Receiver(receiver::Args),
    /// Keep presence in step between Teams and a PBX (built by the controller from a PresenceSync).
    PresenceWorker(presence::Args),
    /// Stand in for Microsoft Entra and Microsoft Graph, for tests, demos and your own CI. Not Microsoft's code.
    Simulator(simulator::Args),
    /// Explain one person's presence: both sides, what is held and was written, and why. Changes nothing.
    Presence(explain::Args),
    /// Say what is wrong with a connector, as a report for a ticket. Changes nothing.
    Diagnose(explain::diagnose::Args),
    /// Print manifests for the subscriptions that an app has at Graph already. Changes nothing.
    Import(Box<import::Args>),
    /// Print the custom resource definitions as YAML.
    Crds,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> RunResult {
    logs::init(cli.log_format, &cli.log_filter)?;
    match cli.command {
        Command::Controller(args) => controller::run(*args).await,
        Command::Receiver(args) => receiver::run(args).await,
        Command::PresenceWorker(args) => presence::run(args).await,
        Command::Simulator(args) => simulator::run(args).await,
        Command::Presence(args) => explain::run(args).await,
        Command::Diagnose(args) => explain::diagnose::run(args).await,
        Command::Import(args) => import::run(*args).await,
        Command::Crds => print_crds(),
    }
}

fn print_crds() -> RunResult {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    for crd in api::crds::all() {
        write!(out, "---\n{}", api::crds::to_yaml(&crd)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// clap checks this when a program starts, in debug builds alone.
    #[test]
    fn no_argument_stands_in_the_way_of_another() {
        Cli::command().debug_assert();
    }
}
