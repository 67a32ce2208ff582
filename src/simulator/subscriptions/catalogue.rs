//! What can be subscribed to, for how long, and with which permission: the simulator's own copy of the rules.

use super::paths;

/// The rules of one kind of resource.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Path with `*` for one segment.
    pattern: &'static str,
    /// Longest life in minutes.
    pub minutes: i64,
    /// Longest life in minutes with resource data; 0 if there is no such form.
    pub rich_minutes: i64,
    /// Change types that are accepted.
    pub changes: &'static [&'static str],
    /// Application permissions of which one is enough; none means delegated only.
    pub roles: &'static [&'static str],
    /// Teams resources need a lifecycle URL for more than an hour.
    pub teams: bool,
    /// Refuses a second one with 403 and a limit of 1, instead of 409.
    pub single: bool,
    /// How many an organisation may have, if it is limited.
    pub per_organisation: Option<usize>,
    /// How many an app may have in a tenant, if it is limited.
    pub per_app: Option<usize>,
    /// Lifecycle events that exist besides `reauthorizationRequired`.
    pub losses: &'static [&'static str],
}

const ALL: &[&str] = &["created", "updated", "deleted"];
const CHAT: &[&str] = &["Chat.Read.All", "Chat.ReadWrite.All"];
const CHAT_LIST: &[&str] = &["Chat.ReadBasic.All", "Chat.Read.All", "Chat.ReadWrite.All"];
const CHANNEL: &[&str] = &["ChannelMessage.Read.All"];
const OUTLOOK_LOSSES: &[&str] = &["missed", "subscriptionRemoved"];

const PLAIN: Rules = Rules {
    pattern: "",
    minutes: 4_230,
    rich_minutes: 0,
    changes: ALL,
    roles: &[],
    teams: false,
    single: false,
    per_organisation: None,
    per_app: None,
    losses: &[],
};

const TEAMS: Rules = Rules {
    minutes: 4_320,
    rich_minutes: 4_320,
    roles: CHAT,
    teams: true,
    per_organisation: Some(10_000),
    losses: &["subscriptionRemoved"],
    ..PLAIN
};

const OUTLOOK: Rules = Rules {
    minutes: 10_080,
    rich_minutes: 1_440,
    losses: OUTLOOK_LOSSES,
    ..PLAIN
};

const DIRECTORY: Rules = Rules {
    minutes: 41_760,
    changes: &["updated", "deleted"],
    per_app: Some(100),
    ..PLAIN
};

const MAIL: Rules = Rules {
    roles: &["Mail.Read", "Mail.ReadWrite"],
    ..OUTLOOK
};
const EVENTS: Rules = Rules {
    roles: &["Calendars.Read", "Calendars.ReadWrite"],
    ..OUTLOOK
};
const CONTACTS: Rules = Rules {
    roles: &["Contacts.Read", "Contacts.ReadWrite"],
    ..OUTLOOK
};
const USER: Rules = Rules {
    roles: &["User.Read.All", "Directory.Read.All"],
    ..DIRECTORY
};
const GROUP: Rules = Rules {
    roles: &["Group.Read.All", "Directory.Read.All"],
    ..DIRECTORY
};
const DRIVE: Rules = Rules {
    minutes: 42_300,
    changes: &["updated"],
    roles: &["Files.Read.All", "Files.ReadWrite.All"],
    ..PLAIN
};
const RECORDING: Rules = Rules {
    roles: &["OnlineMeetingRecording.Read.All"],
    changes: &["created"],
    ..TEAMS
};
const TRANSCRIPT: Rules = Rules {
    roles: &["OnlineMeetingTranscript.Read.All"],
    changes: &["created"],
    ..TEAMS
};

static TABLE: &[Rules] = &[
    Rules {
        pattern: "communications/callRecords",
        changes: &["created", "updated"],
        roles: &["CallRecords.Read.All"],
        per_organisation: Some(100),
        ..PLAIN
    },
    Rules {
        pattern: "communications/presences",
        minutes: 60,
        rich_minutes: 60,
        changes: &["updated"],
        ..PLAIN
    },
    Rules {
        pattern: "communications/presences/*",
        minutes: 60,
        rich_minutes: 60,
        changes: &["updated"],
        ..PLAIN
    },
    Rules {
        pattern: "communications/onlineMeetings/getAllRecordings",
        ..RECORDING
    },
    Rules {
        pattern: "communications/onlineMeetings/getAllTranscripts",
        ..TRANSCRIPT
    },
    Rules {
        pattern: "users",
        ..USER
    },
    Rules {
        pattern: "users/*",
        ..USER
    },
    Rules {
        pattern: "groups",
        ..GROUP
    },
    Rules {
        pattern: "groups/*",
        ..GROUP
    },
    Rules {
        pattern: "groups/*/conversations",
        roles: &["Group.Read.All"],
        ..PLAIN
    },
    Rules {
        pattern: "chats",
        roles: CHAT_LIST,
        single: true,
        ..TEAMS
    },
    Rules {
        pattern: "chats/getAllMessages",
        single: true,
        ..TEAMS
    },
    Rules {
        pattern: "chats/getAllMembers",
        roles: &["ChatMember.Read.All"],
        single: true,
        ..TEAMS
    },
    Rules {
        pattern: "chats/*",
        roles: CHAT_LIST,
        ..TEAMS
    },
    Rules {
        pattern: "chats/*/messages",
        single: true,
        ..TEAMS
    },
    Rules {
        pattern: "chats/*/members",
        roles: &["ChatMember.Read.All", "Chat.Read.All"],
        single: true,
        ..TEAMS
    },
    Rules {
        pattern: "users/*/chats/getAllMessages",
        single: true,
        ..TEAMS
    },
    Rules {
        pattern: "teams",
        roles: &["Team.ReadBasic.All"],
        single: true,
        ..TEAMS
    },
    Rules {
        pattern: "teams/getAllMessages",
        roles: CHANNEL,
        single: true,
        ..TEAMS
    },
    Rules {
        pattern: "teams/getAllChannels",
        roles: &["Channel.ReadBasic.All"],
        single: true,
        ..TEAMS
    },
    Rules {
        pattern: "teams/*",
        roles: &["Team.ReadBasic.All"],
        ..TEAMS
    },
    Rules {
        pattern: "teams/*/channels",
        roles: &["Channel.ReadBasic.All"],
        ..TEAMS
    },
    Rules {
        pattern: "teams/*/channels/*/messages",
        roles: CHANNEL,
        single: true,
        ..TEAMS
    },
    Rules {
        pattern: "users/*/messages",
        ..MAIL
    },
    Rules {
        pattern: "users/*/mailFolders/*/messages",
        ..MAIL
    },
    Rules {
        pattern: "users/*/events",
        ..EVENTS
    },
    Rules {
        pattern: "users/*/contacts",
        ..CONTACTS
    },
    Rules {
        pattern: "users/*/drive/root",
        ..DRIVE
    },
    Rules {
        pattern: "drives/*/root",
        ..DRIVE
    },
    Rules {
        pattern: "sites/*/lists/*",
        roles: &["Sites.Read.All", "Sites.ReadWrite.All"],
        ..DRIVE
    },
    Rules {
        pattern: "security/alerts",
        minutes: 43_200,
        changes: &["updated"],
        roles: &["SecurityEvents.Read.All"],
        ..PLAIN
    },
];

/// The rules for a resource path, with or without query; None if nothing like it can be subscribed to.
pub fn rules(resource: &str) -> Option<&'static Rules> {
    let path = paths::path(resource);
    TABLE.iter().find(|rules| paths::fits(rules.pattern, &path))
}
