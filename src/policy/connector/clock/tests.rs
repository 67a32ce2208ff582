use super::*;
use crate::policy::connector::Outcome;

const SENT: &str = "2026-11-22T17:57:10Z";

fn sample(source: &str, skew: i64, error: i64) -> ClockSample {
    ClockSample {
        source: source.to_owned(),
        skew: SignedDuration::from_secs(skew),
        error: SignedDuration::from_secs(error),
    }
}

/// Samples of one second's error, by name and skew.
fn samples(skews: &[(&str, i64)]) -> Vec<ClockSample> {
    skews.iter().map(|(source, skew)| sample(source, *skew, 1)).collect()
}

/// Sources with their skew, and how bad that is.
type Case = (&'static [(&'static str, i64)], Option<Severity>);

#[test]
fn the_local_clock_is_judged_by_the_median() {
    use Severity::{Critical, Warning};
    let limits = ClockLimits::default();
    let cases: &[Case] = &[
        (&[("a", 0)], None),
        (&[("a", 30)], None), // the error may be all of it
        (&[("a", 31)], Some(Warning)),
        (&[("a", -31)], Some(Warning)),
        (&[("a", 121)], Some(Critical)),
        (&[("a", 40), ("b", 41), ("c", 42)], Some(Warning)),
        // One that lies is outvoted, whichever way it lies.
        (&[("a", 0), ("b", 86_400), ("c", 1)], None),
        (&[("a", 200), ("b", 0), ("c", 201)], Some(Critical)),
        // Of two, the one that agrees with the local clock is believed.
        (&[("a", 0), ("b", 300)], None),
        (&[("a", 300), ("b", 301)], Some(Critical)),
        (&[("a", 300), ("b", -60)], Some(Warning)),
        (&[("a", 0), ("b", 0), ("c", 300), ("d", 300)], None),
    ];
    for (skews, expected) in cases {
        let findings = judge(&limits, &samples(skews));
        let found = match findings[0].outcome {
            Outcome::Fail(severity, Reason::SkewTooLarge) => Some(severity),
            Outcome::Pass => None,
            other => panic!("{skews:?}: {other:?}"),
        };
        assert_eq!(found, *expected, "{skews:?}");
        assert_eq!(findings[0].subject, "");
    }
}

#[test]
fn without_a_sample_nothing_is_known() {
    let findings = judge(&ClockLimits::default(), &[]);
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].outcome, Outcome::Unknown(Reason::NoSamples));
}

/// Hard input 17: one lying source is named, and condemns nobody else.
#[test]
fn a_source_that_lies_is_named() {
    let all = samples(&[("connector", 0), ("graph", 1), ("manager", -400)]);
    let findings = judge(&ClockLimits::default(), &all);
    assert_eq!(findings[0].outcome, Outcome::Pass);
    assert_eq!(findings.len(), 2);
    assert_eq!(findings[1].subject, "manager");
    let expected = Outcome::Fail(Severity::Info, Reason::SkewTooLarge);
    assert_eq!(findings[1].outcome, expected);
    assert!(
        findings[1].message.contains("The clock of manager"),
        "{}",
        findings[1].message
    );
}

#[test]
fn the_sentence_says_which_way_and_keeps_the_number_out() {
    for (skew, direction) in [(300, "is behind that of graph"), (-300, "is ahead of that of graph")] {
        let findings = judge(&ClockLimits::default(), &[sample("graph", skew, 1)]);
        let message = &findings[0].message;
        assert!(message.contains(direction), "{message}");
        assert!(
            message.contains("more than 2m") && !message.contains("300"),
            "{message}"
        );
    }
}

#[test]
fn the_best_sample_of_a_source_counts() {
    let all = [
        sample("graph", 300, 290),
        sample("graph", 2, 1),
        sample("graph", 200, 190),
    ];
    assert_eq!(judge(&ClockLimits::default(), &all).len(), 1);
    assert_eq!(best(&all), [&all[1]]);
}

fn answer(date: &str, millis: i64) -> DatedAnswer<'_> {
    let sent: Timestamp = SENT.parse().unwrap();
    let elapsed = SignedDuration::from_millis(millis);
    DatedAnswer {
        date,
        cached: false,
        sent,
        arrived: sent + elapsed,
        elapsed,
    }
}

#[test]
fn an_answer_is_compared_with_the_middle_of_its_request() {
    let answer = answer("Sun, 22 Nov 2026 17:57:15 GMT", 4000);
    let expected = ClockSample {
        source: "graph".to_owned(),
        skew: SignedDuration::from_millis(3500),
        error: SignedDuration::from_millis(2500),
    };
    assert_eq!(ClockSample::of("graph", &answer), Some(expected));
}

/// Hard input 17: what a cache answers, and what comes while the local clock is set, tells nothing.
#[test]
fn caches_jumps_and_odd_dates_are_no_samples() {
    let right = "Sun, 22 Nov 2026 17:57:10 GMT";
    assert!(ClockSample::of("x", &answer(right, 100)).is_some());
    let cached = DatedAnswer {
        cached: true,
        ..answer(right, 100)
    };
    assert_eq!(ClockSample::of("x", &cached), None);
    for jump in [-3600, -2, 2, 3600] {
        let mut jumped = answer(right, 100);
        jumped.arrived += SignedDuration::from_secs(jump);
        assert_eq!(ClockSample::of("x", &jumped), None, "{jump}");
    }
    for odd in [
        "",
        "now",
        "Sun, 22 Nov 2026 17:57:10 UTC",
        "Sun, 22 Nov 2026 17:57:10 +0000",
        "Sun, 2 Nov 2026 17:57:10 GMT",
        "Sunday, 22-Nov-26 17:57:10 GMT",
        "2026-11-22T17:57:10Z",
        "Sun, 22 Nov 2026 25:57:10 GMT",
    ] {
        assert_eq!(ClockSample::of("x", &answer(odd, 100)), None, "{odd}");
    }
}
