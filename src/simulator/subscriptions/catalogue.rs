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
    /// Delegated permissions of which one is enough, where only people may subscribe.
    pub delegated: &'static [&'static str],
    /// Teams resources need a lifecycle URL for more than an hour.
    pub teams: bool,
    /// Refuses a second one with 403 and a limit of 1, instead of 409.
    pub single: bool,
    /// How many an organisation may have, if it is limited.
    pub per_organisation: Option<usize>,
    /// How many an app may have in a tenant, if it is limited.
    pub per_app: Option<usize>,
    /// How many a mailbox may have over all apps, if it is limited.
    pub per_mailbox: Option<usize>,
    /// Lifecycle events that exist besides `reauthorizationRequired`.
    pub losses: &'static [&'static str],
}

const ALL: &[&str] = &["created", "updated", "deleted"];
const CHAT: &[&str] = &["Chat.Read.All", "Chat.ReadWrite.All"];
const CHAT_MEMBER: &[&str] = &["ChatMember.Read.All", "Chat.Read.All"];
const CHAT_LIST: &[&str] = &["Chat.ReadBasic.All", "Chat.Read.All", "Chat.ReadWrite.All"];
const CHANNEL: &[&str] = &["ChannelMessage.Read.All"];
const OUTLOOK_LOSSES: &[&str] = &["missed", "subscriptionRemoved"];

const PLAIN: Rules = Rules {
    pattern: "",
    minutes: 4_230,
    rich_minutes: 0,
    changes: ALL,
    roles: &[],
    delegated: &[],
    teams: false,
    single: false,
    per_organisation: None,
    per_app: None,
    per_mailbox: None,
    losses: &[],
};

const TEAMS: Rules = Rules {
    minutes: 4_320,
    rich_minutes: 4_320,
    roles: CHAT,
    teams: true,
    single: true,
    per_organisation: Some(10_000),
    ..PLAIN
};

/// Chat and channel messages: the only Teams resources whose removal is told.
const CHAT_MESSAGE: Rules = Rules {
    losses: &["subscriptionRemoved"],
    ..TEAMS
};

const OUTLOOK: Rules = Rules {
    minutes: 10_080,
    rich_minutes: 1_440,
    per_mailbox: Some(1_000),
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
/// A signed-in user's own mailbox: not for apps.
const DELEGATED_MAIL: Rules = OUTLOOK;
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
    ..TEAMS
};
const TRANSCRIPT: Rules = Rules {
    roles: &["OnlineMeetingTranscript.Read.All"],
    ..TEAMS
};
const CHAT_OBJECT: Rules = Rules {
    roles: CHAT_LIST,
    ..TEAMS
};
const CHAT_MEMBERS: Rules = Rules {
    roles: CHAT_MEMBER,
    ..TEAMS
};
const CHANNEL_MESSAGE: Rules = Rules {
    roles: CHANNEL,
    ..CHAT_MESSAGE
};
const TEAM: Rules = Rules {
    roles: &["Team.ReadBasic.All"],
    ..TEAMS
};
const CHANNEL_OBJECT: Rules = Rules {
    roles: &["Channel.ReadBasic.All"],
    ..TEAMS
};
const TEAM_MEMBERS: Rules = Rules {
    roles: &["TeamMember.Read.All"],
    ..TEAMS
};
const APP_INSTALLATION: Rules = Rules {
    roles: &[
        "TeamsAppInstallation.ReadForUser.All",
        "TeamsAppInstallation.ReadForTeam.All",
    ],
    ..TEAMS
};
const SHIFTS: Rules = Rules {
    minutes: 360,
    roles: &["Schedule.Read.All", "Schedule.ReadWrite.All"],
    single: true,
    ..PLAIN
};
const APPROVALS: Rules = Rules {
    minutes: 43_200,
    roles: &["ApprovalSolution.Read.All"],
    single: true,
    per_organisation: Some(1_000),
    ..PLAIN
};
/// Copilot interactions follow the rules of Teams resources.
const INTERACTIONS: Rules = Rules {
    roles: &["AiEnterpriseInteraction.Read.All"],
    ..TEAMS
};
const ALERT: Rules = Rules {
    minutes: 43_200,
    roles: &["SecurityEvents.Read.All"],
    ..PLAIN
};
const ALERT_V2: Rules = Rules {
    roles: &["SecurityAlert.Read.All"],
    ..ALERT
};
const HEALTH_ALERT: Rules = Rules {
    minutes: 42_300,
    roles: &["HealthMonitoringAlert.Read.All"],
    ..PLAIN
};
const CALL_RECORDS: Rules = Rules {
    changes: &["created", "updated"],
    roles: &["CallRecords.Read.All"],
    per_organisation: Some(100),
    ..PLAIN
};
/// For people only, as everything without roles: one for each account and app.
const PRESENCE: Rules = Rules {
    minutes: 60,
    rich_minutes: 60,
    changes: &["updated"],
    delegated: &["Presence.Read.All", "Presence.ReadWrite.All"],
    ..PLAIN
};
const LIST: Rules = Rules {
    roles: &["Sites.Read.All", "Sites.ReadWrite.All"],
    ..DRIVE
};
const CONVERSATION: Rules = Rules {
    roles: &["Group.Read.All"],
    ..PLAIN
};
const PRINT_JOB: Rules = Rules {
    roles: &["PrintJob.Read.All", "PrintJob.ReadBasic.All"],
    ..PLAIN
};
const PRINT_TASK: Rules = Rules {
    roles: &["PrintTaskDefinition.ReadWrite.All"],
    ..PLAIN
};

