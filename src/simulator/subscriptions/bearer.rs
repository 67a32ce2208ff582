//! Who calls Graph: the access token in the request.

use axum::http::HeaderMap;
use jiff::Timestamp;
use url::Url;

use crate::simulator::entra::token::GRAPH_APP_ID;
use crate::simulator::errors::{GraphError, GraphResult};
use crate::simulator::jwt;
use crate::simulator::state::Shared;

const GRAPH_HOSTS: [&str; 4] = [
    "graph.microsoft.com",
    "graph.microsoft.us",
    "dod-graph.microsoft.us",
    "microsoftgraph.chinacloudapi.cn",
];

/// An app in a tenant, with the permissions of its token; on behalf of a person, if one signed in.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Tenant id.
    pub tenant: String,
    /// Client id.
    pub app: String,
    /// Object id of the person who signed in.
    pub user: Option<String>,
    /// Granted application permissions; delegated ones, if a person signed in.
    pub roles: Vec<String>,
    /// When its token was issued, in seconds.
    pub token_issued: i64,
    /// When its token ends.
    pub token_ends: Timestamp,
}

impl Caller {
    /// Whether one of these permissions is granted. An empty list means that no application permission exists.
    pub fn may(&self, accepted: &[&str]) -> bool {
        accepted
            .iter()
            .any(|role| self.roles.iter().any(|granted| granted == role))
    }
}

/// Reads and checks the bearer token.
pub fn caller(shared: &Shared, headers: &HeaderMap) -> GraphResult<Caller> {
    let header = headers
        .get("authorization")
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    let token = header
        .split_once(' ')
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map_or("", |(_, token)| token)
        .trim();
    if token.is_empty() {
        return Err(GraphError::token("Access token is empty."));
    }
    let parts =
        jwt::split(token).ok_or_else(|| GraphError::token("CompactToken parsing failed with error code: 80049217"))?;
    if !parts.signed_here() {
        return Err(GraphError::token("Access token validation failure. Invalid signature."));
    }
    let host = headers.get("host").and_then(|h| h.to_str().ok()).unwrap_or_default();
    if !parts
        .claim("aud")
        .is_some_and(|audience| is_graph(shared, audience, host))
    {
        return Err(GraphError::token("Access token validation failure. Invalid audience."));
    }
    let now = shared.clock.now().as_second();
    let ends = parts.claims["exp"].as_i64().unwrap_or_default();
    if now >= ends {
        return Err(GraphError::token("Lifetime validation failed, the token is expired."));
    }
    let text = |name: &str| parts.claim(name).unwrap_or_default().to_string();
    let user = (parts.claim("idtyp") == Some("user")).then(|| text("oid"));
    let scopes = || parts.claim("scp").unwrap_or_default().split(' ').map(String::from);
    let roles = parts.claims["roles"].as_array().map(|roles| {
        roles
            .iter()
            .filter_map(|role| role.as_str().map(String::from))
            .collect()
    });
    Ok(Caller {
        tenant: text("tid"),
        app: text("appid"),
        roles: match &user {
            Some(_) => scopes().collect(),
            None => roles.unwrap_or_default(),
        },
        user,
        token_issued: parts.claims["iat"].as_i64().unwrap_or_default(),
        token_ends: Timestamp::from_second(ends).unwrap_or(Timestamp::MAX),
    })
}

/// Graph's own names, the name under which the simulator was asked, and what the settings add.
fn is_graph(shared: &Shared, audience: &str, asked_host: &str) -> bool {
    if audience == GRAPH_APP_ID || shared.state().settings.audiences.iter().any(|a| a == audience) {
        return true;
    }
    let Ok(url) = Url::parse(audience) else {
        return false;
    };
    let host = url.host_str().unwrap_or_default();
    let with_port = url
        .port()
        .map_or_else(|| host.to_string(), |port| format!("{host}:{port}"));
    GRAPH_HOSTS.contains(&host) || with_port.eq_ignore_ascii_case(asked_host)
}
