//! Whose subscriptions are imported.

use std::path::Path;

use kube::{Api, Client};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::Args;
use crate::api::reference::ObjectRef;
use crate::api::tenant::{Cloud, GraphTenant};
use crate::controller;
use crate::graph::{App, CertificateCredential, Credential};

/// Where the secret may be too, besides a file.
const SECRET_VARIABLE: &str = "CLIENT_SECRET";

/// The app to sign in as, and how manifests name it.
pub struct Account {
    /// The app.
    pub app: App,
    /// The GraphTenant that manifests name.
    pub reference: ObjectRef,
    /// Its spec, unless it is in the cluster already. Without any secret: a Secret is named that has to be made.
    pub spec: Option<Value>,
}

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Reads it from the flags, or from the cluster.
pub async fn of(args: &Args) -> Result<Account> {
    match &args.from_tenant {
        Some(tenant) => from_cluster(args, tenant).await,
        None => from_flags(args),
    }
}

async fn from_cluster(args: &Args, reference: &ObjectRef) -> Result<Account> {
    let client = Client::try_default()
        .await
        .map_err(|error| format!("--from-tenant: no cluster to read it from (is KUBECONFIG set?): {error}"))?;
    let namespace = reference.namespace.as_deref().unwrap_or_default();
    let tenants: Api<GraphTenant> = Api::namespaced(client.clone(), namespace);
    let tenant = tenants
        .get_opt(&reference.name)
        .await
        .map_err(|error| format!("--from-tenant: GraphTenant {reference} cannot be read: {error}"))?
        .ok_or_else(|| format!("--from-tenant: GraphTenant {reference} does not exist"))?;
    if tenant.spec.credentials.are_the_operators() {
        return Err(format!(
            "--from-tenant: GraphTenant {reference} signs in with the operator's own identity, which is not to be had here; give --tenant-id, --client-id and a secret or certificate of the app"
        )
        .into());
    }
    let app = controller::app_of(&client, &tenant)
        .await
        .map_err(|error| format!("--from-tenant: the Secret of GraphTenant {reference} cannot be read: {error}"))?
        .map_err(|refusal| format!("--from-tenant: GraphTenant {reference}: {}", refusal.message))?;
    let mut named = args.tenant_ref.clone().unwrap_or_else(|| reference.clone());
    if named.namespace == args.namespace {
        named.namespace = None;
    }
    Ok(Account {
        app,
        reference: named,
        spec: None,
    })
}

fn from_flags(args: &Args) -> Result<Account> {
    let (Some(tenant_id), Some(client_id), Some(reference)) = (&args.tenant_id, &args.client_id, &args.tenant_ref)
    else {
        return Err("--tenant-id, --client-id and --tenant-ref are needed without --from-tenant".into());
    };
    let mut spec = json!({ "tenantId": tenant_id, "clientId": client_id, "cloud": args.cloud });
    if let (Some(login), Some(graph)) = (&args.login, &args.graph) {
        check_address("--login", login)?;
        check_address("--graph", graph)?;
        spec["cloud"] = json!(Cloud::Custom);
        spec["endpoints"] = json!({ "login": login, "graph": graph });
    }
    let secret = format!("{}-app", reference.name);
    spec["credentials"] = if args.certificate_file.is_some() {
        json!({ "certificate": { "secretName": secret } })
    } else {
        json!({ "clientSecret": { "secretRef": { "name": secret, "key": "client-secret" } } })
    };
    let tenant = GraphTenant::new(&reference.name, serde_json::from_value(spec.clone())?);
    let addresses = tenant
        .spec
        .addresses()
        .ok_or("--login and --graph are needed together")?;
    Ok(Account {
        app: App {
            tenant_id: tenant_id.clone(),
            client_id: Some(client_id.clone()),
            login: addresses.login,
            graph: addresses.graph,
            credential: credential(args)?,
        },
        reference: reference.clone(),
        spec: Some(spec),
    })
}

fn credential(args: &Args) -> Result<Credential> {
    if let Some(file) = &args.certificate_file {
        let pem = read("--certificate-file", file)?;
        let credential = CertificateCredential::from_pem(&pem, &SecretString::from(pem.as_str()))
            .map_err(|failure| format!("--certificate-file: {}: {failure}", file.display()))?;
        return Ok(Credential::Certificate(Box::new(credential)));
    }
    let text = match &args.client_secret_file {
        Some(file) => read("--client-secret-file", file)?,
        None => std::env::var(SECRET_VARIABLE).map_err(|_| {
            format!("no credential: give --client-secret-file, --certificate-file, or the secret in {SECRET_VARIABLE}")
        })?,
    };
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.is_empty() {
        return Err("the client secret is empty".into());
    }
    Ok(Credential::ClientSecret(SecretString::from(secret)))
}

fn read(flag: &str, file: &Path) -> Result<String> {
    Ok(std::fs::read_to_string(file).map_err(|error| format!("{flag}: {} cannot be read: {error}", file.display()))?)
}

/// No credential travels in clear, except to this machine, where the simulator may be.
fn check_address(flag: &str, address: &str) -> Result<()> {
    let url = url::Url::parse(address).map_err(|error| format!("{flag}: {address} is no URL: {error}"))?;
    let here = matches!(url.host_str(), Some("localhost" | "127.0.0.1"));
    if url.scheme() == "https" || url.scheme() == "http" && here {
        return Ok(());
    }
    Err(format!("{flag}: {address} must begin with https:// (http:// only on this machine)").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_sent_in_clear_to_nobody_else() {
        for (address, good) in [
            ("https://login.example", true),
            ("http://127.0.0.1:8080", true),
            ("http://localhost", true),
            ("http://login.example", false),
            ("http://localhost.example", false),
            ("http://127.0.0.1@login.example", false),
            ("ftp://127.0.0.1", false),
            ("login.example", false),
        ] {
            assert_eq!(check_address("--login", address).is_ok(), good, "{address}");
        }
    }
}
