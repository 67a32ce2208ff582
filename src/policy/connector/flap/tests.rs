use std::time::Duration;

use proptest::prelude::*;

use super::*;

const TYPE: ConditionType = ConditionType::EndpointReachable;

fn at(look: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + look * 60).unwrap()
}

/// The moment of a look, while the local clock is ahead by so many minutes.
fn moment(look: u64, ahead: i64) -> Moment {
    Moment {
        now: at(look.cast_signed() + ahead),
        elapsed: Duration::from_secs(look * 60),
    }
}

fn limits(failures: u32, successes: u32) -> Limits {
    Limits {
        failures,
        successes,
        stale_after: SignedDuration::from_secs(180),
        settles: None,
    }
}

/// `+` passed, `-` failed, `?` could not judge, `.` was not looked at.
fn found(look: char) -> Option<Judged> {
    let (truth, reason) = match look {
        '+' => (Truth::True, Reason::Succeeded),
        '-' => (Truth::False, Reason::ConnectTimeout),
        '?' => (Truth::Unknown, Reason::ApiUnreachable),
        _ => return None,
    };
    Some(Judged {
        verdict: Verdict::new(TYPE, truth, reason, "m"),
        severity: (truth == Truth::False).then_some(Severity::Warning),
    })
}

struct Story {
    track: Track,
    before: Option<Verdict>,
    look: u64,
    /// Minutes by which the local clock is ahead.
    ahead: i64,
}

impl Story {
    fn new(before: Option<char>) -> Self {
        Self {
            track: Track::default(),
            before: before.and_then(found).map(|judged| judged.verdict),
            look: 0,
            ahead: 0,
        }
    }

    fn look(&mut self, look: char, limits: &Limits) -> Judged {
        let judged = settle(
            TYPE,
            &mut self.track,
            self.before.as_ref(),
            found(look),
            limits,
            moment(self.look, self.ahead),
        );
        self.look += 1;
        self.before = Some(judged.verdict.clone());
        judged
    }

    /// The truths after each of the looks: `+` true, `-` false, `s` settling, `?` unknown.
    fn tell(&mut self, looks: &str, limits: &Limits) -> String {
        looks
            .chars()
            .map(|look| {
                let judged = self.look(look, limits);
                match (judged.verdict.truth, judged.verdict.reason) {
                    (Truth::True, _) => '+',
                    (Truth::False, _) => '-',
                    (Truth::Unknown, Reason::Settling) => 's',
                    (Truth::Unknown, Reason::StaleEvidence) => 'o',
                    (Truth::Unknown, _) => '?',
                }
            })
            .collect()
    }
}

#[test]
fn a_condition_follows_rows_of_looks() {
    let cases = [
        // looks, what is told
        ("first looks", None, "+++", "+++"),
        ("first looks that fail", None, "----", "ss--"),
        ("one failure is none", Some('+'), "+-+-++", "++++++"),
        ("three are", Some('+'), "+---", "+++-"),
        ("one success is none", Some('-'), "-+-", "---"),
        ("two are", Some('-'), "-++", "--+"),
        ("a new controller believes the status", Some('-'), "-", "-"),
        (
            "a new controller believes the status, and needs two successes",
            Some('-'),
            "++",
            "-+",
        ),
        ("unknown at first", None, "??+", "??+"),
        (
            "what cannot be judged changes nothing for three intervals",
            Some('+'),
            "+??+?",
            "+++++",
        ),
        ("and then it does", Some('+'), "+????", "+++??"),
        ("a fault holds as long", Some('-'), "-????", "---??"),
        (
            "failures count across what could not be judged",
            Some('+'),
            "+-?-?-",
            "+++++-",
        ),
        ("nothing looks", Some('+'), "+...", "+++o"),
        ("nothing ever looked", None, "..", "??"),
        ("by turns is failing", Some('+'), "+-+-+-+-", "+++++---"),
        ("by turns stays failing", Some('+'), "+-+-+-++-++-+", "+++++--------"),
        ("and ends when it is steady", Some('+'), "+-+-+-++++++", "+++++----+++"),
    ];
    for (name, before, looks, expected) in cases {
        assert_eq!(
            Story::new(before).tell(looks, &limits(3, 2)),
            expected,
            "{name}: {looks}"
        );
    }
    assert_eq!(Story::new(None).tell("-+-", &limits(1, 1)), "-+-");
}

#[test]
fn in_the_grace_period_nothing_turns_false() {
    let limits = Limits {
        settles: Some(at(4)),
        ..limits(2, 1)
    };
    assert_eq!(Story::new(None).tell("-----+", &limits), "ssss-+");
    // The last look is after it, and by then passing and failing by turns is told.
    assert_eq!(Story::new(None).tell("+--+-", &limits), "++s+-");
    // A fault that was told before the spec gave it longer stays.
    assert_eq!(Story::new(Some('-')).tell("-", &limits), "-");
}

