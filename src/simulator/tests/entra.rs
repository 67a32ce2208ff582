//! Tokens and refusals of Entra.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::world::{World, config};
use crate::simulator::{DEFAULT_APP, DEFAULT_SECRET, DEFAULT_TENANT, FederatedCredential, Secret};

const SCOPE: &str = "https://graph.microsoft.com/.default";

fn check(answer: &(u16, Value), status: u16, error: &str, number: u64, about: &str) {
    let body = &answer.1;
    assert_eq!(
        (answer.0, &body["error"], &body["error_codes"][0]),
        (status, &json!(error), &json!(number)),
        "{about}"
    );
    let text = body["error_description"].as_str().unwrap();
    assert!(text.starts_with(&format!("AADSTS{number}: ")), "{text}");
    for name in ["timestamp", "trace_id", "correlation_id"] {
        assert!(body[name].is_string(), "{about}: {name}");
    }
}

#[tokio::test]
async fn refuses_what_entra_refuses() {
    let mut some = config();
    some.tenants[0].apps[0].client_secrets.push(Secret {
        value: "old".into(),
        expired: true,
    });
    let world = World::with(some).await;
    let ask = async |tenant: &str, change: &[(&'static str, &'static str)]| {
        let mut form = vec![
            ("grant_type", "client_credentials"),
            ("client_id", DEFAULT_APP),
            ("client_secret", DEFAULT_SECRET),
            ("scope", SCOPE),
        ];
        for (name, value) in change {
            form.retain(|(known, _)| known != name);
            if !value.is_empty() {
                form.push((name, value));
            }
        }
        world.token_request(tenant, &form).await
    };
    assert_eq!(ask("contoso.onmicrosoft.com", &[]).await.0, 200);
    check(&ask("nowhere", &[]).await, 400, "invalid_request", 90_002, "tenant");
    let app = [("client_id", "99999999-9999-9999-9999-999999999999")];
    check(
        &ask(DEFAULT_TENANT, &app).await,
        400,
        "unauthorized_client",
        700_016,
        "app",
    );
    let table: [(&'static str, &'static str, u16, &str, u64); 8] = [
        ("client_secret", "wrong", 401, "invalid_client", 7_000_215),
        ("client_secret", "old", 401, "invalid_client", 7_000_222),
        ("client_secret", "", 401, "invalid_client", 7_000_218),
        ("scope", "User.Read", 400, "invalid_scope", 70_011),
        ("scope", "", 400, "invalid_request", 900_144),
        ("grant_type", "", 400, "invalid_request", 900_144),
        (
            "grant_type",
            "authorization_code",
            400,
            "unsupported_grant_type",
            70_003,
        ),
        ("client_id", "", 400, "invalid_request", 900_144),
    ];
    for (name, value, status, error, number) in table {
        check(
            &ask(DEFAULT_TENANT, &[(name, value)]).await,
            status,
            error,
            number,
            name,
        );
    }
    world
        .admin("PUT", &format!("/apps/{DEFAULT_APP}/disabled"), json!(true))
        .await;
    check(
        &ask(DEFAULT_TENANT, &[]).await,
        400,
        "unauthorized_client",
        7_000_112,
        "disabled",
    );
    world
        .admin("PUT", &format!("/apps/{DEFAULT_APP}/disabled"), json!(false))
        .await;
    world
        .admin("PUT", &format!("/apps/{DEFAULT_APP}/secrets"), json!(["rotated"]))
        .await;
    check(
        &ask(DEFAULT_TENANT, &[]).await,
        401,
        "invalid_client",
        7_000_215,
        "rotated",
    );
}

/// An app's certificate and what it signs.
struct Signer {
    pem: String,
    thumbprint: String,
    key: KeyPair,
}

impl Signer {
    fn new() -> Self {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
        let certificate = rcgen::CertificateParams::new(vec!["app".into()])
            .unwrap()
            .self_signed(&pair)
            .unwrap();
        Self {
            pem: certificate.pem(),
            thumbprint: URL_SAFE_NO_PAD.encode(digest(&SHA256, certificate.der()).as_ref()),
            key: KeyPair::from_pkcs8(&pair.serialize_der()).unwrap(),
        }
    }

