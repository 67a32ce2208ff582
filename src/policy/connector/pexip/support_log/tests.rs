use proptest::prelude::*;

use super::*;

const TIMES: &str = "2026-11-27T09:00:00.123456+00:00 edge01 2026-11-27 09:00:00,123";
const FAILED: &str = r#"Level="ERROR" Name="support.teams" Message="Teams API request failed""#;

fn line(pairs: &str) -> Line {
    read(format!("{TIMES} {pairs}").as_bytes())
}

fn failure(call: Option<&str>, end: CallEnd) -> Line {
    Line::Failure(ApiFailure {
        node: "edge01".into(),
        call: call.map(str::to_owned),
        end,
    })
}

#[test]
fn a_request_that_failed_is_seen_with_its_error_and_its_call() {
    for (error, end) in [("401", CallEnd::Unauthorized), ("500", CallEnd::ServerError)] {
        let found = line(&format!(
            r#"{FAILED} Participant="Ann" Call-Id="c-1" Error="{error}" Detail="x""#
        ));
        assert_eq!(found, failure(Some("c-1"), end));
    }
    assert_eq!(
        line(&format!(r#"{FAILED} call-id="c" Retry=3 ERROR="401""#)),
        failure(Some("c"), CallEnd::Unauthorized)
    );
    assert_eq!(
        line(r#"Name="support.teams.api" Message="Teams API request failed: token" Error="401""#),
        failure(None, CallEnd::Unauthorized)
    );
}

#[test]
fn other_lines_do_not_count() {
    for pairs in [
        r#"Level="INFO" Name="support.participant" Message="Participant has joined." Call-Id="c""#,
        r#"Name="support.teams" Message="Teams API request succeeded" Error="401""#,
        r#"Name="support.teams" Message="Teams API request failed" Error="404""#,
        r#"Name="support.teams" Message="Teams API request failed""#,
        r#"Name="support.dns" Message="Teams API request failed" Error="401""#,
        r#"Message="Teams API request failed" Error="401""#,
    ] {
        assert_eq!(line(pairs), Line::Other, "{pairs}");
    }
}

/// Hard input 16.
#[test]
fn what_a_caller_calls_himself_does_not_count() {
    let joined = r#"Level="INFO" Name="support.participant" Message="Participant has joined.""#;
    for named in [
        r#"Participant="Error=\"401\"""#,
        r#"Participant="x\" Name=\"support.teams\" Message=\"Teams API request failed\" Error=\"401""#,
        r#"Participant="Name=support.teams Message=Teams API request failed Error=401""#,
        r#"Participant="ends with a backslash \\" Alias="Error=\"401\"""#,
    ] {
        assert_eq!(line(&format!("{joined} {named}")), Line::Other, "{named}");
    }
    // In a line that counts, the error is the one under its key.
    let quoted = format!(r#"{FAILED} Participant="Error=\"401\"" Error="500" Call-Id="c""#);
    assert_eq!(line(&quoted), failure(Some("c"), CallEnd::ServerError));
    // Where quotes are not escaped, nothing is known.
    for broken in [
        r#"Participant="Bob" Error="401"""#,
        r#"Participant="Bob"Error="401""#,
        r#"Participant="Bob" said Error="401""#,
        r#"Error="500" Participant="Bob" Error="401""#,
        r#"Error="401"#,
    ] {
        assert_eq!(line(&format!("{FAILED} {broken}")), Line::Unreadable, "{broken}");
    }
}

#[test]
fn line_breaks_within_values_are_part_of_them() {
    let found = line(&format!(
        r#"{FAILED} Response="HTTP/1.1 401^M^MDate: \"now\"^M" Call-Id="c" Error="401""#
    ));
    assert_eq!(found, failure(Some("c"), CallEnd::Unauthorized));
    let found = read(format!("{TIMES} {FAILED} Response=\"a\r\nb\" Error=\"500\"\r\n").as_bytes());
    assert_eq!(found, failure(None, CallEnd::ServerError));
}

#[test]
fn headers_of_syslog_may_stand_in_front() {
    let pairs = format!(r#"{FAILED} Call-Id="c" Error="401""#);
    for header in [
        TIMES,
        "<134>Nov 27 09:00:00 edge01 2026-11-27 09:00:00,123",
        "<134>Nov  7 09:00:00 edge01 pexip:",
        "<134>1 2026-11-27T09:00:00.003Z EDGE01 pexip 812 ID47 - \u{feff}",
        "<134>1 2026-11-27T09:00:00Z edge01 - - - [timeQuality tzKnown=\"1\" isSynced=\"]\"][x@1 a=\"\\\"\"]",
        // As logger(1) writes.
        "<131>1 2026-11-27T09:00:00.430674+00:00 edge01 pexip - - [timeQuality tzKnown=\"1\" isSynced=\"0\"] 2026-11-27 09:00:00,123",
        "<131>1 2026-11-27T09:00:00.432271+00:00 edge01 pexip - - - 2026-11-27 09:00:00,123",
        "<131>Nov 27 09:00:00 edge01 pexip: 2026-11-27 09:00:00,123",
        "<134>Nov 27 09:00:00 relay 2026-11-27T09:00:00.123+00:00 edge01 2026-11-27 09:00:00,123",
        "<134>1 2026-11-27T09:00:00Z relay pexip - - - 2026-11-27T09:00:00.123+00:00 edge01 2026-11-27 09:00:00,123",
    ] {
        let found = read(format!("{header} {pairs}").as_bytes());
        assert_eq!(found, failure(Some("c"), CallEnd::Unauthorized), "{header}");
    }
    for header in ["", "<134>", "<134>1 - - - - -", "edge01"] {
        let found = read(format!("{header} {pairs}").as_bytes());
        assert_eq!(found, Line::Unreadable, "nobody wrote it: {header}");
    }
}

#[test]
fn what_is_no_support_log_is_unreadable() {
    for text in [
        "",
        "hello",
        "<134>Nov 27 09:00:00 edge01 sshd[1]: session opened",
        "<",
        "[",
        "[x y=\"",
        "\u{feff}",
    ] {
        assert_eq!(read(text.as_bytes()), Line::Unreadable, "{text}");
    }
    assert_eq!(read(b"\xff\xfe\x00 =\"\""), Line::Unreadable);
    let long = "n".repeat(300);
    let found = read(format!(r#"2026-11-27T09:00:00Z {long} {FAILED} Error="401""#).as_bytes());
    assert_eq!(found, Line::Unreadable);
    let found = line(&format!(r#"{FAILED} Call-Id="{}" Error="401""#, "c".repeat(300)));
    assert_eq!(found, failure(None, CallEnd::Unauthorized), "such an id joins nothing");
}

proptest! {
    #[test]
    fn any_bytes_are_read_to_an_end(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        read(&bytes);
    }

    #[test]
    fn anything_like_a_line_is_read_to_an_end(parts in prop::collection::vec(prop::sample::select(vec![
        "Name=\"", "support.teams", "\" ", "Message=\"Teams API request failed\" ", "Error=\"401\"", " ", "\\", "\"", "=", "<13>", "[", "]",
        "2026-11-27T09:00:00Z ", "é", "^M", "\u{feff}", "edge01 ",
    ]), 0..40)) {
        read(parts.concat().as_bytes());
    }

    /// Whatever is written into a value, escaped as it has to be, changes nothing.
    #[test]
    fn no_value_adds_a_key(name in ".{0,60}", error in prop::sample::select(vec!["401", "500"])) {
        let escaped = name.replace('\\', "\\\\").replace('"', "\\\"");
        let joined = format!(r#"Name="support.participant" Message="Participant has joined." Participant="{escaped}""#);
        prop_assert_eq!(line(&joined), Line::Other);
        let end = if error == "401" { CallEnd::Unauthorized } else { CallEnd::ServerError };
        let failed = format!(r#"{FAILED} Participant="{escaped}" Error="{error}""#);
        prop_assert_eq!(line(&failed), failure(None, end));
    }
}
