//! `presence`: why one person's presence is as it is. Runs on a person's machine, asks the worker through the API server, and
//! changes nothing. [`diagnose`] does the same for a connector.

mod ask;
pub mod diagnose;
mod text;

use std::io::Write;

use kube::config::KubeConfigOptions;
use kube::{Client, Config};

use crate::RunResult;
use crate::api::presence_config::INTERNAL_PORT;

/// Who is to be explained, and how.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kubectl teamsgraph presence desk anna@contoso.com
  kubectl teamsgraph presence desk 1042 -n voice -o json

What it shows: how the two sides name the person and what each says now; the layers, each with what the worker holds there,
until when, and why; and the last writes with their results.

  line      calls on the PBX, as the app's own session in Teams
  chosen    a choice on the PBX (do not disturb, away), as the person's choice in Teams
  derived   the person's presence in Teams, as the worker's own entry on the PBX

It needs your kubeconfig, and these rights in the namespace: get presencesyncs, get secrets, get pods/proxy (the role edit has all
of them). kubectl finds it as a plugin when the program, or a link to it, is in PATH as kubectl-teamsgraph. docs/presencesync.md says
more.")]
pub struct Args {
    /// The PresenceSync.
    name: String,
    /// The person: user principal name, mail or object id in Entra, or name, extension or id on the PBX.
    user: String,
    /// Namespace of the PresenceSync; that of your context when absent.
    #[arg(long, short)]
    namespace: Option<String>,
    /// How it is printed.
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
    /// Context of your kubeconfig; the current one when absent.
    #[arg(long)]
    context: Option<String>,
    /// Port of the worker, for one that runs outside of its pod.
    #[arg(long, default_value_t = INTERNAL_PORT, hide = true)]
    port: u16,
}

/// The API server of a context of the kubeconfig, and the namespace there.
async fn connect(context: Option<&str>) -> Result<(Client, String), Box<dyn std::error::Error + Send + Sync>> {
    let config = match context {
        Some(context) => {
            let options = KubeConfigOptions {
                context: Some(context.to_owned()),
                ..Default::default()
            };
            Config::from_kubeconfig(&options).await?
        }
        None => Config::infer().await?,
    };
    let namespace = config.default_namespace.clone();
    Ok((Client::try_from(config)?, namespace))
}

/// A form of output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// Prints the explanation.
pub async fn run(args: Args) -> RunResult {
    let (client, own) = connect(args.context.as_deref()).await?;
    let namespace = args.namespace.clone().unwrap_or(own);
    let question = ask::Question {
        namespace: &namespace,
        name: &args.name,
        user: &args.user,
        port: args.port,
    };
    let report = ask::ask(&client, &question).await?;
    let shown = match args.output {
        Output::Text => text::render(&report),
        Output::Json => format!("{}\n", serde_json::to_string_pretty(&report)?),
    };
    let mut out = std::io::stdout().lock();
    out.write_all(shown.as_bytes())?;
    out.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn the_command_line_names_an_object_and_a_person() {
        Cli::command().debug_assert();
        let cases = [
            ("desk anna@contoso.com", true),
            ("desk 1042 -n voice -o json", true),
            ("desk 1042 --namespace voice --output text --context c", true),
            ("desk", false),
            ("desk 1042 -o yaml", false),
        ];
        for (line, good) in cases {
            let parsed = Cli::try_parse_from(["presence"].into_iter().chain(line.split(' ')));
            assert_eq!(parsed.is_ok(), good, "{line}");
        }
        let help = Cli::command().render_long_help().to_string();
        for layer in ["line ", "chosen ", "derived "] {
            assert!(help.contains(layer), "{layer}");
        }
    }
}
