//! What a simulator starts with: its directory and how it behaves.

use std::net::{Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

/// The tenant that exists when nothing is configured.
pub const DEFAULT_TENANT: &str = "11111111-1111-1111-1111-111111111111";
/// The app that exists when nothing is configured.
pub const DEFAULT_APP: &str = "22222222-2222-2222-2222-222222222222";
/// The secret of [`DEFAULT_APP`].
pub const DEFAULT_SECRET: &str = "simulator-secret";

const DEFAULT_SCOPES: [&str; 2] = ["Presence.Read.All", "User.Read"];
const DEFAULT_ROLES: [&str; 19] = [
    "CallRecords.Read.All",
    "User.Read.All",
    "Group.Read.All",
    "Chat.Read.All",
    "ChannelMessage.Read.All",
    "Chat.ReadBasic.All",
    "Mail.Read",
    "Calendars.Read",
    "Contacts.Read",
    "Files.Read.All",
    "Sites.Read.All",
    "Team.ReadBasic.All",
    "Channel.ReadBasic.All",
    "Presence.Read.All",
    "Presence.ReadWrite.All",
    "GroupMember.Read.All",
    "SecurityAlert.Read.All",
    "Application.Read.All",
    "ServiceHealth.Read.All",
];

/// Everything a simulator starts with. `--config` reads the same as JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Config {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Serve TLS with this certificate and key.
    #[serde(skip)]
    pub tls: Option<TlsPem>,
    /// The CAs (PEM) that are trusted when a notification URL is called. Nothing else is.
    pub trusted_ca: Option<String>,
    /// The tenants and what is in them.
    pub tenants: Vec<Tenant>,
    /// How it behaves.
    pub settings: Settings,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            tls: None,
            trusted_ca: None,
            tenants: vec![Tenant::default()],
            settings: Settings::default(),
        }
    }
}

/// Server certificate chain and private key, both PEM.
#[derive(Debug, Clone)]
pub struct TlsPem {
    /// Certificate chain.
    pub certificate: Vec<u8>,
    /// Private key.
    pub key: Vec<u8>,
}

/// One Entra tenant.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tenant {
    /// GUID.
    pub id: String,
    /// A domain that names the tenant as well.
    pub domain: String,
    /// App registrations with a service principal here.
    #[serde(default)]
    pub apps: Vec<App>,
    /// Users that can be read.
    #[serde(default)]
    pub users: Vec<serde_json::Value>,
    /// Call records that can be read.
    #[serde(default)]
    pub call_records: Vec<serde_json::Value>,
}

impl Default for Tenant {
    fn default() -> Self {
        Self {
            id: DEFAULT_TENANT.into(),
            domain: "contoso.onmicrosoft.com".into(),
            apps: vec![App::default()],
            users: Vec::new(),
            call_records: Vec::new(),
        }
    }
}

/// One app registration in a tenant.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct App {
    /// GUID.
    pub client_id: String,
    /// Client secrets.
    #[serde(default)]
    pub client_secrets: Vec<Secret>,
    /// Registered certificates, each PEM.
    #[serde(default)]
    pub certificates: Vec<String>,
    /// Federated identity credentials.
    #[serde(default)]
    pub federated_credentials: Vec<FederatedCredential>,
    /// Application permissions with admin consent.
    #[serde(default)]
    pub roles: Vec<String>,
    /// Delegated permissions with admin consent.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// People may sign in through it without its secret.
    #[serde(default)]
    pub public_client: bool,
    /// A disabled app gets no token.
    #[serde(default)]
    pub disabled: bool,
    /// A managed identity: its tokens come from `/metadata/identity/oauth2/token` and `/msi/token`.
    #[serde(default)]
    pub managed_identity: bool,
}

impl Default for App {
    fn default() -> Self {
        Self {
            client_id: DEFAULT_APP.into(),
            client_secrets: vec![Secret {
                value: DEFAULT_SECRET.into(),
                expired: false,
            }],
            certificates: Vec::new(),
            federated_credentials: Vec::new(),
            roles: DEFAULT_ROLES.map(String::from).to_vec(),
            scopes: DEFAULT_SCOPES.map(String::from).to_vec(),
            public_client: false,
            disabled: false,
            managed_identity: false,
        }
    }
}

/// One client secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Secret {
    /// The secret itself.
    pub value: String,
    /// Known, but no longer good.
    #[serde(default)]
    pub expired: bool,
}

/// Whose tokens an app accepts instead of a secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FederatedCredential {
    /// `iss` of the assertion.
    pub issuer: String,
    /// `sub` of the assertion.
    pub subject: String,
    /// `aud` of the assertion.
    #[serde(default = "token_exchange_audience")]
    pub audience: String,
    /// The issuer's public keys. The real Entra fetches them from the issuer; this stand-in is told them.
    #[serde(default)]
    pub jwks: Option<serde_json::Value>,
    /// Accept the claims WITHOUT checking a signature. For tests only.
    #[serde(default)]
    pub accept_unsigned_claims: bool,
}

