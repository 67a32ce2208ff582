//! Delta queries: first everything in pages, then what changed.

use axum::Json;
use axum::http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Asked;
use super::list::{encoded, with_options};
use super::query::{self, Options, Query};
use super::token::Token;
use crate::simulator::clock::parse_internet_date_time;
use crate::simulator::config::DeltaSettings;
use crate::simulator::entra::own_url;
use crate::simulator::errors::{GraphError, GraphResult};
use crate::simulator::families::Family;
use crate::simulator::objects::{Entry, Objects};
use crate::simulator::state::Shared;

/// One call, and what it is answered from.
struct Call<'a> {
    asked: &'a Asked,
    objects: &'a Objects,
    settings: &'a DeltaSettings,
    tenant: &'a str,
    /// `{scheme}://{host}`
    base: &'a str,
    now: Timestamp,
}

/// `GET {collection}/delta`
pub fn answer(shared: &Shared, asked: &Asked) -> GraphResult<Json<Value>> {
    let caller = asked.admit(shared)?;
    let Some(paging) = &asked.served.delta else {
        return Err(query::refused("delta"));
    };
    let read = query::read_delta(&asked.query, &asked.headers, asked.served, paging)?;
    let base = own_url(shared, &asked.headers);
    let state = shared.state();
    let call = Call {
        asked,
        objects: &state.objects,
        settings: &state.settings.delta,
        tenant: &caller.tenant,
        base: &base,
        now: shared.clock.now(),
    };
    let wished = read.options.size;
    let token = call.start(read)?;
    let size = wished
        .or(token.options.size)
        .or(call.settings.page_size)
        .unwrap_or(paging.usual);
    Ok(Json(call.page(token, size.max(1))))
}

