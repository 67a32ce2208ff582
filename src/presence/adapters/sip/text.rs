//! The small grammar within header fields: lists, parameters, quoted strings, addresses.

/// Splits at `separator`, but not within quotes or angle brackets. Parts are trimmed; empty ones are left out.
pub(super) fn split(value: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut rest = value;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let end = end_of_part(rest, separator);
            let (part, after) = rest.split_at_checked(end)?;
            rest = after.strip_prefix(separator).unwrap_or(after);
            if !part.trim().is_empty() {
                return Some(part.trim());
            }
        }
        None
    })
}

fn end_of_part(text: &str, separator: char) -> usize {
    let (mut quoted, mut escaped, mut bracketed) = (false, false, false);
    for (at, one) in text.char_indices() {
        match one {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '<' if !quoted => bracketed = true,
            '>' if !quoted => bracketed = false,
            _ if one == separator && !quoted && !bracketed => return at,
            _ => {}
        }
    }
    text.len()
}

/// The value of a header parameter such as `tag`, as it stands.
pub(super) fn parameter<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    split(value, ';').skip(1).find_map(|part| {
        let (one, value) = part.split_once('=')?;
        one.trim().eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// The URI of an address such as `"Anna" <sip:anna@example.com>;tag=1`.
pub(super) fn uri(address: &str) -> Option<&str> {
    let first = split(address, ';').next()?;
    let Some((_, rest)) = unquoted(first).split_once('<') else {
        return Some(first);
    };
    let (uri, _) = rest.split_once('>')?;
    Some(uri)
}

/// What is behind a leading quoted string.
fn unquoted(text: &str) -> &str {
    let Some(inner) = text.strip_prefix('"') else {
        return text;
    };
    let mut escaped = false;
    for (at, one) in inner.char_indices() {
        match one {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return inner.get(at + 1..).unwrap_or_default(),
            _ => {}
        }
    }
    text
}

/// A value without its quotes, if it has them.
pub(super) fn unquote(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return value.to_owned();
    };
    let mut escaped = false;
    let keep = inner.chars().filter(|one| {
        escaped = *one == '\\' && !escaped;
        !escaped
    });
    keep.collect()
}

/// A value in quotes.
pub(super) fn quote(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', r"\\").replace('"', "\\\""))
}

/// The user part of a SIP URI: what may not stand in it is percent-encoded.
pub(super) fn escape_user(user: &str) -> String {
    let digit = |value: u8| {
        let digit = char::from_digit(value.into(), 16).unwrap_or('0');
        digit.to_ascii_uppercase()
    };
    let mut escaped = String::with_capacity(user.len());
    for one in user.bytes() {
        if one.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,/".contains(&one) {
            escaped.push(char::from(one));
        } else {
            escaped.extend(['%', digit(one >> 4), digit(one & 15)]);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lists_keep_quotes_and_brackets_whole() {
        let list = r#"<sip:a@x;p=1,2>;q=1 , "b, \" <c" <sip:d@x>,, sip:e"#;
        let parts: Vec<_> = split(list, ',').collect();
        assert_eq!(parts, ["<sip:a@x;p=1,2>;q=1", r#""b, \" <c" <sip:d@x>"#, "sip:e"]);
    }

    #[test]
    fn parameters_and_addresses() {
        let cases = [
            ("<sip:a@x;tag=no>;tag=1", Some("1"), Some("sip:a@x;tag=no")),
            ("sip:a@x;TAG = 2", Some("2"), Some("sip:a@x")),
            (r#""x <y> ; tag=3" <sip:b@x>;lr;tag=4"#, Some("4"), Some("sip:b@x")),
            (r#""a\"<no>" <sip:c@x>"#, None, Some("sip:c@x")),
            ("<sip:open", None, None),
            ("", None, None),
        ];
        for (value, tag, address) in cases {
            assert_eq!(parameter(value, "tag"), tag, "{value}");
            assert_eq!(uri(value), address, "{value}");
        }
    }

    #[test]
    fn users_are_escaped() {
        assert_eq!(escape_user("anna.müller+1"), "anna.m%C3%BCller+1");
        assert_eq!(escape_user("a@b\r\nX: 1 <>;?"), "a%40b%0D%0AX%3A%201%20%3C%3E%3B%3F");
    }

    proptest! {
        #[test]
        fn quoting_loses_nothing(text in r#"[ -~äß"\\]{0,40}"#) {
            prop_assert_eq!(unquote(&quote(&text)), text);
        }

        #[test]
        fn nothing_panics(text in ".{0,80}") {
            let _ = (split(&text, ',').count(), parameter(&text, "tag"), uri(&text), unquote(&text));
        }
    }
}
