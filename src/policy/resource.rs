//! What Graph allows for each resource that can be watched, as data.
//!
//! Sources: lifetimes and quotas <https://learn.microsoft.com/graph/change-notifications-overview>, permissions
//! <https://learn.microsoft.com/graph/api/subscription-post-subscriptions>, lifecycle events
//! <https://learn.microsoft.com/graph/change-notifications-lifecycle-events>.

use super::truth::Truth;
use crate::api::subscription::ChangeType::{self, Created, Deleted, Updated};

/// Graph raises anything shorter to this, in minutes.
pub const MINIMUM_MINUTES: i64 = 45;

/// What Graph tells, by lifecycle events, of notifications that do not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announces {
    /// Nothing.
    Nothing,
    /// That it removed the subscription (`subscriptionRemoved`).
    Removal,
    /// That, and that it could not deliver some (`missed`).
    Loss,
}

/// What Graph allows for a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Path with `*` for ids.
    pub pattern: &'static str,
    /// Longest lifetime in minutes.
    pub maximum_minutes: i64,
    /// Changes that can be watched.
    pub change_types: &'static [ChangeType],
    /// Application permissions of which one is needed. Empty: unknown, Graph decides.
    pub permissions: &'static [&'static str],
    /// Whether an app can subscribe without a signed-in user.
    pub app_only: bool,
    /// What Graph tells of losses.
    pub announces: Announces,
    /// How Graph tells afterwards what changed.
    pub truth: Truth,
    /// Minutes within which a notification usually follows its change.
    pub latency_minutes: i64,
}

const ALL: &[ChangeType] = &[Created, Updated, Deleted];
const CHAT_MESSAGES: &[&str] = &["Chat.Read.All", "Chat.ReadWrite.All"];
const CHANNEL_MESSAGES: &[&str] = &["ChannelMessage.Read.All"];
const RECORDINGS: &[&str] = &["OnlineMeetingRecording.Read.All"];
const TRANSCRIPTS: &[&str] = &["OnlineMeetingTranscript.Read.All"];
const CHATS: &[&str] = &["Chat.ReadBasic.All", "Chat.Read.All", "Chat.ReadWrite.All"];
const USERS: &[&str] = &[
    "User.Read.All",
    "User.ReadWrite.All",
    "Directory.Read.All",
    "Directory.ReadWrite.All",
];
const GROUPS: &[&str] = &[
    "Group.Read.All",
    "Group.ReadWrite.All",
    "Directory.Read.All",
    "Directory.ReadWrite.All",
];
const MAIL: &[&str] = &["Mail.Read", "Mail.ReadWrite", "Mail.ReadBasic", "Mail.ReadBasic.All"];
const EVENTS: &[&str] = &["Calendars.Read", "Calendars.ReadWrite", "Calendars.ReadBasic.All"];
const CONTACTS: &[&str] = &["Contacts.Read", "Contacts.ReadWrite"];
const FILES: &[&str] = &[
    "Files.Read.All",
    "Files.ReadWrite.All",
    "Sites.Read.All",
    "Sites.ReadWrite.All",
];
const SCHEDULE: &[&str] = &["Schedule.Read.All", "Schedule.ReadWrite.All"];
const CHAT_MEMBERS: &[&str] = &[
    "ChatMember.Read.All",
    "ChatMember.ReadWrite.All",
    "Chat.ReadBasic.All",
    "Chat.Read.All",
];
const TEAM_MEMBERS: &[&str] = &["TeamMember.Read.All", "TeamMember.ReadWrite.All"];
const CHANNEL_MEMBERS: &[&str] = &["ChannelMember.Read.All", "ChannelMember.ReadWrite.All"];
const INTERACTIONS: &[&str] = &["AiEnterpriseInteraction.Read.All"];
const ALERTS: &[&str] = &["SecurityEvents.Read.All", "SecurityEvents.ReadWrite.All"];
const ALERTS_V2: &[&str] = &["SecurityAlert.Read.All", "SecurityAlert.ReadWrite.All"];
const HEALTH_ALERTS: &[&str] = &["HealthMonitoringAlert.Read.All", "HealthMonitoringAlert.ReadWrite.All"];
const SITES: &[&str] = &["Sites.Read.All", "Sites.ReadWrite.All"];

