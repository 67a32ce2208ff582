//! The engine alone, in this process: how many events a second it decides upon, beside how many are merely read and remembered.

use std::collections::BTreeMap;
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::json;
use teams_graph_operator::policy::presence::engine::{Outcome, Settings, UserState, decide};
use teams_graph_operator::policy::presence::pbx::{Line, PbxView};
use teams_graph_operator::policy::presence::teams::{Reading, TeamsState};
use teams_graph_operator::presence::adapters::innovaphone::Innovaphone;

const ROUNDS: usize = 7;
/// Events of a round.
const EVENTS: usize = 40_000;

/// Events a second, of the median round.
pub struct Rates {
    pub engine_per_s: f64,
    pub plain_per_s: f64,
    /// The median of the rounds' ratios.
    pub ratio: f64,
    /// Writes that the engine decided upon, for each event.
    pub writes_per_event: f64,
}

/// An event as it comes over the wire: from the PBX, or from Graph.
#[derive(Deserialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
enum Message {
    Call {
        guid: String,
        state: u32,
    },
    Presence {
        id: String,
        availability: String,
        activity: String,
        sequence_number: String,
    },
}

/// What is remembered of a person when nothing is decided.
#[derive(Default)]
struct Known {
    line: Line,
    teams: Option<(TeamsState, String)>,
}

struct Deciding {
    users: BTreeMap<String, UserState>,
    settings: Settings,
    now: Timestamp,
    writes: u64,
}

pub fn measure(users: usize) -> Rates {
    let names: Vec<String> = (0..users).map(|number| format!("{number:032x}")).collect();
    let mut plain: BTreeMap<String, Known> = names.iter().map(|name| (name.clone(), Known::default())).collect();
    let mut engine = Deciding::new(&names);
    let mut random = fastrand::Rng::with_seed(1);
    let (mut plain_per_s, mut engine_per_s, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let events = events(&names, round, &mut random);
        let remembered = rate(|| events.iter().for_each(|event| remember(&mut plain, event)));
        let decided = rate(|| events.iter().for_each(|event| engine.hear(event)));
        ratios.push(decided / remembered);
        plain_per_s.push(remembered);
        engine_per_s.push(decided);
    }
    assert!(
        plain
            .values()
            .any(|known| known.teams.is_some() && known.line != Line::Unknown)
    );
    #[allow(clippy::cast_precision_loss)] // counts of a bench
    let writes_per_event = engine.writes as f64 / (ROUNDS * EVENTS) as f64;
    Rates {
        engine_per_s: median(engine_per_s),
        plain_per_s: median(plain_per_s),
        ratio: median(ratios),
        writes_per_event,
    }
}

#[allow(clippy::cast_precision_loss)] // a count of events
fn rate(work: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    work();
    EVENTS as f64 / begun.elapsed().as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A third are calls, the others readings, half of which show something else than before.
fn events(names: &[String], round: usize, random: &mut fastrand::Rng) -> Vec<String> {
    let mut event = |number: usize| {
        let name = &names[random.usize(..names.len())];
        if random.u8(..3) == 0 {
            let state = [0, 4, 5][random.usize(..3)];
            return json!({"mt": "CallAdd", "api": "RCC", "src": "all", "call": number, "guid": name, "cn": name, "state": state,
                "conf-id": "", "call-id": "1"})
            .to_string();
        }
        let shown = ["Available", "Available", "InAMeeting", "DoNotDisturb"][random.usize(..4)];
        let availability = if shown == "InAMeeting" { "Busy" } else { shown };
        json!({"id": name, "availability": availability, "activity": shown, "statusMessage": null,
            "outOfOfficeSettings": {"message": null, "isOutOfOffice": false},
            "sequenceNumber": format!("A{:020}", round * EVENTS + number)})
        .to_string()
    };
    (0..EVENTS).map(&mut event).collect()
}

fn line(state: u32) -> Line {
    match state {
        0 => Line::Idle,
        4 => Line::Ringing,
        _ => Line::Connected,
    }
}

fn remember(known: &mut BTreeMap<String, Known>, event: &str) {
    match serde_json::from_str(event).unwrap() {
        Message::Call { guid, state } => known.get_mut(&guid).unwrap().line = line(state),
        Message::Presence {
            id,
            availability,
            activity,
            sequence_number,
        } => {
            let state = TeamsState::read(&availability, &activity, false);
            known.get_mut(&id).unwrap().teams = Some((state, sequence_number));
        }
    }
}

impl Deciding {
    fn new(names: &[String]) -> Self {
        let spec = json!({"tenantRef": {"name": "tenant"},
            "pbx": {"innovaphone": {"app": "teams", "passwordSecretRef": {"name": "pbx", "key": "password"},
                "endpoints": [{"name": "pbx", "role": "Master", "url": "wss://pbx.example/PBX0/APPS/websocket"}]}}});
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let mut users: BTreeMap<String, UserState> =
            names.iter().map(|name| (name.clone(), UserState::default())).collect();
        for state in users.values_mut() {
            state.see_pbx(view(Line::Idle), now);
        }
        Self {
            users,
            settings: Settings::new(&serde_json::from_value(spec).unwrap(), Innovaphone::capabilities()),
            now,
            writes: 0,
        }
    }

    /// What the worker does with an event, all but storing and sending: what is decided counts as done.
    fn hear(&mut self, event: &str) {
        self.now += SignedDuration::from_millis(1);
        let now = self.now;
        let user = match serde_json::from_str(event).unwrap() {
            Message::Call { guid, state } => {
                let user = self.users.get_mut(&guid).unwrap();
                user.see_pbx(view(line(state)), now);
                user
            }
            Message::Presence {
                id,
                availability,
                activity,
                sequence_number,
            } => {
                let user = self.users.get_mut(&id).unwrap();
                let reading = Reading {
                    state: TeamsState::read(&availability, &activity, false),
                    sequence: Some(sequence_number.into_boxed_str()),
                    at: now,
                };
                user.see_teams(reading, now);
                user
            }
        };
        for write in decide(user, &self.settings, now).writes {
            user.begin(&write, now);
            user.settle(&write, Outcome::Done, now, 0.5);
            self.writes += 1;
        }
    }
}

fn view(line: Line) -> PbxView {
    PbxView {
        entries: Some(Vec::new()),
        line,
    }
}
