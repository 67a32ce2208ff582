//! What durability costs: notifications acknowledged per second when each is on stable storage first, against the same server
//! that answers without storing.
//!
//! Both servers run in this process, with the clients, and take turns in short slices, so that what else the machine does weighs on
//! both alike. Rates still depend on it; the processor time of the server's threads per acknowledgement does less.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use teams_graph_operator::policy::identity::{Channel, KEY_BYTES, Key, path};
use teams_graph_operator::receiver::{Dirs, Receiver, Settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};

// Enough that the servers are never without work. With half as many, each waits for the one commit under way, and the benchmark
// measures how long that takes, which on a busy machine is mostly the scheduler.
const CLIENTS: usize = 256;
const ROUNDS: usize = 11;
const SLICE: Duration = Duration::from_millis(500);
// The share of the plain server's acknowledgements that the durable one has to reach.
const RATIO_LIMIT: f64 = 0.5;
const UID: &str = "3b1f5f0e-1111-2222-3333-444455556666";

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A receiver under load, with a runtime of its own.
struct Subject {
    _dir: tempfile::TempDir,
    runtime: Runtime,
    receiver: Receiver,
    // Of each acknowledgement, in microseconds.
    latencies: Vec<f64>,
    // Of each slice.
    per_second: Vec<f64>,
    cpu_micros: Vec<f64>,
}

impl Subject {
    fn start(store: bool) -> Result<Self, Failure> {
        // On the disk of the build: /tmp may be memory, where storing costs nothing.
        std::fs::create_dir_all("target/bench")?;
        let dir = tempfile::tempdir_in("target/bench")?;
        let settings = Settings {
            store,
            ..prepare(dir.path())?
        };
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name(if store { "durable" } else { "plain" })
            .enable_all()
            .build()?;
        let receiver = runtime.block_on(async {
            let receiver = Receiver::start(settings).await?;
            receiver.opened().await;
            Ok::<_, Failure>(receiver)
        })?;
        load(receiver.webhook_addr())?; // to warm up
        Ok(Self {
            _dir: dir,
            runtime,
            receiver,
            latencies: Vec::new(),
            per_second: Vec::new(),
            cpu_micros: Vec::new(),
        })
    }

    #[allow(clippy::cast_precision_loss)] // a count of requests
    fn slice(&mut self) -> Result<(), Failure> {
        let (started, cpu) = (Instant::now(), server_cpu()?);
        let latencies = load(self.receiver.webhook_addr())?;
        let count = latencies.len() as f64;
        self.per_second.push(count / started.elapsed().as_secs_f64());
        self.cpu_micros
            .push((server_cpu()?.saturating_sub(cpu)).as_secs_f64() * 1e6 / count);
        self.latencies.extend(latencies);
        Ok(())
    }

    fn latency_millis(&self, percent: usize) -> f64 {
        rounded(percentile(&self.latencies, percent) / 1000.0)
    }

    fn stop(self) {
        self.runtime.block_on(self.receiver.shutdown());
    }
}

fn main() -> Result<(), Failure> {
    let load_before = load_average();
    let (mut plain, mut durable) = (Subject::start(false)?, Subject::start(true)?);
    for round in 0..ROUNDS {
        // In turns, so that a load that grows or fades favours neither.
        if round % 2 == 0 {
            plain.slice()?;
            durable.slice()?;
        } else {
            durable.slice()?;
            plain.slice()?;
        }
    }
    let result = report(&plain, &durable, &load_before);
    plain.stop();
    durable.stop();
    writeln!(std::io::stdout(), "{result}")?;
    std::fs::write("target/bench/receiver.json", format!("{result}\n"))?;
    Ok(())
}

fn report(plain: &Subject, durable: &Subject, load_before: &str) -> Value {
    let pairs = durable.per_second.iter().zip(&plain.per_second);
    let ratios: Vec<f64> = pairs.map(|(durable, plain)| durable / plain).collect();
    let ratio = percentile(&ratios, 50);
    json!({
        "met": { "ratio": ratio >= RATIO_LIMIT },
        "durable_per_s": percentile(&durable.per_second, 50).round(),
        "plain_per_s": percentile(&plain.per_second, 50).round(),
        "ratio": rounded(ratio),
        "limit_ratio": RATIO_LIMIT,
        "durable_cpu_us": rounded(percentile(&durable.cpu_micros, 50)),
        "plain_cpu_us": rounded(percentile(&plain.cpu_micros, 50)),
        "slices": {
            "durable_per_s": spread(&durable.per_second),
            "plain_per_s": spread(&plain.per_second),
            "ratio": spread(&ratios),
            "durable_cpu_us": spread(&durable.cpu_micros),
            "plain_cpu_us": spread(&plain.cpu_micros),
        },
        "durable_p50_ms": durable.latency_millis(50),
        "durable_p99_ms": durable.latency_millis(99),
        "plain_p50_ms": plain.latency_millis(50),
        "plain_p99_ms": plain.latency_millis(99),
        "clients": CLIENTS,
        "rounds": ROUNDS,
        "slice_ms": u64::try_from(SLICE.as_millis()).unwrap_or_default(),
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "loadavg_before": load_before,
        "loadavg_after": load_average(),
    })
}

