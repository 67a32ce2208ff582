//! P15 for what is sent to an XSP: XML, paths of URLs, and Basic authentication.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prometheus::Registry;
use proptest::prelude::*;

use super::element;
use super::requests::{ack, actions};
use super::xsp::Xsp;
use crate::presence::adapters::encodings::unescaped;
use crate::presence::adapters::metrics::{Kind, Metrics};

/// As the XSP reads it, nothing is lost.
pub(in super::super) fn survives(name: &str, password: &str, note: &str) -> Result<(), TestCaseError> {
    static XSP: LazyLock<Xsp> = LazyLock::new(|| {
        let tally = Metrics::new(&Registry::new()).unwrap().of(Kind::BroadWorks);
        Xsp::new("https://xsp.example.com/", "admin", "password".into(), &[], tally).unwrap()
    });
    let request = XSP.request_of(name, password, &actions(name, &[]), ack(note));
    let proof = request.headers()["authorization"].to_str().unwrap();
    let proof = STANDARD.decode(proof.strip_prefix("Basic ").unwrap()).unwrap();
    prop_assert_eq!(String::from_utf8(proof).unwrap(), format!("{name}:{password}"));
    // A path may not name what is above or beside it.
    let path = request.url().path();
    let user = path
        .strip_prefix("/com.broadsoft.xsi-actions/v2.0/user/")
        .unwrap_or_default();
    let is_dots = matches!(name, "." | "..");
    prop_assert!(is_dots || unescaped(user) == name.as_bytes(), "{} in {}", name, path);
    let body = element::document(request.body().unwrap().as_bytes().unwrap()).unwrap();
    let read = body.text_of("eventID").unwrap_or_default();
    prop_assert_eq!(read, note.trim());
    Ok(())
}
