//! The connections to the PBX, as they were told of.

use std::collections::BTreeMap;

use crate::api::presence::{EndpointStatus, Pbx};
use crate::api::presence_report::{EndpointReport, Fault, Lamp};
use crate::policy::presence::pbx::PbxError;
use crate::presence::fault;

/// The connections to the PBX.
pub struct Endpoints {
    states: BTreeMap<String, State>,
}

/// One of them.
struct State {
    is_up: bool,
    /// Why it does not work, if it was told. One that is up and has not told everything yet did not show that it works.
    works: Result<(), Option<PbxError>>,
}

impl Endpoints {
    /// Those of the spec, not connected yet.
    pub fn new(pbx: &Pbx) -> Self {
        let mut states = BTreeMap::new();
        let innovaphone = pbx.innovaphone.iter().flat_map(|pbx| &pbx.endpoints);
        for endpoint in innovaphone {
            let state = State {
                is_up: false,
                works: Err(None),
            };
            states.insert(endpoint.name.clone(), state);
        }
        Self { states }
    }

    /// One is connected, and has something to tell before it is known to work.
    pub fn up(&mut self, name: &str) {
        let before = self.states.remove(name).map_or(Err(None), |state| state.works);
        let state = State {
            is_up: true,
            // What was wrong before may be so still.
            works: Err(before.err().flatten()),
        };
        self.states.insert(name.to_owned(), state);
    }

    /// One works. Whether it did not before.
    pub fn works(&mut self, name: &str) -> bool {
        let state = State {
            is_up: true,
            works: Ok(()),
        };
        let before = self.states.insert(name.to_owned(), state);
        before.is_none_or(|before| before.works.is_err())
    }

    /// One is not connected. Whether none is any more.
    pub fn down(&mut self, name: &str, why: PbxError) -> bool {
        let state = State {
            is_up: false,
            works: Err(Some(why)),
        };
        self.states.insert(name.to_owned(), state);
        !self.states.values().any(|state| state.is_up)
    }

    /// None is connected.
    pub fn all_down(&mut self, why: &PbxError) {
        for state in self.states.values_mut() {
            *state = State {
                is_up: false,
                works: Err(Some(why.clone())),
            };
        }
    }

    /// Each, for the report.
    pub fn reports(&self) -> Vec<EndpointReport> {
        let report = |(name, state): (&String, &State)| {
            let broken = state.works.as_ref().err();
            EndpointReport {
                status: EndpointStatus {
                    name: name.clone(),
                    connected: broken.is_none(),
                    message: broken.map(|why| words(state.is_up, why.as_ref())),
                },
                fault: broken.map(|why| why.as_ref().map_or(Fault::NotTried, fault::of_pbx)),
            }
        };
        self.states.iter().map(report).collect()
    }

    /// The lamp of all together.
    pub fn lamp(&self) -> Lamp {
        let broken = self.states.iter().find(|(_, state)| state.works.is_err());
        match broken.map(|(name, state)| (name, state.is_up, &state.works)) {
            _ if self.states.is_empty() => Lamp::dark("not connected yet"),
            Some((name, _, Err(Some(why)))) => Lamp::red(fault::of_pbx(why), format!("{name}: {why}")),
            Some((name, is_up, Err(None))) => Lamp::dark(format!("{name}: {}", words(is_up, None))),
            None | Some((_, _, Ok(()))) => Lamp::green("connected and logged in"),
        }
    }
}

fn words(is_up: bool, why: Option<&PbxError>) -> String {
    match why {
        Some(why) => why.to_string(),
        None if is_up => "logged in; it has not told all its users and lines yet".to_owned(),
        None => "not connected yet".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn endpoints() -> Endpoints {
        let pbx = json!({"innovaphone": {"app": "a", "passwordSecretRef": {"name": "pbx", "key": "password"}, "endpoints": [
            {"name": "hq", "role": "Master", "url": "wss://hq/PBX0/APPS/websocket"},
            {"name": "branch", "role": "Slave", "url": "wss://branch/PBX0/APPS/websocket"},
        ]}});
        Endpoints::new(&serde_json::from_value(pbx).unwrap())
    }

    /// One that logs in and then does not answer comes and goes for ever.
    #[test]
    fn one_is_not_green_before_it_told_everything_and_what_was_wrong_is_told_meanwhile() {
        let mut endpoints = endpoints();
        assert!(endpoints.works("branch"));
        for _ in 0..3 {
            endpoints.up("hq");
            let lamp = endpoints.lamp();
            assert!(!lamp.is_green(), "{lamp:?}");
            let connected: Vec<bool> = endpoints.reports().iter().map(|one| one.status.connected).collect();
            assert_eq!(connected, [true, false]);
            assert!(!endpoints.down("hq", PbxError::Protocol("ReplicateStart is not answered".to_owned())));
            endpoints.up("hq");
            assert!(endpoints.lamp().message.contains("ReplicateStart"));
        }
        assert!(endpoints.works("hq"));
        assert!(endpoints.lamp().is_green());
        assert!(!endpoints.works("hq"));
        let lost = || PbxError::Transport("gone".to_owned());
        assert!(!endpoints.down("hq", lost()) && endpoints.down("branch", lost()));
    }
}
