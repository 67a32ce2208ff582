//! Errors of Graph. Codes are often only `InvalidRequest` or `ExtensionError`, so the text has to be read as well.
//! <https://learn.microsoft.com/graph/errors>

use std::time::Duration;

use serde_json::Value;

use crate::graph::error::{Class, Failure, Kind};
use crate::graph::message::{is_guid, sanitise};

/// Judges an answer of Graph that is no success.
pub(in crate::graph) fn graph(status: u16, retry_after: Option<Duration>, body: &[u8]) -> Failure {
    let Some(body) = Body::read(body) else {
        return not_from_graph(status, retry_after);
    };
    let status = body.embedded_status().unwrap_or(status);
    let kind = by_text(status, &body).unwrap_or_else(|| by_status(status, &body));
    let message = message(&kind, status, &body);
    match class(&kind, status, retry_after, &body) {
        Some(class) => Failure::new(kind, class, message),
        None => Failure::of(kind, message),
    }
}

/// Proxies and gateways answer too. Their 404 must not pass for "the subscription is gone".
fn not_from_graph(status: u16, retry_after: Option<Duration>) -> Failure {
    let message = format!("Status {status} without Graph's error body; it may come from something before Graph.");
    match status {
        401 => Failure::of(Kind::Unauthorized, message),
        429 | 509 => Failure::new(Kind::Throttled, Class::Throttled(retry_after), message),
        408 | 500.. => Failure::new(Kind::Unavailable, retry_class(retry_after), message),
        _ => Failure::new(Kind::Protocol, Class::RetrySlowly, message),
    }
}

fn retry_class(retry_after: Option<Duration>) -> Class {
    retry_after.map_or(Class::Retry, |after| Class::Throttled(Some(after)))
}

/// What the body says.
struct Body {
    /// The code and the codes nested in it, from the outside in.
    codes: Vec<String>,
    text: String,
    /// `text` in lower case.
    lower: String,
}

impl Body {
    fn read(body: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(body).ok()?;
        let error = value.get("error")?;
        let text = error
            .get("message")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        let mut codes = Vec::new();
        let mut level = Some(error);
        while let Some(error) = level.take_if(|_| codes.len() < 8) {
            codes.push(error.get("code")?.as_str()?.to_owned());
            level = ["innererror", "innerError"]
                .iter()
                .find_map(|name| error.get(name))
                .filter(|inner| inner.get("code").is_some_and(Value::is_string));
        }
        Some(Self {
            codes,
            lower: text.to_ascii_lowercase(),
            text,
        })
    }

    fn has_code(&self, code: &str) -> bool {
        self.codes.iter().any(|c| c.eq_ignore_ascii_case(code))
    }

    fn says(&self, any: &[&str]) -> bool {
        any.iter().any(|part| self.lower.contains(part))
    }

    /// `[Status Code: X; Reason: Y]`: the status of the workload behind Graph, which counts more than the outer one.
    fn embedded_status(&self) -> Option<u16> {
        let (_, rest) = self.lower.split_once("[status code:")?;
        let name = rest.split([';', ']']).next()?.trim();
        name.parse().ok().or_else(|| status_of(name))
    }

    /// The text from behind `start`, up to the next character that is not part of a word.
    fn after(&self, start: &str) -> Option<&str> {
        let at = self.lower.find(start)? + start.len();
        let rest = self.text.get(at..)?.trim_start_matches([' ', '\'', '"', ':', '<', '{']);
        rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').next()
    }
}

fn status_of(name: &str) -> Option<u16> {
    Some(match name {
        "badrequest" => 400,
        "unauthorized" => 401,
        "paymentrequired" => 402,
        "forbidden" => 403,
        "notfound" => 404,
        "requesttimeout" => 408,
        "conflict" => 409,
        "gone" => 410,
        "locked" => 423,
        "toomanyrequests" => 429,
        "internalservererror" => 500,
        "badgateway" => 502,
        "serviceunavailable" => 503,
        "gatewaytimeout" => 504,
        _ => return None,
    })
}

