//! Errors of Entra's token endpoint and of the managed identity endpoint. The `error` field decides; the AADSTS number, which
//! Microsoft may change, only makes the verdict more precise.
//! <https://learn.microsoft.com/entra/identity-platform/reference-error-codes>

use std::time::Duration;

use serde::Deserialize;

use crate::graph::error::{Class, Failure, Kind};
use crate::graph::message::sanitise;

#[derive(Deserialize)]
struct Body {
    error: String,
    #[serde(default)]
    error_description: String,
    #[serde(default)]
    error_codes: Vec<u64>,
}

/// Judges an answer of a token endpoint that is no success.
pub(in crate::graph) fn entra(status: u16, retry_after: Option<Duration>, body: &[u8]) -> Failure {
    let body: Option<Body> = serde_json::from_slice(body).ok();
    if status == 429 {
        return Failure::new(
            Kind::Throttled,
            Class::Throttled(retry_after),
            "The sign-in service throttles this app.",
        );
    }
    let error = body.as_ref().map_or("", |body| body.error.as_str());
    if status >= 500 || status == 408 || matches!(error, "temporarily_unavailable" | "server_error" | "timeout") {
        let class = retry_after.map_or(Class::Retry, |after| Class::Throttled(Some(after)));
        return Failure::new(
            Kind::Unavailable,
            class,
            format!("The sign-in service has a fault (status {status})."),
        );
    }
    match body {
        Some(body) => refusal(&body),
        None => Failure::new(
            Kind::Protocol,
            Class::RetrySlowly,
            format!(
                "Status {status} without an error of the sign-in service; check its address and proxies before it."
            ),
        ),
    }
}

fn refusal(body: &Body) -> Failure {
    if let Some((number, kind, remedy)) = body.numbers().find_map(|number| hint(number, &body.error_description)) {
        return Failure::of(kind, format!("{remedy} (AADSTS{number})"));
    }
    let said = sanitise(&body.error_description);
    let message = format!("The sign-in service refuses ({}): {said}", sanitise(&body.error));
    let kind = match body.error.as_str() {
        "unauthorized_client" => Kind::UnknownApplication,
        // The managed identity endpoint, when the machine has no such identity.
        "invalid_request" if body.error_description.contains("Identity not found") => Kind::UnknownApplication,
        "consent_required" | "access_denied" => Kind::ConsentMissing,
        "invalid_scope" | "invalid_resource" => Kind::Rejected,
        "invalid_request" => return Failure::new(Kind::Rejected, Class::RetrySlowly, message),
        _ => Kind::CredentialsRejected,
    };
    Failure::of(kind, message)
}

impl Body {
    /// AADSTS numbers, the most specific first, which is the order of `error_codes`.
    fn numbers(&self) -> impl Iterator<Item = u64> {
        let in_text = self.error_description.split("AADSTS").skip(1).filter_map(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            rest[..end].parse().ok()
        });
        self.error_codes.iter().copied().chain(in_text)
    }
}

