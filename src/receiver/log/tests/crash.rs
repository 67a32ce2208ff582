use super::*;

const CRASH_DIR: &str = "RECEIVER_CRASH_TEST_DIR";

// Not a test: the process that the next test kills. It prints the number of each event that was acknowledged.
#[tokio::test]
async fn crash_child() {
    let Ok(dir) = std::env::var(CRASH_DIR) else { return };
    let log = open(Path::new(&dir), rules(&[Reader::of_sink("s")])).await;
    loop {
        let batch: Vec<_> = (0..20)
            .map(|_| (Kind::Notification, record(&"x".repeat(700), now_millis())))
            .collect();
        log.append(batch, None).await.unwrap();
        println!("acknowledged {}", log.status().ends.last);
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill_9() {
    use std::io::{BufRead, BufReader};
    let dir = tempfile::tempdir().unwrap();
    let mut promised = 0;
    for lines in [20, 45, 70] {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "receiver::log::tests::crash::crash_child", "--nocapture"])
            .env(CRASH_DIR, dir.path())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok);
        let acknowledged = output.filter_map(|line| line.strip_prefix("acknowledged ")?.parse::<u64>().ok());
        promised = acknowledged.take(lines).last().unwrap_or(promised);
        child.kill().unwrap();
        child.wait().unwrap();
        let log = open(dir.path(), rules(&[Reader::of_sink("s")])).await;
        let found = seqs(&log, 0, None).await;
        let end = found.len() as u64;
        assert!(end >= promised && promised > 0, "{end} of {promised}");
        assert_eq!(found, (1..=end).collect::<Vec<_>>());
        log.close().await;
    }
}