impl Call<'_> {
    /// Where this call goes on.
    fn start(&self, read: Query) -> GraphResult<Token> {
        let latest = self.objects.latest(self.tenant, &self.asked.view);
        let family = self.asked.served.family;
        let from_now = matches!(family, Family::Directory | Family::Drive | Family::List);
        match read.skip.as_deref().or(read.delta.as_deref()).unwrap_or_default() {
            // An empty token is what the answer to an expired one leads to.
            "" if self.asked.path.ends_with("calendarView") && read.options.window.is_none() => Err(bad(
                "This request requires a time window specified by the query string parameters StartDateTime and \
                 EndDateTime.",
            )),
            "" => Ok(self.token(read.options, latest, 0)),
            "latest" if from_now => Ok(self.token(read.options, latest, latest)),
            text if family == Family::Drive && parse_internet_date_time(text).is_some() => {
                let told = self.version_at(parse_internet_date_time(text).unwrap_or(self.now));
                Ok(self.token(read.options, told, told))
            }
            // What was asked for at first travels in the token.
            _ if read.has_options || (read.skip.is_some() && read.delta.is_some()) => {
                Err(bad("A token of a delta query stands alone."))
            }
            text => self.resume(Token::read(text).ok_or_else(|| bad("Badly formed token."))?),
        }
    }

    fn resume(&self, token: Token) -> GraphResult<Token> {
        if !token.path.eq_ignore_ascii_case(&self.asked.path) {
            return Err(bad("Badly formed token."));
        }
        let life = if self.asked.served.family == Family::Directory {
            Some(self.settings.directory_token_seconds)
        } else {
            self.settings.token_seconds
        };
        let age = self.now.as_second() - token.issued;
        let generation = self.objects.generation(self.tenant, &self.asked.view);
        if token.generation != generation || life.is_some_and(|life| age > life) {
            return Err(self.start_again(&token.options));
        }
        Ok(token)
    }

    fn page(&self, token: Token, size: usize) -> Value {
        let repeats = self.settings.repeats && token.told > 0;
        let from = if repeats { token.told } else { token.told + 1 };
        let mut found = self.objects.changes(self.tenant, &self.asked.view, from);
        found.retain(|entry| wants(&token, entry));
        // A repeated object comes on top of the page, which could not get on otherwise.
        let repeated = found.first().is_some_and(|entry| entry.version <= token.told);
        let size = size + usize::from(repeated);
        let is_last = found.len() <= size;
        found.truncate(size);
        let value: Vec<Value> = found
            .iter()
            .map(|entry| self.print(entry, &token.options.select))
            .collect();
        let mut body = json!({
            "@odata.context": format!("{}/v1.0/$metadata#{}", self.base, self.asked.path),
            "value": value,
        });
        if is_last {
            let latest = self.objects.latest(self.tenant, &self.asked.view).max(token.told);
            let next = self.token(token.options, latest, latest);
            body["@odata.deltaLink"] = json!(self.link("$deltatoken", &next.write()));
        } else {
            let told = found.last().map_or(token.told, |entry| entry.version);
            let next = Token { told, ..token };
            body["@odata.nextLink"] = json!(self.link("$skiptoken", &next.write()));
        }
        body
    }

    fn print(&self, entry: &Entry, select: &[String]) -> Value {
        let is_drive = matches!(self.asked.served.family, Family::Drive | Family::List);
        match &entry.state {
            Ok(object) => self.asked.print(object, select),
            Err(_) if is_drive => self.asked.print(&json!({"id": entry.id, "deleted": {}}), &[]),
            Err(reason) => json!({"id": entry.id, "@removed": {"reason": reason}}),
        }
    }

    fn token(&self, options: Options, since: u64, told: u64) -> Token {
        Token {
            path: self.asked.path.clone(),
            issued: self.now.as_second(),
            generation: self.objects.generation(self.tenant, &self.asked.view),
            since,
            told,
            options,
        }
    }

    /// Drives and lists have one name for both kinds of token.
    fn link(&self, name: &str, token: &str) -> String {
        let name = match self.asked.served.family {
            Family::Drive | Family::List => "token",
            _ => name,
        };
        format!("{}/v1.0/{}/delta?{name}={token}", self.base, encoded(&self.asked.path))
    }

    /// The last version of a moment. A clock that was set back makes this vague.
    fn version_at(&self, moment: Timestamp) -> u64 {
        let all = self.objects.changes(self.tenant, &self.asked.view, 0).into_iter();
        all.filter(|entry| entry.changed <= moment)
            .map(|entry| entry.version)
            .max()
            .unwrap_or_default()
    }

    /// The refusal of a token that is too old, or was forgotten.
    fn start_again(&self, options: &Options) -> GraphError {
        let path = encoded(&self.asked.path);
        match self.asked.served.family {
            Family::Outlook => {
                let generation = self.objects.generation(self.tenant, &self.asked.view);
                let text = format!("The sync state generation is not found; generation={generation};[highest=0].");
                GraphError::new(StatusCode::BAD_REQUEST, "SyncStateNotFound", text)
            }
            Family::Drive | Family::List => {
                let latest = self.objects.latest(self.tenant, &self.asked.view);
                let fresh = self.token(options.clone(), latest, 0);
                let text = "Resync required. Replace any local items with the server's version (including deletes) if \
                            you're sure that the service was up to date with your local changes when you last sync'd. \
                            Upload any local changes that the server doesn't know about.";
                GraphError::new(StatusCode::GONE, "resyncRequired", text).location(self.link("token", &fresh.write()))
            }
            _ => {
                let text = "The sync state generation is not found. The delta token is expired and data must be \
                            synchronized again.";
                let options = with_options(options, false);
                GraphError::new(StatusCode::GONE, "syncStateNotFound", text)
                    .location(format!("{}/v1.0/{path}/delta?{options}$deltatoken=", self.base))
            }
        }
    }
}

/// What was gone before the round began, was never told to whoever asks.
fn wants(token: &Token, entry: &Entry) -> bool {
    let options = &token.options;
    match &entry.state {
        Ok(object) => options.wants(object),
        Err(_) => entry.version > token.since && (options.ids.is_empty() || options.ids.contains(&entry.id)),
    }
}

fn bad(text: &str) -> GraphError {
    GraphError::new(StatusCode::BAD_REQUEST, "BadRequest", text)
}
