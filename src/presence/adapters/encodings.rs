//! P15: any printable name, password or note survives each encoding: the form of a sign-in, JSON, XML, SIP, and the digests.

use proptest::prelude::*;

use super::{broadworks, innovaphone, sip};
use crate::graph::testing::sign_in_form;
use crate::policy::presence::testing::histories;

/// Anything that can be printed, and what encodings trip over more often than that.
fn printable() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{1,40}",
        "[ -~äöü€]{1,40}",
        "[%&+=?#;:@,<>\"'\\\\/ \\[\\]{}ä]{1,12}"
    ]
}

/// Percent encoding undone, as RFC 3986 says.
pub(super) fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = text.bytes();
    let mut read = Vec::new();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
            read.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
        } else {
            read.push(byte);
        }
    }
    read
}

proptest! {
    #![proptest_config(histories())]

    #[test]
    fn p15_any_printable_text_survives_every_encoding(name in printable(), password in printable(), note in printable()) {
        let form = sign_in_form(&password, &name, &note);
        let field = |wanted: &str| form.iter().find(|(field, _)| field == wanted).map(|(_, value)| value.as_str());
        prop_assert_eq!(field("client_secret"), Some(password.as_str()));
        prop_assert_eq!(field("username"), Some(name.as_str()));
        prop_assert_eq!(field("password"), Some(note.as_str()));
        innovaphone::encoding::survives(&name, &password, &note)?;
        sip::encoding::survives(&name, &password, &note)?;
        broadworks::encoding::survives(&name, &password, &note)?;
    }
}
