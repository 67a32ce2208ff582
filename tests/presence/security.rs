//! Passwords and certificates.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::CertificateDer;
use teams_graph_operator::policy::presence::pbx::{Activity, Origin, PbxError};

use crate::kamailio::{Kamailio, Options};
use crate::world::{HOUR, World};

#[tokio::test(flavor = "multi_thread")]
async fn passwords_of_any_kind() {
    // Hash function, qop (0: none, 1: auth), and a password with what breaks things.
    for (algorithm, qop) in [("MD5", 1), ("MD5", 0), ("SHA-256", 1)] {
        let secret = r#"a "b" \c' %41&<ü€>;,=@: "#;
        let server = Kamailio::start(Options {
            password: Some((secret.to_owned(), algorithm, qop)),
            ..Options::default()
        });
        for transport in ["TCP", "UDP"] {
            let mut world = World::with(&server, transport, Some(("sync", secret)), &[]);
            world.watch(&["anna"]).await;
            world.until("Up", |world| world.ups == 1).await;
            world.put("anna", Activity::Busy, HOUR).await.unwrap();
            world.see("anna", &[(Origin::Ours, Activity::Busy)]).await;
            world.adapter.clear_own("anna").await.unwrap();
            assert_eq!(world.downs, [], "{algorithm}");
        }
        let mut world = World::with(&server, "TCP", Some(("sync", "wrong")), &[]);
        world.watch(&["anna"]).await;
        world.until("Down", |world| !world.downs.is_empty()).await;
        assert!(
            matches!(&world.downs[0], PbxError::Auth(why) if why.contains("refuses the user name")),
            "{:?}",
            world.downs
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates() {
    let authority = authority("the operator's own");
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()])
        .unwrap()
        .signed_by(&key, &authority)
        .unwrap();
    let server = Kamailio::start(Options {
        tls: Some((certificate.pem(), key.serialize_pem())),
        ..Options::default()
    });
    let trusted: CertificateDer<'static> = authority.der().clone();
    let mut world = World::with(&server, "TLS", None, &[trusted]);
    world.watch(&["anna"]).await;
    world.until("Up", |world| world.ups == 1).await;
    world.put("anna", Activity::Busy, HOUR).await.unwrap();
    world.see("anna", &[(Origin::Ours, Activity::Busy)]).await;

    let strangers = self::authority("strangers");
    let mut world = World::with(&server, "TLS", None, &[strangers.der().clone()]);
    world.until("Down", |world| !world.downs.is_empty()).await;
    assert!(
        matches!(&world.downs[0], PbxError::NotTrusted(why) if why.contains("issuer")),
        "{:?}",
        world.downs
    );
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}
