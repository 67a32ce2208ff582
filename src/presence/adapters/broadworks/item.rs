//! What an events channel carries.

use super::element::Element;
use crate::policy::presence::pbx::Line;

/// More calls than a user has.
const MOST_CALLS: usize = 256;

/// What the conference that a user leads is called among the calls, which all have longer names.
pub(super) const CONFERENCE: &str = "";

/// One document of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// The channel stands. `expires` in seconds, as granted.
    Channel { id: String, expires: Option<u64> },
    /// The server lives.
    HeartBeat,
    /// The server ends the channel. Not acknowledged.
    Terminated,
    /// Something happened.
    Event(Event),
    /// Nothing that is known here.
    Other,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    /// What it is acknowledged by.
    pub(super) id: Option<String>,
    /// Whom it concerns.
    pub(super) user: String,
    /// The subscription that it belongs to.
    pub(super) subscription: String,
    /// Its place among the events of the subscription.
    pub(super) number: Option<u64>,
    pub(super) news: News,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// All calls that the user has.
    Calls(Vec<(String, Option<Line>)>),
    /// A call exists, or changed; `None`: in a way that says nothing about the line.
    Call(String, Option<Line>),
    /// A call is over.
    Released(String),
    /// The user has no call.
    OnHook,
    /// Do not disturb was switched.
    DoNotDisturb(bool),
    /// The subscription is over.
    Unsubscribed,
    /// Nothing that concerns presence.
    Other,
}

impl Item {
    pub(super) fn of(element: &Element) -> Self {
        match element.name.as_str() {
            "Channel" => match element.text_of("channelId") {
                Some(id) => Self::Channel {
                    id: id.to_owned(),
                    expires: element.text_of("expires").and_then(|text| text.parse().ok()),
                },
                None => Self::Other,
            },
            "ChannelHeartBeat" => Self::HeartBeat,
            "Event" if element.kind.as_deref() == Some("ChannelTerminatedEvent") => Self::Terminated,
            "Event" => Self::Event(event(element)),
            _ => Self::Other,
        }
    }
}

fn event(element: &Element) -> Event {
    let text = |name| element.text_of(name).unwrap_or_default().to_owned();
    // `userId` is who subscribed where the subscription is of a service provider.
    let user = element.text_of("targetId").or(element.text_of("userId"));
    Event {
        id: element.text_of("eventID").map(str::to_owned),
        user: user.unwrap_or_default().to_owned(),
        subscription: text("subscriptionId"),
        number: element.text_of("sequenceNumber").and_then(|text| text.parse().ok()),
        news: news(element),
    }
}

fn news(element: &Element) -> News {
    if element.kind.as_deref() == Some("SubscriptionTerminatedEvent") {
        return News::Unsubscribed;
    }
    let Some(data) = element.child("eventData") else {
        return News::Other;
    };
    let kind = data.kind.as_deref().unwrap_or_default();
    match kind {
        "CallSubscriptionEvent" => News::Calls(calls(data)),
        "DoNotDisturbEvent" => data.flag("active").map_or(News::Other, News::DoNotDisturb),
        "HookStatusEvent" if data.text_of("hookStatus") == Some("On-Hook") => News::OnHook,
        _ => match data
            .child("call")
            .and_then(|call| call.text_of("callId").zip(Some(call)))
        {
            Some((id, _)) if kind == "CallReleasedEvent" => News::Released(id.to_owned()),
            Some((id, call)) => match call.text_of("state") {
                Some("Released") => News::Released(id.to_owned()),
                state => News::Call(id.to_owned(), state.and_then(line).or_else(|| by_kind(kind))),
            },
            None => data.child("conference").and_then(conference).unwrap_or(News::Other),
        },
    }
}

/// All calls of a list, by event or by query. A query tells no states.
pub(super) fn calls(element: &Element) -> Vec<(String, Option<Line>)> {
    let list = element.child("calls").unwrap_or(element);
    let calls = list
        .children
        .iter()
        .filter(|child| child.name == "call")
        .filter_map(|call| {
            let id = call.text_of("callId")?.to_owned();
            match call.text_of("state") {
                Some(state) => line(state).map(|line| (id, Some(line))),
                None => Some((id, None)),
            }
        });
    let conference = element.child("conference").and_then(conference);
    let conference = conference.and_then(|news| match news {
        News::Call(id, line) => Some((id, line)),
        _ => None,
    });
    conference.into_iter().chain(calls.take(MOST_CALLS)).collect()
}

/// A conference that the user leads. Its other members have a call.
fn conference(element: &Element) -> Option<News> {
    match element.text_of("state")? {
        "Active" | "Held" => Some(News::Call(CONFERENCE.to_owned(), Some(Line::Conference))),
        "Released" => Some(News::Released(CONFERENCE.to_owned())),
        _ => None,
    }
}

/// What the state of a call says about the line; `None`: the call is over, or the state is not known here.
fn line(state: &str) -> Option<Line> {
    match state {
        "Alerting" | "Client Alerting" => Some(Line::Ringing),
        "Active" | "Held" | "Remote Held" => Some(Line::Connected),
        _ => None,
    }
}