#[test]
fn what_the_spec_says_needs_no_second_look() {
    let found = Judged {
        verdict: Verdict::new(ConditionType::InputsValid, false, Reason::HostBitsSet, "m"),
        severity: Some(Severity::Warning),
    };
    let limits = Limits {
        settles: Some(at(10)),
        ..limits(3, 2)
    };
    let told = settle(
        ConditionType::InputsValid,
        &mut Track::default(),
        None,
        Some(found.clone()),
        &limits,
        moment(0, 0),
    );
    assert_eq!(told, found);
}

#[test]
fn a_status_of_long_ago_is_not_believed_by_a_new_controller() {
    let before = found('+').map(|judged| judged.verdict);
    for (judged, look, expected) in [
        (Some(at(-2)), '?', Truth::True),
        (Some(at(-3)), '?', Truth::Unknown),
        (None, '?', Truth::Unknown),
        (None, '-', Truth::True),
    ] {
        let now = moment(0, 0);
        let mut track = Track::resumed(judged, now);
        let told = settle(TYPE, &mut track, before.as_ref(), found(look), &limits(3, 2), now);
        assert_eq!(told.verdict.truth, expected, "{judged:?} {look}");
    }
}

/// Hard input 17: a local clock that is set makes no judgement older or younger.
#[test]
fn a_local_clock_that_is_set_does_not_count() {
    for ahead in [-1440, -5, 5, 1440] {
        let mut story = Story::new(Some('+'));
        story.tell("+", &limits(3, 2));
        story.ahead = ahead;
        assert_eq!(story.tell("????", &limits(3, 2)), "++??", "{ahead}");
    }
}

/// Hard input 17: the calendar counts once, where a new controller goes on from a status, and the future is now.
#[test]
fn after_a_restart_the_calendar_counts_once() {
    for (judged, expected) in [
        (at(-2), "+???"),
        (at(0), "+++?"),
        (at(1440), "+++?"),
        (at(-1440), "????"),
    ] {
        for ahead in [-1440, 0, 1440] {
            let mut story = Story::new(Some('+'));
            story.track = Track::resumed(Some(judged), moment(0, 0));
            let first = story.tell("?", &limits(3, 2));
            story.ahead = ahead;
            let told = first + &story.tell("???", &limits(3, 2));
            assert_eq!(told, expected, "{judged} {ahead}");
        }
    }
}

#[test]
fn the_newest_fault_is_told_and_its_weight_is_kept() {
    let limits = limits(1, 2);
    let mut story = Story::new(None);
    assert_eq!(story.look('-', &limits).severity, Some(Severity::Warning));
    let held = story.look('+', &limits);
    assert_eq!(
        (held.verdict.reason, held.severity),
        (Reason::ConnectTimeout, Some(Severity::Warning))
    );
    let other = Judged {
        verdict: Verdict::new(TYPE, false, Reason::DnsNotFound, "other"),
        severity: Some(Severity::Critical),
    };
    let told = settle(
        TYPE,
        &mut story.track,
        story.before.as_ref(),
        Some(other.clone()),
        &limits,
        moment(2, 0),
    );
    assert_eq!(told, other);
}

proptest! {
    /// However looks go: a row of failures long enough is told, a row of successes that is long and steady too, and a change
    /// never comes of a single look.
    #[test]
    fn rows_decide(looks in "[-+?]{1,60}", failures in 2_u32..6, successes in 2_u32..6) {
        let limits = limits(failures, successes);
        let mut story = Story::new(None);
        let mut judged = String::new();
        let mut last = None;
        for look in looks.chars() {
            let told = story.look(look, &limits);
            if look != '?' {
                judged.push(look);
            }
            let row = |sign: char, length: u32| {
                judged.chars().rev().take_while(|look| *look == sign).count() >= length as usize
            };
            if look == '-' && row('-', failures) {
                prop_assert_eq!(told.verdict.truth, Truth::False);
            }
            if look == '+' && row('+', limits.remembered()) {
                prop_assert_eq!(told.verdict.truth, Truth::True);
            }
            if last == Some(Truth::False) && told.verdict.truth == Truth::True {
                prop_assert!(row('+', successes));
            }
            if last == Some(Truth::True) && told.verdict.truth == Truth::False {
                prop_assert!(look == '-');
            }
            prop_assert_eq!(told.severity.is_some(), told.verdict.truth == Truth::False);
            last = Some(told.verdict.truth);
        }
    }
}
