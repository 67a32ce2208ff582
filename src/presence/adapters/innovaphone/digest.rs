//! The proof of the password in `AppLogin`.
//! <https://sdk.innovaphone.com/14r1/doc/appwebsocket/AppWebsocket.htm#AppLogin>

use aws_lc_rs::digest::{Context, SHA256};
use data_encoding::HEXLOWER;
use secrecy::{ExposeSecret, SecretString};

/// Who logs in. For an App object of the PBX the name alone is used; the rest is empty.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Login<'a> {
    pub(super) app: &'a str,
    pub(super) domain: &'a str,
    pub(super) sip: &'a str,
    pub(super) guid: &'a str,
    pub(super) dn: &'a str,
    /// JSON, exactly as it is sent.
    pub(super) info: Option<&'a str>,
}

impl Login<'_> {
    /// SHA-256 over what is sent, the challenge and the password, in lower-case hex.
    pub(super) fn digest(&self, challenge: &str, password: &SecretString) -> String {
        let Self {
            app,
            domain,
            sip,
            guid,
            dn,
            info,
        } = *self;
        let mut hash = Context::new(&SHA256);
        for part in [app, domain, sip, guid, dn].into_iter().chain(info).chain([challenge]) {
            hash.update(part.as_bytes());
            hash.update(b":");
        }
        hash.update(password.expose_secret().as_bytes());
        HEXLOWER.encode(hash.finish().as_ref())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The vectors that the documentation publishes; the challenge and the password are the same in all.
    #[test]
    fn agrees_with_the_published_vectors() {
        let admin = Login {
            app: "pbxadminapi",
            ..Login::default()
        };
        let user = Login {
            app: "innovaphone-users",
            domain: "example.com",
            sip: "administrator",
            guid: "0123456789abcdef0123456789abcdef",
            dn: "Administrator User",
            info: Some(
                r#"{"appobj":"users","apps":[{"name":"users"},{"name":"profile"}],"appurl":"https://1.2.3.4/example.com/usersapp/innovaphone-users","unlicensed":true}"#,
            ),
        };
        let with = |info| Login {
            info: Some(info),
            ..admin
        };
        let cases = [
            (
                admin,
                "a205299ed2ef2786c311e0be1b14db343f2cadd906a6ae7b564eee34bda5e9a1",
            ),
            (
                with("{}"),
                "57b23fe824b9222a7ac879597cb509bcdc865a1bfeb057d9d12118cef0c3ba34",
            ),
            (
                with(r#"{"cn":"Test User"}"#),
                "96db3c3f657230c2b68194becc6d2a77f05de9f79f01fc81e9ca0fb196b10d9d",
            ),
            (user, "ef1b811ffaa8f9255c39c653d8fb26b4687b2d8c4d9ac91b4821bff6bae3ff44"),
        ];
        for (login, expected) in cases {
            let digest = login.digest("0123456789abcdef", &SecretString::from("pwd"));
            assert_eq!(digest, expected, "{login:?}");
        }
    }

    proptest! {
        /// The password is hashed as it is, whatever characters it has.
        #[test]
        fn any_password_is_hashed_as_it_is(password in "\\PC*") {
            let login = Login { app: "presence", ..Login::default() };
            let plain = format!("presence:::::42:{password}");
            let expected = HEXLOWER.encode(aws_lc_rs::digest::digest(&SHA256, plain.as_bytes()).as_ref());
            prop_assert_eq!(login.digest("42", &SecretString::from(password)), expected);
        }
    }
}
