//! Client assertions: signed with a registered certificate, or issued by a federated identity provider.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use jiff::Timestamp;
use serde_json::Value;
use x509_parser::pem::parse_x509_pem;
use x509_parser::public_key::PublicKey as X509PublicKey;

use super::error::EntraError;
use crate::simulator::config::{App, FederatedCredential};
use crate::simulator::jwt::{self, Parts, PublicKey};
use crate::simulator::state::State;

/// Entra's advice is 5 to 10 minutes; a little more covers rounding.
const LONGEST_LIFE: i64 = 10 * 60 + 5;
const CLOCK_TOLERANCE: i64 = 5 * 60;

/// Where and when an assertion is presented.
pub struct Place<'a> {
    /// `scheme://host` that was asked.
    pub base: &'a str,
    /// The tenant as it stands in the path.
    pub tenant_name: &'a str,
    /// Its id.
    pub tenant_id: &'a str,
    /// Simulated time.
    pub now: Timestamp,
}

struct Registered {
    key: PublicKey,
    sha1: String,
    sha256: String,
    not_before: i64,
    not_after: i64,
}

/// Accepts or refuses an assertion for `app`.
pub fn check(state: &mut State, app: &App, assertion: &str, place: &Place<'_>) -> Result<(), EntraError> {
    let parts =
        jwt::split(assertion).ok_or_else(|| EntraError::request(50_027, "JWT token is invalid or malformed."))?;
    // An app's own assertion says so in `iss`; anything else is somebody else's token.
    if parts
        .claim("iss")
        .is_some_and(|issuer| issuer.eq_ignore_ascii_case(&app.client_id))
    {
        check_certificate(app, &parts, place)?;
        check_claims(app, &parts, place)?;
        return check_replay(state, &parts);
    }
    check_federated(app, &parts, place)
}

fn check_certificate(app: &App, parts: &Parts, place: &Place<'_>) -> Result<(), EntraError> {
    let refused = |reason: &str| {
        let text = format!(
            "The certificate with identifier used to sign the client assertion is not registered on application, or \
             its signature failed validation. [Reason - {reason}] Application '{}'.",
            app.client_id
        );
        EntraError::client(700_027, text)
    };
    let thumbprint = |name: &str| parts.header[name].as_str().map(|v| v.trim_end_matches('=').to_string());
    let (sha256, sha1) = (thumbprint("x5t#S256"), thumbprint("x5t"));
    if sha256.is_none() && sha1.is_none() {
        return Err(refused("The thumbprint of the certificate is missing in the header."));
    }
    let known: Vec<Registered> = app
        .certificates
        .iter()
        .filter_map(|pem| read_certificate(pem))
        .collect();
    let matches =
        |c: &&Registered| sha256.as_ref().is_none_or(|t| *t == c.sha256) && sha1.as_ref().is_none_or(|t| *t == c.sha1);
    let certificate = known
        .iter()
        .find(matches)
        .ok_or_else(|| refused("The key was not found. Thumbprint of key used by client is not registered."))?;
    let now = place.now.as_second();
    if now > certificate.not_after || now < certificate.not_before {
        return Err(refused("The key used is expired."));
    }
    if parts.signed_by(&certificate.key) {
        Ok(())
    } else {
        Err(refused(
            "The key was found, but use of the key to verify the signature failed.",
        ))
    }
}

