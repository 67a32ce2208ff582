use super::*;
use crate::probe::pexip::pushed::tests::{counts, second};

fn failed(node: &str, call: &str, error: &str) -> String {
    format!(
        "<134>Nov 27 09:00:00 {node} 2026-11-27 09:00:00,123 Level=\"ERROR\" Name=\"support.teams\" \
         Message=\"Teams API request failed\" Call-Id=\"{call}\" Error=\"{error}\""
    )
}

struct Bench(Log);

impl Bench {
    fn new() -> Self {
        Self(Log::new(counts()))
    }

    fn take(&self, node: &str, call: &str, error: &str, at: i64) {
        self.0.take(failed(node, call, error).as_bytes(), second(at));
    }

    fn of(&self, node: &str, now: i64) -> Vec<Logged> {
        self.0.of(|its| its == node, second(now), SignedDuration::ZERO)
    }

    fn counted(&self, result: &str) -> u64 {
        self.0.counts.of("syslog", result)
    }
}

#[test]
fn lines_are_kept_for_a_while_by_the_node_that_wrote_them() {
    let bench = Bench::new();
    for (node, call, error, at) in [
        ("edge01", "c", "401", 0),
        ("edge02", "d", "500", 60),
        ("edge01", "e", "404", 60),
    ] {
        bench.take(node, call, error, at);
    }
    bench.0.take(b"hello", second(60));
    let expected = Logged {
        number: 1,
        at: second(30),
        call: Some("c".into()),
        end: CallEnd::Unauthorized,
    };
    let skewed = bench
        .0
        .of(|node| node == "edge01", second(100), SignedDuration::from_secs(30));
    assert_eq!(skewed, [expected]);
    assert_eq!(bench.of("edge01", 3600), [], "too old");
    assert_eq!(
        ["call", "other", "malformed"].map(|result| bench.counted(result)),
        [2, 1, 1]
    );
    bench.take("edge03", "f", "401", 3600);
    assert_eq!(bench.0.lock().total, 1, "nor kept");
}

#[test]
fn who_writes_much_leaves_room_for_the_others() {
    let bench = Bench::new();
    bench.take("edge01", "own", "401", 0);
    for number in 0..=MOST_EACH {
        bench.take("loud", &number.to_string(), "401", 1);
    }
    assert_eq!(bench.of("loud", 1).len(), MOST_EACH);
    assert_eq!(bench.of("loud", 1)[0].call.as_deref(), Some("1"), "the oldest went");
    assert_eq!((bench.of("edge01", 1).len(), bench.counted("dropped")), (1, 1));
    for name in 0..20 {
        for number in 0..MOST_EACH {
            bench.take(&format!("forged{name}"), &number.to_string(), "401", 2);
        }
    }
    assert_eq!(bench.0.lock().total, MOST);
    assert_eq!(bench.of("edge01", 2).len(), 1, "who writes most gives way");
    for name in 0..NAMES {
        bench.take(&format!("other{name}"), "x", "401", 3);
    }
    let lines = bench.0.lock();
    let kept: usize = lines.nodes.values().map(VecDeque::len).sum();
    assert_eq!((lines.nodes.len(), lines.total), (NAMES, kept));
}

#[test]
fn repetitions_without_a_call_count_once() {
    let bench = Bench::new();
    for (node, call, error, at) in [
        ("edge01", "", "401", 0),
        ("edge01", "", "401", 2),
        ("edge01", "", "500", 3),
        ("edge02", "", "401", 3),
        ("edge01", "a", "401", 4),
        ("edge01", "", "401", 5),
        ("edge01", "", "401", 6),
    ] {
        bench.take(node, call, error, at);
    }
    assert_eq!((bench.counted("call"), bench.counted("duplicate")), (5, 2));
    assert_eq!(bench.of("edge01", 6).len(), 4);
}
