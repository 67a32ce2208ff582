//! What can be read from Graph: which collections, with which permission, and by which of Graph's customs.

use super::subscriptions::paths;

/// Collections that follow the same customs, because the same service stands behind them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Users and groups.
    Directory,
    /// Mail, events and contacts.
    Outlook,
    /// Messages in chats and channels.
    ChatMessages,
    /// Chats, teams and channels.
    Teams,
    /// Files of a drive.
    Drive,
    /// Items of a SharePoint list.
    List,
    /// Call records.
    CallRecords,
    /// Presence.
    Presence,
    /// Security alerts.
    Alerts,
}

/// Comparisons of a property with a date.
pub type Filters = &'static [(&'static str, &'static [&'static str])];

/// One collection that is served.
#[derive(Debug, Clone, Copy)]
pub struct Served {
    /// Path below `/v1.0` with `*` for ids.
    pub path: &'static str,
    /// Whose customs it follows.
    pub family: Family,
    /// Application permissions of which one is enough.
    pub roles: &'static [&'static str],
    /// `@odata.type` of its objects; empty where Graph prints none.
    pub type_name: &'static str,
    /// Whether `GET {path}/{id}` is served.
    pub item: bool,
    /// How it is listed, if it is.
    pub list: Option<Paging>,
    /// How its delta query pages, if there is one.
    pub delta: Option<Paging>,
}

/// What a list or a delta query takes.
#[derive(Debug, Clone, Copy)]
pub struct Paging {
    /// What `$filter` may compare with a date.
    pub filters: Filters,
    /// Objects per page if nothing is asked for.
    pub usual: usize,
    /// The largest `$top`; 0 where there is no such option.
    pub largest: usize,
    /// Whether `$select` is taken.
    pub select: bool,
}

const ANY: &[&str] = &["lt", "le", "gt", "ge"];
const USER: &[&str] = &["User.Read.All", "Directory.Read.All"];
const GROUP: &[&str] = &["Group.Read.All", "Directory.Read.All"];
const MAIL: &[&str] = &["Mail.Read", "Mail.ReadWrite"];
const CALENDAR: &[&str] = &["Calendars.Read", "Calendars.ReadWrite"];
const CONTACTS: &[&str] = &["Contacts.Read", "Contacts.ReadWrite"];
const CHAT: &[&str] = &["Chat.Read.All", "Chat.ReadWrite.All"];
const CHAT_LIST: &[&str] = &["Chat.ReadBasic.All", "Chat.Read.All", "Chat.ReadWrite.All"];
const CHANNEL_MESSAGES: &[&str] = &["ChannelMessage.Read.All"];
const FILES: &[&str] = &["Files.Read.All", "Files.ReadWrite.All"];
const SITES: &[&str] = &["Sites.Read.All", "Sites.ReadWrite.All"];

const PAGES: Paging = Paging {
    filters: &[],
    usual: 100,
    largest: 999,
    select: true,
};
/// Sizes of pages for mail, events and contacts; Microsoft's usual one is small.
const OUTLOOK_PAGES: Paging = Paging {
    filters: &[("lastModifiedDateTime", ANY)],
    usual: 10,
    largest: 1_000,
    ..PAGES
};
const MAIL_PAGES: Paging = Paging {
    filters: &[("lastModifiedDateTime", ANY), ("receivedDateTime", ANY)],
    ..OUTLOOK_PAGES
};
/// `$top` above 50 is refused for chat messages; neither their list nor their delta takes `$select`. Of one chat the
/// original filters only what it also sorts, and of a channel it does not filter; here, neither is filtered.
const CHAT_PAGES: Paging = Paging {
    filters: &[],
    usual: 20,
    largest: 50,
    select: false,
};
const CHAT_DELTA: Paging = Paging {
    filters: &[("lastModifiedDateTime", &["gt"])],
    ..CHAT_PAGES
};
/// Delta queries of users and groups take no `$top`.
const DIRECTORY_DELTA: Paging = Paging { largest: 0, ..PAGES };
const MAIL_DELTA: Paging = Paging {
    filters: &[("receivedDateTime", &["gt", "ge"])],
    ..OUTLOOK_PAGES
};
const CONTACT_DELTA: Paging = Paging {
    filters: &[],
    ..OUTLOOK_PAGES
};
/// The delta query of a calendar view takes its two dates and nothing else.
const CALENDAR_DELTA: Paging = Paging {
    filters: &[],
    usual: 10,
    largest: 0,
    select: false,
};