fn check_claims(app: &App, parts: &Parts, place: &Place<'_>) -> Result<(), EntraError> {
    let refused = |text: String| EntraError::client(700_021, text);
    if parts
        .claim("sub")
        .is_none_or(|subject| !subject.eq_ignore_ascii_case(&app.client_id))
    {
        return Err(refused(
            "Client assertion 'sub' must be the application identifier.".into(),
        ));
    }
    let endpoints =
        [place.tenant_name, place.tenant_id].map(|tenant| format!("{}/{tenant}/oauth2/v2.0/token", place.base));
    if parts
        .claim("aud")
        .is_none_or(|audience| !endpoints.iter().any(|e| e == audience))
    {
        let text = format!(
            "Client assertion audience claim does not match this token endpoint '{}'.",
            endpoints[0]
        );
        return Err(EntraError::client(700_023, text));
    }
    let (now, from, until) = (
        place.now.as_second(),
        parts.claims["nbf"].as_i64(),
        parts.claims["exp"].as_i64(),
    );
    let Some(until) = until else {
        return Err(refused("Client assertion has no 'exp'.".into()));
    };
    let from = from.or_else(|| parts.claims["iat"].as_i64()).unwrap_or(now);
    if now > until + CLOCK_TOLERANCE || now < from - CLOCK_TOLERANCE {
        let text = format!(
            "Client assertion is not within its valid time range. Current time: {}.",
            place.now
        );
        return Err(EntraError::client(700_024, text));
    }
    if until - from > LONGEST_LIFE {
        return Err(refused("Client assertion lives longer than 10 minutes.".into()));
    }
    Ok(())
}

/// An assertion id works once.
fn check_replay(state: &mut State, parts: &Parts) -> Result<(), EntraError> {
    let Some(id) = parts.claim("jti").filter(|id| !id.is_empty()) else {
        return Err(EntraError::client(700_021, "Client assertion has no 'jti'."));
    };
    if !state.used_assertions.insert(id.to_string()) {
        return Err(EntraError::client(700_025, "Client assertion was already used."));
    }
    Ok(())
}

fn check_federated(app: &App, parts: &Parts, place: &Place<'_>) -> Result<(), EntraError> {
    let (issuer, subject) = (
        parts.claim("iss").unwrap_or_default(),
        parts.claim("sub").unwrap_or_default(),
    );
    let matches = |credential: &&FederatedCredential| {
        credential.issuer == issuer && credential.subject == subject && has_audience(parts, &credential.audience)
    };
    let credential = app.federated_credentials.iter().find(matches).ok_or_else(|| {
        let text = format!(
            "No matching federated identity record found for presented assertion. Assertion Issuer: '{issuer}'. \
             Assertion Subject: '{subject}'. Assertion Audience: '{}'.",
            parts.claims["aud"]
        );
        EntraError::client(70_021, text)
    })?;
    let now = place.now.as_second();
    if parts.claims["exp"]
        .as_i64()
        .is_none_or(|until| now > until + CLOCK_TOLERANCE)
    {
        return Err(EntraError::client(
            700_024,
            "Client assertion is not within its valid time range.",
        ));
    }
    let kid = parts.header["kid"].as_str();
    let key = credential.jwks.as_ref().and_then(|keys| jwt::find_key(keys, kid));
    if credential.accept_unsigned_claims || key.is_some_and(|key| parts.signed_by(&key)) {
        return Ok(());
    }
    Err(EntraError::client(
        700_027,
        "Client assertion failed signature validation.",
    ))
}

fn has_audience(parts: &Parts, wanted: &str) -> bool {
    match &parts.claims["aud"] {
        Value::String(one) => one == wanted,
        Value::Array(many) => many.iter().any(|one| one == wanted),
        _ => false,
    }
}

fn read_certificate(pem: &str) -> Option<Registered> {
    let (_, pem) = parse_x509_pem(pem.as_bytes()).ok()?;
    let certificate = pem.parse_x509().ok()?;
    let X509PublicKey::RSA(key) = certificate.public_key().parsed().ok()? else {
        return None;
    };
    let strip = |bytes: &[u8]| bytes.iter().copied().skip_while(|b| *b == 0).collect::<Vec<u8>>();
    Some(Registered {
        key: PublicKey {
            modulus: strip(key.modulus),
            exponent: strip(key.exponent),
        },
        sha1: jwt::encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &pem.contents).as_ref()),
        sha256: jwt::encode(digest(&SHA256, &pem.contents).as_ref()),
        not_before: certificate.validity().not_before.timestamp(),
        not_after: certificate.validity().not_after.timestamp(),
    })
}
