//! The matrix: a server, what is expected of it, and the exact reasons.

use std::time::Duration;

use serde_json::json;
use teams_graph_operator::api::condition::Reason;
use teams_graph_operator::api::connector::Endpoint;

use crate::servers::Servers;

/// One row.
pub struct Case {
    pub name: &'static str,
    pub server: Server,
    /// Whom the probe trusts.
    pub trust: Trusted,
    /// The certificate that it has to show.
    pub client: Client,
    /// The path that is asked for, if the server speaks HTTP.
    pub path: Option<&'static str>,
    /// Instead of this machine's address.
    pub host: Option<&'static str>,
    /// What the spec says of TLS besides.
    pub tls: Tls,
    /// Expected reasons; none where all is well.
    pub reachable: &'static [Reason],
    pub certificates: &'static [Reason],
}

/// Who listens.
pub enum Server {
    /// `openssl s_server` with this certificate.
    OpenSsl {
        certificate: &'static str,
        options: Vec<&'static str>,
    },
    /// nginx with these lines.
    Nginx(&'static str),
    /// A socket that misbehaves.
    Socket(Fault),
}

/// How a socket misbehaves.
#[derive(Clone, Copy, PartialEq)]
pub enum Fault {
    Refuses,
    Closes,
    Resets,
    Silent,
    Drips,
    Says(&'static [u8]),
}

#[derive(Clone, Copy, PartialEq)]
pub enum Trusted {
    Bundle,
    Public,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Client {
    None,
    Good,
    OfOther,
}

/// What the spec says of TLS besides.
#[derive(Clone, Copy, PartialEq)]
pub enum Tls {
    Plain,
    RsaOnly,
    Lists,
    Issuers,
}

impl Case {
    pub fn endpoint(&self, servers: &Servers) -> Endpoint {
        let mut endpoint = json!({
            "name": "matrix",
            "host": self.host.unwrap_or("127.0.0.1"),
            "port": servers.port(self),
            "allowPrivateAddresses": true,
            "tls": { "serverName": "connector.corp.test" },
        });
        if let Some(path) = self.path {
            endpoint["http"] = json!({ "path": path, "statuses": [200], "nonEmptyBody": true });
        }
        let tls = &mut endpoint["tls"];
        if self.has_bundle() {
            tls["trust"] = "Bundle".into();
            tls["caBundleSecretRef"] = json!({ "name": "bundle", "key": "ca.crt" });
        }
        match self.tls {
            Tls::Plain => {}
            Tls::RsaOnly => tls["keyAlgorithms"] = json!(["RSA"]),
            Tls::Lists => tls["revocation"] = "Crl".into(),
            Tls::Issuers => tls["aiaRedirectCheck"] = true.into(),
        }
        serde_json::from_value(endpoint).unwrap()
    }

    pub fn has_bundle(&self) -> bool {
        self.trust == Trusted::Bundle
    }

    /// How long a look may take. Those that must wait for nothing wait as long as a busy machine needs.
    pub fn patience(&self) -> Duration {
        let waits = [Reason::HandshakeTimeout, Reason::HttpTimeout]
            .iter()
            .any(|reason| self.reachable.contains(reason));
        Duration::from_secs(if waits { 3 } else { 20 })
    }

    fn reachable(mut self, reasons: &'static [Reason]) -> Self {
        self.reachable = reasons;
        self
    }

