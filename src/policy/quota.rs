//! How many subscriptions Graph allows, as data, and whether there is room for one more.
//!
//! Source: <https://learn.microsoft.com/graph/change-notifications-overview#subscription-quotas>.

use super::resource::{rule_for, segments};
use super::subscription::Refusal;
use crate::api::condition::Reason;

/// One limit.
#[derive(Debug, PartialEq, Eq)]
pub struct Quota {
    /// What it counts, in words.
    pub of: &'static str,
    /// Patterns of the catalogue of resources that count together.
    resources: &'static [&'static str],
    /// How many there may be.
    pub limit: usize,
    /// Where they are counted.
    pub scope: Scope,
    /// What helps, besides deleting some.
    remedy: &'static str,
}

/// Where subscriptions are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Of one app, for the very same resource, whatever the change types.
    Resource,
    /// Of one app in one tenant.
    App,
    /// Of all apps in a mailbox. Graph shows an app only its own.
    Mailbox,
    /// Of all apps in a tenant. Graph shows an app only its own.
    Tenant,
}

impl Scope {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Resource => "app and resource",
            Self::App => "app and tenant",
            Self::Mailbox => "mailbox, over all apps",
            Self::Tenant => "tenant, over all apps",
        }
    }
}

/// A quota that the app's own subscriptions use up already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    /// Which one.
    pub quota: &'static Quota,
    /// How many subscriptions of this app count.
    pub held: usize,
}

const DIRECTORY: &[&str] = &[
    "users",
    "users/*",
    "groups",
    "groups/*",
    "groups/*/owners",
    "groups/*/members",
];
const TEAMS: &[&str] = &[
    "communications/onlineMeetings/getAllRecordings",
    "communications/onlineMeetings/getAllTranscripts",
    "communications/onlineMeetings/*/recordings",
    "communications/onlineMeetings/*/transcripts",
    "users/*/onlineMeetings/getAllRecordings",
    "users/*/onlineMeetings/getAllTranscripts",
    "chats/getAllMessages",
    "chats/*/messages",
    "users/*/chats/getAllMessages",
    "teams/getAllMessages",
    "teams/*/channels/*/messages",
    "chats",
    "chats/getAllMembers",
    "chats/*",
    "chats/*/members",
    "teams",
    "teams/getAllChannels",
    "teams/getAllMembers",
    "teams/*",
    "teams/*/channels",
    "teams/*/members",
    "teams/*/channels/getAllMembers",
    "appCatalogs/teamsApps/*/installations",
    "appCatalogs/teamsApps/*/installedToChats",
    "appCatalogs/teamsApps/*/installedToChats/getAllMessages",
    "appCatalogs/teamsApps/*/installedToChats/getAllMembers",
];
const OUTLOOK: &[&str] = &[
    "users/*/messages",
    "users/*/mailFolders/*/messages",
    "users/*/events",
    "users/*/calendar/events",
    "users/*/calendars/*/events",
    "users/*/contacts",
    "users/*/contactFolders/*/contacts",
];
const APPROVALS: &[&str] = &["solutions/approval/approvalItems"];
const ANOTHER_APP: &str = "let another app watch it";
const ONE_WITH_ALL: &str = "name all change types in one subscription";

/// Narrow ones first.
static QUOTAS: &[Quota] = &[
    Quota {
        of: "users and groups",
        resources: DIRECTORY,
        limit: 100,
        scope: Scope::App,
        remedy: "watch the whole collection with one subscription",
    },
    Quota {
        of: "users and groups",
        resources: DIRECTORY,
        limit: 1000,
        scope: Scope::Tenant,
        remedy: "watch the whole collection with one subscription",
    },
    Quota {
        of: "call records",
        resources: &["communications/callRecords"],
        limit: 100,
        scope: Scope::Tenant,
        remedy: "share one subscription: it tells of every call",
    },
    Quota {
        of: "Teams resources",
        resources: TEAMS,
        limit: 1,
        scope: Scope::Resource,
        remedy: ONE_WITH_ALL,
    },
    Quota {
        of: "Teams resources",
        resources: TEAMS,
        limit: 10_000,
        scope: Scope::Tenant,
        remedy: "watch all chats or teams with one subscription",
    },
    Quota {
        of: "mail, events and contacts",
        resources: OUTLOOK,
        limit: 1000,
        scope: Scope::Mailbox,
        remedy: "watch the mailbox and not its folders",
    },
    Quota {
        of: "Copilot interactions of the tenant",
        resources: &["copilot/interactionHistory/getAllEnterpriseInteractions"],
        limit: 1,
        scope: Scope::App,
        remedy: ANOTHER_APP,
    },
    Quota {
        of: "shifts and requests to change them",
        resources: &["teams/*/schedule/*", "teams/*/schedule/*/*"],
        limit: 1,
        scope: Scope::Resource,
        remedy: ONE_WITH_ALL,
    },
    Quota {
        of: "approvals",
        resources: APPROVALS,
        limit: 1,
        scope: Scope::App,
        remedy: ANOTHER_APP,
    },
    Quota {
        of: "approvals",
        resources: APPROVALS,
        limit: 1000,
        scope: Scope::Tenant,
        remedy: ANOTHER_APP,
    },
];

