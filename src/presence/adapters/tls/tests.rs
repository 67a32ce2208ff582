use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

/// A server for `name` that sends `hello`, and its certificate.
async fn server(name: &str) -> (u16, CertificateDer<'static>) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![name.to_owned()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    let der = certificate.der().clone();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![der.clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        while let Ok((tcp, _)) = listener.accept().await {
            if let Ok(mut tls) = acceptor.accept(tcp).await {
                tls.write_all(b"hello").await.unwrap();
                tls.shutdown().await.unwrap();
            }
        }
    });
    (port, der)
}

async fn said(port: u16, roots: &[CertificateDer<'static>]) -> Result<String, PbxError> {
    let config = client_config(roots)?;
    let mut stream = connect("localhost", port, Some(config)).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await.map_err(|error| broken(&error))?;
    Ok(text)
}

#[tokio::test]
async fn a_certificate_is_trusted_only_when_its_root_is() {
    let (port, root) = server("localhost").await;
    assert_eq!(said(port, std::slice::from_ref(&root)).await, Ok("hello".to_owned()));
    let refused = said(port, &[]).await.unwrap_err();
    assert!(matches!(refused, PbxError::NotTrusted(_)), "{refused:?}");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let (port, root) = server("other.example.com").await;
    let refused = said(port, &[root]).await.unwrap_err();
    assert_eq!(
        refused,
        PbxError::NotTrusted("the certificate is for another name".to_owned())
    );
}

#[tokio::test]
async fn nobody_listening_is_no_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let refused = connect("127.0.0.1", port, None).await.err();
    assert_eq!(
        refused,
        Some(PbxError::Transport("the connection is refused".to_owned()))
    );
}

#[test]
fn a_bundle_without_certificates_is_refused() {
    for pem in [
        "",
        "no PEM",
        "-----BEGIN CERTIFICATE-----\n%%%\n-----END CERTIFICATE-----\n",
    ] {
        assert!(matches!(roots(pem.as_bytes()), Err(PbxError::NotTrusted(_))), "{pem}");
    }
}
