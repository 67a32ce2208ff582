use std::sync::LazyLock;

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use rcgen::{CertificateParams, KeyPair as RcgenPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256};
use serde_json::Value;

use super::*;

struct Pair {
    certificate: String,
    key: RcgenPair,
}

impl Pair {
    fn new(key: RcgenPair) -> Self {
        let certificate = CertificateParams::new(["app".to_owned()]).unwrap();
        Self {
            certificate: certificate.self_signed(&key).unwrap().pem(),
            key,
        }
    }

    fn secret(&self) -> SecretString {
        SecretString::from(self.key.serialize_pem())
    }
}

/// Making RSA keys takes time: once is enough.
static RSA: LazyLock<Pair> = LazyLock::new(|| Pair::new(RcgenPair::generate_for(&PKCS_RSA_SHA256).unwrap()));
static EC: LazyLock<Pair> = LazyLock::new(|| Pair::new(RcgenPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()));

fn complaint(certificate: &str, key: &str) -> String {
    let failure = CertificateCredential::from_pem(certificate, &SecretString::from(key)).unwrap_err();
    assert_eq!(failure.kind, Kind::CredentialsMalformed);
    failure.message
}

/// Checked by another library than the one that signs.
#[test]
fn the_assertion_is_what_entra_expects() {
    const AUDIENCE: &str = "https://login.example/tenant/oauth2/v2.0/token";
    let credential = CertificateCredential::from_pem(&RSA.certificate, &RSA.secret()).unwrap();
    let now = Timestamp::now();
    let assertion = credential.assertion("client", AUDIENCE, now).unwrap();
    let again = credential.assertion("client", AUDIENCE, now).unwrap();
    let header = decode_header(assertion.expose_secret()).unwrap();
    assert_eq!(header.alg, Algorithm::PS256);
    let der = x509_parser::pem::parse_x509_pem(RSA.certificate.as_bytes())
        .unwrap()
        .1
        .contents;
    let thumbprint = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, &der));
    assert_eq!(header.x5t_s256.as_deref(), Some(thumbprint.as_str()));

    let key = DecodingKey::from_rsa_pem(RSA.key.public_key_pem().as_bytes()).unwrap();
    let mut validation = Validation::new(Algorithm::PS256);
    validation.set_audience(&[AUDIENCE]);
    validation.set_issuer(&["client"]);
    validation.validate_nbf = true;
    let claims: Value = decode(assertion.expose_secret(), &key, &validation).unwrap().claims;
    assert_eq!(claims["sub"], "client");
    let life = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
    assert!((300..=600).contains(&life));
    let other: Value = decode(again.expose_secret(), &key, &validation).unwrap().claims;
    assert_ne!(claims["jti"], other["jti"]);
}

#[test]
fn validity_is_read_and_debug_shows_no_key() {
    let credential = CertificateCredential::from_pem(&RSA.certificate, &RSA.secret()).unwrap();
    assert!(credential.not_before() < credential.not_after());
    let text = format!("{credential:?}");
    assert!(text.contains("thumbprint") && !text.contains("key"), "{text}");
}

#[test]
fn the_first_certificate_of_a_chain_counts() {
    let chain = format!("{}{}", RSA.certificate, EC.certificate);
    CertificateCredential::from_pem(&chain, &RSA.secret()).unwrap();
}

#[test]
fn every_mistake_gets_its_own_words() {
    let other = RcgenPair::generate_for(&PKCS_RSA_SHA256).unwrap().serialize_pem();
    let key = RSA.key.serialize_pem();
    for (certificate, key, words) in [
        ("", key.as_str(), "certificate is not in PEM form"),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            &key,
            "cannot be read as X.509",
        ),
        (&RSA.certificate, "", "key is not in PEM form"),
        (&RSA.certificate, &other, "does not belong"),
        (&RSA.certificate, &EC.key.serialize_pem(), "not an RSA key"),
        (&RSA.certificate, "-----BEGIN EC PRIVATE KEY-----", "not an RSA key"),
        (&RSA.certificate, "-----BEGIN ENCRYPTED PRIVATE KEY-----", "encrypted"),
        (&EC.certificate, &key, "certificate has no RSA key"),
    ] {
        assert!(complaint(certificate, key).contains(words), "{words}");
    }
}
