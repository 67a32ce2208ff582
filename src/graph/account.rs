//! A person's account that the operator signs in with: for what Graph gives to people only.
//! <https://learn.microsoft.com/entra/identity-platform/v2-oauth-ropc>

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use secrecy::SecretString;

/// An account. Debug shows neither name nor secret. Clones share the latest refresh token.
#[derive(Clone)]
pub struct Account(Arc<Mutex<Proof>>);

/// How the account proves itself.
#[derive(Clone)]
pub(super) enum Proof {
    Password { username: String, password: SecretString },
    RefreshToken(SecretString),
}

impl Account {
    /// By name and password: works only without a second factor.
    pub fn with_password(username: impl Into<String>, password: SecretString) -> Self {
        let username = username.into();
        Self(Arc::new(Mutex::new(Proof::Password { username, password })))
    }

    /// By a refresh token that was got in an interactive sign-in. Each sign-in gives a new one, which is kept in memory; the
    /// first lives on at Entra, by default for 90 days.
    pub fn with_refresh_token(token: SecretString) -> Self {
        Self(Arc::new(Mutex::new(Proof::RefreshToken(token))))
    }

    pub(super) fn proof(&self) -> Proof {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The next sign-in uses this one. An account with a password has no use for it.
    pub(super) fn rotate(&self, token: SecretString) {
        let mut proof = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*proof, Proof::RefreshToken(_)) {
            *proof = Proof::RefreshToken(token);
        }
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Account(…)")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::graph::testing::{Reply, Server};

    fn token(refresh: &str) -> Reply {
        Reply::new(
            200,
            &json!({"token_type": "Bearer", "access_token": "opaque", "expires_in": 3600, "refresh_token": refresh}),
        )
    }

    /// What each sign-in sent, as a form.
    fn forms(server: &Server) -> Vec<Vec<(String, String)>> {
        let asked = server.asked().into_iter();
        let signed_in = asked.filter(|asked| asked.line.contains("/oauth2/"));
        signed_in
            .map(|asked| serde_urlencoded::from_bytes(&asked.raw).unwrap())
            .collect()
    }

    fn value<'a>(form: &'a [(String, String)], name: &str) -> &'a str {
        let pair = form.iter().find(|(key, _)| key == name);
        pair.map_or("", |(_, value)| value)
    }

    #[tokio::test]
    async fn any_printable_character_in_a_password_arrives() {
        let server = Server::start().await;
        let password: String = (' '..='~').chain("äß€日本🙂".chars()).collect();
        let account = Account::with_password("sync@contoso.com", SecretString::from(password.clone()));
        let graph = server.graph().0.delegated(account);
        graph.authenticate().await.unwrap();
        let forms = forms(&server);
        assert_eq!(value(&forms[0], "grant_type"), "password");
        assert_eq!(value(&forms[0], "username"), "sync@contoso.com");
        assert_eq!(value(&forms[0], "password"), password);
        assert_eq!(value(&forms[0], "client_secret"), "secret");
    }

    #[tokio::test]
    async fn each_sign_in_uses_the_latest_refresh_token() {
        let server = Server::start().await;
        server.then_token(token("second")).then_token(token("third"));
        let account = Account::with_refresh_token(SecretString::from("first"));
        let graph = server.graph().0.delegated(account.clone());
        graph.authenticate_anew().await.unwrap();
        graph.authenticate_anew().await.unwrap();
        let forms = forms(&server);
        let sent: Vec<_> = forms.iter().map(|form| value(form, "refresh_token")).collect();
        assert_eq!(sent, ["first", "second"]);
        assert!(value(&forms[0], "scope").ends_with("/.default offline_access"));
        assert!(!format!("{account:?} {graph:?}").contains("third"));
    }

    #[tokio::test]
    async fn an_account_is_apart_from_the_app() {
        let server = Server::start().await;
        let (app, _) = server.graph();
        let person = app.delegated(Account::with_password("a", SecretString::from("b")));
        app.authenticate().await.unwrap();
        person.authenticate().await.unwrap();
        let kinds: Vec<_> = forms(&server)
            .iter()
            .map(|form| value(form, "grant_type").to_owned())
            .collect();
        assert_eq!(kinds, ["client_credentials", "password"]);
    }
}
