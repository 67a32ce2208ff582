//! Calls of two connectors, and a support log that tells of both.

use super::*;

fn second(at: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + at).unwrap()
}

/// Calls that failed, each with its connector, its id and the second at which it ended. Those without a connector went elsewhere.
fn feed(calls: &[(&str, &str, i64)]) -> Feed {
    let mut feed = Feed::default();
    for (connector, id, at) in calls {
        feed.seen.insert((*id).to_owned(), second(*at));
        if connector.is_empty() {
            continue;
        }
        feed.last += 1;
        feed.calls.push_back(Call {
            number: feed.last,
            connector: (*connector).into(),
            known: Known {
                record: CallRecord {
                    ended: second(*at),
                    end: CallEnd::DialOutFailed,
                    digits: Some(9),
                },
                ids: [Some((*id).into()), Some(format!("sip-{id}").into())],
            },
        });
    }
    feed
}

fn logged(lines: &[(Option<&str>, i64)]) -> Vec<Logged> {
    let line = |(number, (call, at)): (u64, &(Option<&str>, i64))| Logged {
        number,
        at: second(*at),
        call: call.map(Into::into),
        end: CallEnd::Unauthorized,
    };
    (1..).zip(lines).map(line).collect()
}

fn explained(feed: &Feed, connector: &str, lines: &[(Option<&str>, i64)], now: i64) -> Vec<CallEnd> {
    let ended = feed.explained(connector, logged(lines), second(now), false);
    ended.records().into_iter().map(|call| call.end).collect()
}

#[test]
fn the_errors_of_one_connector_are_not_told_of_another() {
    use CallEnd::{DialOutFailed, Unauthorized};
    let both = feed(&[("eu", "a", 100), ("us", "b", 101), ("", "c", 100)]);
    let lines = [(Some("b"), 100), (Some("c"), 100)];
    assert_eq!(explained(&both, "eu", &lines, 900), [DialOutFailed]);
    assert_eq!(explained(&both, "us", &lines, 900), [Unauthorized]);
    let lines = [(Some("sip-b"), 100)];
    assert_eq!(explained(&both, "eu", &lines, 900), [DialOutFailed]);
    // Without an id, the nearest call of all has it.
    let lines = [(None, 102)];
    assert_eq!(explained(&both, "eu", &lines, 900), [DialOutFailed]);
    assert_eq!(explained(&both, "us", &lines, 900), [Unauthorized]);
}

#[test]
fn a_line_waits_until_the_history_has_its_call() {
    use CallEnd::{DialOutFailed, Unauthorized};
    let lines = [(Some("b"), 100)];
    // The call of the other connector is not in the history yet.
    let one = feed(&[("eu", "a", 100)]);
    assert_eq!(explained(&one, "eu", &lines, 105), [DialOutFailed]);
    let both = feed(&[("eu", "a", 100), ("us", "b", 101)]);
    assert_eq!(explained(&both, "eu", &lines, 300), [DialOutFailed]);
    assert_eq!(explained(&both, "us", &lines, 105), [Unauthorized]);
    // It never came: the log has other ids.
    assert_eq!(explained(&one, "eu", &lines, 300), [Unauthorized]);
}

#[test]
fn failures_of_the_log_alone_are_told_of_once() {
    let none = feed(&[]);
    let lines = logged(&[(Some("x"), 0), (None, 10)]);
    let at = |now| none.explained("eu", lines.clone(), second(now), true);
    assert_eq!(at(115).others_after(0), (Vec::new(), 0), "they wait");
    let (first, number) = at(125).others_after(0);
    assert_eq!((first.len(), number), (1, 1));
    let (later, number) = at(135).others_after(number);
    assert_eq!((later.len(), number), (1, 2));
    assert_eq!(at(600).others_after(number), (Vec::new(), 2));
    let several = none.explained("eu", lines.clone(), second(600), false);
    assert_eq!(several.others_after(0).0, [], "it may be any connector's");
}

#[test]
fn tries_of_one_call_count_once_though_the_first_is_forgotten() {
    let none = feed(&[]);
    let lines = logged(&[(Some("x"), 0), (Some("x"), 10)]);
    let (told, number) = none.explained("eu", lines.clone(), second(600), true).others_after(0);
    assert_eq!((told.len(), number), (1, 2));
    let later = none.explained("eu", lines[1..].to_vec(), second(1205), true);
    assert_eq!(later.others_after(number).0, []);
}
