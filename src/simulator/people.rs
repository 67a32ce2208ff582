//! The users of a tenant as people who sign in: licences, accounts, and how tests make many of them.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::errors::GraphError;
use super::objects::{Objects, View};

/// Teams, as part of the usual plans.
pub const TEAMS_PLAN: &str = "57ff2da0-773e-42df-b2af-ffb7a2317929";
/// Teams, as it is called in clouds for governments and without charge.
const TEAMS_PLANS: &[&str] = &[
    TEAMS_PLAN,
    "304767db-7d23-49e8-a945-4a7eb65f9f28",
    "495922d5-f138-498b-8967-4acdcdfb2a74",
    "9953b155-8aef-4c56-92f3-72b0487fce41",
    "ec0dd2de-a877-4059-a9b8-5838b5629b2a",
    "fd500458-c24c-478e-856c-a6067a8376cd",
    "4fa4026d-ce74-4962-a151-8e96d57ea8e4",
];

/// Where users are kept.
pub const USERS: &str = "users";

/// How somebody signs in.
#[derive(Debug, Clone, Default)]
pub struct Account {
    /// The password.
    pub password: String,
    /// A second factor is demanded.
    pub mfa: bool,
    /// The password must be changed first.
    pub expired: bool,
}

/// A user by object id.
pub fn user<'a>(objects: &'a Objects, tenant: &str, id: &str) -> Option<&'a Value> {
    objects.get(tenant, &View::One(USERS.into()), id)
}

/// Whether there is a user with this object id.
pub fn exists(objects: &Objects, tenant: &str, id: &str) -> bool {
    user(objects, tenant, id).is_some()
}

/// A user by object id or principal name.
pub fn find<'a>(objects: &'a Objects, tenant: &str, name: &str) -> Option<&'a Value> {
    user(objects, tenant, name).or_else(|| {
        let all = objects.live(tenant, &View::One(USERS.into())).into_iter();
        all.into_iter().find(|user| {
            user["userPrincipalName"]
                .as_str()
                .is_some_and(|upn| upn.eq_ignore_ascii_case(name))
        })
    })
}

/// Whether a user has Teams.
pub fn is_licensed(objects: &Objects, tenant: &str, id: &str) -> bool {
    let plans = user(objects, tenant, id).and_then(|user| user["assignedPlans"].as_array());
    plans.into_iter().flatten().any(|plan| {
        plan["capabilityStatus"] == "Enabled"
            && plan["servicePlanId"]
                .as_str()
                .is_some_and(|id| TEAMS_PLANS.contains(&id))
    })
}

/// 403 for a person without Teams. The original's words are not known.
pub fn unlicensed() -> GraphError {
    let text = "The signed-in user has no Microsoft Teams licence.";
    GraphError::new(StatusCode::FORBIDDEN, "Forbidden", text)
}

/// An assigned plan of Teams.
pub fn plan(id: &str, status: &str) -> Value {
    json!({
        "assignedDateTime": "2026-01-01T00:00:00Z",
        "capabilityStatus": status,
        "service": "TeamspaceAPI",
        "servicePlanId": id,
    })
}

/// The `number`th user of a row that tests ask for.
pub fn made(number: u32, prefix: &str, domain: &str, licensed: bool) -> Map<String, Value> {
    let name = format!("{prefix}{number}");
    let upn = format!("{name}@{domain}");
    let plans = if licensed {
        vec![plan(TEAMS_PLAN, "Enabled")]
    } else {
        Vec::new()
    };
    let user = json!({
        "id": format!("{:08x}-0000-4000-8000-{number:012x}", checksum(prefix)),
        "displayName": name,
        "mail": upn,
        "mailNickname": name,
        "userPrincipalName": upn,
        "onPremisesDistinguishedName": format!("CN={name},OU=Users,DC=example,DC=com"),
        "onPremisesSamAccountName": name,
        "onPremisesUserPrincipalName": upn,
        "businessPhones": [format!("+49 711 {}", 100_000 + u64::from(number))],
        "accountEnabled": true,
        "assignedPlans": plans,
    });
    user.as_object().cloned().unwrap_or_default()
}

/// A few bits of a name, the same in every run (FNV-1a).
fn checksum(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |sum, byte| {
        (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}
