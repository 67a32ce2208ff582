//! Faults that tests inject in front of Entra and Graph.

use axum::http::Method;
use serde::{Deserialize, Serialize};

/// Which requests go wrong, how, and how often.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    /// Every given part must match; an empty one matches all.
    #[serde(rename = "match", default)]
    pub matches: Match,
    /// What happens.
    pub action: Action,
    /// How many more times; null means until cleared.
    #[serde(default)]
    pub times: Option<u32>,
}

/// Which requests.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Match {
    method: Option<String>,
    path_contains: Option<String>,
    client_id: Option<String>,
}

/// What happens to a request.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum Action {
    /// Answer with this status and an error body; the request is not performed.
    Status {
        /// HTTP status.
        status: u16,
        /// Seconds for a `Retry-After` header, or a date as text.
        retry_after: Option<serde_json::Value>,
        /// `code` of the error body.
        code: Option<String>,
        /// `message` of the error body.
        message: Option<String>,
    },
    /// Perform it after a pause.
    Delay {
        /// Real milliseconds.
        ms: u64,
    },
    /// Never answer: hold the connection, then close it. The request is not performed.
    Timeout {
        /// Real milliseconds; a minute if left out.
        ms: Option<u64>,
    },
    /// Close the connection at once. The request is not performed.
    Reset,
    /// Perform the request, then close the connection without the answer.
    LostAnswer,
}

/// One fault, or several, as `POST /_simulator/faults` takes them.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany {
    /// A list.
    Many(Vec<Fault>),
    /// A single one.
    One(Fault),
}

/// The faults in force, tried in the order in which they were added.
#[derive(Debug, Default)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Adds some.
    pub fn add(&mut self, faults: OneOrMany) {
        match faults {
            OneOrMany::Many(faults) => self.0.extend(faults),
            OneOrMany::One(fault) => self.0.push(fault),
        }
    }

    /// What is in force.
    pub fn list(&self) -> &[Fault] {
        &self.0
    }

    /// The fault for this request, counted as used.
    pub fn take(&mut self, method: &Method, path: &str, client_id: Option<&str>) -> Option<Action> {
        let index = self
            .0
            .iter()
            .position(|fault| fault.matches.covers(method, path, client_id))?;
        let fault = self.0.get_mut(index)?;
        let action = fault.action.clone();
        if let Some(times) = &mut fault.times {
            *times = times.saturating_sub(1);
        }
        self.0.retain(|fault| fault.times != Some(0));
        Some(action)
    }
}

impl Match {
    fn covers(&self, method: &Method, path: &str, client_id: Option<&str>) -> bool {
        self.method
            .as_ref()
            .is_none_or(|m| m.eq_ignore_ascii_case(method.as_str()))
            && self
                .path_contains
                .as_ref()
                .is_none_or(|part| path.contains(part.as_str()))
            && self.client_id.as_ref().is_none_or(|id| Some(id.as_str()) == client_id)
    }
}
