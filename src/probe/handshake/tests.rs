use std::collections::HashMap;

use axum::Router;
use axum::extract::Query;
use axum::http::header;
use axum::response::{Html, IntoResponse, Redirect};
use axum::routing::post;
use axum_server::tls_rustls::RustlsConfig;
use rcgen::generate_simple_self_signed;
use tokio::net::TcpListener;

use super::*;
use crate::graph::http_client;

type Parameters = Query<HashMap<String, String>>;

fn token(parameters: &Parameters) -> String {
    assert_eq!(parameters["own"], "kept");
    parameters["validationToken"].clone()
}

fn routes() -> Router {
    Router::new()
        .route("/good", post(|q: Parameters| async move { token(&q) }))
        .route(
            "/quoted",
            post(|q: Parameters| async move { format!("\"{}\"", token(&q)) }),
        )
        .route(
            "/plus",
            post(|q: Parameters| async move { token(&q).replace(' ', "+") }),
        )
        .route("/long", post(|| async { "x".repeat(1 << 20) }))
        .route("/html", post(|q: Parameters| async move { Html(token(&q)) }))
        .route("/forbidden", post(|| async { StatusCode::FORBIDDEN }))
        .route(
            "/accepted",
            post(|q: Parameters| async move { (StatusCode::ACCEPTED, token(&q)) }),
        )
        .route("/moved", post(|| async { Redirect::temporary("/good") }))
        .route(
            "/bare",
            post(|q: Parameters| async move { ([(header::CONTENT_TYPE, "Text/Plain")], token(&q)).into_response() }),
        )
        .route("/slow", post(std::future::pending::<()>))
}

async fn serve() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes()).await });
    base
}

async fn shake(base: &str, path: &str) -> Result<(), Problem> {
    handshake(&http_client().unwrap(), &format!("{base}{path}?own=kept")).await
}

#[tokio::test]
async fn an_exact_echo_passes_and_everything_else_is_told_apart() {
    let base = serve().await;
    for (path, expected) in [
        ("/good", Ok(())),
        ("/bare", Ok(())),
        ("/quoted", Err(Problem::Altered)),
        ("/plus", Err(Problem::Altered)),
        ("/long", Err(Problem::Altered)),
        ("/html", Err(Problem::NotPlainText)),
        ("/forbidden", Err(Problem::Status(403))),
        ("/accepted", Err(Problem::Status(202))),
        ("/moved", Err(Problem::Status(307))),
        ("/none", Err(Problem::WrongPath)),
    ] {
        assert_eq!(shake(&base, path).await, expected, "{path}");
    }
}

#[tokio::test]
async fn a_silent_server_is_a_timeout() {
    let base = serve().await;
    // A client of its own with a short limit would test reqwest only; time is what is faked here.
    let shake = tokio::spawn(async move { shake(&base, "/slow").await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    tokio::time::pause();
    tokio::time::advance(LIMIT).await;
    assert_eq!(shake.await.unwrap(), Err(Problem::Timeout));
}

#[tokio::test]
async fn a_certificate_of_nobody_is_not_trusted() {
    let pair = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let config = RustlsConfig::from_pem(pair.cert.pem().into(), pair.signing_key.serialize_pem().into());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = axum_server::from_tcp_rustls(listener, config.await.unwrap()).unwrap();
    tokio::spawn(server.serve(routes().into_make_service()));
    let problem = shake(&format!("https://localhost:{port}"), "/good").await.unwrap_err();
    assert!(matches!(problem, Problem::CertificateNotTrusted(_)), "{problem}");
    assert!(problem.to_string().contains("issuer"), "{problem}");
}

#[tokio::test]
async fn no_connection_says_why_and_never_where() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let plain = serve().await.replace("http://", "https://");
    for (base, why) in [
        (closed.as_str(), "refused"),
        ("http://no-such-name.invalid", "resolved"),
        (plain.as_str(), "TLS"),
        ("nonsense", "not a URL"),
    ] {
        let problem = shake(base, "/secret-path").await.unwrap_err();
        assert!(matches!(problem, Problem::Connection(_)), "{base}: {problem}");
        assert!(problem.to_string().contains(why), "{base}: {problem}");
        assert!(!format!("{problem} {problem:?}").contains("secret"));
    }
}
