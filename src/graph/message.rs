//! Makes foreign texts fit for conditions: the same fault gives the same text, and nothing secret is in it.

/// Longest message, in characters.
const LONGEST: usize = 300;
/// A run of letters and digits at least this long may be a key, a token or a proof.
const SUSPICIOUS: usize = 32;

/// Cuts to the longest admitted length.
pub(super) fn cut(text: &str) -> String {
    if text.chars().count() <= LONGEST {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(LONGEST - 1).collect();
    short.push('…');
    short
}

/// Replaces ids, times, addresses and whatever looks like a secret, and folds white space.
pub(super) fn sanitise(text: &str) -> String {
    let text = text.split("Trace ID:").next().unwrap_or_default();
    let words: Vec<String> = text.split_whitespace().map(word).collect();
    cut(&words.join(" "))
}

fn word(word: &str) -> String {
    if let Some(at) = word.find("https://").or_else(|| word.find("http://")) {
        return format!("{}<url>", &word[..at]);
    }
    let mut clean = String::with_capacity(word.len());
    let mut run = String::new();
    for character in word.chars().filter(|c| !c.is_control()) {
        if is_run(character) {
            run.push(character);
        } else {
            clean.push_str(replace(&run));
            run.clear();
            clean.push(character);
        }
    }
    clean.push_str(replace(&run));
    clean
}

/// Characters of GUIDs, times, dates, base64 and base64url.
fn is_run(character: char) -> bool {
    character.is_ascii_alphanumeric() || "-_~+/:.".contains(character)
}

fn replace(run: &str) -> &str {
    if is_guid(run) || run.split('/').any(is_guid) {
        "<id>"
    } else if is_time(run) {
        "<time>"
    } else if run.split(['/', '.']).any(is_suspicious) || (run.len() >= 2 * SUSPICIOUS && has_digit(run)) {
        "<hidden>"
    } else {
        run
    }
}

/// Whether the text is a GUID, with or without a full stop after it.
pub(super) fn is_guid(text: &str) -> bool {
    let parts: Vec<&str> = text.trim_end_matches(['.', ':']).split('-').collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    lengths == [8, 4, 4, 4, 12] && parts.iter().all(|part| part.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// `2021-11-13T15:25:47Z`, `12/31/9999`, `11:59:59`.
fn is_time(run: &str) -> bool {
    let marks = run.chars().filter(|c| "-/:".contains(*c)).count();
    let letters = run.chars().filter(char::is_ascii_alphabetic).count();
    run.starts_with(|c: char| c.is_ascii_digit()) && marks >= 2 && letters <= 2
}

fn is_suspicious(part: &str) -> bool {
    part.len() >= SUSPICIOUS && has_digit(part)
}

fn has_digit(text: &str) -> bool {
    text.bytes().any(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_from_call_to_call_is_replaced() {
        for (text, expected) in [
            (
                "Subscription Id 7e5f4a2c-1b2c-4d3e-9f00-aabbccddeeff already exists.",
                "Subscription Id <id> already exists.",
            ),
            ("App '7e5f4a2c-1b2c-4d3e-9f00-aabbccddeeff' failed", "App '<id>' failed"),
            (
                "at 2021-11-13T15:25:47Z or 12/31/9999 11:59:59 PM",
                "at <time> or <time> <time> PM",
            ),
            ("wrong.  Trace ID: 1 Correlation ID: 2 Timestamp: 3", "wrong."),
            ("two\r\n   lines", "two lines"),
        ] {
            assert_eq!(sanitise(text), expected);
        }
    }

    #[test]
    fn addresses_and_secrets_are_hidden() {
        for text in [
            "POST https://hooks.example.org/n/k1/uid/AbC",
            "'http://127.0.0.1/n/AbC'",
            "state AbCdefghijklmnopqrstuvwxyz0123456789-_abcde",
            "Invalid secret AbC8Q~abcdefghijklmnopqrstuvwxyz12345678 given",
            "Bearer eyJ0AbCdefghijklmnopqrstuvwxyz012345.eyJ0AbCdefghijklmnopqrstuvwxyz012345.x",
        ] {
            assert!(!sanitise(text).contains("AbC"), "{}", sanitise(text));
        }
    }

    #[test]
    fn ordinary_words_stay() {
        for text in [
            "Subscription expiration can only be 4230 minutes in the future.",
            "Invalid 'changeType' attribute: 'deleted'.",
            "Operation: Create; Exception: [Status Code: Forbidden; Reason: Forbidden]",
            "communications/callRecords and users/getAllMessages",
            "Microsoft.Graph.SubscriptionServices.ValidationException",
        ] {
            assert_eq!(sanitise(text), text);
        }
    }

    #[test]
    fn long_texts_are_cut() {
        assert_eq!(sanitise(&"ä ".repeat(400)).chars().count(), 300);
    }
}
