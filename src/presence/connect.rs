//! The adapter that the spec asks for, started.

use prometheus::Registry;

use super::adapters::Adapter;
use super::worker::Connector;
use crate::api::presence_report::Lamp;
use crate::policy::presence::pbx::Capabilities;

/// What came of it.
pub struct Connected {
    /// The adapter; `None` when it cannot be used at all.
    pub adapter: Option<Adapter>,
    /// What it can do.
    pub capabilities: Capabilities,
    /// Why it cannot be used at all.
    pub unusable: Option<Lamp>,
}

/// Starts adapters. They connect by themselves, and go on trying.
pub fn connector(_registry: &Registry) -> prometheus::Result<Connector> {
    todo!()
}