/// What a number means and what helps.
fn hint(number: u64, description: &str) -> Option<(u64, Kind, &'static str)> {
    let (kind, remedy) = match number {
        7_000_215 => (
            Kind::CredentialsRejected,
            "The client secret is wrong. Store the secret's value, not its id.",
        ),
        7_000_222 => (
            Kind::CredentialsRejected,
            "The client secret has expired. Create a new one in the app registration and store its value.",
        ),
        700_016 | 700_011 => (
            Kind::UnknownApplication,
            "The tenant does not know the application. Check the client id and the tenant id, or consent to the app there.",
        ),
        700_027 if description.contains("expired") => (
            Kind::CertificateExpired,
            "The certificate has expired. Register a new one with the app and store it.",
        ),
        700_027 => (
            Kind::CredentialsRejected,
            "The app does not accept the certificate. Upload this certificate to the app registration.",
        ),
        700_024 => (
            Kind::CredentialsRejected,
            "The assertion's time is not valid. Check the clock of the node and the life of the service account token.",
        ),
        70_021 | 700_211 | 700_212 | 700_213 => (
            Kind::CredentialsRejected,
            "No federated credential of the app matches. Compare issuer, subject and audience with the service account.",
        ),
        700_030 => (
            Kind::CredentialsRejected,
            "The subject of the assertion is not allowed for this app. Check its federated credentials.",
        ),
        90_061 | 50_166 => (
            Kind::CredentialsRejected,
            "Entra cannot fetch the cluster's OIDC documents. Publish the issuer and its keys.",
        ),
        90_002 | 900_023 => (
            Kind::UnknownTenant,
            "Entra does not know the tenant. Check the tenant id and the cloud.",
        ),
        65_001 => (
            Kind::ConsentMissing,
            "The app has no consent in this tenant. Grant admin consent to its application permissions.",
        ),
        650_052 | 650_056 => (
            Kind::ConsentMissing,
            "The app or the service it asks for is not set up in this tenant. Check its permissions and grant admin consent.",
        ),
        70_001 | 7_000_112 => (
            Kind::UnknownApplication,
            "The application is disabled or missing in this tenant. Enable its enterprise application.",
        ),
        53_000..=53_011 | 530_031..=530_036 => (
            Kind::CredentialsRejected,
            "Conditional Access or security defaults forbid the sign-in. Exempt this workload identity or its network.",
        ),
        50_072 | 50_074 | 50_076 | 50_079 | 50_158 => (
            Kind::MfaRequired,
            "The account has to pass multi-factor authentication, which an operator cannot. Exempt it, or give a refresh token.",
        ),
        50_055 | 50_144 => (
            Kind::PasswordExpired,
            "The password of the account has expired. Set a new one and store it.",
        ),
        50_126 | 50_034 | 50_020 => (
            Kind::CredentialsRejected,
            "The name or password of the account is wrong.",
        ),
        50_053 => (
            Kind::CredentialsRejected,
            "The account is locked after too many wrong passwords, or its address is blocked.",
        ),
        50_057 => (Kind::CredentialsRejected, "The account is disabled."),
        700_082 | 70_008 | 70_043 => (
            Kind::CredentialsRejected,
            "The refresh token is dead. Sign in again and store the new one.",
        ),
        70_011 | 500_011 => (
            Kind::Rejected,
            "Entra does not know the address of Graph. Check the cloud and the Graph endpoint.",
        ),
        _ => return None,
    };
    Some((number, kind, remedy))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(error: &str, code: u64, text: &str) -> Vec<u8> {
        let description = format!(
            "AADSTS{code}: {text} Trace ID: 0a1b2c3d-0000-0000-0000-000000000000 Correlation ID: x Timestamp: 2026-11-22 10:00:00Z"
        );
        serde_json::json!({"error": error, "error_description": description, "error_codes": [code],
            "timestamp": "2026-11-22 10:00:00Z", "trace_id": "t", "correlation_id": "c"})
        .to_string()
        .into_bytes()
    }

    #[test]
    fn every_known_number_is_judged_and_says_what_helps() {
        #[rustfmt::skip]
        let table = [
            ("invalid_client", 7_000_215, "Invalid client secret provided.", Kind::CredentialsRejected, "value, not its id"),
            ("invalid_client", 7_000_222, "The provided client secret keys are expired.", Kind::CredentialsRejected, "expired"),
            ("unauthorized_client", 700_016, "Application with identifier 'x' was not found.", Kind::UnknownApplication, "client id"),
            ("invalid_client", 700_027, "The certificate with identifier used to sign the client assertion is not registered.", Kind::CredentialsRejected, "Upload"),
            ("invalid_client", 700_027, "[Reason - The key used is expired.]", Kind::CertificateExpired, "new one"),
            ("invalid_request", 90_002, "Tenant 'x' not found.", Kind::UnknownTenant, "cloud"),
            ("invalid_grant", 65_001, "The user or administrator has not consented.", Kind::ConsentMissing, "admin consent"),
            ("access_denied", 53_003, "Access has been blocked by Conditional Access policies.", Kind::CredentialsRejected, "Conditional Access"),
            ("invalid_grant", 50_076, "Due to a configuration change made by your administrator, you must use multi-factor authentication.", Kind::MfaRequired, "refresh token"),
            ("invalid_grant", 50_055, "The password is expired.", Kind::PasswordExpired, "new one"),
            ("invalid_grant", 50_126, "Error validating credentials due to invalid username or password.", Kind::CredentialsRejected, "password"),
            ("invalid_client", 70_021, "No matching federated identity record found.", Kind::CredentialsRejected, "issuer"),
        ];
        for (error, code, text, kind, remedy) in table {
            let failure = entra(401, None, &body(error, code, text));
            assert_eq!(failure.kind, kind, "{code}");
            assert_eq!(failure.class, Class::RetrySlowly, "{code}");
            assert!(failure.message.contains(remedy), "{}", failure.message);
            assert!(failure.message.contains(&code.to_string()));
        }
    }

    #[test]
    fn unknown_numbers_fall_back_to_the_error() {
        for (error, kind, class) in [
            ("invalid_client", Kind::CredentialsRejected, Class::RetrySlowly),
            ("invalid_grant", Kind::CredentialsRejected, Class::RetrySlowly),
            ("unauthorized_client", Kind::UnknownApplication, Class::RetrySlowly),
            ("invalid_scope", Kind::Rejected, Class::Invalid),
            ("invalid_request", Kind::Rejected, Class::RetrySlowly),
            ("temporarily_unavailable", Kind::Unavailable, Class::Retry),
        ] {
            let failure = entra(400, None, &body(error, 1, "Who knows."));
            assert_eq!((failure.kind, failure.class), (kind, class), "{error}");
            assert!(!failure.message.contains("Trace") && !failure.message.contains("0a1b"));
        }
    }

    #[test]
    fn a_machine_without_identity_is_told() {
        let body = br#"{"error":"invalid_request","error_description":"Identity not found"}"#;
        assert_eq!(entra(400, None, body).kind, Kind::UnknownApplication);
    }

    #[test]
    fn faults_and_throttling_are_not_refusals() {
        let after = Some(Duration::from_secs(3));
        assert_eq!(entra(503, None, b"").kind, Kind::Unavailable);
        assert_eq!(entra(503, after, b"").class, Class::Throttled(after));
        assert_eq!(entra(429, after, b"").class, Class::Throttled(after));
        assert_eq!(entra(404, None, b"<html>").kind, Kind::Protocol);
    }
}
