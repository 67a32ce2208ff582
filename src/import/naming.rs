//! Names for objects, derived from what is watched: the same ones each time.

use std::collections::HashMap;

use crate::policy::identity::fingerprint;

/// A name is a DNS label, so that it fits wherever Kubernetes wants one.
const LONGEST: usize = 63;
/// Of a hash, enough to tell a few thousand apart.
const HASH: usize = 8;

/// Names for subscriptions to these resources with these change types, in their order. Where two would have the same name, each
/// gets a hash of its own, so that the order does not matter.
pub fn names(watched: &[(String, String)]) -> Vec<String> {
    let bases: Vec<String> = watched.iter().map(|(resource, _)| base(resource)).collect();
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for base in &bases {
        *counts.entry(base).or_default() += 1;
    }
    let mut given: HashMap<String, usize> = HashMap::new();
    let names = bases.iter().zip(watched).map(|(base, (resource, changes))| {
        let alone = counts.get(base.as_str()) == Some(&1) && base.len() <= LONGEST && !base.is_empty();
        let name = if alone {
            base.clone()
        } else {
            with_suffix(base, &hash(&format!("{resource}\n{changes}")))
        };
        // Graph refuses two that are equal, so this is not expected.
        let count = given.entry(name.clone()).or_default();
        *count += 1;
        if *count == 1 {
            name
        } else {
            with_suffix(&name, &count.to_string())
        }
    });
    names.collect()
}

/// Whether `text` can name an object or a namespace in a reference.
pub fn is_name(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    (1..=253).contains(&bytes.len())
        && bytes.iter().all(|byte| inner(*byte) || matches!(byte, b'-' | b'.'))
        && bytes.first().copied().is_some_and(inner)
        && bytes.last().copied().is_some_and(inner)
}

/// The path in lower case, with a hyphen for whatever a label does not admit. A query is told apart by the hash.
fn base(resource: &str) -> String {
    let path = resource.split('?').next().unwrap_or_default().to_ascii_lowercase();
    let words = path.split(|letter: char| !letter.is_ascii_alphanumeric());
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-")
}

fn with_suffix(base: &str, suffix: &str) -> String {
    let room = LONGEST.saturating_sub(suffix.len() + 1);
    let start: String = base.chars().take(room).collect();
    let start = start.trim_end_matches('-');
    if start.is_empty() {
        return format!("s-{suffix}");
    }
    format!("{start}-{suffix}")
}

fn hash(text: &str) -> String {
    let letters = fingerprint(text).to_ascii_lowercase();
    letters.chars().filter(char::is_ascii_alphanumeric).take(HASH).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUID: &str = "8f0c2d3e-0000-4000-8000-000000000001";

    fn named(resources: &[&str]) -> Vec<String> {
        let watched: Vec<_> = resources
            .iter()
            .map(|resource| ((*resource).to_owned(), "created".to_owned()))
            .collect();
        names(&watched)
    }

    #[test]
    fn names_tell_what_is_watched() {
        let mail = format!("users/{GUID}/messages");
        for (resource, name) in [
            ("communications/callRecords", "communications-callrecords"),
            ("users", "users"),
            ("chats/getAllMessages?model=A", "chats-getallmessages"),
            (
                "users('8F0C')/mailFolders('inbox')/messages",
                "users-8f0c-mailfolders-inbox-messages",
            ),
            (&mail, &format!("users-{GUID}-messages")),
        ] {
            assert_eq!(named(&[resource]), [name], "{resource}");
        }
    }

    #[test]
    fn names_are_labels_unique_and_do_not_change_with_the_order() {
        let channel = format!("teams/{GUID}/channels/19:0123456789abcdef0123456789abcdef@thread.tacv2/messages");
        let all = [
            "users",
            "Users?$filter=x",
            "chats/1_2/messages",
            "chats/1-2/messages",
            &channel,
            "漢字",
            "",
            "groups",
        ];
        let names = named(&all);
        let mut unique = names.clone();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), all.len(), "{names:?}");
        for name in &names {
            assert!(is_name(name) && name.len() <= LONGEST && !name.contains('.'), "{name}");
        }
        assert_eq!(names.last().map(String::as_str), Some("groups"));
        let mut backwards = all;
        backwards.reverse();
        let mut again = named(&backwards);
        again.reverse();
        assert_eq!(again, names);
    }

    #[test]
    fn equal_ones_are_counted() {
        let names = named(&["users", "users"]);
        assert_eq!(names[1], format!("{}-2", names[0]));
    }
}
