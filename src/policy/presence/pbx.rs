//! What a PBX says about its users, in words common to all kinds of PBX.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A user of the PBX.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PbxUser {
    /// What the adapter calls the user; stable while the user exists.
    pub id: String,
    /// Common name (innovaphone).
    pub cn: Option<String>,
    /// H.323 name (innovaphone); unique on the PBX.
    pub h323: Option<String>,
    /// Extension or phone number, as the PBX writes it.
    pub extension: Option<String>,
}

/// What a user's presence entry says.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Activity {
    /// Nothing in particular: online.
    Unset,
    /// Away from the desk.
    Away,
    /// Soon back.
    BeRightBack,
    /// Busy.
    Busy,
    /// Not to be disturbed.
    DoNotDisturb,
    /// Out for lunch.
    Lunch,
    /// In a meeting.
    Meeting,
    /// On the phone, said by an entry; calls themselves are [`Line`].
    OnThePhone,
    /// On vacation.
    Vacation,
    /// A word that is not known here. It maps to nothing unless an override names it.
    Other(String),
}

impl fmt::Display for Activity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unset => "online",
            Self::Away => "away",
            Self::BeRightBack => "be-right-back",
            Self::Busy => "busy",
            Self::DoNotDisturb => "dnd",
            Self::Lunch => "lunch",
            Self::Meeting => "meeting",
            Self::OnThePhone => "on-the-phone",
            Self::Vacation => "vacation",
            Self::Other(word) => word,
        })
    }
}

/// Who made a presence entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// This worker: the contact, ETag or session is ours.
    Ours,
    /// The user's own choice.
    User,
    /// The PBX itself, such as from a calendar.
    System,
    /// Somebody else.
    Other(String),
}

/// One of the presence entries of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Who made it.
    pub origin: Origin,
    /// What it says.
    pub activity: Activity,
    /// Free text.
    pub note: String,
    /// Since when, by the PBX's clock, if it tells.
    pub since: Option<Timestamp>,
}

/// The user's phone line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Line {
    /// Nobody knows: not connected, or the PBX does not tell.
    #[default]
    Unknown,
    /// No call.
    Idle,
    /// A call that is not answered yet.
    Ringing,
    /// At least one call is connected.
    Connected,
    /// A conference is connected.
    Conference,
}

/// All that the PBX says about a user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PbxView {
    /// Presence entries, newest first. `None`: nobody knows, which is not the same as none.
    pub entries: Option<Vec<Entry>>,
    /// The phone line.
    pub line: Line,
}

impl PbxView {
    /// Whether an entry of our own is there; `None` if entries are not known.
    pub fn shows_ours(&self) -> Option<bool> {
        let entries = self.entries.as_ref()?;
        Some(entries.iter().any(|entry| entry.origin == Origin::Ours))
    }
}

/// What the worker's own entry shall say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnEntry {
    /// The activity.
    pub activity: Activity,
    /// Free text, often empty.
    pub note: String,
}

/// What an adapter can do. The engine asks for nothing else.
#[allow(clippy::struct_excessive_bools)] // independent abilities, not states
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Tells users' presence entries.
    pub reads_presence: bool,
    /// Can hold an entry of our own beside the user's.
    pub own_entry: bool,
    /// Own entries vanish by themselves when not refreshed.
    pub own_entry_expires: bool,
    /// The own entry is the user's one switch for do not disturb: it says that or nothing.
    pub own_is_do_not_disturb: bool,
    /// Tells calls.
    pub line: bool,
    /// Tells which users there are; otherwise it is told whom to watch.
    pub enumerates_users: bool,
}

/// Why a PBX cannot be used, in the classes that decide what is done about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PbxError {
    /// Name, password or certificate of ours is refused. Waits for another spec or Secret, and is tried slowly.
    #[error("{0}")]
    Auth(String),
    /// Whom we are is believed, and what we ask for is not allowed to us: an API, a right. Tried slowly.
    #[error("{0}")]
    Forbidden(String),
    /// A licence is missing on the PBX.
    #[error("{0}")]
    Licence(String),
    /// The user does not exist there.
    #[error("{0}")]
    NotFound(String),
    /// Asked to wait.
    #[error("the PBX asks to wait for {} s", .0.as_secs())]
    Throttled(std::time::Duration),
    /// Not what the protocol says.
    #[error("{0}")]
    Protocol(String),
    /// The server's certificate is not trusted.
    #[error("{0}")]
    NotTrusted(String),
    /// No connection, or it broke.
    #[error("{0}")]
    Transport(String),
}

/// What an adapter tells. After each `Up` every user is told of again, as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PbxEvent {
    /// An endpoint is connected and logged in.
    Up {
        /// Its name.
        endpoint: String,
    },
    /// An endpoint is not. Until `Up`, nothing is known of the users that it told of.
    Down {
        /// Its name.
        endpoint: String,
        /// Why.
        why: PbxError,
    },
    /// An endpoint takes no entries of ours, until the next `Up`.
    NoEntries {
        /// Why, in one sentence.
        why: String,
    },
    /// A user exists, or its properties changed.
    User(PbxUser),
    /// A user is gone.
    UserRemoved {
        /// What the adapter called it.
        id: String,
    },
    /// Whether the PBX has a user whom it was asked for. Where it does not tell which users there are, it has each until told otherwise;
    /// and likewise after a `Down`.
    Exists {
        /// What the adapter calls the user.
        id: String,
        /// Whether it has.
        exists: bool,
    },
    /// What is known of a user now, as a whole.
    View {
        /// What the adapter calls the user.
        id: String,
        /// What the PBX says.
        view: PbxView,
    },
    /// An endpoint has told all that it tells first after `Up`. Told where users are enumerated.
    Complete {
        /// Its name.
        endpoint: String,
        /// Whether it is the one that tells users: who was not told of does not exist.
        users: bool,
    },
}