const fn row(pattern: &'static str, rules: Rules) -> Rules {
    Rules { pattern, ..rules }
}

/// The first match counts, so words stand before ids.
static TABLE: &[Rules] = &[
    row("communications/callRecords", CALL_RECORDS),
    row("communications/presences", PRESENCE),
    row("communications/presences/*", PRESENCE),
    row("communications/onlineMeetings/getAllRecordings", RECORDING),
    row("communications/onlineMeetings/getAllTranscripts", TRANSCRIPT),
    row("communications/onlineMeetings/*/recordings", RECORDING),
    row("communications/onlineMeetings/*/transcripts", TRANSCRIPT),
    row("users/*/onlineMeetings/getAllRecordings", RECORDING),
    row("users/*/onlineMeetings/getAllTranscripts", TRANSCRIPT),
    row("users", USER),
    row("users/*", USER),
    row("groups", GROUP),
    row("groups/*", GROUP),
    row("groups/*/owners", GROUP),
    row("groups/*/members", GROUP),
    row("groups/*/conversations", CONVERSATION),
    row("groups/*/drive/root", DRIVE),
    row("chats", CHAT_OBJECT),
    row("chats/getAllMessages", CHAT_MESSAGE),
    row("chats/getAllMembers", CHAT_MEMBERS),
    row("chats/*", CHAT_OBJECT),
    row("chats/*/messages", CHAT_MESSAGE),
    row("chats/*/members", CHAT_MEMBERS),
    row("users/*/chats/getAllMessages", CHAT_MESSAGE),
    row("teams", TEAM),
    row("teams/getAllMessages", CHANNEL_MESSAGE),
    row("teams/getAllChannels", CHANNEL_OBJECT),
    row("teams/getAllMembers", TEAM_MEMBERS),
    row("teams/*", TEAM),
    row("teams/*/members", TEAM_MEMBERS),
    row("teams/*/channels", CHANNEL_OBJECT),
    row(
        "teams/*/channels/getAllMembers",
        Rules {
            roles: &["ChannelMember.Read.All"],
            ..TEAMS
        },
    ),
    row("teams/*/channels/*/messages", CHANNEL_MESSAGE),
    row("teams/*/schedule/*", SHIFTS),
    row("teams/*/schedule/*/*", SHIFTS),
    row("appCatalogs/teamsApps/*/installations", APP_INSTALLATION),
    row("appCatalogs/teamsApps/*/installedToChats", CHAT_OBJECT),
    row("appCatalogs/teamsApps/*/installedToChats/getAllMessages", CHAT_MESSAGE),
    row("appCatalogs/teamsApps/*/installedToChats/getAllMembers", CHAT_MEMBERS),
    row("solutions/approval/approvalItems", APPROVALS),
    row("copilot/interactionHistory/getAllEnterpriseInteractions", INTERACTIONS),
    row(
        "copilot/users/*/interactionHistory/getAllEnterpriseInteractions",
        INTERACTIONS,
    ),
    row("users/*/messages", MAIL),
    row("users/*/mailFolders/*/messages", MAIL),
    row("users/*/events", EVENTS),
    row("users/*/calendar/events", EVENTS),
    row("users/*/calendars/*/events", EVENTS),
    row("users/*/contacts", CONTACTS),
    row("users/*/contactFolders/*/contacts", CONTACTS),
    row("users/*/drive/root", DRIVE),
    row("users/*/todo/lists/*/tasks", PLAIN),
    row("drives/*/root", DRIVE),
    row("sites/*/lists/*", LIST),
    row("security/alerts", ALERT),
    row("security/alerts/*", ALERT),
    row("security/alerts_v2", ALERT_V2),
    row("security/alerts_v2/*", ALERT_V2),
    row("reports/healthMonitoring/alerts", HEALTH_ALERT),
    row("reports/healthMonitoring/alerts/*", HEALTH_ALERT),
    row("print/printers/*/jobs", PRINT_JOB),
    row("print/printTaskDefinition/*/tasks", PRINT_TASK),
    row("me/messages", DELEGATED_MAIL),
    row("me/events", DELEGATED_MAIL),
    row("me/contacts", DELEGATED_MAIL),
    row("me/todo/lists/*/tasks", PLAIN),
];

/// The rules for a resource path, with or without query; None if nothing like it can be subscribed to.
pub fn rules(resource: &str) -> Option<&'static Rules> {
    let path = paths::path(resource);
    TABLE.iter().find(|rules| paths::fits(rules.pattern, &path))
}

/// One resource path of every row.
#[cfg(test)]
pub fn samples() -> impl Iterator<Item = String> {
    TABLE.iter().map(|rules| rules.pattern.replace('*', "8f0c"))
}
