//! P15 for what is sent to a SIP server: header fields, addresses, the digest, and the document with the presence.

use data_encoding::HEXLOWER;
use jiff::Timestamp;
use proptest::prelude::*;

use super::digest::{Asker, Challenge, Credentials};
use super::message::Message;
use super::pidf;
use super::text::{escape_user, split, unquote};
use crate::policy::presence::pbx::{Activity, OwnEntry};
use crate::presence::adapters::encodings::unescaped;

/// As the server reads it, nothing is lost.
pub(in super::super) fn survives(name: &str, password: &str, note: &str) -> Result<(), TestCaseError> {
    let refusal = Message::answer(&Message::request("PUBLISH", "sip:a"), 401);
    let refusal = refusal.with(
        "WWW-Authenticate",
        r#"Digest realm="r \"q\"",nonce="n",qop="auth",algorithm=MD5"#,
    );
    let mut challenge = Challenge::of(&refusal, Asker::Server).unwrap();
    let who = Credentials {
        username: name.to_owned(),
        password: password.into(),
    };
    let proof = challenge.prove(&who, "PUBLISH", "sip:a", "c");
    prop_assert!(!proof.contains(char::is_control));
    let rest = proof.strip_prefix("Digest ").unwrap();
    let field = |wanted: &str| split(rest, ',').find_map(|part| part.strip_prefix(wanted).map(unquote));
    prop_assert_eq!(field("username="), Some(name.to_owned()));
    let a1 = md5(&format!("{name}:r \"q\":{password}"));
    let expected = md5(&format!("{a1}:n:00000001:c:auth:{}", md5("PUBLISH:sip:a")));
    prop_assert_eq!(field("response="), Some(expected));

    let user = escape_user(name);
    let plain = |one: u8| one.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,/%".contains(&one);
    prop_assert!(user.bytes().all(plain), "{}", user);
    prop_assert_eq!(unescaped(&user), name.as_bytes());

    let entry = OwnEntry {
        activity: Activity::Other(name.to_owned()),
        note: note.to_owned(),
    };
    let document = pidf::write(
        &format!("sip:{user}@example.com"),
        "teamsgraph-1",
        &entry,
        Timestamp::UNIX_EPOCH,
    );
    let read = pidf::read(document.as_bytes(), Some("teamsgraph-1")).unwrap();
    prop_assert_eq!(read.len(), 1);
    prop_assert_eq!(read[0].note.trim(), note.trim());
    Ok(())
}

fn md5(text: &str) -> String {
    HEXLOWER.encode(<md5::Md5 as md5::Digest>::digest(text.as_bytes()).as_slice())
}