fn token_exchange_audience() -> String {
    "api://AzureADTokenExchange".into()
}

/// How the simulator behaves. `PUT /_simulator/settings` replaces it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    /// Life of an access token.
    pub token_lifetime_seconds: i64,
    /// Subscriptions per page of the list.
    pub page_size: usize,
    /// How long a notification URL may take to answer the handshake.
    pub handshake_timeout_ms: u64,
    /// Apply Graph's request limits for subscriptions.
    pub throttling: bool,
    /// Send `reauthorizationRequired` by itself when a token or a subscription nears its end, and hold notifications of
    /// subscriptions whose token has expired.
    pub challenges: bool,
    /// Accept `http://` notification URLs. Microsoft does not; for tests without TLS only.
    pub allow_http: bool,
    /// Audiences accepted in access tokens besides Graph's own hosts and the host that was asked.
    pub audiences: Vec<String>,
    /// Base of the issuer in validation tokens of rich notifications: `<this>/<tenant>/v2.0`.
    pub validation_issuer: String,
    /// The value that `/msi/token` expects in `X-IDENTITY-HEADER`.
    pub identity_header: String,
    /// How notifications are delivered.
    pub delivery: DeliverySettings,
    /// How delta queries behave.
    pub delta: DeltaSettings,
    /// How presence behaves.
    pub presence: PresenceSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            token_lifetime_seconds: 3599,
            page_size: 100,
            handshake_timeout_ms: 10_000,
            throttling: true,
            challenges: false,
            allow_http: false,
            audiences: Vec::new(),
            validation_issuer: "https://login.microsoftonline.com".into(),
            identity_header: "simulator-identity-header".into(),
            delivery: DeliverySettings::default(),
            delta: DeltaSettings::default(),
            presence: PresenceSettings::default(),
        }
    }
}

/// How presence and its notifications behave. Microsoft states an average below 10 s and a maximum of a minute.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PresenceSettings {
    /// Real time from a change to its notification.
    pub delay_ms: u64,
    /// Up to so much more, each time anew: notifications may overtake each other.
    pub jitter_ms: u64,
    /// So many of a hundred notifications are never sent.
    pub lost_percent: u8,
    /// So many of a hundred are sent twice.
    pub repeated_percent: u8,
    /// `Busy/InACall` of an app is seen as `Busy/Busy` every other time, as in the field.
    pub vague_echo: bool,
}

/// How delta queries behave.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct DeltaSettings {
    /// Life of a token for users and groups, in simulated seconds. Microsoft states seven days.
    pub directory_token_seconds: i64,
    /// Life of all other tokens, in simulated seconds; without end if left out. Microsoft states none.
    pub token_seconds: Option<i64>,
    /// Objects per page unless the request says so; what is usual for the collection if left out.
    pub page_size: Option<usize>,
    /// Give the last object of a page or round once more with the next.
    pub repeats: bool,
}

impl Default for DeltaSettings {
    fn default() -> Self {
        Self {
            directory_token_seconds: 7 * 24 * 3600,
            token_seconds: None,
            page_size: None,
            repeats: false,
        }
    }
}

/// How notifications are delivered.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct DeliverySettings {
    /// Time for the first attempt.
    pub first_timeout_ms: u64,
    /// Time for each later attempt.
    pub retry_timeout_ms: u64,
    /// Pause before the second attempt, in simulated time; doubles each time.
    pub backoff_base_ms: u64,
    /// The longest pause, in simulated time.
    pub backoff_max_ms: u64,
    /// Simulated seconds after which a notification is given up.
    pub give_up_after_seconds: i64,
    /// Judge endpoints as slow or to be dropped, as Graph does.
    pub endpoint_states: bool,
    /// An answer that takes this long counts as slow.
    pub slow_after_ms: u64,
    /// An answer that takes this long counts towards the drop state.
    pub hopeless_after_ms: u64,
    /// Answers in the window before an endpoint is judged. Microsoft does not publish its number.
    pub endpoint_min_samples: usize,
}

impl Default for DeliverySettings {
    fn default() -> Self {
        Self {
            first_timeout_ms: 3_000,
            retry_timeout_ms: 10_000,
            backoff_base_ms: 5_000,
            backoff_max_ms: 600_000,
            give_up_after_seconds: 4 * 3600,
            endpoint_states: true,
            slow_after_ms: 3_000,
            hopeless_after_ms: 10_000,
            endpoint_min_samples: 20,
        }
    }
}
