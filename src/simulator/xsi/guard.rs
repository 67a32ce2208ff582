//! Who asks, at which XSP, and how it is refused.

use std::collections::HashMap;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::host::Host;
use super::xml::{self, Document};

/// Path parameters.
pub type Place = HashMap<String, String>;
/// The result of a request.
pub type XsiResult = Result<Response, XsiError>;

/// A refusal.
#[derive(Debug)]
pub struct XsiError(StatusCode, String);

impl XsiError {
    /// 400.
    pub fn bad(text: &str) -> Self {
        Self(StatusCode::BAD_REQUEST, text.into())
    }

    /// 404.
    pub fn missing(text: &str) -> Self {
        Self(StatusCode::NOT_FOUND, text.into())
    }
}

impl IntoResponse for XsiError {
    fn into_response(self) -> Response {
        let Self(status, text) = self;
        let body = xml::document("ErrorInfo", &[("summary", &text), ("summaryEnglish", &text)]);
        let mut response = answer(body);
        *response.status_mut() = status;
        if status == StatusCode::UNAUTHORIZED {
            let realm = HeaderValue::from_static("Basic realm=\"BroadWorks Xsi\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, realm);
        }
        response
    }
}

/// An answer in XML.
pub fn answer(body: String) -> Response {
    ([(header::CONTENT_TYPE, "application/xml;charset=UTF-8")], body).into_response()
}

/// Who asks.
#[derive(Debug)]
pub struct Caller {
    /// User id.
    pub id: String,
    /// Whether it may see all users.
    pub is_admin: bool,
    /// At which XSP.
    pub xsp: String,
}

impl Caller {
    /// Reads who asks: Basic authentication of the administrator, or of a user.
    pub fn read(host: &Host, place: &Place, headers: &HeaderMap) -> Result<Self, XsiError> {
        let xsp = host.xsp(place.get("xsp").map(String::as_str));
        let xsp = xsp.ok_or_else(|| XsiError::missing("no such XSP"))?.to_string();
        if host.setup.manners.down.contains(&xsp) {
            return Err(XsiError(
                StatusCode::SERVICE_UNAVAILABLE,
                "the XSP is overloaded".into(),
            ));
        }
        let refused = || XsiError(StatusCode::UNAUTHORIZED, "authentication failed".into());
        let (id, password) = credentials(headers).ok_or_else(refused)?;
        if host.setup.manners.refusing.contains(&xsp) {
            return Err(refused());
        }
        let is_admin = id == host.setup.username && password == host.setup.password;
        let own = || host.users.get(&id).and_then(|user| user.password.as_ref());
        if is_admin || own().is_some_and(|own| *own == password) {
            return Ok(Self { id, is_admin, xsp });
        }
        Err(refused())
    }

    /// Users see themselves, the administrator sees everybody.
    pub fn may_see(&self, host: &Host, user: &str) -> Result<(), XsiError> {
        if !self.is_admin && self.id != user {
            return Err(XsiError(StatusCode::FORBIDDEN, "not authorized for this user".into()));
        }
        match host.users.get(user) {
            Some(_) => Ok(()),
            None => Err(XsiError::missing("[Error 4008] User not found")),
        }
    }

    /// Only for the administrator.
    pub fn must_be_admin(&self) -> Result<(), XsiError> {
        if self.is_admin {
            Ok(())
        } else {
            Err(XsiError(
                StatusCode::FORBIDDEN,
                "not authorized for this service provider".into(),
            ))
        }
    }
}

/// The body, if it is a document of this name.
pub fn body(bytes: &Bytes, headers: &HeaderMap, name: &str) -> Result<Document, XsiError> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if !kind.is_some_and(|kind| kind.contains("xml")) {
        return Err(XsiError(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the content type must be XML".into(),
        ));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| XsiError::bad("the body is not UTF-8"))?;
    xml::read(text)
        .filter(|document| document.name == name)
        .ok_or_else(|| XsiError::bad(&format!("the body is not a {name}")))
}

/// The part of the path that names something.
pub fn named<'a>(place: &'a Place, name: &str) -> &'a str {
    place.get(name).map_or("", String::as_str)
}

fn credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let header = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let text = STANDARD.decode(header.strip_prefix("Basic ")?).ok()?;
    let text = String::from_utf8(text).ok()?;
    let (id, password) = text.split_once(':')?;
    Some((id.into(), password.into()))
}