impl Quota {
    fn holds_for(&self, resource: &str) -> bool {
        self.resources.contains(&rule_for(resource).pattern)
    }

    /// How many of `others` take room that a subscription to `resource` needs.
    fn count(&self, resource: &str, others: &[&str]) -> usize {
        match self.scope {
            Scope::Resource => others.iter().filter(|other| is_same(other, resource)).count(),
            Scope::Mailbox => {
                let same = |other: &&&str| is_of_same_mailbox(other, resource) && self.holds_for(other);
                others.iter().filter(same).count()
            }
            Scope::App | Scope::Tenant => others.iter().filter(|other| self.holds_for(other)).count(),
        }
    }

    fn words(&self) -> String {
        let (limit, of, scope) = (self.limit, self.of, self.scope.words());
        let noun = if limit == 1 { "subscription" } else { "subscriptions" };
        format!("{limit} {noun} to {of} per {scope}")
    }
}

fn of(resource: &str) -> impl Iterator<Item = &'static Quota> {
    QUOTAS.iter().filter(move |quota| quota.holds_for(resource))
}

/// Of how many subscriptions on the quotas for a resource matter; `None` when it has none.
pub fn matters_from(resource: &str) -> Option<usize> {
    of(resource).map(|quota| quota.limit).min()
}

/// The quota that leaves no room for a subscription to `resource` beside those that the app `holds`, which must not be those
/// that it would replace. What other apps hold is not known here, and Graph decides.
pub fn full<'a>(resource: &str, holds: impl Iterator<Item = &'a str>) -> Option<Full> {
    let others: Vec<&str> = holds.collect();
    of(resource)
        // Counting costs more than this.
        .filter(|quota| others.len() >= quota.limit)
        .map(|quota| Full {
            quota,
            held: quota.count(resource, &others),
        })
        .find(|full| full.held >= full.quota.limit)
}

/// What there is to know when Graph says that a quota is used up.
pub fn explain(resource: &str) -> Option<String> {
    let quotas: Vec<&Quota> = of(resource).collect();
    let remedy = quotas.first()?.remedy;
    let words: Vec<_> = quotas.iter().map(|quota| quota.words()).collect();
    Some(format!(
        "Graph allows {}; delete some, or {remedy}",
        words.join(", and ")
    ))
}

impl Full {
    /// In the product's words.
    pub fn refusal(&self) -> Refusal {
        let Self { quota, held } = self;
        let message = format!(
            "Graph allows {}, and this app holds {held} already; delete some, or {}",
            quota.words(),
            quota.remedy
        );
        Refusal::waiting(Reason::QuotaExceeded, message)
    }
}

/// In whatever spelling: `/users('1')/Messages` and `users/1/messages` are the same.
fn is_same(one: &str, other: &str) -> bool {
    let mut others = segments(other);
    let alike = segments(one).all(|piece| others.next().is_some_and(|other| piece.eq_ignore_ascii_case(other)));
    alike && others.next().is_none() && query(one) == query(other)
}

fn query(resource: &str) -> &str {
    resource.split_once('?').map_or("", |(_, query)| query)
}

