//! Apps with their consents, as the directory of a tenant knows them.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::simulator::clock;
use crate::simulator::config::{App, DEFAULT_TENANT};
use crate::simulator::state::State;

/// Microsoft Graph itself, in every tenant.
pub const GRAPH_APP: &str = "00000003-0000-0000-c000-000000000000";

/// Permissions that Graph knows whether or not somebody has them.
const ROLES: [&str; 6] = [
    "Application.Read.All",
    "Calls.AccessMedia.All",
    "Calls.Initiate.All",
    "Calls.JoinGroupCall.All",
    "OnlineMeetings.Read.All",
    "ServiceHealth.Read.All",
];

/// What was put here by a test; other apps are known from their sign-in.
#[derive(Debug, Default)]
pub struct Registry {
    /// Apps.
    pub apps: Vec<AppEntry>,
    /// Microsoft's services.
    pub services: Vec<Service>,
}

/// An app in a tenant.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AppEntry {
    /// Tenant.
    pub tenant_id: String,
    /// Application id.
    pub app_id: String,
    /// Its registration is in this tenant.
    pub registered: bool,
    /// Consent was given: there is a service principal.
    pub principal: bool,
    /// The service principal may sign in.
    pub account_enabled: bool,
    /// `DisabledDueToViolationOfServicesAgreement` or null.
    pub disabled_by_microsoft_status: Option<String>,
    /// Granted application permissions.
    pub roles: Vec<String>,
    /// Secrets.
    pub password_credentials: Vec<Credential>,
    /// Certificates.
    pub key_credentials: Vec<Credential>,
}

impl Default for AppEntry {
    fn default() -> Self {
        Self {
            tenant_id: DEFAULT_TENANT.into(),
            app_id: String::new(),
            registered: true,
            principal: true,
            account_enabled: true,
            disabled_by_microsoft_status: None,
            roles: Vec::new(),
            password_credentials: Vec::new(),
            key_credentials: Vec::new(),
        }
    }
}

/// A secret or certificate of an app.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Credential {
    /// What it is called.
    pub display_name: Option<String>,
    /// When it ends.
    pub end_date_time: Timestamp,
}

/// One of Microsoft's services.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Service {
    /// Such as `Microsoft Teams`.
    #[serde(rename = "service")]
    pub name: String,
    /// Such as `serviceOperational`.
    pub status: String,
    /// Its issues.
    #[serde(default)]
    pub issues: Vec<Value>,
}

impl Registry {
    /// All services work.
    pub fn new() -> Self {
        let service = |name: &str| Service {
            name: name.into(),
            status: "serviceOperational".into(),
            issues: Vec::new(),
        };
        Self {
            apps: Vec::new(),
            services: ["Exchange Online", "Microsoft Teams", "SharePoint Online"]
                .map(service)
                .to_vec(),
        }
    }
}

impl Credential {
    /// As Graph prints it.
    pub fn body(&self) -> Value {
        json!({
            "keyId": self.display_name.as_deref().map(|name| id_of("key", name)),
            "displayName": self.display_name,
            "endDateTime": clock::whole(self.end_date_time),
        })
    }
}

impl AppEntry {
    /// An app that is known because it may sign in.
    fn of(app: &App, tenant: &str, now: Timestamp) -> Self {
        let year = SignedDuration::from_hours(24 * 365);
        let secret = |expired: bool| Credential {
            display_name: Some("secret".into()),
            end_date_time: if expired { now - year } else { now + year },
        };
        Self {
            tenant_id: tenant.into(),
            app_id: app.client_id.clone(),
            account_enabled: !app.disabled,
            roles: app.roles.clone(),
            password_credentials: app.client_secrets.iter().map(|one| secret(one.expired)).collect(),
            ..Self::default()
        }
    }

    /// What it was granted, as Graph prints it.
    pub fn assignments(&self, tenant: &str) -> Vec<Value> {
        let resource = id_of(tenant, GRAPH_APP);
        let principal = id_of(tenant, &self.app_id);
        let roles = self.roles.iter();
        roles
            .map(|role| {
                json!({
                    "id": id_of(&principal, role),
                    "appRoleId": id_of("role", role),
                    "principalId": principal,
                    "principalType": "ServicePrincipal",
                    "resourceDisplayName": "Microsoft Graph",
                    "resourceId": resource,
                })
            })
            .collect()
    }
}

/// An app as a tenant knows it.
pub fn find(state: &State, tenant: &str, app: &str, now: Timestamp) -> Option<AppEntry> {
    let put = state
        .portal
        .apps
        .iter()
        .find(|entry| entry.tenant_id.eq_ignore_ascii_case(tenant) && entry.app_id.eq_ignore_ascii_case(app));
    let known = || Some(AppEntry::of(state.tenant(tenant)?.app(app)?, tenant, now));
    put.cloned().or_else(known)
}

/// The app of a service principal.
pub fn by_principal(state: &State, tenant: &str, id: &str, now: Timestamp) -> Option<AppEntry> {
    let put = state.portal.apps.iter().map(|entry| entry.app_id.clone());
    let known = state.tenant(tenant)?.apps.iter().map(|app| app.client_id.clone());
    let app = put.chain(known).find(|app| id_of(tenant, app) == id)?;
    find(state, tenant, &app, now).filter(|entry| entry.principal)
}

/// The application permissions that Graph knows.
pub fn app_roles(state: &State) -> Vec<Value> {
    let apps = state.tenants.iter().flat_map(|tenant| &tenant.apps);
    let granted = apps.flat_map(|app| &app.roles);
    let put = state.portal.apps.iter().flat_map(|entry| &entry.roles);
    let mut all: BTreeSet<&str> = granted.chain(put).map(String::as_str).collect();
    all.extend(ROLES);
    let role = |name| json!({"id": id_of("role", name), "value": name, "allowedMemberTypes": ["Application"], "isEnabled": true});
    all.into_iter().map(role).collect()
}

/// The same id for the same two words, always.
pub fn id_of(one: &str, other: &str) -> String {
    let digest = Md5::digest(format!("{}/{}", one.to_ascii_lowercase(), other.to_ascii_lowercase()));
    Uuid::from_bytes(digest.into()).to_string()
}