/// What Graph's page on latencies says of most resources, and rounded up; call records differ.
const USUAL_LATENCY: i64 = 5;
/// Version 1 of a call record. <https://learn.microsoft.com/graph/change-notifications-overview#latency>
const CALL_RECORD_LATENCY: i64 = 150;
const NO_QUERY: Truth = Truth::Nothing("Graph has no query that tells what changed there");
const ALL_MESSAGES: Truth = Truth::Nothing("Graph has no query over the messages of all chats or teams");
const BY_MEETING: Truth = Truth::Nothing("Graph can be asked for recordings and transcripts meeting by meeting only");
const DIRECTORY: Truth = Truth::Delta {
    now: "$deltatoken=latest",
    whole: false,
};
const FILES_DELTA: Truth = Truth::Delta {
    now: "token=latest",
    whole: true,
};
/// A record carries the time its call began; Teams ends a meeting after 30 hours.
const CALL_RECORD_LIST: Truth = Truth::List {
    field: "startDateTime",
    before: 30 * 60,
    options: "&$select=id,startDateTime,lastModifiedDateTime",
};
/// Stateless, over all folders, and without a link that grows old. Deletions do not show.
const MODIFIED: Truth = Truth::List {
    field: "lastModifiedDateTime",
    before: 0,
    options: "&$select=id,createdDateTime,lastModifiedDateTime&$top=500",
};
const MODIFIED_MESSAGES: Truth = Truth::List {
    field: "lastModifiedDateTime",
    before: 0,
    options: "",
};

/// Used for a resource that is not listed: a common lifetime; Graph corrects it in its refusal, which is learned.
static UNLISTED: Rule = Rule {
    pattern: "*",
    maximum_minutes: 4230,
    change_types: ALL,
    permissions: &[],
    app_only: true,
    announces: Announces::Nothing,
    truth: NO_QUERY,
    latency_minutes: USUAL_LATENCY,
};

const fn rule(
    pattern: &'static str,
    maximum_minutes: i64,
    change_types: &'static [ChangeType],
    permissions: &'static [&'static str],
) -> Rule {
    Rule {
        pattern,
        maximum_minutes,
        change_types,
        permissions,
        app_only: true,
        announces: Announces::Nothing,
        truth: NO_QUERY,
        latency_minutes: USUAL_LATENCY,
    }
}

const fn announcing(announces: Announces, rule: Rule) -> Rule {
    Rule { announces, ..rule }
}

/// Messages of chats and channels.
const fn message(rule: Rule) -> Rule {
    announcing(Announces::Removal, rule)
}

const fn outlook(rule: Rule) -> Rule {
    announcing(Announces::Loss, rule)
}

/// With a way to find out afterwards what changed.
const fn told_by(truth: Truth, rule: Rule) -> Rule {
    Rule { truth, ..rule }
}

const fn delegated_only(rule: Rule) -> Rule {
    Rule {
        app_only: false,
        ..rule
    }
}

