//! Tenants, looked up as any browser does it: without credentials.
//! <https://learn.microsoft.com/entra/identity-platform/v2-protocols-oidc#find-your-apps-openid-configuration-document-uri>

use std::time::Duration;

use reqwest::Client;
use serde::Deserialize;
use url::Url;

use super::fetch::{Answer, Bounds, fetch};
use crate::policy::connector::clock::ClockSample;
use crate::policy::connector::microsoft::Discovery;

/// The document takes 2 kB.
const LONGEST: usize = 64 * 1024;
/// Name among the samples of the clock.
const SOURCE: &str = "Microsoft Entra";
/// AADSTS90002: there is no such tenant; AADSTS900023: no tenant could have this name.
const NO_TENANT: [u32; 2] = [90_002, 900_023];

#[derive(Deserialize)]
struct Document {
    issuer: String,
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    error_codes: Vec<u32>,
}

/// Asks Entra at `login` (such as `https://login.microsoftonline.com`) which tenant an id or a domain stands for.
pub async fn discover(http: &Client, login: &str, tenant: &str, time: Duration) -> (Discovery, Option<ClockSample>) {
    let Some(url) = address(login, tenant) else {
        return (
            Discovery::Unavailable("the address of Entra is not a URL".to_owned()),
            None,
        );
    };
    let bounds = Bounds { time, bytes: LONGEST };
    match fetch(http.get(url), SOURCE, bounds).await {
        Ok(answer) => (read(&answer), answer.clock),
        Err(lost) => (Discovery::Unavailable(format!("Entra is out of reach: {lost}")), None),
    }
}

fn address(login: &str, tenant: &str) -> Option<Url> {
    let mut url = Url::parse(login).ok()?;
    url.path_segments_mut()
        .ok()?
        .pop_if_empty()
        .extend([tenant, "v2.0", ".well-known", "openid-configuration"]);
    Some(url)
}

fn read(answer: &Answer) -> Discovery {
    if answer.status == 200 {
        let document: Option<Document> = serde_json::from_slice(&answer.body).ok();
        let tenant = document.and_then(|document| tenant_of(&document.issuer));
        return tenant.map_or_else(
            || Discovery::Unavailable("Entra's answer cannot be read".to_owned()),
            Discovery::Tenant,
        );
    }
    let refusal: Option<Refusal> = serde_json::from_slice(&answer.body).ok();
    match refusal {
        Some(refusal) if refusal.error_codes.iter().any(|code| NO_TENANT.contains(code)) => Discovery::NotFound,
        _ => Discovery::Unavailable(format!("Entra answers with status {}", answer.status)),
    }
}

/// `https://login.microsoftonline.com/{id}/v2.0`. The issuer of `common` has a placeholder instead of an id.
fn tenant_of(issuer: &str) -> Option<String> {
    let url = Url::parse(issuer).ok()?;
    let id = url.path_segments()?.next()?;
    uuid::Uuid::parse_str(id).ok().map(|id| id.to_string())
}

#[cfg(test)]
mod tests;
