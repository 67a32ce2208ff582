//! `import`: manifests for what an app has at Graph already. Runs on a person's machine, reads, and changes nothing.

mod account;
mod manifest;
mod naming;

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use prometheus::Registry;

use self::account::Account;
use self::manifest::{Target, Wanted};
use crate::RunResult;
use crate::api::reference::ObjectRef;
use crate::api::tenant::Cloud;
use crate::graph::{Graph, Metrics, http_client};

/// What is to be imported, and as what.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The app's secret comes from --client-secret-file or the environment variable CLIENT_SECRET, never from the command line.

Manifests go to standard output, remarks to standard error:
  teams-graph-operator import --from-tenant teams/contoso --keep-endpoint | kubectl apply -n teams -f -

docs/import.md shows the way from a hand-made subscription to one of a receiver."
)]
pub struct Args {
    /// Take app and credentials from this GraphTenant and its Secret, read with your kubeconfig.
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = full_reference,
          conflicts_with_all = ["tenant_id", "client_id", "client_secret_file", "certificate_file", "cloud", "login", "graph"])]
    from_tenant: Option<ObjectRef>,
    /// Tenant id, or a verified domain of the tenant.
    #[arg(long, required_unless_present = "from_tenant")]
    tenant_id: Option<String>,
    /// Application (client) id of the app whose subscriptions are imported.
    #[arg(long, required_unless_present = "from_tenant")]
    client_id: Option<String>,
    /// File with the app's client secret.
    #[arg(long, value_name = "FILE", conflicts_with = "certificate_file")]
    client_secret_file: Option<PathBuf>,
    /// PEM file with the app's certificate and its RSA key.
    #[arg(long, value_name = "FILE")]
    certificate_file: Option<PathBuf>,
    /// Microsoft cloud of the tenant: Global, UsGovL4, UsGovL5 or China.
    #[arg(long, default_value = "Global", value_parser = cloud, conflicts_with_all = ["login", "graph"])]
    cloud: Cloud,
    /// Address of the sign-in service, instead of --cloud.
    #[arg(long, value_name = "URL", requires = "graph")]
    login: Option<String>,
    /// Address of Graph, instead of --cloud.
    #[arg(long, value_name = "URL", requires = "login")]
    graph: Option<String>,
    /// GraphTenant that the manifests name; that of --from-tenant when absent.
    #[arg(long, value_name = "[NAMESPACE/]NAME", value_parser = reference, required_unless_present = "from_tenant")]
    tenant_ref: Option<ObjectRef>,
    /// Write a GraphTenant manifest first. Its Secret is yours to make.
    #[arg(long, conflicts_with = "from_tenant")]
    with_tenant: bool,
    /// Have the manifests deliver to this NotificationReceiver.
    #[arg(long, value_name = "[NAMESPACE/]NAME", value_parser = reference,
          required_unless_present = "keep_endpoint", conflicts_with = "keep_endpoint")]
    receiver_ref: Option<ObjectRef>,
    /// Have them deliver where they deliver now, so that each is adopted as it is. Prints the addresses.
    #[arg(long)]
    keep_endpoint: bool,
    /// Secret that the manifests of --keep-endpoint name for the clientStates, one key for each.
    #[arg(long, value_name = "NAME", default_value = "imported-client-states")]
    client_state_secret: String,
    /// Namespace to write into the manifests; none when absent.
    #[arg(long)]
    namespace: Option<String>,
}

