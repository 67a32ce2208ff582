//! Certificates with faults, and the servers that show them.

use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::cases::{self, Case, Fault, Server};
use crate::ports::free_port;

/// Certificates, made by the script beside this file.
pub struct Certificates {
    folder: tempfile::TempDir,
    /// Where nginx serves lists and issuers.
    pub port: u16,
}

impl Certificates {
    pub fn make() -> Self {
        let made = Self {
            folder: tempfile::tempdir().unwrap(),
            port: free_port(),
        };
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls/certificates");
        let mut command = Command::new(script);
        command.arg(made.folder.path()).arg(made.port.to_string());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        made
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }
}

/// The servers of all cases; ended with the test.
pub struct Servers {
    ports: HashMap<&'static str, u16>,
    logs: HashMap<&'static str, PathBuf>,
    processes: Vec<Child>,
}

impl Servers {
    pub fn start(certificates: &Certificates) -> Self {
        let mut servers = Self {
            ports: HashMap::new(),
            logs: HashMap::new(),
            processes: Vec::new(),
        };
        let cases = cases::all();
        servers.nginx(&cases, certificates);
        for case in &cases {
            match &case.server {
                Server::OpenSsl { certificate, options } => servers.openssl(case, certificate, options, certificates),
                Server::Socket(fault) => servers.socket(case, *fault),
                Server::Nginx(_) => {}
            }
        }
        servers.wait();
        servers
    }

    pub fn port(&self, case: &Case) -> u16 {
        self.ports[case.name]
    }

    pub fn log(&self, case: &Case) -> String {
        let log = self.logs.get(case.name).map(fs::read_to_string);
        log.and_then(Result::ok).unwrap_or_default()
    }

    fn openssl(&mut self, case: &Case, certificate: &str, options: &[&str], certificates: &Certificates) {
        let port = free_port();
        let log_path = certificates.path(&format!("{port}.log"));
        let log = fs::File::create(&log_path).unwrap();
        let mut command = Command::new("openssl");
        command.args(["s_server", "-accept", &format!("127.0.0.1:{port}"), "-naccept", "100"]);
        for (option, ending) in [("-cert", "pem"), ("-key", "key"), ("-cert_chain", "chain")] {
            let path = certificates.path(&format!("{certificate}.{ending}"));
            if fs::metadata(&path).unwrap().len() > 0 {
                command.arg(option).arg(path);
            }
        }
        command.arg("-CAfile").arg(certificates.path("root.pem"));
        command.args(options);
        let process = command
            .current_dir(certificates.folder.path())
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();
        self.processes.push(process.expect("openssl in PATH"));
        self.ports.insert(case.name, port);
        self.logs.insert(case.name, log_path);
    }

    /// One nginx for all of its cases, and for lists and issuers.
    fn nginx(&mut self, cases: &[Case], certificates: &Certificates) {
        let Some(program) = std::env::var_os("NGINX") else {
            panic!("no nginx: run `tests/support/gate tls`, or set NGINX=$(tests/support/tools nginx)")
        };
        let folder = certificates.folder.path().display();
        let mut hosts = format!(
            "server {{ listen 127.0.0.1:{}; root {folder}/served;
               location = /redirect {{ return 301 https://127.0.0.1/middle.der; }}
               location = /fails {{ return 500; }} }}\n",
            certificates.port
        );
        for case in cases {
            let Server::Nginx(content) = &case.server else { continue };
            let port = free_port();
            hosts += &content
                .replace("FOLDER", &folder.to_string())
                .replace("PORT", &port.to_string());
            self.ports.insert(case.name, port);
        }
        let text = format!(
            "daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr;
             events {{ worker_connections 128; }}
             http {{ access_log off; client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
             uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
             ssl_certificate {folder}/valid-full.pem; ssl_certificate_key {folder}/valid.key;
             {hosts} }}"
        );
        for name in ["valid", "wrong-name"] {
            let mut full = certificates.read(&format!("{name}.pem"));
            full.extend(certificates.read(&format!("{name}.chain")));
            fs::write(certificates.path(&format!("{name}-full.pem")), full).unwrap();
        }
        fs::write(certificates.path("nginx.conf"), text).unwrap();
        let log = fs::File::create(certificates.path("nginx.log")).unwrap();
        let mut command = Command::new(program);
        command
            .arg("-c")
            .arg(certificates.path("nginx.conf"))
            .arg("-p")
            .arg(certificates.path(""));
        command.args(["-e", "stderr"]);
        let process = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.processes.push(process);
        for case in cases.iter().filter(|case| matches!(case.server, Server::Nginx(_))) {
            self.logs.insert(case.name, certificates.path("nginx.log"));
        }
    }

    fn socket(&mut self, case: &Case, fault: Fault) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        self.ports.insert(case.name, listener.local_addr().unwrap().port());
        if fault == Fault::Refuses {
            return;
        }
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || misbehave(stream, fault));
            }
        });
    }

    fn wait(&mut self) {
        let end = Instant::now() + Duration::from_secs(60);
        for (name, port) in &self.ports {
            let refuses = cases::all()
                .iter()
                .any(|case| case.name == *name && matches!(case.server, Server::Socket(_)));
            while !refuses && TcpStream::connect(("127.0.0.1", *port)).is_err() {
                let log = self.logs.get(name).map(fs::read_to_string);
                assert!(Instant::now() < end, "{name} does not listen: {log:?}");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn misbehave(mut stream: TcpStream, fault: Fault) {
    let mut read = [0; 4096];
    match fault {
        Fault::Refuses | Fault::Closes => {}
        Fault::Resets => {
            // What came and was not read makes the kernel send a reset.
            std::thread::sleep(Duration::from_millis(50));
            let _ = stream.peek(&mut read[..1]);
        }
        Fault::Silent => while stream.read(&mut read).is_ok_and(|length| length > 0) {},
        Fault::Drips => {
            // The beginning of a record that is long in coming.
            let record = [[22, 3, 3, 0x20, 0].as_slice(), &[2; 0x2000]].concat();
            for byte in record {
                if stream.write_all(&[byte]).is_err() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(200));
            }
        }
        Fault::Says(words) => {
            let _ = stream.read(&mut read);
            let _ = stream.write_all(words);
            let _ = stream.shutdown(Shutdown::Write);
            let _ = stream.read(&mut read);
        }
    }
}
