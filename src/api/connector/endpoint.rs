//! What is reached over the network, and what is expected there.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::reference::{SecretKeyRef, SecretRef};

/// Something that is reached over the network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.http) || !has(self.sip)").message("at most one of http, sip"),
    validation = Rule::new("self.protocol == 'Tls' || !has(self.tls)").message("tls has no effect with this protocol: leave it out, or choose protocol: Tls"),
    validation = Rule::new("self.protocol != 'Udp' || has(self.sip)").message("protocol: Udp can be probed with sip alone"),
    validation = Rule::new("self.protocol != 'Udp' || !has(self.http)").message("http needs protocol: Tls or Tcp")
)]
pub struct Endpoint {
    /// Name of the endpoint here, unique in this list.
    #[schemars(length(min = 1, max = 40), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Host name or IP address, without scheme and port.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("isIP(self) || self.matches('^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?$')").message("must be a host name or an IP address, without scheme, port, path and spaces"))]
    pub host: String,
    /// Its port.
    #[serde(default = "https_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// What is spoken there.
    #[serde(default)]
    pub protocol: EndpointProtocol,
    /// From where it must be reachable. `NodesOnly`: that it cannot be reached from this cluster is no fault, as when the connector's
    /// firewall admits the conferencing nodes alone.
    #[serde(default)]
    pub expect_from: Vantage,
    /// Addresses to which the name may lead. Empty: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 2, max = 45)))]
    #[x_kube(validation = Rule::new("self.all(address, isIP(address))").message("each must be an IP address"))]
    pub expected_addresses: Vec<String>,
    /// Whether addresses in loopback, link-local and private ranges may be probed. The metadata services of clouds are never probed.
    #[serde(default)]
    pub allow_private_addresses: bool,
    /// A request to make.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpExpectation>,
    /// SIP OPTIONS to send.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sip: Option<SipExpectation>,
    /// What is expected of certificates and TLS, with `protocol: Tls`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsExpectation>,
}

fn https_port() -> i32 {
    443
}

/// What is spoken at an endpoint.
#[allow(missing_docs)] // documented variants would lose their order in the schema
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum EndpointProtocol {
    #[default]
    Tls,
    Tcp,
    Udp,
}

/// From where an endpoint must be reachable.
#[allow(missing_docs)] // described at the field
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Vantage {
    #[default]
    Cluster,
    NodesOnly,
}

/// A GET request without credentials, and the answers that are right. Redirects are not followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpExpectation {
    /// Path, with query if needed.
    #[serde(default = "root")]
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^/[!-~]*$"))]
    pub path: String,
    /// Statuses that show that it works.
    #[serde(default = "any_answer")]
    #[schemars(length(min = 1, max = 32), inner(range(min = 100, max = 599)))]
    pub statuses: Vec<i32>,
    /// Whether an empty body is a fault.
    #[serde(default)]
    pub non_empty_body: bool,
}

fn root() -> String {
    "/".to_owned()
}

fn any_answer() -> Vec<i32> {
    vec![200, 301, 302, 401, 403, 404]
}

/// A SIP OPTIONS request. Any final answer but 503 shows that the server lives.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SipExpectation {
    /// Domain to ask for; the endpoint's host when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = "^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$")
    )]
    pub domain: Option<String>,
}

/// What is expected of certificates and TLS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(self.trust == 'Public') != has(self.caBundleSecretRef)").message("caBundleSecretRef is required with trust: Bundle and PublicOrBundle, and not allowed with Public")
)]
pub struct TlsExpectation {
    /// Name in the handshake and in the certificate; the endpoint's host when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = "^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$")
    )]
    pub server_name: Option<String>,
    /// Key algorithms that the server's certificate may have. Pexip's connector takes RSA alone.
    #[serde(default = "all_algorithms")]
    #[schemars(length(min = 1, max = 3))]
    pub key_algorithms: Vec<KeyAlgorithm>,
    /// Fewest bits of an RSA key.
    #[serde(default = "rsa_bits")]
    #[schemars(range(min = 1024, max = 8192))]
    pub min_rsa_bits: i32,
    /// Who must have signed.
    #[serde(default)]
    pub trust: Trust,
    /// Certificates (PEM) that are trusted, with `trust: Bundle` and `PublicOrBundle`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_bundle_secret_ref: Option<SecretKeyRef>,
    /// Secret of type `kubernetes.io/tls` with the certificate to show when the server asks for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificate_secret_ref: Option<SecretRef>,
    /// When a coming end of a certificate is told.
    #[serde(default)]
    pub expiry: ExpiryLimits,
    /// Whether revocation is asked for.
    #[serde(default)]
    pub revocation: Revocation,
    /// Whether the addresses in certificates at which issuers are found are tried: one that redirects to https makes servers on
    /// Windows fail.
    #[serde(default)]
    pub aia_redirect_check: bool,
}

impl Default for TlsExpectation {
    fn default() -> Self {
        Self {
            server_name: None,
            key_algorithms: all_algorithms(),
            min_rsa_bits: rsa_bits(),
            trust: Trust::default(),
            ca_bundle_secret_ref: None,
            client_certificate_secret_ref: None,
            expiry: ExpiryLimits::default(),
            revocation: Revocation::default(),
            aia_redirect_check: false,
        }
    }
}

fn all_algorithms() -> Vec<KeyAlgorithm> {
    vec![KeyAlgorithm::RSA, KeyAlgorithm::ECDSA, KeyAlgorithm::Ed25519]
}

fn rsa_bits() -> i32 {
    2048
}

/// Algorithm of a certificate's key.
#[allow(missing_docs)] // the words of the field
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum KeyAlgorithm {
    RSA,
    ECDSA,
    Ed25519,
}

/// Who must have signed.
#[allow(missing_docs)] // documented variants would lose their order in the schema
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Trust {
    #[default]
    Public,
    Bundle,
    PublicOrBundle,
}

/// When a coming end of a certificate is told. What lives shorter than 90 days is told at a part of its lifetime, if that is later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.criticalDays < self.warnDays").message("criticalDays must be less than warnDays"))]
pub struct ExpiryLimits {
    /// So many days before, it is a warning.
    #[serde(default = "warn_days")]
    #[schemars(range(min = 1, max = 365))]
    pub warn_days: i32,
    /// So many days before, it is critical.
    #[serde(default = "critical_days")]
    #[schemars(range(min = 0, max = 364))]
    pub critical_days: i32,
    /// Percent of the lifetime that must be left, before a warning, for certificates that live so short that `warnDays` would be
    /// longer.
    #[serde(default = "lifetime_percent")]
    #[schemars(range(min = 1, max = 90))]
    pub lifetime_percent: i32,
}

impl Default for ExpiryLimits {
    fn default() -> Self {
        Self {
            warn_days: warn_days(),
            critical_days: critical_days(),
            lifetime_percent: lifetime_percent(),
        }
    }
}

fn warn_days() -> i32 {
    21
}

fn critical_days() -> i32 {
    7
}

fn lifetime_percent() -> i32 {
    33
}

/// Whether revocation is asked for.
#[allow(missing_docs)] // documented variants would lose their order in the schema
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Revocation {
    #[default]
    Off,
    Crl,
}
