//! Which communication account watches whom: Graph lets one account watch 650 people, in one subscription.

use std::collections::{BTreeMap, BTreeSet};

#[cfg(test)]
mod tests;

/// People that one presence subscription can hold (Graph's limit).
pub const MOST_PEOPLE: usize = 650;

/// Who watches whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shards {
    /// The people of each account, those of accounts without any too.
    pub accounts: BTreeMap<String, BTreeSet<String>>,
    /// People for whom no account has room. They are not watched, and have to be named to somebody.
    pub over_limit: BTreeSet<String>,
}

/// Gives each person to one account. Nobody is moved who need not be, and newcomers fill as few accounts as possible, in the order of
/// `accounts`: each account whose people change has to subscribe anew.
pub fn assign(accounts: &[String], people: &BTreeSet<String>, before: &Shards) -> Shards {
    assign_up_to(MOST_PEOPLE, accounts, people, before)
}

fn assign_up_to(most: usize, accounts: &[String], people: &BTreeSet<String>, before: &Shards) -> Shards {
    let mut shards = Shards::default();
    let mut placed: BTreeSet<&str> = BTreeSet::new();
    for account in accounts {
        let stay: BTreeSet<String> = before
            .accounts
            .get(account)
            .into_iter()
            .flatten()
            .filter(|person| people.contains(*person) && !placed.contains(person.as_str()))
            .take(most)
            .cloned()
            .collect();
        placed.extend(
            people
                .iter()
                .filter(|person| stay.contains(*person))
                .map(String::as_str),
        );
        // An account that is named twice has one place.
        shards.accounts.entry(account.clone()).or_default().extend(stay);
    }
    let mut homeless = people.iter().filter(|person| !placed.contains(person.as_str()));
    for account in accounts {
        if let Some(share) = shards.accounts.get_mut(account) {
            let room = most.saturating_sub(share.len());
            share.extend(homeless.by_ref().take(room).cloned());
        }
    }
    shards.over_limit = homeless.cloned().collect();
    shards
}
