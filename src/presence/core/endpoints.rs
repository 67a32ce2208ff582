//! The connections to the PBX, as they were told of.

use std::collections::BTreeMap;

use crate::api::presence::{EndpointStatus, Pbx};
use crate::api::presence_report::{EndpointReport, Fault, Lamp};
use crate::policy::presence::pbx::PbxError;
use crate::presence::fault;

/// The connections to the PBX. `Ok`: connected.
pub struct Endpoints {
    states: BTreeMap<String, Result<(), Option<PbxError>>>,
}

impl Endpoints {
    /// Those of the spec, not connected yet.
    pub fn new(pbx: &Pbx) -> Self {
        let mut states = BTreeMap::new();
        let innovaphone = pbx.innovaphone.iter().flat_map(|pbx| &pbx.endpoints);
        for endpoint in innovaphone {
            states.insert(endpoint.name.clone(), Err(None));
        }
        Self { states }
    }

    /// One is connected. Whether it was not before.
    pub fn up(&mut self, name: &str) -> bool {
        let before = self.states.insert(name.to_owned(), Ok(()));
        before != Some(Ok(()))
    }

    /// One is not. Whether none is any more.
    pub fn down(&mut self, name: &str, why: PbxError) -> bool {
        self.states.insert(name.to_owned(), Err(Some(why)));
        !self.any_up()
    }

    /// Whether any is connected.
    pub fn any_up(&self) -> bool {
        self.states.values().any(Result::is_ok)
    }

    /// Whether all are connected.
    pub fn all_up(&self) -> bool {
        !self.states.is_empty() && self.states.values().all(Result::is_ok)
    }

    /// Each, for the report.
    pub fn reports(&self) -> Vec<EndpointReport> {
        let report = |(name, state): (&String, &Result<(), Option<PbxError>>)| EndpointReport {
            status: EndpointStatus {
                name: name.clone(),
                connected: state.is_ok(),
                message: state.as_ref().err().map(|why| words(why.as_ref())),
            },
            fault: state
                .as_ref()
                .err()
                .map(|why| why.as_ref().map_or(Fault::NotTried, fault::of_pbx)),
        };
        self.states.iter().map(report).collect()
    }

    /// The lamp of all together.
    pub fn lamp(&self) -> Lamp {
        let broken = self
            .states
            .iter()
            .find_map(|(name, state)| Some((name, state.as_ref().err()?)));
        match broken {
            _ if self.states.is_empty() => Lamp::dark("not connected yet"),
            None => Lamp::green("connected and logged in"),
            Some((name, None)) => Lamp::dark(format!("{name}: not connected yet")),
            Some((name, Some(why))) => Lamp::red(fault::of_pbx(why), format!("{name}: {why}")),
        }
    }
}

fn words(why: Option<&PbxError>) -> String {
    why.map_or_else(|| "not connected yet".to_owned(), ToString::to_string)
}
