//! Digest authentication (RFC 8760, RFC 7616, RFC 3261 section 22): MD5 and SHA-256, with `qop=auth` or none.

use data_encoding::HEXLOWER;
use secrecy::{ExposeSecret, SecretString};

use super::message::Message;
use super::text::{quote, split, unquote};

/// Who asks for proof; the header fields have other names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    /// The server itself: 401.
    Server,
    /// A proxy on the way: 407.
    Proxy,
}

impl Asker {
    /// Who it is that answered so.
    pub(super) fn of(status: u16) -> Option<Self> {
        match status {
            401 => Some(Self::Server),
            407 => Some(Self::Proxy),
            _ => None,
        }
    }

    fn challenge_field(self) -> &'static str {
        match self {
            Self::Server => "WWW-Authenticate",
            Self::Proxy => "Proxy-Authenticate",
        }
    }

    /// Where the proof goes.
    pub(super) fn proof_field(self) -> &'static str {
        match self {
            Self::Server => "Authorization",
            Self::Proxy => "Proxy-Authorization",
        }
    }
}

/// A hash function. The order is that of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Algorithm {
    Md5,
    Sha256,
}

/// Name and password.
#[derive(Clone, Debug)]
pub(super) struct Credentials {
    /// The user name.
    pub(super) username: String,
    /// The password.
    pub(super) password: SecretString,
}

/// What a server wants to have proven, and how often it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Challenge {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    algorithm: Algorithm,
    named_algorithm: bool,
    qop: bool,
    /// The proof was right, but the nonce has expired.
    pub(super) stale: bool,
    count: u32,
}

impl Challenge {
    /// The strongest challenge of an answer that can be met.
    pub(super) fn of(answer: &Message, asker: Asker) -> Option<Self> {
        let offers = answer.all(asker.challenge_field()).filter_map(Self::read);
        offers.max_by_key(|offer| offer.algorithm)
    }

    fn read(value: &str) -> Option<Self> {
        let (scheme, rest) = value.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("Digest") {
            return None;
        }
        let get = |name: &str| {
            split(rest, ',').find_map(|part| {
                let (one, value) = part.split_once('=')?;
                one.trim().eq_ignore_ascii_case(name).then(|| unquote(value.trim()))
            })
        };
        let algorithm = get("algorithm");
        let known = match algorithm.as_deref().map(str::to_ascii_lowercase).as_deref() {
            None | Some("md5") => Algorithm::Md5,
            Some("sha-256") => Algorithm::Sha256,
            Some(_) => return None,
        };
        let qop = get("qop");
        let auth = qop
            .as_ref()
            .map(|all| all.split(',').any(|one| one.trim().eq_ignore_ascii_case("auth")));
        if auth == Some(false) {
            return None;
        }
        Some(Self {
            realm: get("realm")?,
            nonce: get("nonce")?,
            opaque: get("opaque"),
            algorithm: known,
            named_algorithm: algorithm.is_some(),
            qop: auth.is_some(),
            stale: get("stale").is_some_and(|stale| stale.eq_ignore_ascii_case("true")),
            count: 0,
        })
    }

    /// The proof for one request: the value of the header field. `cnonce` must be new each time.
    pub(super) fn prove(&mut self, credentials: &Credentials, method: &str, uri: &str, cnonce: &str) -> String {
        self.count = self.count.wrapping_add(1);
        let Credentials { username, password } = credentials;
        let hash = |text: &str| self.algorithm.hash(text.as_bytes());
        let secret = hash(&format!("{username}:{}:{}", self.realm, password.expose_secret()));
        let what = hash(&format!("{method}:{uri}"));
        let count = format!("{:08x}", self.count);
        let response = if self.qop {
            hash(&format!("{secret}:{}:{count}:{cnonce}:auth:{what}", self.nonce))
        } else {
            hash(&format!("{secret}:{}:{what}", self.nonce))
        };
        let mut value = format!(
            "Digest username={}, realm={}, nonce={}, uri={}, response=\"{response}\"",
            quote(username),
            quote(&self.realm),
            quote(&self.nonce),
            quote(uri),
        );
        if self.named_algorithm {
            value.push_str(", algorithm=");
            value.push_str(self.algorithm.name());
        }
        if let Some(opaque) = &self.opaque {
            value.push_str(", opaque=");
            value.push_str(&quote(opaque));
        }
        if self.qop {
            for part in [", qop=auth, nc=", &count, ", cnonce=\"", cnonce, "\""] {
                value.push_str(part);
            }
        }
        value
    }
}

impl Algorithm {
    fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
        }
    }

    fn hash(self, bytes: &[u8]) -> String {
        match self {
            Self::Md5 => HEXLOWER.encode(<md5::Md5 as md5::Digest>::digest(bytes).as_slice()),
            Self::Sha256 => HEXLOWER.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref()),
        }
    }
}

#[cfg(test)]
mod tests;
