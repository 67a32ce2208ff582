//! A real Kamailio, as a process of the test's own.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::ports;

/// What a server is to have.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Ask for this password, with this hash function and `qop` as Kamailio numbers it.
    pub password: Option<(String, &'static str, u8)>,
    /// Certificate and key (PEM).
    pub tls: Option<(String, String)>,
}

/// A running server; ended with the test.
pub struct Kamailio {
    program: PathBuf,
    folder: tempfile::TempDir,
    process: Option<Child>,
    options: Options,
    /// For UDP, TCP and HTTP.
    pub port: u16,
    pub tls_port: u16,
}

impl Kamailio {
    pub fn start(options: Options) -> Self {
        let Some(program) = std::env::var_os("KAMAILIO").map(PathBuf::from) else {
            panic!("no Kamailio: run `tests/support/gate presence`, or set KAMAILIO=$(tests/support/tools kamailio)")
        };
        let mut server = Self {
            program,
            folder: tempfile::tempdir().unwrap(),
            process: None,
            options,
            port: free_port(),
            tls_port: free_port(),
        };
        server.configure();
        server.restart();
        server
    }

    fn configure(&self) {
        let folder = self.folder.path();
        let tables = self
            .program
            .ancestors()
            .map(|above| above.join("usr/share/kamailio/dbtext/kamailio"));
        let tables = tables
            .chain(["/usr/share/kamailio/dbtext/kamailio".into()])
            .find(|tables| tables.exists());
        let dbtext = folder.join("dbtext");
        fs::create_dir(&dbtext).unwrap();
        for table in fs::read_dir(tables.expect("Kamailio's text tables")).unwrap() {
            let table = table.unwrap().path();
            fs::copy(&table, dbtext.join(table.file_name().unwrap())).unwrap();
        }
        let (password, algorithm, qop) = self.options.password.clone().unwrap_or((String::new(), "MD5", 0));
        let mut text = include_str!("kamailio.cfg").replace("FOLDER", &folder.display().to_string());
        let in_script = password.replace('\\', r"\\").replace('"', "\\\"");
        let values = [
            ("TLSPORT", self.tls_port.to_string()),
            ("PORT", self.port.to_string()),
            ("ALGORITHM", algorithm.to_owned()),
            ("QOP", qop.to_string()),
            ("\"PASSWORD\"", format!("\"{in_script}\"")),
        ];
        for (name, value) in values {
            text = text.replace(name, &value);
        }
        fs::write(folder.join("kamailio.cfg"), text).unwrap();
        if let Some((certificate, key)) = &self.options.tls {
            fs::write(folder.join("tls.crt"), certificate).unwrap();
            fs::write(folder.join("tls.key"), key).unwrap();
        }
    }

    /// Starts it, without anything of what it knew.
    pub fn restart(&mut self) {
        self.kill();
        let folder = self.folder.path();
        let log = fs::File::create(folder.join("log")).unwrap();
        let mut command = Command::new(&self.program);
        // One group of processes of its own, so that all of them can be ended.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command.args(["-DD", "-E", "-m", "64", "-M", "8"]);
        command.arg("-f").arg(folder.join("kamailio.cfg"));
        command.arg("-Y").arg(folder).arg("-P").arg(folder.join("pid"));
        for (wanted, name) in [
            (self.options.tls.is_some(), "WITH_TLS"),
            (self.options.password.is_some(), "WITH_PASSWORD"),
        ] {
            if wanted {
                command.args(["-A", name]);
            }
        }
        let process = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();
        self.process = Some(process.unwrap());
        let end = Instant::now() + Duration::from_secs(20);
        while self.rpc("core.version", &json!([])).is_none() {
            assert!(Instant::now() < end, "Kamailio does not answer:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) {
        let Some(mut process) = self.process.take() else {
            return;
        };
        // Its children, too: they are of its group.
        let group = format!("-{}", process.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = process.wait();
        let end = Instant::now() + Duration::from_secs(10);
        while std::net::UdpSocket::bind(("127.0.0.1", self.port)).is_err() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What it wrote.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// The server's own word: the presence documents that are in force for a user.
    pub fn published(&self, user: &str) -> Vec<String> {
        let all = self
            .rpc("presence.presentity_list", &json!(["full"]))
            .expect("presentity_list");
        let entries = all.as_array().cloned().unwrap_or_default();
        let mine = entries
            .iter()
            .filter(|entry| entry["user"] == user && entry["event"] == "presence");
        mine.map(|entry| entry["body"].as_str().expect("a body").to_owned())
            .collect()
    }

    /// A call over JSON-RPC, by a client that has nothing to do with what is tested.
    pub fn rpc(&self, method: &str, parameters: &Value) -> Option<Value> {
        use std::io::{Read, Write};
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": parameters }).to_string();
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        let request = format!(
            "POST /RPC HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = Vec::new();
        let mut piece = [0; 4096];
        loop {
            let length = stream.read(&mut piece).ok()?;
            answer.extend_from_slice(&piece[..length]);
            let text = String::from_utf8_lossy(&answer);
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let wanted = head.to_ascii_lowercase();
                let wanted = wanted
                    .split("content-length:")
                    .nth(1)?
                    .split("\r\n")
                    .next()?
                    .trim()
                    .parse::<usize>()
                    .ok()?;
                if body.len() >= wanted || length == 0 {
                    return serde_json::from_str::<Value>(body).ok()?.get("result").cloned();
                }
            }
            if length == 0 {
                return None;
            }
        }
    }
}

impl Drop for Kamailio {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that nobody has at the moment, for UDP and TCP.
fn free_port() -> u16 {
    loop {
        let port = ports::free_port();
        if std::net::UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
