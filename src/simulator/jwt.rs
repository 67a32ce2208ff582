//! Just enough JSON Web Token: the simulator's own signing key, and checks of other people's signatures.

use std::sync::LazyLock;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{
    self, KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, RsaPublicKeyComponents,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

const KEY_ID: &str = "teams-graph-operator-simulator";

// Generating RSA takes a while, so all simulators of one process share a key.
static KEY: LazyLock<Option<KeyPair>> = LazyLock::new(|| KeyPair::generate(KeySize::Rsa2048).ok());

/// A token in parts. Nothing is checked yet.
#[derive(Debug)]
pub struct Parts {
    /// The header.
    pub header: Value,
    /// The claims.
    pub claims: Value,
    signed: String,
    signature: Vec<u8>,
}

/// An RSA public key.
#[derive(Debug, Clone)]
pub struct PublicKey {
    /// Modulus, big endian.
    pub modulus: Vec<u8>,
    /// Exponent, big endian.
    pub exponent: Vec<u8>,
}

/// Splits a compact token.
pub fn split(token: &str) -> Option<Parts> {
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    Some(Parts {
        header: decode_json(header)?,
        claims: decode_json(claims)?,
        signed: signed.into(),
        signature: URL_SAFE_NO_PAD.decode(signature).ok()?,
    })
}

impl Parts {
    /// A claim or header field that is a string.
    pub fn claim(&self, name: &str) -> Option<&str> {
        self.claims[name].as_str()
    }

    /// Whether `key` made the signature with the algorithm that the header names (RS256 or PS256).
    pub fn signed_by(&self, key: &PublicKey) -> bool {
        let algorithm = match self.header["alg"].as_str() {
            Some("RS256") => &RSA_PKCS1_2048_8192_SHA256,
            Some("PS256") => &RSA_PSS_2048_8192_SHA256,
            _ => return false,
        };
        RsaPublicKeyComponents {
            n: &key.modulus,
            e: &key.exponent,
        }
        .verify(algorithm, self.signed.as_bytes(), &self.signature)
        .is_ok()
    }

    /// Whether this simulator signed it.
    pub fn signed_here(&self) -> bool {
        self.header["alg"] == "RS256" && own_key().is_some_and(|key| self.signed_by(&key))
    }
}

/// Signs claims with RS256. None only if the machine cannot make keys.
pub fn sign(claims: &Value) -> Option<String> {
    let key = KEY.as_ref()?;
    let header = json!({"typ": "JWT", "alg": "RS256", "kid": KEY_ID});
    let text = format!(
        "{}.{}",
        encode(header.to_string().as_bytes()),
        encode(claims.to_string().as_bytes())
    );
    let mut bytes = vec![0; key.public_modulus_len()];
    key.sign(
        &signature::RSA_PKCS1_SHA256,
        &SystemRandom::new(),
        text.as_bytes(),
        &mut bytes,
    )
    .ok()?;
    Some(format!("{text}.{}", encode(&bytes)))
}

/// The JWKS document.
pub fn key_set() -> Value {
    let keys: Vec<Value> = own_key()
        .map(|key| {
            json!({
                "kty": "RSA", "use": "sig", "alg": "RS256", "kid": KEY_ID,
                "n": encode(&key.modulus), "e": encode(&key.exponent),
            })
        })
        .into_iter()
        .collect();
    json!({ "keys": keys })
}

/// The RSA key of a JWKS that has this `kid`; any of them if the token names none.
pub fn find_key(key_set: &Value, kid: Option<&str>) -> Option<PublicKey> {
    let keys = key_set["keys"].as_array()?;
    let key = keys.iter().find(|key| kid.is_none() || key["kid"].as_str() == kid)?;
    Some(PublicKey {
        modulus: URL_SAFE_NO_PAD.decode(key["n"].as_str()?).ok()?,
        exponent: URL_SAFE_NO_PAD.decode(key["e"].as_str()?).ok()?,
    })
}

/// base64url without padding.
pub fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn own_key() -> Option<PublicKey> {
    let public = KEY.as_ref()?.public_key();
    Some(PublicKey {
        modulus: public.modulus().big_endian_without_leading_zero().to_vec(),
        exponent: public.exponent().big_endian_without_leading_zero().to_vec(),
    })
}

fn decode_json(text: &str) -> Option<Value> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}
