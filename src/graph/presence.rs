//! Presence: read for many people at once, written for one. <https://learn.microsoft.com/graph/api/resources/presence>
//!
//! Calls keep to a lane of their own, below what Graph admits; writes go before reads.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use super::client::Graph;
use super::error::{Failure, Kind};
use super::limiter::Lane;
use super::metrics::Operation;

/// How many people's presence one request may ask for.
/// <https://learn.microsoft.com/graph/api/cloudcommunications-getpresencesbyuserid>
pub const MOST_IDS: usize = 650;
/// Writes go before reads that began later than this before them.
const READS_WAIT: SignedDuration = SignedDuration::from_secs(60);

/// Somebody's presence, in Graph's words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Presence {
    /// Object id of the person.
    pub id: String,
    /// Such as `Busy`. Empty when Graph gives none.
    pub availability: String,
    /// Such as `InACall`. Empty when Graph gives none.
    pub activity: String,
    /// A stamp that grows with each change, as text is ordered. Not every answer has one.
    pub sequence_number: Option<String>,
    /// Whether an automatic reply is set.
    pub out_of_office: bool,
}

#[derive(Serialize)]
struct Ids<'a> {
    ids: &'a [String],
}

#[derive(Deserialize)]
struct Page {
    value: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    id: String,
    availability: Option<String>,
    activity: Option<String>,
    sequence_number: Option<String>,
    out_of_office_settings: Option<OutOfOffice>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OutOfOffice {
    #[serde(default)]
    is_out_of_office: Option<bool>,
}

impl From<Item> for Presence {
    fn from(item: Item) -> Self {
        let settings = item.out_of_office_settings;
        Self {
            id: item.id,
            availability: item.availability.unwrap_or_default(),
            activity: item.activity.unwrap_or_default(),
            sequence_number: item.sequence_number.filter(|number| !number.is_empty()),
            out_of_office: settings.and_then(|settings| settings.is_out_of_office) == Some(true),
        }
    }
}

/// A session of the app to set, or to clear.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Session<'a> {
    session_id: &'a str,
    #[serde(flatten)]
    state: Option<State<'a>>,
}

/// A state and how long it shall last.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct State<'a> {
    availability: &'a str,
    activity: &'a str,
    expiration_duration: String,
}

impl<'a> State<'a> {
    fn new((availability, activity): (&'a str, &'a str), life: Duration) -> Self {
        Self {
            availability,
            activity,
            expiration_duration: iso(life),
        }
    }
}

#[derive(Serialize)]
struct Nothing {}

impl Graph {
    /// Presence of these people, at most [`MOST_IDS`]; who is not known to Teams is left out. Needs `Presence.Read.All`.
    pub async fn presences(&self, ids: &[String]) -> Result<Vec<Presence>, Failure> {
        let mut url = self.version_url()?;
        extend(&mut url, &["communications", "getPresencesByUserId"]);
        let deadline = self.now().checked_add(READS_WAIT).unwrap_or(Timestamp::MAX);
        let kind = (Operation::PresenceRead, Lane::Presence);
        let body = self
            .ask(kind, (Method::POST, &url), Some(&Ids { ids }), deadline)
            .await?;
        read(&body)
    }

    /// Sets the app's own session for a person: `availability` and `activity` are one of the pairs that Graph accepts, `life`
    /// is 5 minutes to 4 hours. Needs `Presence.ReadWrite.All`.
    pub async fn set_presence(&self, user: &str, state: (&str, &str), life: Duration) -> Result<(), Failure> {
        let body = Session {
            session_id: self.session_id()?,
            state: Some(State::new(state, life)),
        };
        self.write_presence(user, "setPresence", &body).await
    }

    /// Ends the app's own session for a person; also succeeds when there is none.
    pub async fn clear_presence(&self, user: &str) -> Result<(), Failure> {
        let body = Session {
            session_id: self.session_id()?,
            state: None,
        };
        gone(self.write_presence(user, "clearPresence", &body).await)
    }

    /// Sets what counts as the person's own choice, which overrides every session.
    pub async fn set_preferred_presence(&self, user: &str, state: (&str, &str), life: Duration) -> Result<(), Failure> {
        let body = State::new(state, life);
        self.write_presence(user, "setUserPreferredPresence", &body).await
    }

    /// Takes the person's own choice back, whoever made it; also succeeds when there is none.
    pub async fn clear_preferred_presence(&self, user: &str) -> Result<(), Failure> {
        gone(
            self.write_presence(user, "clearUserPreferredPresence", &Nothing {})
                .await,
        )
    }

    /// Graph wants the app's id here, which is why an app has one session for a person.
    fn session_id(&self) -> Result<&str, Failure> {
        let missing = "Writing presence needs the app's client id, also with a managed identity.";
        self.client_id().ok_or_else(|| Failure::of(Kind::Rejected, missing))
    }

    async fn write_presence(&self, user: &str, action: &str, body: &impl Serialize) -> Result<(), Failure> {
        let mut url = self.version_url()?;
        extend(&mut url, &["users", user, "presence", action]);
        let kind = (Operation::PresenceWrite, Lane::Presence);
        self.ask(kind, (Method::POST, &url), Some(body), self.now())
            .await
            .map(drop)
    }
}

/// What is not there needs no clearing.
fn gone(result: Result<(), Failure>) -> Result<(), Failure> {
    match result {
        Err(failure) if failure.kind == Kind::NotFound => Ok(()),
        result => result,
    }
}

/// Adds segments to a path, encoded.
pub(super) fn extend(url: &mut Url, segments: &[&str]) {
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
}

