//! Paths of resources, and which event concerns which subscription.

/// A resource without its query and outer slashes.
pub fn path(resource: &str) -> String {
    resource
        .split_once('?')
        .map_or(resource, |(path, _)| path)
        .trim_matches('/')
        .to_string()
}

/// Whether something that happened at `event` concerns a subscription to `resource`.
pub fn concerns(resource: &str, event: &str) -> bool {
    let (resource, event) = (path(resource).to_ascii_lowercase(), path(event).to_ascii_lowercase());
    if event == resource {
        return true;
    }
    let item = format!("{resource}/*");
    let deep: &[&str] = match resource.as_str() {
        "chats/getallmessages" => &["chats/*/messages", "chats/*/messages/*"],
        "chats/getallmembers" => &["chats/*/members", "chats/*/members/*"],
        "teams/getallmessages" => &["teams/*/channels/*/messages", "teams/*/channels/*/messages/*"],
        "teams/getallchannels" => &["teams/*/channels", "teams/*/channels/*"],
        _ => &[],
    };
    // `chats/getAllMessages` is a function, not a chat of that name.
    let is_function = event.rsplit('/').next().is_some_and(|last| last.starts_with("getall"));
    !is_function && (fits(&item, &event) || deep.iter().any(|pattern| fits(pattern, &event)))
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
