//! Debian's prometheus-blackbox-exporter, asked about the same servers.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::cases::{Case, Client, Trusted};
use crate::ports::free_port;
use crate::servers::{Certificates, Servers};

/// A running exporter; ended with the test.
pub struct Exporter {
    process: Child,
    port: u16,
}

/// What it says about a server.
#[derive(Debug, PartialEq)]
pub struct Answer {
    pub success: bool,
    /// Status of HTTP; 0 is what it says where none was seen, and where none was asked for.
    pub status: u16,
    /// The earliest end of all certificates, in seconds since 1970.
    pub end: Option<i64>,
}

impl Exporter {
    pub fn start(certificates: &Certificates) -> Self {
        let Some(program) = std::env::var_os("BLACKBOX_EXPORTER") else {
            panic!(
                "no exporter: run `tests/support/gate tls`, or set BLACKBOX_EXPORTER=$(tests/support/tools prometheus-blackbox-exporter)"
            )
        };
        let mut modules = vec!["modules:".to_owned()];
        for trusted in ["bundle", "public"] {
            for client in ["none", "client", "client-of-other"] {
                let mut tls = vec!["server_name: connector.corp.test".to_owned()];
                if trusted == "bundle" {
                    tls.push(format!("ca_file: {}", certificates.path("root.pem").display()));
                }
                if client != "none" {
                    let full = certificates.path(&format!("{client}-full.pem"));
                    let mut chain = certificates.read(&format!("{client}.pem"));
                    chain.extend(certificates.read(&format!("{client}.chain")));
                    fs::write(&full, chain).unwrap();
                    let key = certificates.path(&format!("{client}.key"));
                    tls.push(format!("cert_file: {}, key_file: {}", full.display(), key.display()));
                }
                let tls = tls.join(", ");
                modules.push(format!(
                    "  http-{trusted}-{client}: {{prober: http, http: {{tls_config: {{{tls}}}, fail_if_not_ssl: true, preferred_ip_protocol: ip4}}}}"
                ));
                modules.push(format!(
                    "  tcp-{trusted}-{client}: {{prober: tcp, tcp: {{tls: true, tls_config: {{{tls}}}, preferred_ip_protocol: ip4}}}}"
                ));
            }
        }
        let config = certificates.path("exporter.yaml");
        fs::write(&config, modules.join("\n")).unwrap();
        let port = free_port();
        let log = fs::File::create(certificates.path("exporter.log")).unwrap();
        let process = Command::new(program)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { process, port }
    }

    pub async fn ask(&self, case: &Case, servers: &Servers) -> Answer {
        let trusted = match case.trust {
            Trusted::Bundle => "bundle",
            Trusted::Public => "public",
        };
        let client = match case.client {
            Client::None => "none",
            Client::Good => "client",
            Client::OfOther => "client-of-other",
        };
        let host = case.host.unwrap_or("127.0.0.1");
        let port = servers.port(case);
        let (prober, target) = match case.path {
            Some(path) => ("http", format!("https://{host}:{port}{path}")),
            None => ("tcp", format!("{host}:{port}")),
        };
        let url = format!("http://127.0.0.1:{}/probe", self.port);
        let module = format!("{prober}-{trusted}-{client}");
        let seconds = case.patience().as_secs().to_string();
        let request = || {
            reqwest::Client::new()
                .get(&url)
                .query(&[
                    ("module", module.as_str()),
                    ("target", &target),
                    ("hostname", "connector.corp.test"),
                ])
                .header("X-Prometheus-Scrape-Timeout-Seconds", &seconds)
                .send()
        };
        let mut tries = 0;
        let response = loop {
            match request().await {
                Ok(response) => break response,
                Err(error) => assert!(tries < 200, "the exporter does not answer: {error}"),
            }
            tries += 1;
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        read(&response.text().await.unwrap())
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // whole numbers, written as floats
fn read(metrics: &str) -> Answer {
    let lines = metrics.lines().filter(|line| !line.starts_with('#'));
    let values: BTreeMap<&str, f64> = lines
        .filter_map(|line| line.rsplit_once(' '))
        .filter_map(|(name, value)| Some((name, value.parse().ok()?)))
        .collect();
    let value = |name: &str| values.get(name).copied();
    Answer {
        success: value("probe_success").expect("probe_success") > 0.0,
        status: value("probe_http_status_code").unwrap_or_default() as u16,
        end: value("probe_ssl_earliest_cert_expiry").map(|end| end as i64),
    }
}