fn read(body: &[u8]) -> Result<Vec<Presence>, Failure> {
    let page: Page = serde_json::from_slice(body)
        .map_err(|_| Failure::of(Kind::Protocol, "Graph's answer about presence cannot be read."))?;
    // One odd entry must not hide the others.
    let items = page.value.into_iter().filter_map(|item| Item::deserialize(item).ok());
    Ok(items.map(Presence::from).collect())
}

/// A duration as Graph writes it: `PT15M`, `P1D`.
fn iso(life: Duration) -> String {
    const DAY: u64 = 86_400;
    match life.as_secs() {
        seconds if seconds > 0 && seconds % DAY == 0 => format!("P{}D", seconds / DAY),
        seconds if seconds % 60 == 0 => format!("PT{}M", seconds / 60),
        seconds => format!("PT{seconds}S"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::graph::Class;
    use crate::graph::testing::{Reply, Server};

    const CALL: (&str, &str) = ("Busy", "InACall");

    #[test]
    fn durations_are_written_as_graph_does() {
        for (seconds, text) in [
            (300, "PT5M"),
            (900, "PT15M"),
            (86_400, "P1D"),
            (604_800, "P7D"),
            (90, "PT90S"),
        ] {
            assert_eq!(iso(Duration::from_secs(seconds)), text);
        }
    }

    #[tokio::test]
    async fn reads_many_at_once_and_passes_over_what_is_odd() {
        let server = Server::start().await;
        server.then(Reply::new(
            200,
            &json!({"value": [
                {"id": "a", "availability": "Busy", "activity": "InACall", "sequenceNumber": "A001",
                 "outOfOfficeSettings": {"message": null, "isOutOfOffice": true}},
                {"id": "b", "availability": null, "activity": null, "outOfOfficeSettings": null},
                {"availability": "Away"}, 7,
            ]}),
        ));
        let (graph, _) = server.graph();
        let ids = ["a".to_owned(), "b".to_owned()];
        let read = graph.presences(&ids).await.unwrap();
        assert_eq!(read.len(), 2);
        assert_eq!((read[0].activity.as_str(), read[0].out_of_office), ("InACall", true));
        assert_eq!(read[0].sequence_number.as_deref(), Some("A001"));
        assert_eq!((read[1].availability.as_str(), read[1].out_of_office), ("", false));
        let asked = &server.asked()[1];
        assert_eq!(asked.line, "POST /v1.0/communications/getPresencesByUserId");
        assert_eq!(asked.body, json!({"ids": ["a", "b"]}));
    }

    #[tokio::test]
    async fn each_write_has_its_own_action_and_body() {
        let server = Server::start().await;
        for _ in 0..4 {
            server.then(Reply::raw(200, ""));
        }
        let (graph, _) = server.graph();
        graph.set_presence("u/1", CALL, Duration::from_mins(15)).await.unwrap();
        graph.clear_presence("u").await.unwrap();
        graph
            .set_preferred_presence("u", ("Away", "Away"), Duration::from_hours(168))
            .await
            .unwrap();
        graph.clear_preferred_presence("u").await.unwrap();
        let asked = server.asked();
        let asked: Vec<_> = asked[1..]
            .iter()
            .map(|asked| (asked.line.as_str(), &asked.body))
            .collect();
        let (set, clear) = (
            json!({"sessionId": "client", "availability": "Busy", "activity": "InACall", "expirationDuration": "PT15M"}),
            json!({"sessionId": "client"}),
        );
        let prefer = json!({"availability": "Away", "activity": "Away", "expirationDuration": "P7D"});
        assert_eq!(
            asked,
            [
                ("POST /v1.0/users/u%2F1/presence/setPresence", &set),
                ("POST /v1.0/users/u/presence/clearPresence", &clear),
                ("POST /v1.0/users/u/presence/setUserPreferredPresence", &prefer),
                ("POST /v1.0/users/u/presence/clearUserPreferredPresence", &json!({})),
            ]
        );
    }

    #[tokio::test]
    async fn what_is_not_there_is_cleared_and_what_is_refused_is_told() {
        let server = Server::start().await;
        server
            .then(Reply::error(404, "NotFound", "No presence session."))
            .then(Reply::error(404, "NotFound", "No such user."))
            .then(Reply::error(
                400,
                "InvalidArgument",
                "Availability and activity are no pair.",
            ));
        let (graph, _) = server.graph();
        graph.clear_presence("u").await.unwrap();
        let life = Duration::from_mins(15);
        assert_eq!(
            graph.set_presence("u", CALL, life).await.unwrap_err().kind,
            Kind::NotFound
        );
        let refused = graph.set_presence("u", ("Busy", "Busy"), life).await.unwrap_err();
        assert_eq!((refused.kind, refused.class), (Kind::Rejected, Class::Invalid));
    }

    /// Presence that is throttled must not hold back the renewal of subscriptions.
    #[tokio::test]
    async fn throttling_is_obeyed_and_holds_back_presence_alone() {
        let server = Server::start().await;
        let busy = Reply::error(429, "TooManyRequests", "Slow down.").header("retry-after", "120");
        server.then(busy).then(Reply::new(200, &json!({"value": []})));
        let (graph, _) = server.graph();
        let first = graph.clear_presence("u").await.unwrap_err();
        assert_eq!(first.class, Class::Throttled(Some(Duration::from_mins(2))));
        let asked = server.lines().len();
        let second = graph.presences(&["u".to_owned()]).await.unwrap_err();
        assert!(matches!(second.class, Class::Throttled(Some(rest)) if rest > Duration::from_secs(100)));
        assert_eq!(server.lines().len(), asked, "nothing was sent");
        graph.list(Duration::ZERO, Timestamp::MAX).await.unwrap();
    }
}