    fn sign(&self, algorithm: &str, claims: &Value) -> String {
        let header = json!({"alg": algorithm, "typ": "JWT", "x5t#S256": self.thumbprint});
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", part(&header), part(claims));
        let padding = if algorithm == "PS256" {
            &RSA_PSS_SHA256
        } else {
            &RSA_PKCS1_SHA256
        };
        let mut bytes = vec![0; self.key.public_modulus_len()];
        self.key
            .sign(padding, &SystemRandom::new(), text.as_bytes(), &mut bytes)
            .unwrap();
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(bytes))
    }
}

async fn present(world: &World, assertion: &str) -> (u16, Value) {
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", DEFAULT_APP),
        (
            "client_assertion_type",
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        ),
        ("client_assertion", assertion),
        ("scope", SCOPE),
    ];
    world.token_request(DEFAULT_TENANT, &form).await
}

#[tokio::test]
async fn takes_certificate_assertions_strictly() {
    let (signer, stranger) = (Signer::new(), Signer::new());
    let mut some = config();
    some.tenants[0].apps[0].certificates = vec![signer.pem.clone()];
    let world = World::with(some).await;
    let now = Timestamp::now().as_second();
    let audience = world.url(&format!("/{DEFAULT_TENANT}/oauth2/v2.0/token"));
    let claims = |change: Value| {
        let mut claims = json!({
            "iss": DEFAULT_APP, "sub": DEFAULT_APP, "aud": audience, "jti": Uuid::new_v4().to_string(),
            "iat": now, "nbf": now, "exp": now + 600,
        });
        for (name, value) in change.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims
    };
    let good = signer.sign("PS256", &claims(json!({})));
    assert_eq!(present(&world, &good).await.0, 200);
    check(&present(&world, &good).await, 401, "invalid_client", 700_025, "replay");
    assert_eq!(present(&world, &signer.sign("RS256", &claims(json!({})))).await.0, 200);
    let unknown = stranger.sign("PS256", &claims(json!({})));
    check(
        &present(&world, &unknown).await,
        401,
        "invalid_client",
        700_027,
        "unknown certificate",
    );
    let mut forged = signer.sign("PS256", &claims(json!({})));
    forged.replace_range(forged.len() - 8..forged.len() - 4, "AAAA");
    check(
        &present(&world, &forged).await,
        401,
        "invalid_client",
        700_027,
        "signature",
    );
    let table = [
        (json!({"aud": "https://elsewhere/token"}), 700_023),
        (json!({"exp": now - 400, "nbf": now - 900}), 700_024),
        (json!({"nbf": now + 400, "exp": now + 500}), 700_024),
        (json!({"exp": now + 1200}), 700_021),
        (json!({"sub": "somebody"}), 700_021),
        (json!({"jti": ""}), 700_021),
    ];
    for (change, number) in table {
        let about = change.to_string();
        check(
            &present(&world, &signer.sign("PS256", &claims(change))).await,
            401,
            "invalid_client",
            number,
            &about,
        );
    }
}

#[tokio::test]
async fn takes_federated_assertions() {
    let mut some = config();
    some.tenants[0].apps[0].federated_credentials = vec![FederatedCredential {
        issuer: "https://issuer".into(),
        subject: "system:serviceaccount:a:b".into(),
        audience: "api://AzureADTokenExchange".into(),
        jwks: None,
        accept_unsigned_claims: true,
    }];
    let world = World::with(some).await;
    let assertion = |subject: &str| {
        let claims = json!({
            "iss": "https://issuer", "sub": subject, "aud": ["api://AzureADTokenExchange"],
            "exp": Timestamp::now().as_second() + 600,
        });
        format!(
            "{}.{}.AA",
            URL_SAFE_NO_PAD.encode("{\"alg\":\"RS256\"}"),
            URL_SAFE_NO_PAD.encode(claims.to_string())
        )
    };
    assert_eq!(present(&world, &assertion("system:serviceaccount:a:b")).await.0, 200);
    check(
        &present(&world, &assertion("system:serviceaccount:a:c")).await,
        401,
        "invalid_client",
        70_021,
        "subject",
    );
}

