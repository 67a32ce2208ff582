//! `diagnose`: what is wrong with a connector, as text for a ticket. Runs on a person's machine, reads one object, and changes
//! nothing.

mod redact;
mod text;

use std::io::Write;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{Api, ResourceExt};
use serde::Serialize;

use self::redact::redact;
use super::{Output, connect};
use crate::RunResult;
use crate::api::connector::{
    ConnectorType, Diagnosis, EndpointHealth, Health, PexipHealth, TeamsConnectorHealth, TeamsConnectorHealthStatus,
};

/// What is diagnosed, and how it is printed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kubectl teamsgraph diagnose pexip
  kubectl teamsgraph diagnose pexip -n voice -o json
  kubectl teamsgraph diagnose pexip --now

What it shows: the verdict; each condition with its reason; what is probably wrong, the likeliest first, with what that rests on,
what to do, and which runbook says more; until when logs that could prove it are kept; endpoints with their certificates; and the
Pexip deployment in figures.

The report can be pasted into a ticket: it holds no secret, and IP addresses, aliases, long numbers and ids of tenants and apps are
struck out. Names of hosts and certificates stay, as nobody could help without them. --unredacted leaves everything as it is.

It prints what the operator found at its last look. --now asks for another one, and waits for it.

It needs your kubeconfig, and these rights in the namespace: get teamsconnectorhealths, and patch with --now (the roles view and
edit have them). kubectl finds it as a plugin when the program, or a link to it, is in PATH as kubectl-teamsgraph.")]
pub struct Args {
    /// The TeamsConnectorHealth.
    name: String,
    /// Its namespace; that of your context when absent.
    #[arg(long, short)]
    namespace: Option<String>,
    /// How it is printed.
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
    /// Context of your kubeconfig; the current one when absent.
    #[arg(long)]
    context: Option<String>,
    /// Has the operator look again, and waits for that, two minutes at most.
    #[arg(long)]
    now: bool,
    /// Strikes nothing out.
    #[arg(long)]
    unredacted: bool,
}

/// What is known of a connector, without what should not leave the house.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    namespace: String,
    name: String,
    #[serde(rename = "type")]
    type_: ConnectorType,
    /// Whether the status speaks of an older spec.
    outdated: bool,
    suspended: bool,
    health: Option<Health>,
    looked: Option<Timestamp>,
    conditions: Vec<Condition>,
    diagnoses: Vec<Diagnosis>,
    endpoints: Vec<EndpointHealth>,
    pexip: Option<PexipHealth>,
}

/// Prints the report.
pub async fn run(args: Args) -> RunResult {
    let (client, own) = connect(args.context.as_deref()).await?;
    let namespace = args.namespace.unwrap_or(own);
    let connectors: Api<TeamsConnectorHealth> = Api::namespaced(client, &namespace);
    let connector = if args.now {
        anew::look(&connectors, &args.name).await?
    } else {
        connectors.get(&args.name).await?
    };
    let mut report = Report::new(&connector);
    if !args.unredacted {
        report.redact();
    }
    let shown = match args.output {
        Output::Text => text::render(&report),
        Output::Json => format!("{}\n", serde_json::to_string_pretty(&report)?),
    };
    let mut out = std::io::stdout().lock();
    out.write_all(shown.as_bytes())?;
    out.flush()?;
    Ok(())
}

mod anew {
    //! Another look, asked for with the annotation and waited for.

    use std::time::Duration;

    use jiff::Timestamp;
    use kube::Api;
    use kube::api::{Patch, PatchParams};
    use serde_json::json;

    use crate::api::RECONCILE_ANNOTATION;
    use crate::api::connector::TeamsConnectorHealth;

    /// Longer than the longest look.
    const LIMIT: Duration = Duration::from_mins(2);
    const PERIOD: Duration = Duration::from_secs(1);

    /// Why there is no new look.
    #[derive(Debug, thiserror::Error)]
    pub enum Error {
        /// The API server refuses, or does not answer.
        #[error(transparent)]
        Api(#[from] kube::Error),
        /// The operator did not look.
        #[error("the operator did not look within {} s: does it run? Without --now the last look is shown", LIMIT.as_secs())]
        NoLook,
    }

    /// Asks for a look and waits until the status answers.
    pub async fn look(connectors: &Api<TeamsConnectorHealth>, name: &str) -> Result<TeamsConnectorHealth, Error> {
        let asked = Timestamp::now().to_string();
        let patch = json!({ "metadata": { "annotations": { RECONCILE_ANNOTATION: asked } } });
        connectors
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await?;
        let answered = async {
            loop {
                let found = connectors.get(name).await?;
                let handled = found
                    .status
                    .as_ref()
                    .and_then(|status| status.last_handled_reconcile_at.as_ref());
                if handled == Some(&asked) {
                    return Ok(found);
                }
                tokio::time::sleep(PERIOD).await;
            }
        };
        tokio::time::timeout(LIMIT, answered)
            .await
            .unwrap_or(Err(Error::NoLook))
    }
}

impl Report {
    fn new(connector: &TeamsConnectorHealth) -> Self {
        let status: TeamsConnectorHealthStatus = connector.status.clone().unwrap_or_default();
        Self {
            namespace: connector.namespace().unwrap_or_default(),
            name: connector.name_any(),
            type_: connector.spec.type_,
            outdated: status.last_evaluation_time.is_some()
                && Some(status.observed_generation) != connector.metadata.generation,
            suspended: connector.spec.suspend,
            health: status.health,
            looked: status.last_evaluation_time.map(|at| at.0),
            conditions: status.conditions,
            diagnoses: status.diagnoses,
            endpoints: status.endpoints,
            pexip: status.pexip,
        }
    }

    /// Strikes out what should not leave the house.
    fn redact(&mut self) {
        for condition in &mut self.conditions {
            condition.message = redact(&condition.message);
        }
        for diagnosis in &mut self.diagnoses {
            diagnosis.summary = redact(&diagnosis.summary);
            diagnosis.evidence = diagnosis.evidence.iter().map(|evidence| redact(evidence)).collect();
        }
        for endpoint in &mut self.endpoints {
            endpoint.addresses = endpoint.addresses.iter().map(|address| redact(address)).collect();
            for certificate in &mut endpoint.certificates {
                certificate.subject = redact(&certificate.subject);
                certificate.issuer = redact(&certificate.issuer);
            }
        }
        for alarm in self.pexip.iter_mut().flat_map(|pexip| &mut pexip.alarms) {
            *alarm = redact(alarm);
        }
    }
}

#[cfg(test)]
mod tests;