fn spread(values: &[f64]) -> Value {
    let [min, median, max] = [0, 50, 100].map(|percent| rounded(percentile(values, percent)));
    json!({ "min": min, "median": median, "max": max })
}

fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    sorted.get(last * percent / 100).copied().unwrap_or_default()
}

fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

// What else the machine did: it decides what the rates are worth.
fn load_average() -> String {
    std::fs::read_to_string("/proc/loadavg").map_or_else(|_| String::new(), |line| line.trim().to_owned())
}

// Processor time of every thread but this one, on which the clients run.
fn server_cpu() -> Result<Duration, Failure> {
    let clients = std::process::id().to_string();
    let mut nanos = 0;
    for task in std::fs::read_dir("/proc/self/task")? {
        let task = task?;
        if task.file_name() == clients.as_str() {
            continue;
        }
        // A thread may end while this looks.
        let stat = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        nanos += stat.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0);
    }
    Ok(Duration::from_nanos(nanos))
}

fn prepare(dir: &Path) -> Result<Settings, Failure> {
    let at = |name: &str| dir.join(name);
    let dirs = Dirs {
        config: at("config"),
        keyring: at("keyring"),
        tokens: at("tokens"),
        tls: at("tls"),
    };
    std::fs::create_dir_all(&dirs.config)?;
    std::fs::create_dir_all(&dirs.keyring)?;
    let config = json!({ "pathPrefix": "", "retentionSeconds": 3600, "storageBytes": 8_u64 << 30, "sinks": [] });
    std::fs::write(dirs.config.join("receiver.json"), config.to_string())?;
    std::fs::write(dirs.keyring.join("k1"), STANDARD.encode([7; KEY_BYTES]))?;
    Ok(Settings::local(dirs, at("data")))
}

// About 1 KB, as Graph sends for a call record with a few members more.
fn request() -> Vec<u8> {
    let key = Key::new(&[7; KEY_BYTES]);
    let body = json!({ "value": [{
        "subscriptionId": "11111111-2222-3333-4444-555555555555", "clientState": key.client_state(UID),
        "subscriptionExpirationDateTime": "2026-11-22T10:11:12.1234567-08:00", "changeType": "updated",
        "resource": "communications/callRecords/2f5e7a00-0000-0000-0000-000000000001",
        "tenantId": "99999999-8888-7777-6666-555555555555",
        "resourceData": { "@odata.type": "#microsoft.graph.callRecord", "id": "2f5e7a00", "padding": "x".repeat(480) },
    }] })
    .to_string();
    let path = path("k1", &key, Channel::Notification, UID);
    format!(
        "POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

// The clients have a runtime of their own, so that they and the server are scheduled apart.
fn load(addr: SocketAddr) -> Result<Vec<f64>, Failure> {
    let clients = Builder::new_current_thread().enable_all().build()?;
    clients.block_on(async {
        let end = Instant::now() + SLICE;
        let tasks: Vec<_> = (0..CLIENTS).map(|_| tokio::spawn(client(addr, end))).collect();
        let mut micros = Vec::new();
        for task in tasks {
            micros.extend(task.await??);
        }
        Ok(micros)
    })
}

async fn client(addr: SocketAddr, end: Instant) -> Result<Vec<f64>, Failure> {
    let request = request();
    let mut stream = TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    let mut answer = [0; 1024];
    let mut micros = Vec::with_capacity(4096);
    while Instant::now() < end {
        let sent = Instant::now();
        stream.write_all(&request).await?;
        let length = stream.read(&mut answer).await?;
        // The answer has no body and is far smaller than a segment, so it comes in one piece.
        if !answer
            .get(..length)
            .is_some_and(|answer| answer.starts_with(b"HTTP/1.1 202") && answer.ends_with(b"\r\n\r\n"))
        {
            return Err("not acknowledged".into());
        }
        micros.push(sent.elapsed().as_secs_f64() * 1e6);
    }
    Ok(micros)
}
