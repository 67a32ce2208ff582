//! Requests to an XSP: their paths and bodies.

use std::fmt::Write;

use quick_xml::escape::escape;

/// Lifetime that is asked for channels and subscriptions, in seconds. The server may grant another.
pub(super) const EXPIRES: u64 = 3600;
/// What this program calls itself to the server.
const APPLICATION: &str = "teams-graph-operator";

/// Calls of users.
pub(super) const STANDARD_CALL: &str = "Standard Call";
/// Do not disturb.
pub(super) const DO_NOT_DISTURB: &str = "Do Not Disturb";

/// Path of the stream.
pub(super) const STREAM: &[&str] = &["com.broadsoft.async", "com.broadsoft.xsi-events", "v2.0", "channel"];
/// Path of acknowledgements.
pub(super) const ACK: &[&str] = &["com.broadsoft.xsi-events", "v2.0", "channel", "eventresponse"];

/// A path below Xsi-Events.
pub(super) fn events<'a>(rest: &[&'a str]) -> Vec<&'a str> {
    [&["com.broadsoft.xsi-events", "v2.0"], rest].concat()
}

/// A path of a user below Xsi-Actions.
pub(super) fn actions<'a>(user: &'a str, rest: &[&'a str]) -> Vec<&'a str> {
    [&["com.broadsoft.xsi-actions", "v2.0", "user", user], rest].concat()
}

/// Path of do not disturb of a user.
pub(super) fn do_not_disturb_of(user: &str) -> Vec<&str> {
    actions(user, &["services", "DoNotDisturb"])
}

/// Opens a channel of a set.
pub(super) fn channel(set: &str) -> String {
    let expires = EXPIRES.to_string();
    document(
        "Channel",
        &[
            ("channelSetId", set),
            ("priority", "1"),
            ("weight", "50"),
            ("expires", &expires),
            ("applicationId", APPLICATION),
        ],
    )
}

/// Subscribes to a package of events.
pub(super) fn subscription(set: &str, package: &str) -> String {
    let expires = EXPIRES.to_string();
    document(
        "Subscription",
        &[
            ("event", package),
            ("expires", &expires),
            ("channelSetId", set),
            ("applicationId", APPLICATION),
        ],
    )
}

/// Gives a `Channel` or a `Subscription` a new lifetime.
pub(super) fn refresh(what: &str) -> String {
    document(what, &[("expires", &EXPIRES.to_string())])
}

/// Acknowledges an event.
pub(super) fn ack(event: &str) -> String {
    document(
        "EventResponse",
        &[("eventID", event), ("statusCode", "200"), ("reason", "OK")],
    )
}

/// Switches do not disturb. The ring splash (a short ring for each call that is turned away) is the user's own choice, and is sent
/// as it was read.
pub(super) fn do_not_disturb(active: bool, ring_splash: Option<bool>) -> String {
    let ring_splash = ring_splash.map(|rings| ("ringSplash", word(rings)));
    let fields: Vec<_> = std::iter::once(("active", word(active))).chain(ring_splash).collect();
    document("DoNotDisturb", &fields)
}

fn word(flag: bool) -> &'static str {
    if flag { "true" } else { "false" }
}

fn document(name: &str, fields: &[(&str, &str)]) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>");
    // Writing to a String does not fail.
    let _ = write!(text, "<{name} xmlns=\"http://schema.broadsoft.com/xsi\">");
    for (field, value) in fields {
        let _ = write!(text, "<{field}>{}</{field}>", escape(*value));
    }
    let _ = write!(text, "</{name}>");
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::element;
    use super::*;

    #[test]
    fn bodies_are_as_the_server_reads_them() {
        let expected = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><DoNotDisturb xmlns=\"http://schema.broadsoft.com/xsi\">\
                        <active>false</active><ringSplash>true</ringSplash></DoNotDisturb>";
        assert_eq!(do_not_disturb(false, Some(true)), expected);
        assert!(!do_not_disturb(true, None).contains("ringSplash"));
        let channel = element::document(channel("set-1").as_bytes()).unwrap();
        assert_eq!(channel.text_of("channelSetId"), Some("set-1"));
        assert_eq!(channel.text_of("expires"), Some("3600"));
    }

    proptest! {
        #[test]
        fn any_printable_text_survives(id in "[^\\s\\p{C}]{1,20}") {
            let read = element::document(ack(&id).as_bytes()).unwrap();
            prop_assert_eq!(read.text_of("eventID"), Some(id.as_str()));
        }
    }
}
