use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Append(bool, u8),
    Acknowledge(bool, u64),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (any::<bool>(), 1_u8..5).prop_map(|(lifecycle, count)| Step::Append(lifecycle, count)),
        3 => (any::<bool>(), 0_u64..40).prop_map(|(sink, to)| Step::Acknowledge(sink, to)),
        1 => Just(Step::Reopen),
    ]
}

#[derive(Default)]
struct Model {
    events: Vec<(u64, Kind)>,
    last: u64,
    sink: u64,
    all: u64,
}

impl Model {
    fn kept(&self) -> Vec<u64> {
        let floor = |kind| {
            if kind == Kind::Notification {
                self.sink.min(self.all)
            } else {
                self.all
            }
        };
        let kept = self.events.iter().filter(|(seq, kind)| *seq > floor(*kind));
        kept.map(|(seq, _)| *seq).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn behaves_like_a_list(steps in prop::collection::vec(step(), 1..30)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(follow(steps));
    }
}

async fn follow(steps: Vec<Step>) {
    let dir = tempfile::tempdir().unwrap();
    let readers = [Reader::of_sink("s"), Reader::of_consumer("a", None)];
    let mut log = open(dir.path(), rules(&readers)).await;
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Append(lifecycle, count) => {
                let kind = if lifecycle { Kind::Lifecycle } else { Kind::Notification };
                let records = (0..count).map(|_| (kind, record("x", now_millis()))).collect();
                log.append(records, None).await.unwrap();
                for _ in 0..count {
                    model.last += 1;
                    model.events.push((model.last, kind));
                }
            }
            Step::Acknowledge(sink, to) => {
                let at = if sink { &mut model.sink } else { &mut model.all };
                let expected = to >= *at && to <= model.last;
                let reader = &readers[usize::from(!sink)].name;
                assert_eq!(log.acknowledge(reader, to).await.is_ok(), expected);
                if expected {
                    *at = to;
                }
            }
            Step::Reopen => {
                log.close().await;
                log = open(dir.path(), rules(&readers)).await;
            }
        }
        let held = seqs(&log, 0, None).await;
        let kept = model.kept();
        assert!(kept.iter().all(|seq| held.contains(seq)), "{kept:?} {held:?}");
        assert_eq!(log.status().ends.last, model.last);
    }
    until("trimmed to what is kept", || {
        log.status().events == model.kept().len() as u64
    })
    .await;
    assert_eq!(seqs(&log, 0, None).await, model.kept());
}
