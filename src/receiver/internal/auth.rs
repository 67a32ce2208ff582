//! Who calls.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;

use super::super::problem;
use super::super::setup::Setup;
use crate::api::receiver_config::CONTROLLER_CONSUMER;

/// A proved caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Holds the keyring.
    Controller,
    /// Holds the token of the users' consumers.
    Consumer,
}

/// The caller; an answer for those who are nobody.
pub fn caller(setup: &Setup, headers: &HeaderMap) -> Result<Caller, Box<Response>> {
    let token = token(headers).unwrap_or_default();
    if setup.keyring.admits_internal(token) {
        return Ok(Caller::Controller);
    }
    if setup.admits_consumer(token) {
        return Ok(Caller::Consumer);
    }
    let mut response = problem::answer(StatusCode::UNAUTHORIZED, "a bearer token is needed");
    let bearer = HeaderValue::from_static("Bearer");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, bearer);
    Err(Box::new(response))
}

/// Lets the controller through.
pub fn controller(setup: &Setup, headers: &HeaderMap) -> Result<(), Box<Response>> {
    match caller(setup, headers)? {
        Caller::Controller => Ok(()),
        Caller::Consumer => Err(Box::new(forbidden())),
    }
}

/// Lets those through who may use a consumer's cursor.
pub fn consumer(setup: &Setup, headers: &HeaderMap, name: &str) -> Result<(), Box<Response>> {
    let caller = caller(setup, headers)?;
    if !setup.knows_consumer(name) {
        return Err(Box::new(problem::answer(StatusCode::NOT_FOUND, "no such consumer")));
    }
    if caller == Caller::Consumer && name == CONTROLLER_CONSUMER {
        return Err(Box::new(forbidden()));
    }
    Ok(())
}

fn forbidden() -> Response {
    problem::answer(StatusCode::FORBIDDEN, "this token does not admit here")
}

fn token(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