/// Whether the second pieces, the mailboxes, are the same.
fn is_of_same_mailbox(one: &str, other: &str) -> bool {
    let mailbox = |resource| segments(resource).nth(1);
    match (mailbox(one), mailbox(other)) {
        (Some(one), Some(other)) => one.eq_ignore_ascii_case(other),
        (one, other) => one.is_none() && other.is_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::resource::Rule;

    /// Name, resource, what is held, and the quota that is full with its count.
    type Case = (&'static str, &'static str, Vec<String>, Option<(usize, Scope, usize)>);

    fn held(resource: &str, others: &[String]) -> Option<(usize, Scope, usize)> {
        let full = full(resource, others.iter().map(String::as_str))?;
        Some((full.quota.limit, full.quota.scope, full.held))
    }

    fn many(count: usize, resource: impl Fn(usize) -> String) -> Vec<String> {
        (0..count).map(resource).collect()
    }

    #[test]
    fn what_is_held_is_counted_where_it_counts() {
        let users = |count| many(count, |n| format!("users/{n}"));
        let own = |path: &str| vec![path.to_owned()];
        let cases: [Case; 17] = [
            ("room left", "users/x", users(99), None),
            ("no room", "users/x", users(100), Some((100, Scope::App, 100))),
            ("groups count too", "groups", users(130), Some((100, Scope::App, 130))),
            ("others do not", "users/x/messages", users(2000), None),
            (
                "the tenant's call records",
                "communications/callRecords?$filter=x",
                many(100, |n| format!("communications/callRecords?$filter={n}")),
                Some((100, Scope::Tenant, 100)),
            ),
            (
                "one for a chat",
                "chats/1/messages",
                own("/chats('1')/Messages"),
                Some((1, Scope::Resource, 1)),
            ),
            ("another chat", "chats/1/messages", own("chats/2/messages"), None),
            ("another of the chat", "chats/1/messages", own("chats/1/members"), None),
            // Whether Graph counts these together is not known, so Graph decides.
            (
                "another query",
                "chats/getAllMessages",
                own("chats/getAllMessages?model=A"),
                None,
            ),
            (
                "all of Teams",
                "teams/x",
                many(10_000, |n| format!("chats/{n}/messages")),
                Some((10_000, Scope::Tenant, 10_000)),
            ),
            (
                "the mailbox",
                "users/Ada/events",
                many(1000, |n| format!("users('ada')/mailFolders('{n}')/messages")),
                Some((1000, Scope::Mailbox, 1000)),
            ),
            (
                "another mailbox",
                "users/bob/events",
                many(1000, |n| format!("users/ada/mailFolders/{n}/messages")),
                None,
            ),
            (
                "interactions",
                "copilot/interactionHistory/getAllEnterpriseInteractions",
                own("copilot/interactionHistory/getAllEnterpriseInteractions?$filter=x"),
                Some((1, Scope::App, 1)),
            ),
            (
                "of one user",
                "copilot/users/1/interactionHistory/getAllEnterpriseInteractions",
                own("copilot/interactionHistory/getAllEnterpriseInteractions"),
                None,
            ),
            (
                "shifts of a team",
                "teams/1/schedule/shifts",
                own("teams/1/schedule/shifts"),
                Some((1, Scope::Resource, 1)),
            ),
            (
                "approvals",
                "solutions/approval/approvalItems",
                own("solutions/approval/approvalItems"),
                Some((1, Scope::App, 1)),
            ),
            (
                "no quota",
                "drives/1/root",
                many(2000, |_| "drives/1/root".to_owned()),
                None,
            ),
        ];
        for (name, resource, others, expected) in cases {
            assert_eq!(held(resource, &others), expected, "{name}");
            let matters = matters_from(resource).is_some_and(|limit| others.len() >= limit);
            assert!(matters || expected.is_none(), "{name}: must be looked at");
        }
    }

    #[test]
    fn a_refusal_names_limit_scope_number_and_remedy() {
        let users = many(100, |n| format!("users/{n}"));
        let refusal = full("users/x", users.iter().map(String::as_str)).unwrap().refusal();
        assert_eq!(
            (refusal.reason, refusal.stalled, refusal.message.as_str()),
            (
                Reason::QuotaExceeded,
                false,
                "Graph allows 100 subscriptions to users and groups per app and tenant, and this app holds 100 already; delete some, or watch the whole collection with one subscription"
            )
        );
        assert_eq!(
            explain("solutions/approval/approvalItems").unwrap(),
            "Graph allows 1 subscription to approvals per app and tenant, and 1000 subscriptions to approvals per tenant, over all apps; delete some, or let another app watch it"
        );
        assert_eq!(explain("drives/1/root"), None);
    }

    #[test]
    fn every_resource_with_a_quota_is_in_the_catalogue() {
        let known: Vec<String> = Rule::samples().collect();
        for pattern in QUOTAS.iter().flat_map(|quota| quota.resources) {
            assert!(known.contains(&pattern.replace('*', "8f0c")), "{pattern}");
        }
    }

    #[test]
    fn the_page_shows_every_quota() {
        let page = include_str!("../../docs/graphsubscription.md");
        let shown: Vec<_> = page
            .lines()
            .skip_while(|line| !line.starts_with("| Subscriptions to |"))
            .skip(2)
            .take_while(|line| line.starts_with('|'))
            .collect();
        let rows: Vec<_> = QUOTAS
            .iter()
            .map(|quota| format!("| {} | {} | {} |", quota.of, quota.limit, quota.scope.words()))
            .collect();
        assert_eq!(
            shown,
            rows,
            "put this into docs/graphsubscription.md:\n{}",
            rows.join("\n")
        );
    }
}
