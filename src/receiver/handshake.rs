//! Graph's handshake: whoever can be told a token and says it back owns the address.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::problem;

const TOKEN: &str = "validationToken";
const TOKEN_BYTES: usize = 4096;

/// The token to say back, decoded as a form is (`+` is a blank); `None` if the query has none.
pub fn token(query: &str) -> Option<String> {
    url::form_urlencoded::parse(query.as_bytes())
        .find(|(name, _)| name.eq_ignore_ascii_case(TOKEN))
        .map(|(_, value)| value.into_owned())
}

/// The answer to a handshake.
pub fn answer(token: String) -> Response {
    if token.is_empty() || token.len() > TOKEN_BYTES {
        return problem::answer(StatusCode::BAD_REQUEST, "the validation token is empty or too long");
    }
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, token).into_response()
}

#[cfg(test)]
mod tests {
    use super::token;

    #[test]
    fn decodes_as_a_form() {
        let query = "a=b&validationToken=Validation%3a+Testing+client%20application%2BRequest-Id%3A+1%C3%A9";
        assert_eq!(
            token(query).unwrap(),
            "Validation: Testing client application+Request-Id: 1é"
        );
        assert_eq!(token("a=validationToken"), None);
        assert_eq!(token("validationToken").as_deref(), Some(""));
    }
}