/// What only the text or the code tells; the status would mislead.
fn by_text(status: u16, body: &Body) -> Option<Kind> {
    // Answered as 429 with "retry after 12/31/9999": a quota, not a matter of waiting.
    if body.says(&["subscriptioncountreached"]) || body.has_code("SubscriptionCountReached") {
        return Some(Kind::QuotaExceeded);
    }
    // With 410 from the directory and drives, with other codes from Outlook.
    if ["syncStateNotFound", "syncStateInvalid", "resyncRequired"]
        .iter()
        .any(|code| body.has_code(code))
    {
        return Some(Kind::ResyncRequired);
    }
    if body.says(&["subscription expiration can only be"]) {
        let maximum_minutes = body.after("can only be").and_then(|minutes| minutes.parse().ok());
        return Some(Kind::ExpiryTooFar { maximum_minutes });
    }
    if is_endpoint_validation(body) {
        return Some(Kind::EndpointValidation);
    }
    if body.says(&["reached its limit of"]) {
        let one = body.after("reached its limit of") == Some("1");
        return Some(if one { Kind::Limited } else { Kind::QuotaExceeded });
    }
    if status == 403
        && body.says(&[
            "quota",
            "limit of",
            "limit has been",
            "limit exceeded",
            "maximum number",
        ])
    {
        return Some(Kind::QuotaExceeded);
    }
    if status == 409 || body.has_code("ObjectIdentifierInUse") {
        let existing = body
            .after("subscription id")
            .filter(|id| is_guid(id))
            .map(str::to_owned);
        return Some(Kind::Duplicate { existing });
    }
    None
}

fn is_endpoint_validation(body: &Body) -> bool {
    body.says(&[
        "subscription validation request",
        "validationtoken",
        "notification endpoint must",
        "ssl/tls secure channel",
    ]) || (body.has_code("ValidationError") && body.says(&["httprequestexception", "notification endpoint"]))
}

fn by_status(status: u16, body: &Body) -> Kind {
    match status {
        // Graph itself takes the token; the workload behind it does not let the app in. Another token would change nothing.
        401 if body.embedded_status().is_some() => Kind::ConsentMissing,
        401 => Kind::Unauthorized,
        403 => Kind::ConsentMissing,
        404 if body.says(&["not yet supported for this mailbox"]) => Kind::Rejected,
        404 | 410 => Kind::NotFound,
        429 | 509 => Kind::Throttled,
        408 | 423 | 425 | 500.. => Kind::Unavailable,
        300..=399 => Kind::Protocol,
        _ => Kind::Rejected,
    }
}

/// Where the class differs from the usual one of the kind.
fn class(kind: &Kind, status: u16, retry_after: Option<Duration>, body: &Body) -> Option<Class> {
    match kind {
        Kind::Throttled => Some(Class::Throttled(retry_after)),
        Kind::Unavailable => Some(retry_class(retry_after)),
        // Graph gives up early at times, or never sends the request: the next attempt may pass.
        Kind::EndpointValidation if body.says(&["timed out", "timeout"]) => Some(Class::Retry),
        Kind::Protocol => Some(Class::RetrySlowly),
        // The clock here is behind, which this answer's date tells.
        Kind::Rejected if body.says(&["must be in the future"]) => Some(Class::Retry),
        // Billing and mailboxes are mended outside the spec; an ExtensionError says too little to stop for good.
        Kind::Rejected if matches!(status, 402 | 404) || body.has_code("ExtensionError") => Some(Class::RetrySlowly),
        _ => None,
    }
}

fn message(kind: &Kind, status: u16, body: &Body) -> String {
    let lead = match kind {
        Kind::ConsentMissing => {
            "Graph denies access: grant the app the application permission for this resource, with admin consent."
        }
        Kind::Unauthorized => "Graph refuses the access token.",
        Kind::Limited => "A subscription of this app for this resource exists, or Graph still counts a removed one.",
        Kind::QuotaExceeded => "A quota of Microsoft 365 on the number of subscriptions is used up.",
        Kind::EndpointValidation => "Graph could not validate the notification address.",
        Kind::Duplicate { .. } => "The same resource and change type are subscribed already.",
        Kind::NotFound => "It does not exist.",
        Kind::Throttled => "Graph throttles this app.",
        Kind::Unavailable => "Graph has a fault.",
        _ => "Graph refuses the request.",
    };
    let code = body.codes.last().map_or("", String::as_str);
    let said = sanitise(&body.text);
    format!("{lead} Graph says ({status} {}): {said}", sanitise(code))
}

#[cfg(test)]
mod tests;
