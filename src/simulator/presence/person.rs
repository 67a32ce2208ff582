//! One person: sessions, choice, and what they show together. Nothing here knows a clock.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// An Available session that nobody renews is idle after this long, and away after twice that.
const FADES_AFTER: SignedDuration = SignedDuration::from_mins(5);

/// Availability and activity, in Graph's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pair {
    /// Such as `Busy`.
    pub availability: String,
    /// Such as `InACall`.
    pub activity: String,
}

impl Pair {
    /// One of these words.
    pub fn new(availability: &str, activity: &str) -> Self {
        Self {
            availability: availability.into(),
            activity: activity.into(),
        }
    }

    /// What shows where there is no session.
    pub fn offline() -> Self {
        Self::new("Offline", "Offline")
    }
}

/// The session of an app, or of a Teams client.
#[derive(Debug, Clone)]
pub struct Session {
    /// What it says.
    pub pair: Pair,
    /// When it was last set.
    pub set: Timestamp,
    /// When it ends. A Teams client's does not.
    pub ends: Option<Timestamp>,
}

/// The preferred presence.
#[derive(Debug, Clone)]
pub struct Choice {
    /// What it says.
    pub pair: Pair,
    /// When it ends.
    pub ends: Timestamp,
    /// The app that set it; None if the person did.
    pub by: Option<String>,
}

/// One person.
#[derive(Debug, Clone, Default)]
pub struct Person {
    /// The Teams clients, taken as one. Tests say what it shows; it does not fade.
    pub client: Option<Session>,
    /// Sessions of apps, by the app's id.
    pub sessions: BTreeMap<String, Session>,
    /// The preferred presence.
    pub choice: Option<Choice>,
    /// Text of the automatic reply, while out of office.
    pub out_of_office: Option<String>,
}

/// What a person shows, and whether an app's session decided it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The words.
    pub pair: Pair,
    /// Whether it comes from the session of an app.
    pub from_app: bool,
}

impl Person {
    /// Forgets what has ended.
    pub fn settle(&mut self, now: Timestamp) {
        self.sessions
            .retain(|_, session| session.ends.is_none_or(|ends| ends > now));
        self.choice = self.choice.take().filter(|choice| choice.ends > now);
    }

    /// What everybody sees. A choice needs a session to be seen.
    pub fn shown(&self, now: Timestamp) -> Shown {
        let client = self.client.iter().map(|session| (session, false));
        let apps = self.sessions.values().map(|session| (session, true));
        let strongest = client
            .chain(apps)
            .map(|(session, from_app)| (session.faded(now), session.set, from_app))
            .max_by_key(|(pair, set, _)| (rank(&pair.availability), *set));
        match (strongest, &self.choice) {
            (None, _) => Shown {
                pair: Pair::offline(),
                from_app: false,
            },
            (Some(_), Some(choice)) => Shown {
                pair: choice.pair.clone(),
                from_app: false,
            },
            (Some((pair, _, from_app)), None) => Shown { pair, from_app },
        }
    }

    /// When time alone changes something next.
    pub fn next_turn(&self, now: Timestamp) -> Option<Timestamp> {
        let of_sessions = self.sessions.values().flat_map(Session::turns);
        let of_choice = self.choice.iter().map(|choice| choice.ends);
        of_sessions.chain(of_choice).filter(|at| *at > now).min()
    }
}

impl Session {
    fn faded(&self, now: Timestamp) -> Pair {
        if self.ends.is_none() || self.pair.availability != "Available" {
            return self.pair.clone();
        }
        let age = now.duration_since(self.set);
        if age >= FADES_AFTER * 2 {
            Pair::new("Away", "Away")
        } else if age >= FADES_AFTER {
            Pair::new("AvailableIdle", "Inactive")
        } else {
            self.pair.clone()
        }
    }

    fn turns(&self) -> impl Iterator<Item = Timestamp> {
        let fading = self.ends.is_some() && self.pair.availability == "Available";
        let after = |pause: SignedDuration| self.set.saturating_add(pause).ok().filter(|_| fading);
        [self.ends, after(FADES_AFTER), after(FADES_AFTER * 2)]
            .into_iter()
            .flatten()
    }
}

/// Do not disturb beats busy, busy beats available, available beats away.
fn rank(availability: &str) -> u8 {
    match availability {
        "DoNotDisturb" => 4,
        "Busy" | "BusyIdle" => 3,
        "Available" | "AvailableIdle" => 2,
        "Away" | "BeRightBack" => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes)
    }

    fn session(availability: &str, activity: &str, minutes: i64) -> Session {
        Session {
            pair: Pair::new(availability, activity),
            set: at(0),
            ends: Some(at(minutes)),
        }
    }

    fn shown(person: &Person, minutes: i64) -> String {
        let mut person = person.clone();
        person.settle(at(minutes));
        let shown = person.shown(at(minutes)).pair;
        format!("{}/{}", shown.availability, shown.activity)
    }

    #[test]
    fn the_strongest_session_shows() {
        let words = [
            ("Away", "Away"),
            ("Available", "Available"),
            ("Busy", "InACall"),
            ("DoNotDisturb", "Presenting"),
        ];
        let mut person = Person::default();
        assert_eq!(shown(&person, 0), "Offline/Offline");
        for (app, (availability, activity)) in words.into_iter().enumerate() {
            person
                .sessions
                .insert(app.to_string(), session(availability, activity, 60));
            assert_eq!(shown(&person, 1), format!("{availability}/{activity}"));
        }
    }

    #[test]
    fn a_choice_needs_a_session_and_ends() {
        let mut person = Person {
            choice: Some(Choice {
                pair: Pair::new("Away", "Away"),
                ends: at(30),
                by: None,
            }),
            ..Person::default()
        };
        assert_eq!(shown(&person, 0), "Offline/Offline");
        person.sessions.insert("a".into(), session("Busy", "InACall", 60));
        assert_eq!(shown(&person, 29), "Away/Away");
        assert_eq!(shown(&person, 30), "Busy/InACall");
        assert_eq!(shown(&person, 60), "Offline/Offline");
        assert_eq!(person.next_turn(at(0)), Some(at(30)));
        assert_eq!(person.next_turn(at(30)), Some(at(60)));
        assert_eq!(person.next_turn(at(60)), None);
    }

    #[test]
    fn available_of_an_app_fades_and_of_a_client_does_not() {
        let mut person = Person::default();
        person
            .sessions
            .insert("a".into(), session("Available", "Available", 60));
        let fading = [
            (4, "Available/Available"),
            (5, "AvailableIdle/Inactive"),
            (10, "Away/Away"),
        ];
        for (minutes, expected) in fading {
            assert_eq!(shown(&person, minutes), expected);
        }
        assert_eq!(
            [0, 5, 10].map(|minutes| person.next_turn(at(minutes))),
            [Some(at(5)), Some(at(10)), Some(at(60))]
        );
        let mut client = session("Available", "Available", 0);
        client.ends = None;
        person.client = Some(client);
        assert_eq!(shown(&person, 500), "Available/Available");
    }
}
