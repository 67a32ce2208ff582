//! The login of an app: a challenge, and a digest over it and the password.

use std::fmt::Write;

use aws_lc_rs::digest::{SHA256, digest};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::session::Next;
use super::site::Site;

/// What an app says of itself.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Login<'a> {
    app: String,
    domain: String,
    sip: String,
    guid: String,
    dn: String,
    /// Hashed as it was sent.
    #[serde(borrow)]
    info: Option<&'a RawValue>,
    digest: String,
}

impl Login<'_> {
    /// `app:domain:sip:guid:dn[:info]:challenge:password`, as SHA-256 in small hexadecimal digits.
    fn expected(&self, challenge: &str, password: &str) -> String {
        let mut parts = vec![self.app.as_str(), &self.domain, &self.sip, &self.guid, &self.dn];
        parts.extend(self.info.map(RawValue::get));
        parts.extend([challenge, password]);
        let hash = digest(&SHA256, parts.join(":").as_bytes());
        hash.as_ref().iter().fold(String::new(), |mut text, byte| {
            // Writing into a String does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

impl Site {
    pub(super) fn challenge(&mut self, id: u64) -> Next {
        let pbx = self.connections.get(&id).map(|connection| connection.pbx.clone());
        let given = pbx.and_then(|pbx| self.manners(&pbx).challenge);
        let challenge = given.unwrap_or_else(|| format!("{:010}", fastrand::u32(..)));
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.challenge = Some(challenge.clone());
            connection.say(&json!({"mt": "AppChallengeResult", "challenge": challenge}));
        }
        Next::Stay
    }

    pub(super) fn login(&mut self, id: u64, text: &str) -> Next {
        let login: Login<'_> = serde_json::from_str(text).unwrap_or_default();
        let challenge = self
            .connections
            .get_mut(&id)
            .and_then(|connection| connection.challenge.take());
        let password = self
            .setup
            .apps
            .iter()
            .find(|app| app.name == login.app)
            .map(|app| app.password.clone());
        let is_right = match (&challenge, &password) {
            (Some(challenge), Some(password)) => login.digest == login.expected(challenge, password),
            _ => false,
        };
        if !is_right {
            self.breach(
                id,
                "login",
                &format!("digest, name or order is wrong for '{}'", login.app),
            );
            let answer = json!({
                "mt": "AppLoginResult", "app": login.app, "ok": false, "error": 1, "errorText": "login failed",
            });
            self.say(id, &answer);
            return Next::Close;
        }
        self.admit(id, &login.app);
        Next::Stay
    }

    fn admit(&mut self, id: u64, app: &str) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        connection.app = Some(app.into());
        let pbx = connection.pbx.clone();
        let manners = self.manners(&pbx);
        let mut answer = json!({"mt": "AppLoginResult", "app": app, "ok": true});
        if manners.unlicensed {
            answer["info"] = json!({"unlicensed": true});
        }
        self.say(id, &answer);
        if manners.pbx_info {
            let app = self.setup.apps.iter().find(|one| one.name == app);
            let info = json!({
                "mt": "PbxInfo", "domain": self.setup.domain, "pbx": pbx,
                "pbxDns": format!("{pbx}.{}", self.setup.domain), "apis": app.map(|app| &app.apis),
            });
            self.say(id, &info);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of the vendor's documentation.
    #[test]
    fn the_published_digests_are_met() {
        let vectors = [
            ("", "a205299ed2ef2786c311e0be1b14db343f2cadd906a6ae7b564eee34bda5e9a1"),
            ("{}", "57b23fe824b9222a7ac879597cb509bcdc865a1bfeb057d9d12118cef0c3ba34"),
            (
                r#"{"cn":"Test User"}"#,
                "96db3c3f657230c2b68194becc6d2a77f05de9f79f01fc81e9ca0fb196b10d9d",
            ),
        ];
        for (info, expected) in vectors {
            let field = if info.is_empty() {
                String::new()
            } else {
                format!(r#","info":{info}"#)
            };
            let text = format!(r#"{{"mt":"AppLogin","app":"pbxadminapi"{field}}}"#);
            let login: Login<'_> = serde_json::from_str(&text).unwrap();
            assert_eq!(login.expected("0123456789abcdef", "pwd"), expected, "{info}");
        }
    }
}
