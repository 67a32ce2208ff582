//! P15 for what is sent to an innovaphone PBX: JSON, and the digest of the password.

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use proptest::prelude::*;
use serde_json::Value;

use super::message;

/// As the PBX reads it, nothing is lost.
pub(in super::super) fn survives(name: &str, password: &str, note: &str) -> Result<(), TestCaseError> {
    let read = |text: String| serde_json::from_str::<Value>(&text).unwrap();
    let login = read(message::login(name, "42", &password.into()));
    prop_assert_eq!(login["app"].as_str(), Some(name));
    let expected = digest(&SHA256, format!("{name}:::::42:{password}").as_bytes());
    let expected = HEXLOWER.encode(expected.as_ref());
    prop_assert_eq!(login["digest"].as_str(), Some(expected.as_str()));
    let put = read(message::set_presence("all", "guid", "contact", name, note));
    prop_assert_eq!(
        (put["activity"].as_str(), put["note"].as_str()),
        (Some(name), Some(note))
    );
    Ok(())
}