/// The first match counts, so fixed words stand before ids.
static RULES: &[Rule] = &[
    Rule {
        latency_minutes: CALL_RECORD_LATENCY,
        ..told_by(
            CALL_RECORD_LIST,
            rule(
                "communications/callRecords",
                4230,
                &[Created, Updated],
                &["CallRecords.Read.All"],
            ),
        )
    },
    delegated_only(rule("communications/presences", 60, &[Updated], &[])),
    told_by(
        Truth::State,
        delegated_only(rule("communications/presences/*", 60, &[Updated], &[])),
    ),
    told_by(
        BY_MEETING,
        rule("communications/onlineMeetings/getAllRecordings", 4320, ALL, RECORDINGS),
    ),
    told_by(
        BY_MEETING,
        rule(
            "communications/onlineMeetings/getAllTranscripts",
            4320,
            ALL,
            TRANSCRIPTS,
        ),
    ),
    told_by(
        BY_MEETING,
        rule("communications/onlineMeetings/*/recordings", 4320, ALL, RECORDINGS),
    ),
    told_by(
        BY_MEETING,
        rule("communications/onlineMeetings/*/transcripts", 4320, ALL, TRANSCRIPTS),
    ),
    told_by(
        BY_MEETING,
        rule("users/*/onlineMeetings/getAllRecordings", 4320, ALL, RECORDINGS),
    ),
    told_by(
        BY_MEETING,
        rule("users/*/onlineMeetings/getAllTranscripts", 4320, ALL, TRANSCRIPTS),
    ),
    told_by(
        ALL_MESSAGES,
        message(rule("chats/getAllMessages", 4320, ALL, CHAT_MESSAGES)),
    ),
    told_by(
        Truth::DeltaSince,
        message(rule("chats/*/messages", 4320, ALL, CHAT_MESSAGES)),
    ),
    told_by(
        MODIFIED_MESSAGES,
        message(rule("users/*/chats/getAllMessages", 4320, ALL, CHAT_MESSAGES)),
    ),
    told_by(
        ALL_MESSAGES,
        message(rule("teams/getAllMessages", 4320, ALL, CHANNEL_MESSAGES)),
    ),
    told_by(
        Truth::DeltaSince,
        message(rule(
            "teams/*/channels/*/messages",
            4320,
            ALL,
            &["ChannelMessage.Read.All", "ChannelMessage.Read.Group"],
        )),
    ),
    rule("chats", 4320, ALL, CHATS),
    rule("chats/getAllMembers", 4320, ALL, CHAT_MEMBERS),
    told_by(Truth::State, rule("chats/*", 4320, ALL, CHATS)),
    told_by(Truth::State, rule("chats/*/members", 4320, ALL, CHAT_MEMBERS)),
    rule(
        "teams",
        4320,
        ALL,
        &[
            "Team.ReadBasic.All",
            "TeamSettings.Read.All",
            "TeamSettings.ReadWrite.All",
        ],
    ),
    rule(
        "teams/getAllChannels",
        4320,
        ALL,
        &["Channel.ReadBasic.All", "ChannelSettings.Read.All"],
    ),
    rule("teams/getAllMembers", 4320, ALL, TEAM_MEMBERS),
    told_by(
        Truth::State,
        rule(
            "teams/*",
            4320,
            ALL,
            &[
                "Team.ReadBasic.All",
                "TeamSettings.Read.All",
                "TeamSettings.ReadWrite.All",
            ],
        ),
    ),
    told_by(
        Truth::State,
        rule(
            "teams/*/channels",
            4320,
            ALL,
            &["Channel.ReadBasic.All", "ChannelSettings.Read.All"],
        ),
    ),
    told_by(Truth::State, rule("teams/*/members", 4320, ALL, TEAM_MEMBERS)),
    rule("teams/*/channels/getAllMembers", 4320, ALL, CHANNEL_MEMBERS),
    // Shifts and the requests to change them.
    rule("teams/*/schedule/*", 360, ALL, SCHEDULE),
    rule("teams/*/schedule/*/*", 360, ALL, SCHEDULE),
    rule("appCatalogs/teamsApps/*/installations", 4320, ALL, &[]),
    rule("appCatalogs/teamsApps/*/installedToChats", 4320, ALL, &[]),
    message(rule(
        "appCatalogs/teamsApps/*/installedToChats/getAllMessages",
        4320,
        ALL,
        &[],
    )),
    rule("appCatalogs/teamsApps/*/installedToChats/getAllMembers", 4320, ALL, &[]),
    rule("solutions/approval/approvalItems", 43_200, ALL, &[]),
    rule(
        "copilot/interactionHistory/getAllEnterpriseInteractions",
        4320,
        ALL,
        INTERACTIONS,
    ),
    rule(
        "copilot/users/*/interactionHistory/getAllEnterpriseInteractions",
        4320,
        ALL,
        INTERACTIONS,
    ),
    told_by(MODIFIED, outlook(rule("users/*/messages", 10_080, ALL, MAIL))),
    told_by(
        MODIFIED,
        outlook(rule("users/*/mailFolders/*/messages", 10_080, ALL, MAIL)),
    ),
    told_by(MODIFIED, outlook(rule("users/*/events", 10_080, ALL, EVENTS))),
    told_by(MODIFIED, outlook(rule("users/*/calendar/events", 10_080, ALL, EVENTS))),
    told_by(
        MODIFIED,
        outlook(rule("users/*/calendars/*/events", 10_080, ALL, EVENTS)),
    ),
    told_by(MODIFIED, outlook(rule("users/*/contacts", 10_080, ALL, CONTACTS))),
    told_by(
        MODIFIED,
        outlook(rule("users/*/contactFolders/*/contacts", 10_080, ALL, CONTACTS)),
    ),
    told_by(FILES_DELTA, rule("users/*/drive/root", 42_300, &[Updated], FILES)),
    delegated_only(rule("users/*/todo/lists/*/tasks", 4230, ALL, &[])),
    told_by(DIRECTORY, rule("users", 41_760, &[Updated, Deleted], USERS)),
    told_by(Truth::DeltaOfOne, rule("users/*", 41_760, &[Updated, Deleted], USERS)),
    told_by(DIRECTORY, rule("groups", 41_760, &[Updated, Deleted], GROUPS)),
    rule("groups/*/conversations", 4230, ALL, GROUPS),
    rule("groups/*/owners", 41_760, &[Updated, Deleted], GROUPS),
    rule("groups/*/members", 41_760, &[Updated, Deleted], GROUPS),
    told_by(FILES_DELTA, rule("groups/*/drive/root", 42_300, &[Updated], FILES)),
    told_by(Truth::DeltaOfOne, rule("groups/*", 41_760, &[Updated, Deleted], GROUPS)),
    told_by(FILES_DELTA, rule("drives/*/root", 42_300, &[Updated], FILES)),
    told_by(FILES_DELTA, rule("sites/*/lists/*", 42_300, &[Updated], SITES)),
    rule("security/alerts", 43_200, ALL, ALERTS),
    rule("security/alerts/*", 43_200, ALL, ALERTS),
    told_by(
        Truth::List {
            field: "lastUpdateDateTime",
            before: 0,
            options: "",
        },
        rule("security/alerts_v2", 43_200, ALL, ALERTS_V2),
    ),
    rule("security/alerts_v2/*", 43_200, ALL, ALERTS_V2),
    rule("reports/healthMonitoring/alerts", 42_300, ALL, HEALTH_ALERTS),
    rule("reports/healthMonitoring/alerts/*", 42_300, ALL, HEALTH_ALERTS),
    rule(
        "print/printers/*/jobs",
        4230,
        ALL,
        &["PrintJob.Read.All", "PrintJob.ReadBasic.All"],
    ),
    rule(
        "print/printTaskDefinition/*/tasks",
        4230,
        ALL,
        &["PrintTaskDefinition.ReadWrite.All"],
    ),
    outlook(delegated_only(rule("me/messages", 10_080, ALL, &[]))),
    outlook(delegated_only(rule("me/events", 10_080, ALL, &[]))),
    outlook(delegated_only(rule("me/contacts", 10_080, ALL, &[]))),
    delegated_only(rule("me/todo/lists/*/tasks", 4230, ALL, &[])),
];

