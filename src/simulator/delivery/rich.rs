//! Resource data in notifications: encrypted for the subscriber's certificate, vouched for by validation tokens.

use std::collections::BTreeSet;

use aws_lc_rs::cipher::{AES_256, EncryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey};
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use aws_lc_rs::hmac;
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::rsa::{OAEP_SHA1_MGF1SHA1, OaepPublicEncryptingKey, PublicEncryptingKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::simulator::jwt;
use crate::simulator::subscriptions::store::Subscription;

/// Who sends notifications: Microsoft Graph Change Tracking.
const CHANGE_TRACKING: &str = "0bf30f3b-4a52-48df-9a82-234910c4a086";
const TOKEN_LIFE: i64 = 24 * 3600;

/// What is wrong with a rich notification on purpose.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Flaw {
    /// Nothing.
    #[default]
    None,
    /// No validation tokens.
    NoToken,
    /// The token is for another app.
    WrongAudience,
    /// The token was made for another caller.
    WrongCaller,
    /// The token's time is over.
    ExpiredToken,
    /// The token's signature does not fit.
    ForgedToken,
    /// The signature of the data does not fit.
    BadSignature,
}

/// `encryptedContent` for one item. None if the certificate is not usable, which a create would have refused.
pub fn encrypt(subscription: &Subscription, data: &Value, flaw: Flaw) -> Option<Value> {
    let certificate = STANDARD
        .decode(subscription.wanted.encryption_certificate.as_ref()?)
        .ok()?;
    let mut key = [0; 32];
    aws_lc_rs::rand::fill(&mut key).ok()?;
    let content = encrypt_data(&key, data.to_string().into_bytes())?;
    let mut signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), &content)
        .as_ref()
        .to_vec();
    if flaw == Flaw::BadSignature {
        signature.reverse();
    }
    Some(json!({
        "data": STANDARD.encode(&content),
        "dataSignature": STANDARD.encode(signature),
        "dataKey": STANDARD.encode(encrypt_key(&certificate, &key)?),
        "encryptionCertificateId": subscription.wanted.encryption_certificate_id,
        "encryptionCertificateThumbprint": thumbprint(&certificate),
    }))
}

/// AES-256-CBC with PKCS#7 padding; the first half of the key is the initialisation vector, as Microsoft has it.
fn encrypt_data(key: &[u8; 32], mut data: Vec<u8>) -> Option<Vec<u8>> {
    let iv = FixedLength::from(<[u8; 16]>::try_from(key.get(..16)?).ok()?);
    let cipher = PaddedBlockEncryptingKey::cbc_pkcs7(UnboundCipherKey::new(&AES_256, key).ok()?).ok()?;
    cipher.less_safe_encrypt(&mut data, EncryptionContext::Iv128(iv)).ok()?;
    Some(data)
}

/// RSA-OAEP with SHA-1, as Microsoft has it.
fn encrypt_key(certificate: &[u8], key: &[u8]) -> Option<Vec<u8>> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let public = PublicEncryptingKey::from_der(certificate.public_key().raw).ok()?;
    let public = OaepPublicEncryptingKey::new(public).ok()?;
    let mut encrypted = vec![0; public.ciphertext_size()];
    let length = public
        .encrypt(&OAEP_SHA1_MGF1SHA1, key, &mut encrypted, None)
        .ok()?
        .len();
    encrypted.truncate(length);
    Some(encrypted)
}

fn thumbprint(certificate: &[u8]) -> String {
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, certificate);
    let bytes: Vec<String> = hash.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    bytes.concat()
}

/// One token per app and tenant among these subscriptions; null when none of them has resource data.
pub fn validation_tokens(rich: &[&Subscription], issuer: &str, now: Timestamp, flaw: Flaw) -> Value {
    if rich.is_empty() || flaw == Flaw::NoToken {
        return Value::Null;
    }
    let audience = |s: &Subscription| {
        s.wanted
            .notification_url_app_id
            .clone()
            .unwrap_or_else(|| s.app.clone())
    };
    let pairs: BTreeSet<(String, String)> = rich.iter().map(|s| (audience(s), s.tenant.clone())).collect();
    pairs
        .into_iter()
        .filter_map(|(app, tenant)| token(&app, &tenant, issuer, now, flaw))
        .collect()
}

fn token(app: &str, tenant: &str, issuer: &str, now: Timestamp, flaw: Flaw) -> Option<String> {
    let begun = if flaw == Flaw::ExpiredToken {
        now.as_second() - 2 * TOKEN_LIFE
    } else {
        now.as_second()
    };
    let other = Uuid::new_v4().to_string();
    let token = jwt::sign(&json!({
        "aud": if flaw == Flaw::WrongAudience { &other } else { app },
        "azp": if flaw == Flaw::WrongCaller { &other } else { CHANGE_TRACKING },
        "iss": format!("{issuer}/{tenant}/v2.0"),
        "iat": begun, "nbf": begun, "exp": begun + TOKEN_LIFE,
        "tid": tenant,
        "azpacr": "2",
        "ver": "2.0",
    }))?;
    if flaw != Flaw::ForgedToken {
        return Some(token);
    }
    let (signed, signature) = token.rsplit_once('.')?;
    Some(format!("{signed}.{}", signature.chars().rev().collect::<String>()))
}
