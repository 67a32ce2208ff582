//! Who of the PBX is who in Entra. One to one, or not at all: what is ambiguous stays unmatched, with a reason.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::fmt;

use super::pbx::PbxUser;
use crate::api::presence::{GraphField, MatchRule, PbxField};

mod key;
#[cfg(test)]
mod tests;

pub use key::address;

/// A person in Entra, with what people are matched by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // Graph's properties
pub struct Person {
    /// Object id.
    pub id: String,
    pub display_name: Option<String>,
    pub mail: Option<String>,
    pub mail_nickname: Option<String>,
    pub on_premises_distinguished_name: Option<String>,
    pub on_premises_sam_account_name: Option<String>,
    pub on_premises_user_principal_name: Option<String>,
    pub user_principal_name: Option<String>,
    /// `businessPhones`, and others that count.
    pub phones: Vec<String>,
}

/// A user of the PBX and the person that it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// What the adapter calls the user.
    pub pbx: String,
    /// The person's object id.
    pub person: String,
    /// Which rule decided; the first is 0.
    pub rule: usize,
}

/// Who is who.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matching {
    /// Matched one to one, in the order of the PBX's users.
    pub pairs: Vec<Pair>,
    /// Ids of the PBX's users who are not, in their order, and why.
    pub unmatched: Vec<(String, Why)>,
}

/// Why a user of the PBX is nobody in Entra. Numbers of rules begin with 1, as people count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// The user has none of the properties that the rules compare.
    NoValue,
    /// No person has the same.
    Nobody,
    /// More than one person has the same.
    ManyPeople {
        /// By this rule.
        rule: usize,
        /// So many.
        people: usize,
    },
    /// The person has the same as other users of the PBX too.
    ManyUsers {
        /// By this rule.
        rule: usize,
        /// So many users of the PBX, this one among them.
        users: usize,
    },
    /// The person is another user of the PBX by an earlier rule.
    Taken {
        /// By this rule.
        rule: usize,
    },
}

impl Why {
    /// Whether there are candidates, too many of them.
    pub fn is_ambiguous(&self) -> bool {
        matches!(
            self,
            Self::ManyPeople { .. } | Self::ManyUsers { .. } | Self::Taken { .. }
        )
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoValue => f.write_str("has none of the properties that the matching rules compare"),
            Self::Nobody => f.write_str("no user in Entra has the same property"),
            Self::ManyPeople { rule, people } => {
                write!(
                    f,
                    "matching rule {rule}: {people} users in Entra have the same property"
                )
            }
            Self::ManyUsers { rule, users } => {
                write!(
                    f,
                    "matching rule {rule}: {users} users of the PBX are the same user in Entra"
                )
            }
            Self::Taken { rule } => {
                write!(
                    f,
                    "matching rule {rule}: the user in Entra is already another user of the PBX"
                )
            }
        }
    }
}

/// Matches by the rules in their order; the first with exactly one candidate on both sides decides. Candidates are counted among
/// everybody, also those who are matched already: that one John Smith is known makes nobody of the other. So `people` has to be all
/// whom the tenant has; the selection comes afterwards.
pub fn match_users(rules: &[MatchRule], users: &[impl Borrow<PbxUser>], people: &[impl Borrow<Person>]) -> Matching {
    // Tens of thousands on both sides: they are looked at where they are.
    let users: Vec<&PbxUser> = users.iter().map(Borrow::borrow).collect();
    let people: Vec<&Person> = people.iter().map(Borrow::borrow).collect();
    let mut state = State {
        person_of: vec![None; users.len()],
        taken: vec![false; people.len()],
        why: vec![Why::NoValue; users.len()],
    };
    for (number, rule) in rules.iter().enumerate() {
        apply(rule, number, &users, &people, &mut state);
    }
    let mut matching = Matching::default();
    for ((user, decided), why) in users.iter().zip(state.person_of).zip(state.why) {
        match decided.and_then(|(person, rule)| people.get(person).map(|person| (person, rule))) {
            Some((person, rule)) => matching.pairs.push(Pair {
                pbx: user.id.clone(),
                person: person.id.clone(),
                rule,
            }),
            None => matching.unmatched.push((user.id.clone(), why)),
        }
    }
    matching
}

