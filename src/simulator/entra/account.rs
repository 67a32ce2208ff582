//! People who sign in without a browser: `grant_type=password` and `refresh_token`.

use std::collections::{HashMap, HashSet};

use axum::http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use uuid::Uuid;

use super::error::EntraError;
use super::token::GRAPH_APP_ID;
use crate::simulator::config::App;
use crate::simulator::jwt;
use crate::simulator::people::{self, Account};
use crate::simulator::state::State;

const GRAPH: &str = "https://graph.microsoft.com";
const REFRESHABLE: &str = "offline_access";
const SIGN_IN_SCOPES: [&str; 3] = [REFRESHABLE, "openid", "profile"];
/// Life of a refresh token.
const REFRESH_LIFE: SignedDuration = SignedDuration::from_hours(90 * 24);

/// Refresh tokens that were given out. One that was used stays good, as with Entra.
#[derive(Debug, Default)]
pub struct RefreshTokens(HashMap<String, Refresh>);

#[derive(Debug, Clone)]
struct Refresh {
    tenant: String,
    app: String,
    user: String,
    /// The password at that time: another one makes it worthless.
    password: String,
    issued: Timestamp,
}

/// What a person's token is to be good for.
#[derive(Debug, PartialEq, Eq)]
pub struct Scopes {
    /// The resource.
    pub audience: String,
    /// Names of delegated permissions.
    pub names: Vec<String>,
    /// Whether a refresh token is wanted.
    pub refreshable: bool,
}

/// Where somebody signs in.
pub struct Place<'a> {
    /// `scheme://host` that was asked.
    pub base: &'a str,
    /// The tenant's id.
    pub tenant: &'a str,
    /// The tenant's domain.
    pub domain: &'a str,
    /// The app.
    pub app: &'a App,
    /// Simulated time.
    pub now: Timestamp,
}

/// `grant_type=password`. The answer is the object id of the person.
pub fn by_password(state: &State, place: &Place<'_>, username: &str, password: &str) -> Result<String, EntraError> {
    let user = people::find(&state.objects, place.tenant, username).filter(|user| user["id"].is_string());
    let Some(user) = user else {
        let text = format!(
            "The user account {{EUII Hidden}} does not exist in the {} directory. To sign into this application, the \
             account must be added to the directory.",
            place.domain
        );
        return Err(grant(50_034, text));
    };
    let id = user["id"].as_str().unwrap_or_default();
    let known = state.accounts.get(&(place.tenant.to_string(), id.to_string()));
    let Some(account) = known.filter(|account| account.password == password) else {
        let text = "Error validating credentials due to invalid username or password.";
        return Err(grant(50_126, text));
    };
    check(user, account)?;
    Ok(id.into())
}

/// `grant_type=refresh_token`. The answer is the object id of the person.
pub fn by_refresh(state: &State, place: &Place<'_>, token: &str) -> Result<String, EntraError> {
    let known = state.refresh_tokens.0.get(token);
    let Some(known) = known.filter(|known| known.tenant == place.tenant && known.app == place.app.client_id) else {
        return Err(grant(9_002_313, "Invalid request. Request is malformed or invalid."));
    };
    if place.now.duration_since(known.issued) > REFRESH_LIFE {
        let text = "The refresh token has expired due to inactivity.";
        return Err(grant(700_082, text));
    }
    let user = people::user(&state.objects, place.tenant, &known.user);
    let account = state.accounts.get(&(place.tenant.to_string(), known.user.clone()));
    let (Some(user), Some(account)) = (user, account) else {
        return Err(grant(50_034, "The user account does not exist in the directory."));
    };
    if account.password != known.password {
        let text = "The provided grant has expired due to it being revoked, a fresh auth token is needed. The user \
                    might have changed or reset their password.";
        return Err(grant(50_173, text));
    }
    check(user, account)?;
    Ok(known.user.clone())
}

/// What stands between a person with the right password and a token.
fn check(user: &Value, account: &Account) -> Result<(), EntraError> {
    if user["accountEnabled"] == false {
        return Err(grant(50_057, "The user account is disabled."));
    }
    if account.expired {
        return Err(grant(50_055, "The password is expired."));
    }
    if account.mfa {
        let text = format!(
            "Due to a configuration change made by your administrator, or because you moved to a new location, you \
             must use multi-factor authentication to access '{GRAPH_APP_ID}'."
        );
        return Err(grant(50_076, text));
    }
    Ok(())
}