fn by_kind(kind: &str) -> Option<Line> {
    match kind {
        "CallOriginatedEvent" | "CallReceivedEvent" | "CallOriginatingEvent" => Some(Line::Ringing),
        "CallAnsweredEvent" | "CallHeldEvent" | "CallRetrievedEvent" => Some(Line::Connected),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::element::document;
    use super::*;

    fn item(kind: &str, data: &str) -> Item {
        let text = format!(
            "<xsi:Event xsi1:type=\"xsi:{kind}\"><xsi:eventID>e1</xsi:eventID><xsi:sequenceNumber>3</xsi:sequenceNumber>\
             <xsi:userId>admin</xsi:userId><xsi:subscriptionId>s1</xsi:subscriptionId><xsi:targetId>ann@x</xsi:targetId>{data}\
             </xsi:Event>"
        );
        Item::of(&document(text.as_bytes()).unwrap())
    }

    fn news(kind: &str, data: &str) -> News {
        let data = format!("<xsi:eventData xsi1:type=\"xsi:{kind}\">{data}</xsi:eventData>");
        let Item::Event(event) = item("SubscriptionEvent", &data) else {
            panic!("no event")
        };
        assert_eq!((event.id.as_deref(), event.number), (Some("e1"), Some(3)));
        assert_eq!((event.user.as_str(), event.subscription.as_str()), ("ann@x", "s1"));
        event.news
    }

    fn call(state: &str) -> String {
        format!("<xsi:call><xsi:callId>c1</xsi:callId><xsi:state>{state}</xsi:state></xsi:call>")
    }

    #[test]
    fn events_are_told_apart() {
        let c1 = || "c1".to_owned();
        let conference = |state: &str| format!("<xsi:conference><xsi:state>{state}</xsi:state></xsi:conference>");
        let focus = || (CONFERENCE.to_owned(), Some(Line::Conference));
        let cases = [
            (
                "CallOriginatedEvent",
                call("Alerting"),
                News::Call(c1(), Some(Line::Ringing)),
            ),
            (
                "CallReceivedEvent",
                call("Alerting"),
                News::Call(c1(), Some(Line::Ringing)),
            ),
            (
                "CallAnsweredEvent",
                call("Active"),
                News::Call(c1(), Some(Line::Connected)),
            ),
            ("CallHeldEvent", call("Held"), News::Call(c1(), Some(Line::Connected))),
            ("CallUpdatedEvent", call("Strange"), News::Call(c1(), None)),
            (
                "CallAnsweredEvent",
                call("Strange"),
                News::Call(c1(), Some(Line::Connected)),
            ),
            ("CallUpdatedEvent", call("Released"), News::Released(c1())),
            ("CallReleasedEvent", call("Active"), News::Released(c1())),
            ("CallReleasedEvent", String::new(), News::Other),
            (
                "HookStatusEvent",
                "<hookStatus>On-Hook</hookStatus>".to_owned(),
                News::OnHook,
            ),
            (
                "HookStatusEvent",
                "<hookStatus>Off-Hook</hookStatus>".to_owned(),
                News::Other,
            ),
            (
                "DoNotDisturbEvent",
                "<active>true</active>".to_owned(),
                News::DoNotDisturb(true),
            ),
            ("DoNotDisturbEvent", "<active>maybe</active>".to_owned(), News::Other),
            ("RemoteOfficeEvent", "<active>true</active>".to_owned(), News::Other),
            (
                "CallSubscriptionEvent",
                "<hookStatus>On-Hook</hookStatus>".to_owned(),
                News::Calls(vec![]),
            ),
            (
                "CallSubscriptionEvent",
                format!("<calls>{}</calls>", call("Remote Held")),
                News::Calls(vec![(c1(), Some(Line::Connected))]),
            ),
            (
                "CallSubscriptionEvent",
                format!("<calls>{}</calls>{}", call("Active"), conference("Held")),
                News::Calls(vec![focus(), (c1(), Some(Line::Connected))]),
            ),
            ("CallSubscriptionEvent", conference("Released"), News::Calls(vec![])),
            (
                "ConferenceUpdatedEvent",
                conference("Active"),
                News::Call(focus().0, focus().1),
            ),
            (
                "ConferenceReleasedEvent",
                conference("Released"),
                News::Released(focus().0),
            ),
            ("ConferenceUpdatedEvent", conference("Strange"), News::Other),
        ];
        for (kind, data, expected) in cases {
            assert_eq!(news(kind, &data), expected, "{kind} {data}");
        }
        let Item::Event(over) = item("SubscriptionTerminatedEvent", "") else {
            panic!("no event")
        };
        assert_eq!(over.news, News::Unsubscribed);
        assert_eq!(item("ChannelTerminatedEvent", ""), Item::Terminated);
    }

    #[test]
    fn a_channel_has_a_name() {
        let of = |text: &str| Item::of(&document(text.as_bytes()).unwrap());
        let id = "c".to_owned();
        let channel = of("<Channel><channelId>c</channelId><expires>86400</expires></Channel>");
        assert_eq!(
            channel,
            Item::Channel {
                id,
                expires: Some(86400)
            }
        );
        assert_eq!(of("<Channel/>"), Item::Other);
        assert_eq!(of("<ChannelHeartBeat/>"), Item::HeartBeat);
    }
}
