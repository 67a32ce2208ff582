//! Paths of resources, and which event concerns which subscription.

/// A resource without its query and outer slashes.
pub fn path(resource: &str) -> String {
    resource
        .split_once('?')
        .map_or(resource, |(path, _)| path)
        .trim_matches('/')
        .to_string()
}

/// Functions that stand for many collections at once, and what belongs to them.
const FUNCTIONS: &[(&str, &[&str])] = &[
    ("chats/getallmessages", &["chats/*/messages", "chats/*/messages/*"]),
    ("chats/getallmembers", &["chats/*/members", "chats/*/members/*"]),
    (
        "teams/getallmessages",
        &["teams/*/channels/*/messages", "teams/*/channels/*/messages/*"],
    ),
    ("teams/getallchannels", &["teams/*/channels", "teams/*/channels/*"]),
];

/// The resources, in lower case, whose subscriptions something that happened at `event` concerns.
pub fn concerned(event: &str) -> Vec<String> {
    let event = path(event).to_ascii_lowercase();
    let mut found = vec![event.clone()];
    let (parent, last) = event.rsplit_once('/').unwrap_or_default();
    // `chats/getAllMessages` is a function, not a chat of that name.
    if last.starts_with("getall") {
        return found;
    }
    if !parent.is_empty() {
        found.push(parent.into());
    }
    let functions = FUNCTIONS
        .iter()
        .filter(|(_, patterns)| patterns.iter().any(|pattern| fits(pattern, &event)));
    found.extend(functions.map(|(name, _)| (*name).into()));
    // A message in a folder is one in the mailbox.
    if let ["users", user, "mailfolders", _, "messages", ..] = event.split('/').collect::<Vec<_>>()[..] {
        found.push(format!("users/{user}/messages"));
    }
    found
}

/// Whether a path has the form of a pattern in which `*` stands for one segment.
pub fn fits(pattern: &str, path: &str) -> bool {
    let (mut wanted, mut given) = (pattern.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some("*"), Some(segment)) if !segment.is_empty() => {}
            (Some(a), Some(b)) if a.eq_ignore_ascii_case(b) => {}
            _ => return false,
        }
    }
}
