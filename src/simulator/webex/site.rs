//! Subscribers, and what the status page says.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// All states of a subscriber.
pub const STATUSES: [&str; 7] = [
    "pending_email_input",
    "pending_email_validation",
    "pending_user_migration",
    "provisioning",
    "provisioned",
    "updating",
    "error",
];

/// What Webex holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Site {
    /// The access token that is accepted.
    pub token: String,
    /// Scopes of that token.
    pub scopes: Vec<String>,
    /// Subscribers.
    pub subscribers: Vec<Subscriber>,
    /// Components of the status page.
    pub components: Vec<Component>,
    /// Incidents of the status page, as they are printed.
    pub incidents: Vec<Value>,
    /// Answer this text with status 200 in place of subscribers.
    pub spoiled: Option<String>,
    /// So often in a row.
    pub spoiled_times: usize,
    /// Links to further pages lead to this address.
    pub continues_at: Option<String>,
}

impl Default for Site {
    fn default() -> Self {
        let component = |name: &str| Component {
            name: name.into(),
            status: "operational".into(),
            is_group: true,
        };
        Self {
            token: "simulator-webex-token".into(),
            scopes: vec!["spark-admin:broadworks_subscribers_read".into()],
            subscribers: Vec::new(),
            components: ["Webex Meetings", "Webex Calling", "Webex App", "Webex Control Hub"]
                .map(component)
                .to_vec(),
            incidents: Vec::new(),
            spoiled: None,
            spoiled_times: 1,
            continues_at: None,
        }
    }
}

/// A subscriber.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Subscriber {
    /// User id on BroadWorks.
    pub user_id: String,
    /// Service provider or enterprise.
    #[serde(default = "enterprise")]
    pub sp_enterprise_id: String,
    /// One of [`STATUSES`].
    pub status: String,
    /// When it got that state.
    pub last_status_change: Option<String>,
    /// `{errorCode, description}`.
    #[serde(default)]
    pub errors: Vec<Value>,
}

fn enterprise() -> String {
    "example".into()
}

/// A component of the status page.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Component {
    /// Its name.
    pub name: String,
    /// `operational`, `under_maintenance`, `degraded_performance`, `partial_outage`, `major_outage`.
    pub status: String,
    /// A product, and not a part of one.
    #[serde(default)]
    pub is_group: bool,
}

impl Subscriber {
    /// Whether filters let it through.
    pub fn matches(&self, given: &HashMap<String, String>) -> bool {
        let same = |name: &str, value: &str| given.get(name).is_none_or(|wanted| wanted == value);
        same("status", &self.status) && same("spEnterpriseId", &self.sp_enterprise_id) && same("userId", &self.user_id)
    }

    /// As Webex prints it, with what a person would not want to see elsewhere.
    pub fn body(&self) -> Value {
        json!({
            "id": format!("subscriber-{}", self.user_id),
            "personId": format!("person-{}", self.user_id),
            "userId": self.user_id,
            "spEnterpriseId": self.sp_enterprise_id,
            "firstName": "Grace",
            "lastName": "Personal",
            "email": format!("{}@personal.example", self.user_id),
            "primaryPhoneNumber": "+49 30 1234567",
            "package": "standard",
            "status": self.status,
            "lastStatusChange": self.last_status_change,
            "selfActivated": false,
            "errors": self.errors,
        })
    }
}

impl Component {
    /// As the status page prints it.
    pub fn body(&self) -> Value {
        json!({
            "name": self.name,
            "status": self.status,
            "isGroup": if self.is_group { "Y" } else { "N" },
            "group_id": null,
        })
    }
}