/// Prints the manifests.
pub async fn run(args: Args) -> RunResult {
    let account = account::of(&args).await?;
    let graph = Graph::new(account.app.clone(), http_client()?, Metrics::new(&Registry::new())?);
    let grant = graph
        .authenticate()
        .await
        .map_err(|failure| format!("signing in as the app failed: {failure}"))?;
    let list = graph
        .list(Duration::ZERO, graph.now())
        .await
        .map_err(|failure| format!("listing the app's subscriptions failed: {failure}"))?;
    let wanted = Wanted {
        tenant_ref: account.reference.clone(),
        target: match args.receiver_ref.clone() {
            Some(receiver) => Target::Receiver(receiver),
            None => Target::Keep {
                secret: args.client_state_secret.clone(),
            },
        },
        namespace: args.namespace.clone(),
        app_object_id: grant.object_id,
    };
    let import = manifest::import(&list, &wanted, graph.now());
    let mut out = std::io::stdout().lock();
    if let Some(tenant) = tenant_manifest(&args, &account) {
        write!(out, "---\n{}", serde_saphyr::to_string(&tenant)?)?;
    }
    for object in &import.objects {
        write!(out, "---\n{}", serde_saphyr::to_string(object)?)?;
    }
    for left in &import.left {
        writeln!(out, "# not imported: {left}")?;
    }
    out.flush()?;
    let mut remarks = std::io::stderr().lock();
    for remark in import.remarks(&wanted) {
        writeln!(remarks, "{remark}")?;
    }
    Ok(())
}

fn tenant_manifest(args: &Args, account: &Account) -> Option<serde_json::Value> {
    let spec = account.spec.as_ref().filter(|_| args.with_tenant)?;
    Some(manifest::object(
        "GraphTenant",
        &account.reference.name,
        account.reference.namespace.as_deref().or(args.namespace.as_deref()),
        spec,
    ))
}

fn cloud(text: &str) -> Result<Cloud, String> {
    [Cloud::Global, Cloud::UsGovL4, Cloud::UsGovL5, Cloud::China]
        .into_iter()
        .find(|cloud| format!("{cloud:?}").eq_ignore_ascii_case(text))
        .ok_or_else(|| "one of Global, UsGovL4, UsGovL5, China; for others use --login and --graph".to_owned())
}

fn reference(text: &str) -> Result<ObjectRef, String> {
    let (namespace, name) = match text.split_once('/') {
        Some((namespace, name)) => (Some(namespace), name),
        None => (None, text),
    };
    if !namespace.into_iter().chain([name]).all(naming::is_name) {
        return Err("a name, or a namespace and a name: NAMESPACE/NAME".to_owned());
    }
    Ok(ObjectRef {
        name: name.to_owned(),
        namespace: namespace.map(str::to_owned),
    })
}

fn full_reference(text: &str) -> Result<ObjectRef, String> {
    let reference = reference(text)?;
    if reference.namespace.is_none() {
        return Err("name its namespace too: NAMESPACE/NAME".to_owned());
    }
    Ok(reference)
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
    fn the_command_line_names_app_tenant_and_target() {
        Cli::command().debug_assert();
        let flags = "--tenant-id t --client-id c --tenant-ref x";
        let cases = [
            ("--from-tenant teams/contoso --keep-endpoint", true),
            ("--from-tenant teams/contoso --receiver-ref hooks", true),
            (&*format!("{flags} --receiver-ref other/hooks"), true),
            (
                &*format!("{flags} --keep-endpoint --login http://a --graph http://b"),
                true,
            ),
            (&*format!("{flags} --keep-endpoint --cloud usgovl4 --with-tenant"), true),
            // What is missing, doubled, or contradictory.
            ("--from-tenant teams/contoso", false),
            ("--from-tenant contoso --keep-endpoint", false),
            ("--from-tenant teams/contoso --keep-endpoint --tenant-id t", false),
            (
                "--from-tenant teams/contoso --keep-endpoint --receiver-ref hooks",
                false,
            ),
            ("--tenant-id t --client-id c --keep-endpoint", false),
            ("--tenant-id t --tenant-ref x --keep-endpoint", false),
            (&*format!("{flags} --keep-endpoint --login http://a"), false),
            (&*format!("{flags} --keep-endpoint --cloud Moon"), false),
            (&*format!("{flags} --receiver-ref Hooks/a/b"), false),
        ];
        for (line, good) in cases {
            let parsed = Cli::try_parse_from(["import"].into_iter().chain(line.split(' ')));
            assert_eq!(parsed.is_ok(), good, "{line}");
        }
    }
}
