//! Who the worker is to the server, and how users are addressed.

use super::digest::Credentials;
use super::text::escape_user;
use crate::api::presence::{Sip, SipTransport};
use crate::policy::presence::pbx::PbxError;

/// The user part of the worker's own address, where it has no user name.
const NAME: &str = "teams-graph-operator";

/// What does not change while the adapter runs.
#[derive(Clone, Debug)]
pub(super) struct Profile {
    endpoint: String,
    domain: String,
    transport: SipTransport,
    subscriber: String,
    publisher: Option<String>,
    credentials: Option<Credentials>,
}

impl Profile {
    /// From what the spec says.
    pub(super) fn new(config: &Sip, credentials: Option<Credentials>) -> Result<Self, PbxError> {
        let domain = &config.domain;
        let plain = |one: char| one.is_ascii_alphanumeric() || "-.:[]".contains(one);
        if domain.is_empty() || !domain.chars().all(plain) {
            return Err(PbxError::Protocol("the SIP domain is not a host name".to_owned()));
        }
        let username = config.username.as_ref();
        if username.is_some_and(|name| name.chars().any(char::is_control)) {
            return Err(PbxError::Auth("the user name holds a control character".to_owned()));
        }
        // Some servers want the name with the domain for the proof; the address has it once.
        let local = username.map(|name| name.split('@').next().unwrap_or_default());
        let own = local.map(|name| format!("sip:{}@{domain}", escape_user(name)));
        Ok(Self {
            endpoint: config.host.clone(),
            domain: domain.clone(),
            transport: config.transport,
            subscriber: own.clone().unwrap_or_else(|| format!("sip:{NAME}@{domain}")),
            publisher: own,
            credentials,
        })
    }

    /// The name of the connection in status and messages.
    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The SIP domain.
    pub(super) fn domain(&self) -> &str {
        &self.domain
    }

    /// Whether messages travel one by one, and get lost.
    pub(super) fn datagrams(&self) -> bool {
        self.transport == SipTransport::UDP
    }

    /// The transport's name in `Via`.
    pub(super) fn via(&self) -> &'static str {
        match self.transport {
            SipTransport::UDP => "UDP",
            SipTransport::TCP => "TCP",
            SipTransport::TLS => "TLS",
        }
    }

    /// The address under which the worker subscribes.
    pub(super) fn subscriber(&self) -> &str {
        &self.subscriber
    }

    /// The address under which the worker publishes; `None`: that of the user.
    pub(super) fn publisher(&self) -> Option<&str> {
        self.publisher.as_deref()
    }

    /// Name and password.
    pub(super) fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }

    /// Where the server sends notifications to: `address` is host and port. Over a connection, so that it is used again.
    pub(super) fn contact(&self, address: &str) -> String {
        let transport = match self.transport {
            SipTransport::UDP => "",
            SipTransport::TCP => ";transport=tcp",
            SipTransport::TLS => ";transport=tls",
        };
        format!("<sip:{NAME}@{address}{transport}>")
    }

    /// A user's SIP address. An id with an `@` is an address with its own domain.
    pub(super) fn address(&self, user: &str) -> String {
        match user.rsplit_once('@') {
            Some((local, domain))
                if !domain.is_empty()
                    && domain
                        .chars()
                        .all(|one| one.is_ascii_alphanumeric() || "-.".contains(one)) =>
            {
                format!("sip:{}@{domain}", escape_user(local))
            }
            _ => format!("sip:{}@{}", escape_user(user), self.domain),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(domain: &str, username: Option<&str>) -> Sip {
        let mut sip: Sip = serde_json::from_value(serde_json::json!({ "host": "pbx", "domain": domain })).unwrap();
        sip.username = username.map(str::to_owned);
        sip
    }

    #[test]
    fn addresses() {
        let profile = Profile::new(&config("example.com", Some("sync@example.com")), None).unwrap();
        assert_eq!(profile.subscriber(), "sip:sync@example.com");
        let cases = [
            ("anna", "sip:anna@example.com"),
            ("+49 30 1", "sip:+49%2030%201@example.com"),
            ("anna@other.example", "sip:anna@other.example"),
            ("a@b>\r\nX: y", "sip:a%40b%3E%0D%0AX%3A%20y@example.com"),
            ("@", "sip:%40@example.com"),
        ];
        for (user, expected) in cases {
            assert_eq!(profile.address(user), expected, "{user:?}");
        }
        assert_eq!(
            profile.contact("10.0.0.1:5060"),
            "<sip:teams-graph-operator@10.0.0.1:5060;transport=tcp>"
        );
    }

    #[test]
    fn what_would_break_a_message_is_refused() {
        assert!(matches!(
            Profile::new(&config("a>b", None), None),
            Err(PbxError::Protocol(_))
        ));
        assert!(matches!(
            Profile::new(&config("a", Some("x\ny")), None),
            Err(PbxError::Auth(_))
        ));
        let profile = Profile::new(&config("a", None), None).unwrap();
        assert_eq!(
            (profile.subscriber(), profile.publisher()),
            ("sip:teams-graph-operator@a", None)
        );
    }
}