/// The issuer's keys are known: who signs, and with what, counts.
#[tokio::test]
async fn takes_federated_assertions_that_the_issuer_signed() {
    let (issuer, stranger) = (Signer::new(), Signer::new());
    let public = issuer.key.public_key();
    let key = json!({
        "kty": "RSA",
        "n": URL_SAFE_NO_PAD.encode(public.modulus().big_endian_without_leading_zero()),
        "e": URL_SAFE_NO_PAD.encode(public.exponent().big_endian_without_leading_zero()),
    });
    let mut some = config();
    some.tenants[0].apps[0].federated_credentials = vec![FederatedCredential {
        issuer: "https://issuer".into(),
        subject: "system:serviceaccount:a:b".into(),
        audience: "api://AzureADTokenExchange".into(),
        jwks: Some(json!({ "keys": [key] })),
        accept_unsigned_claims: false,
    }];
    let world = World::with(some).await;
    let claims = |ahead: i64| {
        json!({
            "iss": "https://issuer", "sub": "system:serviceaccount:a:b", "aud": "api://AzureADTokenExchange",
            "exp": Timestamp::now().as_second() + ahead,
        })
    };
    let good = issuer.sign("RS256", &claims(600));
    assert_eq!(present(&world, &good).await.0, 200);
    assert_eq!(
        present(&world, &good).await.0,
        200,
        "kubelet's token serves again and again"
    );
    let forged = stranger.sign("RS256", &claims(600));
    check(
        &present(&world, &forged).await,
        401,
        "invalid_client",
        700_027,
        "signature",
    );
    let old = issuer.sign("RS256", &claims(-600));
    check(&present(&world, &old).await, 401, "invalid_client", 700_024, "time");
}

#[tokio::test]
async fn serves_managed_identities() {
    let mut some = config();
    some.tenants[0].apps[0].managed_identity = true;
    let world = World::with(some).await;
    let resource = world.simulator.url();
    let url = world.url(&format!(
        "/metadata/identity/oauth2/token?api-version=2018-02-01&resource={resource}"
    ));
    assert_eq!(world.client.get(&url).send().await.unwrap().status(), 400);
    let answer = world.client.get(&url).header("Metadata", "true").send().await.unwrap();
    let token = super::world::read(answer).await.1["access_token"]
        .as_str()
        .unwrap()
        .to_string();
    let list = world
        .client
        .get(world.url("/v1.0/subscriptions"))
        .bearer_auth(token)
        .send()
        .await
        .unwrap();
    assert_eq!(list.status(), 200);
    let url = |version: &str| world.url(&format!("/msi/token?api-version={version}&resource={resource}"));
    let unnamed = world.client.get(url("2019-08-01")).send().await.unwrap();
    assert_eq!(unnamed.status(), 401);
    let ask = async |version: &str| {
        let request = world.client.get(url(version));
        let request = request.header("X-IDENTITY-HEADER", "simulator-identity-header");
        super::world::read(request.send().await.unwrap()).await
    };
    for version in ["", "2017-09-01", "2018-02-01"] {
        assert_eq!(ask(version).await.0, 400, "{version}");
    }
    let (status, body) = ask("2019-08-01").await;
    assert_eq!(status, 200);
    let until: i64 = body["expires_on"].as_str().unwrap().parse().unwrap();
    assert!(until > Timestamp::now().as_second());
    assert!(body.get("expires_in").is_none(), "App Service does not say");
}

#[tokio::test]
async fn the_metadata_service_wants_a_version_that_it_knows() {
    let mut some = config();
    some.tenants[0].apps[0].managed_identity = true;
    let world = World::with(some).await;
    for (query, status) in [
        ("", 400),
        ("api-version=2017-12-01&", 400),
        ("api-version=latest&", 400),
        ("api-version=2018-02-01&", 200),
        ("api-version=2021-12-13&", 200),
    ] {
        let url = world.url(&format!(
            "/metadata/identity/oauth2/token?{query}resource=https://graph.microsoft.com"
        ));
        let answer = world.client.get(url).header("Metadata", "true").send().await.unwrap();
        let (got, body) = super::world::read(answer).await;
        assert_eq!(got, status, "{query}");
        if got == 200 {
            assert!(
                body["expires_in"].is_string() && body["expires_on"].is_string(),
                "{body}"
            );
        }
    }
}

#[tokio::test]
async fn publishes_its_keys() {
    let world = World::new().await;
    let url = world.url(&format!("/{DEFAULT_TENANT}/v2.0/.well-known/openid-configuration"));
    let (_, document) = super::world::read(world.client.get(url).send().await.unwrap()).await;
    let keys = world
        .client
        .get(document["jwks_uri"].as_str().unwrap())
        .send()
        .await
        .unwrap();
    assert_eq!(super::world::read(keys).await.1["keys"][0]["kty"], "RSA");
}