    fn certificates(mut self, reasons: &'static [Reason]) -> Self {
        self.certificates = reasons;
        self
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

fn case(name: &'static str, server: Server) -> Case {
    Case {
        name,
        server,
        trust: Trusted::Bundle,
        client: Client::None,
        path: None,
        host: None,
        tls: Tls::Plain,
        reachable: &[],
        certificates: &[],
    }
}

/// OpenSSL with this certificate, and a page for whoever asks.
fn shows(name: &'static str, certificate: &'static str, reasons: &'static [Reason]) -> Case {
    openssl(name, certificate, &["-www"])
        .with(|case| case.path = Some("/"))
        .certificates(reasons)
}

/// OpenSSL with these options, and TLS alone.
fn openssl(name: &'static str, certificate: &'static str, options: &[&'static str]) -> Case {
    let options = options.to_vec();
    case(name, Server::OpenSsl { certificate, options })
}

fn nginx(name: &'static str, lines: &'static str) -> Case {
    case(name, Server::Nginx(lines)).with(|case| case.path = Some("/"))
}

fn socket(name: &'static str, fault: Fault, reasons: &'static [Reason]) -> Case {
    case(name, Server::Socket(fault))
        .reachable(reasons)
        .certificates(UNSEEN)
}

const UNSEEN: &[Reason] = &[Reason::InsufficientEvidence];
const OLD: &[&str] = &["-cipher", "ALL:@SECLEVEL=0"];

/// Every row of the matrix.
pub fn all() -> Vec<Case> {
    let mut all = certificates();
    all.extend(client_certificates());
    all.extend(protocols());
    all.extend(documents());
    all.extend(answers());
    all.extend(network());
    all
}

#[allow(clippy::too_many_lines)] // a table
fn certificates() -> Vec<Case> {
    vec![
        shows("All is well (ECDSA)", "valid", &[]),
        shows("All is well (RSA)", "valid-rsa", &[]),
        shows("Expired", "expired", &[Reason::Expired]),
        shows("Not valid yet", "not-yet", &[Reason::NotYetValid]),
        shows("Ends in three days", "ending", &[Reason::ExpiringSoon]),
        shows("Ends with the year 9999", "year-9999", &[]),
        shows("Intermediate expired", "expired-intermediate", &[Reason::Expired]),
        shows(
            "Intermediate not shown",
            "missing-intermediate",
            &[Reason::IncompleteChain],
        ),
        shows("Root shown as well", "with-root", &[]),
        shows("Foreign certificate shown as well", "with-junk", &[]),
        shows(
            "Expired cross-signature shown as well, not needed",
            "with-expired-cross",
            &[],
        ),
        shows("For other names", "wrong-name", &[Reason::NameMismatch]),
        shows("Common name alone", "no-names", &[Reason::NoSubjectAltName]),
        shows("Wildcard", "wildcard", &[]),
        shows("Wildcard one level below", "wildcard-below", &[Reason::NameMismatch]),
        shows("Name in capitals", "capitals", &[]),
        shows("200 names", "many-names", &[]),
        shows("NUL within the name", "nul-in-name", &[Reason::NameMismatch]),
        shows("Umlaut within the name", "umlaut-in-name", &[Reason::NameMismatch]),
        shows(
            "ECDSA where RSA is demanded",
            "valid",
            &[Reason::KeyAlgorithmNotAllowed],
        )
        .with(|case| {
            case.tls = Tls::RsaOnly;
        }),
        shows(
            "Ed25519 where RSA is demanded",
            "ed25519",
            &[Reason::KeyAlgorithmNotAllowed],
        )
        .with(|case| {
            case.tls = Tls::RsaOnly;
        }),
        openssl("RSA with 1024 bits", "rsa-1024", OLD).certificates(&[Reason::KeyTooSmall]),
        openssl("Signed with SHA-1", "sha1", OLD).certificates(&[Reason::WeakSignature]),
        shows(
            "RSA-PSS signature with a short salt",
            "pss-signature",
            &[Reason::VerifierUnsupported],
        ),
        openssl("RSA-PSS key", "pss-key", &["-tls1_2"]).reachable(&[Reason::VerifierUnsupported]),
        shows(
            "X.509 version 1",
            "version-1",
            &[Reason::CertificateMalformed, Reason::NoSubjectAltName],
        ),
        shows(
            "Unknown critical extension",
            "unknown-critical",
            &[Reason::CertificateMalformed],
        ),
        shows("Signed by itself", "self-signed", &[Reason::SelfSigned]),
        shows(
            "Signed by itself, as an authority",
            "self-signed-authority",
            &[Reason::SelfSigned],
        ),
        shows("For clients alone", "client-only", &[Reason::WrongExtendedKeyUsage]),
        shows(
            "Authority bound to other names",
            "name-constraint",
            &[Reason::NameConstraintViolated],
        ),
        shows(
            "Signed by a server's certificate",
            "issuer-no-authority",
            &[Reason::IssuerNotAuthority],
        ),
        shows("Root that is not trusted", "untrusted-root", &[Reason::UntrustedIssuer]),
        shows(
            "Private root where a public one is demanded",
            "valid",
            &[Reason::UntrustedIssuer],
        )
        .with(|case| {
            case.trust = Trusted::Public;
        }),
        openssl("70 KiB of certificates", "too-long", &[])
            .reachable(&[Reason::CertificateMalformed])
            .certificates(UNSEEN),
    ]
}

fn client_certificates() -> Vec<Case> {
    let demands = |name, version, client, reachable| {
        openssl(name, "valid", &["-Verify", "2", "-verify_return_error", version])
            .with(|case| case.client = client)
            .reachable(reachable)
    };
    vec![
        demands("Client certificate demanded, TLS 1.3", "-tls1_3", Client::None, &[Reason::ClientCertificateRequired]),
        demands("Client certificate demanded, TLS 1.2", "-tls1_2", Client::None, &[Reason::ClientCertificateRequired]),
        demands("Client certificate demanded and shown, TLS 1.3", "-tls1_3", Client::Good, &[]),
        demands("Client certificate demanded and shown, TLS 1.2", "-tls1_2", Client::Good, &[]),
        demands("Client certificate of another authority, TLS 1.3", "-tls1_3", Client::OfOther, &[Reason::ClientCertificateRejected]),
        demands("Client certificate of another authority, TLS 1.2", "-tls1_2", Client::OfOther, &[Reason::ClientCertificateRejected]),
        openssl("Client certificate asked for, not demanded", "valid", &["-verify", "2"]),
        nginx(
            "Client certificate demanded by nginx, in HTTP",
            "server { listen 127.0.0.1:PORT ssl; ssl_client_certificate FOLDER/root.pem; ssl_verify_client on; location / { return 200 ok; } }",
        )
        .reachable(&[Reason::ClientCertificateRequired]),
    ]
}

fn protocols() -> Vec<Case> {
    let old = |name, certificate, options: &[&'static str], reachable| {
        openssl(name, certificate, &[OLD, options].concat()).reachable(reachable)
    };
    vec![
        openssl("TLS 1.2 alone", "valid", &["-tls1_2"]),
        openssl("TLS 1.3 alone", "valid", &["-tls1_3"]),
        old("TLS 1.0 alone", "valid-rsa", &["-tls1"], &[Reason::TlsProtocolTooOld]),
        old("TLS 1.1 alone", "valid-rsa", &["-tls1_1"], &[Reason::TlsProtocolTooOld]),
        openssl(
            "RSA key exchange alone",
            "valid-rsa",
            &["-tls1_2", "-cipher", "AES128-GCM-SHA256"],
        )
        .reachable(&[Reason::TlsNoCommonCipher]),
        openssl(
            "CBC alone",
            "valid-rsa",
            &["-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA"],
        )
        .reachable(&[Reason::TlsNoCommonCipher]),
        openssl("Curve P-521 alone", "valid-rsa", &["-tls1_2", "-groups", "P-521"])
            .reachable(&[Reason::VerifierUnsupported]),
    ]
}

fn documents() -> Vec<Case> {
    let listed = |name, certificate, reasons| shows(name, certificate, reasons).with(|case| case.tls = Tls::Lists);
    let issuer = |name, certificate, reasons| shows(name, certificate, reasons).with(|case| case.tls = Tls::Issuers);
    vec![
        listed("Not revoked", "listed-good", &[]),
        listed("Revoked", "revoked", &[Reason::Revoked]),
        listed(
            "List of revoked certificates out of date",
            "listed-stale",
            &[Reason::RevocationUnknown],
        ),
        listed(
            "List of revoked certificates missing",
            "listed-missing",
            &[Reason::RevocationUnknown],
        ),
        issuer("Issuer's address works", "issuer-found", &[]),
        issuer(
            "Issuer's address redirects to https",
            "issuer-redirects",
            &[Reason::AiaRedirectsToHttps],
        ),
        issuer("Issuer's address fails", "issuer-fails", &[Reason::AiaUnreachable]),
    ]
}

fn answers() -> Vec<Case> {
    vec![
        nginx(
            "nginx in front, all is well",
            "server { listen 127.0.0.1:PORT ssl; location / { return 200 ok; } }",
        ),
        nginx(
            "Status 503",
            "server { listen 127.0.0.1:PORT ssl; location / { return 503; } }",
        )
        .reachable(&[Reason::UnexpectedHttpStatus]),
        nginx(
            "Empty page",
            "server { listen 127.0.0.1:PORT ssl; location / { return 200; } }",
        )
        .reachable(&[Reason::EmptyBody]),
        nginx(
            "Another host's certificate, as this one is not set up",
            "server { listen 127.0.0.1:PORT ssl default_server; server_name other.test; ssl_certificate FOLDER/wrong-name-full.pem;
             ssl_certificate_key FOLDER/wrong-name.key; location / { return 200 ok; } }",
        )
        .certificates(&[Reason::NameMismatch]),
        openssl("TLS, and no answer to the request", "valid", &[])
            .with(|case| case.path = Some("/"))
            .reachable(&[Reason::HttpTimeout]),
    ]
}

fn network() -> Vec<Case> {
    vec![
        socket("Refuses the connection", Fault::Refuses, &[Reason::ConnectionRefused]),
        socket("Closes at once", Fault::Closes, &[Reason::ConnectionReset]),
        socket("Resets the connection", Fault::Resets, &[Reason::ConnectionReset]),
        socket("Accepts and stays silent", Fault::Silent, &[Reason::HandshakeTimeout]),
        socket("Sends a byte now and then", Fault::Drips, &[Reason::HandshakeTimeout]),
        socket(
            "Speaks HTTP without TLS",
            Fault::Says(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"),
            &[Reason::NotTls],
        ),
        socket("Speaks SSH", Fault::Says(b"SSH-2.0-OpenSSH_9.2\r\n"), &[Reason::NotTls]),
        socket(
            "Sends garbage",
            Fault::Says(&[22, 3, 3, 0xff, 0xff, 1, 2, 3]),
            &[Reason::NotTls],
        ),
        socket(
            "Does not know the name (alert)",
            Fault::Says(&[21, 3, 3, 0, 2, 2, 112]),
            &[Reason::TlsAlert],
        ),
        socket("Name that does not exist", Fault::Refuses, &[Reason::DnsNotFound]).with(|case| {
            case.host = Some("no-such-name.invalid");
        }),
    ]
}