/// The scopes of a person's token: names with or without a resource, or `.default`.
pub fn scopes(asked: &str, app: &App) -> Result<Scopes, EntraError> {
    let invalid = || {
        let text = format!(
            "The provided request must include a 'scope' input parameter. The provided value for the input parameter \
             'scope' is not valid. The scope {asked} is not valid."
        );
        EntraError::new(StatusCode::BAD_REQUEST, "invalid_scope", 70_011, text)
    };
    let words: Vec<&str> = asked.split_whitespace().collect();
    let wanted = words.iter().filter(|word| !SIGN_IN_SCOPES.contains(word));
    let parts: Vec<(&str, &str)> = wanted
        .map(|word| word.rsplit_once('/').unwrap_or((GRAPH, word)))
        .collect();
    let resources: HashSet<&str> = parts.iter().map(|(resource, _)| *resource).collect();
    let [(resource, _), ..] = parts[..] else {
        return Err(invalid());
    };
    if resources.len() > 1 {
        return Err(invalid());
    }
    let refused = parts
        .iter()
        .map(|(_, name)| *name)
        .find(|name| *name != ".default" && !app.scopes.iter().any(|granted| granted == name));
    if refused.is_some() || app.scopes.is_empty() {
        let text = format!(
            "The user or administrator has not consented to use the application with ID '{}'. Send an interactive \
             authorization request for this user and resource.",
            app.client_id
        );
        return Err(grant(65_001, text));
    }
    let all = parts.iter().any(|(_, name)| *name == ".default");
    let named = || parts.iter().map(|(_, name)| (*name).to_string()).collect();
    Ok(Scopes {
        audience: resource.trim_end_matches('/').into(),
        names: if all { app.scopes.clone() } else { named() },
        refreshable: words.contains(&REFRESHABLE),
    })
}

/// The answer to a person: access token, and a fresh refresh token if one was wanted.
pub fn answer(state: &mut State, place: &Place<'_>, user: &str, scopes: &Scopes) -> Result<Value, EntraError> {
    let lifetime = state.settings.token_lifetime_seconds;
    let name = people::user(&state.objects, place.tenant, user).map(|user| user["userPrincipalName"].clone());
    let now = place.now.as_second();
    let claims = json!({
        "aud": scopes.audience,
        "iss": format!("{}/{}/", place.base, place.tenant),
        "iat": now, "nbf": now, "exp": now.saturating_add(lifetime),
        "appid": place.app.client_id,
        "appidacr": if place.app.public_client { "0" } else { "1" },
        "idtyp": "user",
        "tid": place.tenant,
        "oid": user,
        "sub": user,
        "upn": name,
        "scp": scopes.names.join(" "),
        "uti": Uuid::new_v4().to_string(),
        "ver": "1.0",
    });
    let token =
        jwt::sign(&claims).ok_or_else(|| EntraError::request(90_033, "The simulator could not sign a token."))?;
    let mut body = json!({
        "token_type": "Bearer",
        "scope": scopes.names.join(" "),
        "expires_in": lifetime,
        "ext_expires_in": lifetime,
        "access_token": token,
    });
    if scopes.refreshable {
        body["refresh_token"] = json!(remember(state, place, user));
    }
    Ok(body)
}

fn remember(state: &mut State, place: &Place<'_>, user: &str) -> String {
    let token = format!("0.{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
    let account = state.accounts.get(&(place.tenant.to_string(), user.to_string()));
    let refresh = Refresh {
        tenant: place.tenant.into(),
        app: place.app.client_id.clone(),
        user: user.into(),
        password: account.map(|account| account.password.clone()).unwrap_or_default(),
        issued: place.now,
    };
    state.refresh_tokens.0.insert(token.clone(), refresh);
    token
}

fn grant(number: u32, text: impl Into<String>) -> EntraError {
    EntraError::new(StatusCode::BAD_REQUEST, "invalid_grant", number, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_read_as_entra_reads_them() {
        let app = App::default();
        let read = |text: &str| scopes(text, &app).ok();
        let expected = |audience: &str, names: &[&str], refreshable: bool| {
            Some(Scopes {
                audience: audience.into(),
                names: names.iter().map(ToString::to_string).collect(),
                refreshable,
            })
        };
        let all = ["Presence.Read.All", "User.Read"];
        assert_eq!(read("Presence.Read.All"), expected(GRAPH, &all[..1], false));
        assert_eq!(
            read("http://h:1/.default offline_access"),
            expected("http://h:1", &all, true)
        );
        assert_eq!(
            read("openid http://h/User.Read http://h/Presence.Read.All"),
            expected("http://h", &["User.Read", "Presence.Read.All"], false)
        );
        for wrong in [
            "",
            "offline_access",
            "http://a/User.Read http://b/User.Read",
            "Mail.Read",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
