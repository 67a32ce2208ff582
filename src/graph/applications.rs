//! Apps as the directory knows them: service principals, what they were granted, and the credentials of registrations.
//! <https://learn.microsoft.com/graph/api/serviceprincipal-get>,
//! <https://learn.microsoft.com/graph/api/serviceprincipal-list-approleassignments>
//!
//! All need `Application.Read.All`, except that an app may read its own entries without any permission.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::client::Graph;
use super::error::{Failure, Kind};
use super::limiter::Lane;
use super::metrics::Operation;
use super::presence::extend;
use super::subscription::parse_time;
use crate::policy::connector::microsoft::AppCredential;

/// Microsoft Graph itself, in every tenant.
const GRAPH_APP: &str = "00000003-0000-0000-c000-000000000000";
/// Microsoft adds permissions a few times in a month.
const ROLES_LAST: Duration = Duration::from_hours(24);
/// Pages of grants that are followed; each has a hundred.
const MOST_PAGES: usize = 10;

/// An app's entry in the tenant.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServicePrincipal {
    /// Object id.
    pub id: String,
    /// Whether it may sign in; `None` where Graph does not say.
    pub account_enabled: Option<bool>,
    /// `DisabledDueToViolationOfServicesAgreement` if Microsoft has disabled the app.
    pub disabled_by_microsoft_status: Option<String>,
}

/// The application permissions of Microsoft Graph in this tenant.
pub(super) struct AppRoles {
    /// Object id of Graph's own service principal.
    resource: String,
    /// Names by id.
    names: HashMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Resource {
    id: String,
    #[serde(default)]
    app_roles: Vec<AppRole>,
}

#[derive(Deserialize)]
struct AppRole {
    id: String,
    value: Option<String>,
}

#[derive(Deserialize)]
struct Page {
    value: Vec<Assignment>,
    #[serde(rename = "@odata.nextLink")]
    next: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Assignment {
    app_role_id: String,
    resource_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Registration {
    #[serde(default)]
    password_credentials: Vec<Credential>,
    #[serde(default)]
    key_credentials: Vec<Credential>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Credential {
    key_id: Option<String>,
    display_name: Option<String>,
    end_date_time: Option<String>,
}

impl Graph {
    /// The service principal of an app, if there is one: without consent there is none.
    pub async fn service_principal(
        &self,
        app_id: &str,
        deadline: Timestamp,
    ) -> Result<Option<ServicePrincipal>, Failure> {
        let select = "id,accountEnabled,disabledByMicrosoftStatus";
        found(self.by_app_id("servicePrincipals", app_id, select, deadline).await)
    }

    /// Names of Microsoft Graph's application permissions that a service principal was granted, sorted.
    pub async fn granted_roles(&self, principal: &str, deadline: Timestamp) -> Result<Vec<String>, Failure> {
        let roles = self.app_roles().get(ROLES_LAST, self.read_app_roles(deadline)).await?;
        let mut url = self.version_url()?;
        extend(&mut url, &["servicePrincipals", principal, "appRoleAssignments"]);
        let mut granted = Vec::new();
        for _ in 0..MOST_PAGES {
            let page: Page = self.inspect(&url, deadline).await?;
            let of_graph = page
                .value
                .into_iter()
                .filter(|grant| grant.resource_id == roles.resource);
            granted.extend(of_graph.filter_map(|grant| roles.names.get(&grant.app_role_id).cloned()));
            let Some(next) = page.next else { break };
            url = self.changes_url(&next)?;
        }
        granted.sort_unstable();
        Ok(granted)
    }

    /// Secrets and certificates of an app registered in this tenant; `None`: it is not. Graph admits 150 such questions in a
    /// minute, so ask rarely.
    pub async fn app_credentials(
        &self,
        app_id: &str,
        deadline: Timestamp,
    ) -> Result<Option<Vec<AppCredential>>, Failure> {
        let select = "id,passwordCredentials,keyCredentials";
        let registration = self.by_app_id("applications", app_id, select, deadline).await;
        Ok(found(registration)?.map(credentials))
    }

    async fn read_app_roles(&self, deadline: Timestamp) -> Result<AppRoles, Failure> {
        let resource: Resource = self
            .by_app_id("servicePrincipals", GRAPH_APP, "id,appRoles", deadline)
            .await?;
        let roles = resource.app_roles.into_iter();
        Ok(AppRoles {
            resource: resource.id,
            names: roles.filter_map(|role| Some((role.id, role.value?))).collect(),
        })
    }

    async fn by_app_id<T: DeserializeOwned>(
        &self,
        collection: &str,
        app_id: &str,
        select: &str,
        deadline: Timestamp,
    ) -> Result<T, Failure> {
        let mut url = self.version_url()?;
        extend(&mut url, &[&format!("{collection}(appId='{app_id}')")]);
        url.set_query(Some(&format!("$select={select}")));
        self.inspect(&url, deadline).await
    }

    /// Asks for what is looked at and never written.
    pub(super) async fn inspect<T: DeserializeOwned>(&self, url: &Url, deadline: Timestamp) -> Result<T, Failure> {
        let kind = (Operation::Inspection, Lane::Inspection);
        let body = self.ask(kind, (Method::GET, url), None::<&()>, deadline).await?;
        serde_json::from_slice(&body).map_err(|_| {
            let message = "Graph's answer about apps or services cannot be read.";
            Failure::of(Kind::Protocol, message)
        })
    }
}

/// What is not there is an answer too.
fn found<T>(result: Result<T, Failure>) -> Result<Option<T>, Failure> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(failure) if failure.kind == Kind::NotFound => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Those that have an end; the last to end comes first.
fn credentials(registration: Registration) -> Vec<AppCredential> {
    let read = |kind, credential: Credential| {
        let name = credential.display_name.filter(|name| !name.trim().is_empty());
        Some(AppCredential {
            kind,
            name: name
                .or(credential.key_id)
                .unwrap_or_default()
                .chars()
                .take(60)
                .collect(),
            end: parse_time(&credential.end_date_time?)?,
        })
    };
    let secrets = registration.password_credentials.into_iter();
    let secrets = secrets.filter_map(|one| read("secret", one));
    let certificates = registration.key_credentials.into_iter();
    let certificates = certificates.filter_map(|one| read("certificate", one));
    let mut all: Vec<AppCredential> = secrets.chain(certificates).collect();
    all.sort_by(|one, other| other.end.cmp(&one.end).then_with(|| one.name.cmp(&other.name)));
    all
}

#[cfg(test)]
mod tests;