/// The rule for a resource path. The query and the two ways to write an id (`users/{id}`, `users('{id}')`) make no difference.
pub fn rule_for(resource: &str) -> &'static Rule {
    let segments: Vec<&str> = segments(resource).collect();
    RULES.iter().find(|rule| rule.matches(&segments)).unwrap_or(&UNLISTED)
}

/// The path in pieces, in either way to write an id, without the query.
pub(super) fn segments(resource: &str) -> impl Iterator<Item = &str> {
    let path = resource.split('?').next().unwrap_or(resource);
    let pieces = path.split('/').flat_map(|piece| match piece.split_once("('") {
        Some((name, id)) => [name, id.strip_suffix("')").unwrap_or(id)],
        None => [piece, ""],
    });
    pieces.filter(|piece| !piece.is_empty())
}

impl Rule {
    fn matches(&self, segments: &[&str]) -> bool {
        // Half the time, where a whole list of subscriptions is looked through before a create.
        let initial = |text: &str| text.bytes().next().map(|byte| byte.to_ascii_lowercase());
        if segments.first().and_then(|first| initial(first)) != initial(self.pattern) {
            return false;
        }
        let mut rest = segments.iter();
        let all = self.pattern.split('/').all(|wanted| {
            rest.next()
                .is_some_and(|segment| wanted == "*" || wanted.eq_ignore_ascii_case(segment))
        });
        all && rest.next().is_none()
    }

    /// One resource path of every rule, for tests that compare catalogues.
    #[cfg(test)]
    pub fn samples() -> impl Iterator<Item = String> {
        RULES.iter().map(|rule| rule.pattern.replace('*', "8f0c"))
    }

    /// Whether the catalogue knows this resource; otherwise Graph alone decides.
    pub fn is_listed(&self) -> bool {
        self.pattern != UNLISTED.pattern
    }

    /// Whether it is the messages of a channel, whose delta query leaves replies out.
    pub fn is_of_a_channel(&self) -> bool {
        self.pattern.starts_with("teams/*/channels/")
    }

    /// Minutes after which Graph's answer about a time is complete: 0 unless what is asked for appears late itself.
    pub fn settles_after_minutes(&self) -> i64 {
        if self.latency_minutes > USUAL_LATENCY {
            self.latency_minutes
        } else {
            0
        }
    }

    /// Whether `granted` holds a permission that suffices.
    pub fn permits(&self, granted: &[String]) -> bool {
        self.permissions.is_empty()
            || self
                .permissions
                .iter()
                .any(|needed| granted.iter().any(|role| role == needed))
    }
}

#[cfg(test)]
mod tests;
