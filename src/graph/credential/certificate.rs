//! A certificate with its private key, and the assertions signed with it.
//! <https://learn.microsoft.com/entra/identity-platform/certificate-credentials>

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::{KeyPair as _, RSA_PSS_SHA256};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use x509_parser::certificate::X509Certificate;
use x509_parser::oid_registry::OID_PKCS1_RSAENCRYPTION;
use x509_parser::parse_x509_certificate;
use x509_parser::pem::Pem;
use x509_parser::time::ASN1Time;

use crate::graph::error::{Class, Failure, Kind};

/// How long an assertion is valid: Entra advises five to ten minutes.
const ASSERTION_SECONDS: i64 = 480;
/// How far back an assertion starts, for clocks that differ a little.
const BACKDATE_SECONDS: i64 = 60;

/// A certificate and its RSA key, checked to belong together.
#[derive(Clone)]
pub struct CertificateCredential {
    key: Arc<KeyPair>,
    /// SHA-256 of the certificate, base64url: how Entra finds it among the app's certificates.
    thumbprint: String,
    not_before: Timestamp,
    not_after: Timestamp,
}

impl fmt::Debug for CertificateCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateCredential")
            .field("thumbprint", &self.thumbprint)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct Header<'a> {
    alg: &'static str,
    typ: &'static str,
    #[serde(rename = "x5t#S256")]
    thumbprint: &'a str,
}

#[derive(Serialize)]
struct Claims<'a> {
    aud: &'a str,
    iss: &'a str,
    sub: &'a str,
    jti: String,
    nbf: i64,
    iat: i64,
    exp: i64,
}

impl CertificateCredential {
    /// Reads a PEM certificate (the first one of a chain) and its PEM key (PKCS#8 or PKCS#1, RSA, not encrypted).
    /// [`Kind::CredentialsMalformed`] says what is wrong with them.
    pub fn from_pem(cert_pem: &str, key_pem: &SecretString) -> Result<Self, Failure> {
        let der = first_block(cert_pem, &["CERTIFICATE"])
            .ok_or_else(|| malformed("The certificate is not in PEM form (-----BEGIN CERTIFICATE-----)."))?
            .contents;
        let (_, certificate) =
            parse_x509_certificate(&der).map_err(|_| malformed("The certificate cannot be read as X.509."))?;
        let key = read_key(key_pem.expose_secret())?;
        check_pair(&certificate, &key)?;
        let validity = certificate.validity();
        Ok(Self {
            key: Arc::new(key),
            thumbprint: URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, &der)),
            not_before: time(validity.not_before)?,
            not_after: time(validity.not_after)?,
        })
    }

    /// When the certificate expires.
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// When the certificate becomes valid.
    pub fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// A signed assertion that `client_id` is itself, for the token endpoint `audience`.
    pub(in crate::graph) fn assertion(
        &self,
        client_id: &str,
        audience: &str,
        now: Timestamp,
    ) -> Result<SecretString, Failure> {
        let now = now.as_second();
        let header = Header {
            alg: "PS256",
            typ: "JWT",
            thumbprint: &self.thumbprint,
        };
        let claims = Claims {
            aud: audience,
            iss: client_id,
            sub: client_id,
            jti: uuid::Uuid::new_v4().to_string(),
            nbf: now - BACKDATE_SECONDS,
            iat: now,
            exp: now + ASSERTION_SECONDS,
        };
        let text = format!("{}.{}", encode(&header)?, encode(&claims)?);
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key
            .sign(&RSA_PSS_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature)
            .map_err(|_| malformed("The private key cannot sign."))?;
        Ok(SecretString::from(format!(
            "{text}.{}",
            URL_SAFE_NO_PAD.encode(signature)
        )))
    }
}

fn encode(part: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_vec(part)
        .map(|json| URL_SAFE_NO_PAD.encode(json))
        .map_err(|_| malformed("The assertion cannot be written."))
}

fn malformed(message: &str) -> Failure {
    Failure::new(Kind::CredentialsMalformed, Class::RetrySlowly, message)
}

fn first_block(pem: &str, labels: &[&str]) -> Option<Pem> {
    Pem::iter_from_buffer(pem.as_bytes())
        .filter_map(Result::ok)
        .find(|block| labels.contains(&block.label.as_str()))
}

fn read_key(pem: &str) -> Result<KeyPair, Failure> {
    if pem.contains("BEGIN ENCRYPTED PRIVATE KEY") || pem.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(malformed(
            "The private key is encrypted; store it without a passphrase.",
        ));
    }
    if pem.contains("BEGIN EC PRIVATE KEY") {
        return Err(malformed(
            "The private key is not an RSA key; Entra needs one for app certificates.",
        ));
    }
    let block = first_block(pem, &["PRIVATE KEY", "RSA PRIVATE KEY"])
        .ok_or_else(|| malformed("The private key is not in PEM form (-----BEGIN PRIVATE KEY-----)."))?;
    let key = if block.label == "PRIVATE KEY" {
        KeyPair::from_pkcs8(&block.contents)
    } else {
        KeyPair::from_der(&block.contents)
    };
    key.map_err(|_| malformed("The private key is not an RSA key of at least 2048 bits, or is damaged."))
}

/// Entra would only say "invalid assertion" later; the mistake of a half-replaced Secret is visible here.
fn check_pair(certificate: &X509Certificate<'_>, key: &KeyPair) -> Result<(), Failure> {
    let public = certificate.public_key();
    if public.algorithm.algorithm != OID_PKCS1_RSAENCRYPTION {
        return Err(malformed(
            "The certificate has no RSA key; Entra needs one for app certificates.",
        ));
    }
    if public.subject_public_key.data.as_ref() != key.public_key().as_ref() {
        return Err(malformed("The private key does not belong to the certificate."));
    }
    Ok(())
}

fn time(time: ASN1Time) -> Result<Timestamp, Failure> {
    Timestamp::from_second(time.timestamp()).map_err(|_| malformed("The certificate has an impossible validity."))
}

#[cfg(test)]
mod tests;