/// Whether a user of the PBX is this person by any of the rules, were there nobody else.
pub fn could_be(rules: &[MatchRule], user: &PbxUser, person: &Person) -> bool {
    rules.iter().any(|rule| {
        let wanted = pbx_value(user, rule.pbx_field).and_then(|value| key::of(rule, value));
        let mut keys = graph_values(person, rule.graph_field).filter_map(|value| key::of(rule, value));
        wanted.is_some_and(|wanted| keys.any(|key| key == wanted))
    })
}

struct State {
    /// For each user of the PBX, the person and the rule.
    person_of: Vec<Option<(usize, usize)>>,
    taken: Vec<bool>,
    why: Vec<Why>,
}

/// Those who have the same key.
#[derive(Clone, Copy)]
struct Candidates {
    first: usize,
    count: usize,
}

fn apply(rule: &MatchRule, number: usize, users: &[&PbxUser], people: &[&Person], state: &mut State) {
    let by_key = index(rule, people);
    let candidates: Vec<Option<Candidates>> = users
        .iter()
        .map(|user| key::of(rule, pbx_value(user, rule.pbx_field)?))
        .map(|key| key.map(|key| by_key.get(&key).copied().unwrap_or(Candidates { first: 0, count: 0 })))
        .collect();
    let mut suitors = vec![0_usize; people.len()];
    for candidate in candidates.iter().flatten().filter(|candidate| candidate.count == 1) {
        if let Some(count) = suitors.get_mut(candidate.first) {
            *count += 1;
        }
    }
    for ((candidate, decided), why) in candidates.iter().zip(&mut state.person_of).zip(&mut state.why) {
        let Some(candidate) = candidate.filter(|_| decided.is_none()) else {
            continue;
        };
        let users = suitors.get(candidate.first).copied().unwrap_or_default();
        let taken = state.taken.get(candidate.first).copied().unwrap_or_default();
        let refusal = match candidate.count {
            0 => Some(Why::Nobody),
            1 if users > 1 => Some(Why::ManyUsers {
                rule: number + 1,
                users,
            }),
            1 if taken => Some(Why::Taken { rule: number + 1 }),
            1 => None,
            people => Some(Why::ManyPeople {
                rule: number + 1,
                people,
            }),
        };
        match refusal {
            // What was ambiguous once is the better hint than that a later rule finds nobody.
            Some(refusal) if !why.is_ambiguous() || refusal.is_ambiguous() => *why = refusal,
            Some(_) => {}
            None => {
                *decided = Some((candidate.first, number));
                if let Some(taken) = state.taken.get_mut(candidate.first) {
                    *taken = true;
                }
            }
        }
    }
}

fn index(rule: &MatchRule, people: &[&Person]) -> HashMap<String, Candidates> {
    let mut by_key: HashMap<String, Candidates> = HashMap::with_capacity(people.len());
    for (at, person) in people.iter().enumerate() {
        let mut keys: Vec<String> = graph_values(person, rule.graph_field)
            .filter_map(|value| key::of(rule, value))
            .collect();
        // The same number twice is one candidate.
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            let known = by_key.entry(key).or_insert(Candidates { first: at, count: 0 });
            known.count += 1;
        }
    }
    by_key
}

fn pbx_value(user: &PbxUser, field: PbxField) -> Option<&str> {
    match field {
        PbxField::Cn => user.cn.as_deref(),
        PbxField::H323 => user.h323.as_deref(),
        PbxField::Extension => user.extension.as_deref(),
    }
}

fn graph_values(person: &Person, field: GraphField) -> impl Iterator<Item = &str> {
    let one = match field {
        GraphField::DisplayName => &person.display_name,
        GraphField::Mail => &person.mail,
        GraphField::MailNickname => &person.mail_nickname,
        GraphField::OnPremisesDistinguishedName => &person.on_premises_distinguished_name,
        GraphField::OnPremisesSamAccountName => &person.on_premises_sam_account_name,
        GraphField::OnPremisesUserPrincipalName => &person.on_premises_user_principal_name,
        GraphField::UserPrincipalName => &person.user_principal_name,
        GraphField::Phone => &None,
    };
    let phones = match field {
        GraphField::Phone => person.phones.as_slice(),
        _ => &[],
    };
    one.as_deref().into_iter().chain(phones.iter().map(String::as_str))
}