const PLAIN: Served = Served {
    path: "",
    family: Family::Directory,
    roles: &[],
    type_name: "",
    item: false,
    list: None,
    delta: None,
};
const CHAT_MESSAGES: Served = Served {
    family: Family::ChatMessages,
    roles: CHAT,
    type_name: "#microsoft.graph.chatMessage",
    item: true,
    list: Some(CHAT_PAGES),
    delta: Some(CHAT_DELTA),
    ..PLAIN
};
const OUTLOOK_MESSAGES: Served = Served {
    family: Family::Outlook,
    roles: MAIL,
    type_name: "#microsoft.graph.message",
    item: true,
    list: Some(MAIL_PAGES),
    ..PLAIN
};
const EVENTS: Served = Served {
    family: Family::Outlook,
    roles: CALENDAR,
    type_name: "#microsoft.graph.event",
    ..PLAIN
};
const OUTLOOK_CONTACTS: Served = Served {
    family: Family::Outlook,
    roles: CONTACTS,
    type_name: "#microsoft.graph.contact",
    item: true,
    list: Some(OUTLOOK_PAGES),
    delta: Some(CONTACT_DELTA),
    ..PLAIN
};
const DRIVE: Served = Served {
    family: Family::Drive,
    roles: FILES,
    type_name: "#microsoft.graph.driveItem",
    delta: Some(PAGES),
    ..PLAIN
};

/// All of it. A path is registered as it stands here, so words and ids do not get into each other's way.
pub static TABLE: &[Served] = &[
    Served {
        path: "users",
        roles: USER,
        item: true,
        list: Some(PAGES),
        delta: Some(DIRECTORY_DELTA),
        ..PLAIN
    },
    Served {
        path: "groups",
        roles: GROUP,
        item: true,
        list: Some(PAGES),
        delta: Some(DIRECTORY_DELTA),
        ..PLAIN
    },
    Served {
        path: "groups/*/transitiveMembers",
        roles: &["GroupMember.Read.All", "Group.Read.All", "Directory.Read.All"],
        type_name: "#microsoft.graph.user",
        list: Some(PAGES),
        ..PLAIN
    },
    Served {
        path: "users/*/messages",
        ..OUTLOOK_MESSAGES
    },
    Served {
        path: "users/*/mailFolders/*/messages",
        delta: Some(MAIL_DELTA),
        ..OUTLOOK_MESSAGES
    },
    Served {
        path: "users/*/events",
        item: true,
        list: Some(OUTLOOK_PAGES),
        ..EVENTS
    },
    Served {
        path: "users/*/calendarView",
        delta: Some(CALENDAR_DELTA),
        ..EVENTS
    },
    Served {
        path: "users/*/contacts",
        ..OUTLOOK_CONTACTS
    },
    Served {
        path: "users/*/contactFolders/*/contacts",
        ..OUTLOOK_CONTACTS
    },
    Served {
        path: "chats/*/messages",
        ..CHAT_MESSAGES
    },
    Served {
        path: "users/*/chats/getAllMessages",
        item: false,
        list: Some(Paging {
            filters: &[("lastModifiedDateTime", &["gt", "lt"])],
            ..CHAT_PAGES
        }),
        ..CHAT_MESSAGES
    },
    Served {
        path: "teams/*/channels/*/messages",
        roles: CHANNEL_MESSAGES,
        ..CHAT_MESSAGES
    },
    Served {
        path: "chats",
        family: Family::Teams,
        roles: CHAT_LIST,
        item: true,
        ..PLAIN
    },
    Served {
        path: "teams",
        family: Family::Teams,
        roles: &["Team.ReadBasic.All"],
        item: true,
        list: Some(PAGES),
        ..PLAIN
    },
    Served {
        path: "teams/*/channels",
        family: Family::Teams,
        roles: &["Channel.ReadBasic.All"],
        item: true,
        list: Some(PAGES),
        ..PLAIN
    },
    Served {
        path: "drives/*/root",
        ..DRIVE
    },
    Served {
        path: "users/*/drive/root",
        ..DRIVE
    },
    Served {
        path: "groups/*/drive/root",
        ..DRIVE
    },
    Served {
        path: "sites/*/lists/*/items",
        family: Family::List,
        roles: SITES,
        type_name: "#microsoft.graph.listItem",
        item: true,
        delta: Some(PAGES),
        ..PLAIN
    },
    Served {
        path: "communications/callRecords",
        family: Family::CallRecords,
        roles: &["CallRecords.Read.All"],
        item: true,
        list: Some(Paging {
            filters: &[("startDateTime", ANY)],
            usual: 60,
            largest: 0,
            select: true,
        }),
        ..PLAIN
    },
    Served {
        path: "communications/presences",
        family: Family::Presence,
        roles: &["Presence.Read.All", "Presence.ReadWrite.All"],
        ..PLAIN
    },
    Served {
        path: "security/alerts_v2",
        family: Family::Alerts,
        roles: &["SecurityAlert.Read.All"],
        type_name: "#microsoft.graph.security.alert",
        item: true,
        list: Some(Paging {
            filters: &[("lastUpdateDateTime", ANY), ("createdDateTime", ANY)],
            largest: 1_000,
            ..PAGES
        }),
        ..PLAIN
    },
];

/// The row for a collection; None if nothing like it is served.
pub fn find(collection: &str) -> Option<&'static Served> {
    let path = paths::path(collection);
    TABLE.iter().find(|served| paths::fits(served.path, &path))
}
