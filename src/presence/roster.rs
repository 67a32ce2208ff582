//! Who on the PBX is who in the tenant, and who is not kept in step, and why.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::directory::People;
use crate::api::presence::{AddressRule, GraphField, Licence, PresenceSyncSpec, Unmatched, UserCounts};
use crate::policy::presence::matching::{Person, address, could_be, match_users};
use crate::policy::presence::pbx::PbxUser;

/// Users who are named in the status.
const SHOWN: usize = 10;
/// Why somebody is not kept in step who is paired with a user of the PBX.
pub const NO_PLACE: &str = "has no place at a communication account: each may watch 650 users";
/// The same, where the PBX does not tell which users there are.
pub const NOT_THERE: &str = "is not on the PBX: it has no user of this address";
/// Longest name in the status.
const LONGEST: usize = 256;

/// Who is who.
#[derive(Debug, Default)]
pub struct Roster {
    /// Object id of a person, in lower case, to what the adapter calls the user. All of them are kept in step.
    pub pairs: BTreeMap<Arc<str>, Arc<str>>,
    /// How many are in which state; who has no place at an account is counted elsewhere.
    pub counts: UserCounts,
    /// Users of the PBX who are not kept in step, by what the adapter calls them; where the PBX does not tell of its users, people
    /// by what they are called in the tenant.
    left_out: BTreeMap<String, LeftOut>,
    /// Users of the PBX whom nobody wants to be kept in step: nothing that should be told unasked.
    not_selected: BTreeSet<String>,
    /// Whether only who has a Teams plan is kept in step.
    needs_licence: bool,
}

#[derive(Debug)]
struct LeftOut {
    name: String,
    why: String,
}

/// Whether a person is to be kept in step.
enum Standing<'a> {
    /// The object id, as it is held already.
    Wanted(&'a Arc<str>),
    NotSelected,
    Unlicensed,
    /// New, and nobody knows yet whether there is a licence.
    New,
}

impl People {
    fn standing(&self, person: &str, needs_licence: bool) -> Standing<'_> {
        let Some(id) = self.selected.get(person) else {
            return Standing::NotSelected;
        };
        match self.all.get(person).and_then(|somebody| somebody.licensed) {
            _ if !needs_licence => Standing::Wanted(id),
            Some(true) => Standing::Wanted(id),
            Some(false) => Standing::Unlicensed,
            None => Standing::New,
        }
    }
}

impl Roster {
    /// Who is who, by the spec's rules. `known` are the users of the PBX, where it tells of them.
    pub fn new<'a>(
        spec: &PresenceSyncSpec,
        enumerates: bool,
        known: impl Iterator<Item = &'a PbxUser>,
        people: &People,
    ) -> Self {
        if enumerates {
            let known: Vec<&PbxUser> = known.collect();
            Self::matched(spec, &known, people)
        } else {
            Self::addressed(spec, people)
        }
    }

    /// Nobody yet, by the spec's rules.
    fn by(spec: &PresenceSyncSpec) -> Self {
        Self {
            needs_licence: spec.users.licence == Licence::Teams,
            ..Self::default()
        }
    }

    /// Users of the PBX, each recognised in the tenant. Candidates are counted among all people, selected or not.
    fn matched(spec: &PresenceSyncSpec, known: &[&PbxUser], people: &People) -> Self {
        let mut roster = Self::by(spec);
        let everybody: Vec<&Person> = people.all.values().map(|somebody| &somebody.person).collect();
        let names: BTreeMap<&str, &str> = known.iter().map(|user| (user.id.as_str(), name_of(user))).collect();
        let name = |pbx: &str| names.get(pbx).copied().unwrap_or(pbx).to_owned();
        let matching = match_users(&spec.matching, known, &everybody);
        for pair in matching.pairs {
            let name = name(&pair.pbx);
            roster.place(pair.pbx, &pair.person, name, people);
        }
        for (pbx, why) in matching.unmatched {
            if why.is_ambiguous() {
                roster.counts.ambiguous += 1;
            } else {
                roster.counts.unmatched += 1;
            }
            let left = LeftOut {
                name: name(&pbx),
                why: why.to_string(),
            };
            roster.left_out.insert(pbx, left);
        }
        roster
    }

    /// Selected people, each with an address on the PBX. Where two have the same, neither is kept in step.
    fn addressed(spec: &PresenceSyncSpec, people: &People) -> Self {
        let mut roster = Self::by(spec);
        let Some(rule) = address_rule(spec) else { return roster };
        let mut by_address: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for (id, somebody) in people.all.iter() {
            let person = &somebody.person;
            match address(rule, person) {
                Some(address) => by_address.entry(address).or_default().push(id),
                None if people.selected.contains(id) => roster.without_address(person),
                None => {}
            }
        }
        for (address, persons) in by_address {
            match persons.as_slice() {
                [id] => roster.place(address.clone(), id, address, people),
                persons if persons.iter().any(|id| people.selected.contains(*id)) => {
                    roster.counts.ambiguous += 1;
                    let left = LeftOut {
                        name: address.clone(),
                        why: format!("{} users in Entra have this address on the PBX", persons.len()),
                    };
                    roster.left_out.insert(address, left);
                }
                _ => {}
            }
        }
        roster
    }

    fn without_address(&mut self, person: &Person) {
        self.counts.unmatched += 1;
        let name = called(person).to_owned();
        let why = "the property that makes the address on the PBX is empty".to_owned();
        self.left_out.insert(name.clone(), LeftOut { name, why });
    }

    fn place(&mut self, pbx: String, person: &str, name: String, people: &People) {
        match people.standing(person, self.needs_licence) {
            Standing::Wanted(person) => {
                self.counts.synced += 1;
                self.pairs.insert(person.clone(), pbx.into());
            }
            Standing::NotSelected => drop(self.not_selected.insert(pbx)),
            Standing::Unlicensed => {
                self.counts.unlicensed += 1;
                let why = "has no Teams plan in force".to_owned();
                self.left_out.insert(pbx, LeftOut { name, why });
            }
            Standing::New => {
                let why = "is new: whether a Teams plan is in force is being looked up".to_owned();
                self.left_out.insert(pbx, LeftOut { name, why });
            }
        }
    }

    /// Why a user of the PBX is not kept in step.
    pub fn why_not(&self, pbx: &str) -> Option<&str> {
        if self.not_selected.contains(pbx) {
            return Some("not selected: see spec.users, and whether the account is enabled");
        }
        self.left_out.get(pbx).map(|left| left.why.as_str())
    }

    /// What [`Self::why_not`] knows a person by who is not kept in step: the user of the PBX who could be the person, or what the
    /// person is called where there is no address. `known` are the users of the PBX, where it tells of them.
    pub fn left_out<'a>(
        &self,
        spec: &PresenceSyncSpec,
        mut known: impl Iterator<Item = &'a PbxUser>,
        person: &Person,
    ) -> Option<String> {
        let Some(rule) = address_rule(spec) else {
            let user =
                known.find(|user| self.left_out.contains_key(&user.id) && could_be(&spec.matching, user, person));
            return user.map(|user| user.id.clone());
        };
        let name = address(rule, person).unwrap_or_else(|| called(person).to_owned());
        Some(name).filter(|name| self.left_out.contains_key(name))
    }

    /// The first who are not kept in step, in a stable order; among them those of the PBX who turned out not to be there, and those
    /// without a place at an account.
    pub fn first_unmatched(&self, over: &[String], absent: &BTreeSet<String>) -> Vec<Unmatched> {
        let unmatched = self.left_out.values().map(|left| (left.name.clone(), left.why.clone()));
        let not_there = absent.iter().map(|pbx| (pbx.clone(), NOT_THERE.to_owned()));
        let over = over.iter().map(|person| {
            let name = self.pairs.get(person.as_str()).map_or(person.as_str(), |pbx| pbx);
            (name.to_owned(), NO_PLACE.to_owned())
        });
        let cut = |text: String| text.chars().take(LONGEST).collect();
        unmatched
            .chain(not_there)
            .chain(over)
            .take(SHOWN)
            .map(|(user, why)| Unmatched {
                user: cut(user),
                why: cut(why),
            })
            .collect()
    }
}

fn address_rule(spec: &PresenceSyncSpec) -> Option<&AddressRule> {
    let sip = spec.pbx.sip.as_ref().map(|sip| &sip.address);
    sip.or_else(|| spec.pbx.broadworks.as_ref().map(|broadworks| &broadworks.address))
}

/// How a person is called in the tenant.
fn called(person: &Person) -> &str {
    let name = person.user_principal_name.as_ref().or(person.display_name.as_ref());
    name.unwrap_or(&person.id)
}

/// How people call a user of the PBX.
fn name_of(user: &PbxUser) -> &str {
    let name = user.h323.as_ref().or(user.cn.as_ref()).or(user.extension.as_ref());
    name.unwrap_or(&user.id)
}

/// Whether a guest of the tenant can be a user of the PBX by the spec's rules. A guest has nothing of a directory at home, and a user
/// principal name and a nickname that Entra made up.
pub fn guests_match(spec: &PresenceSyncSpec) -> bool {
    let tells = |field| matches!(field, GraphField::DisplayName | GraphField::Mail | GraphField::Phone);
    match address_rule(spec) {
        Some(rule) => tells(rule.from),
        None => spec.matching.iter().any(|rule| tells(rule.graph_field)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::presence::directory::Somebody;

    fn spec(pbx: &serde_json::Value) -> PresenceSyncSpec {
        serde_json::from_value(json!({"tenantRef": {"name": "t"}, "pbx": pbx})).unwrap()
    }

    /// People by name; a name that begins with a capital is not selected.
    fn people(names: &[&str]) -> People {
        let mut people = People::default();
        for (number, name) in names.iter().enumerate() {
            let id = format!("{number}-{name}");
            if name.chars().all(char::is_lowercase) {
                people.selected.insert(id.as_str().into());
            }
            let person = Person {
                id: id.clone(),
                user_principal_name: Some(format!("{name}@contoso.com")),
                ..Person::default()
            };
            let somebody = Somebody {
                person,
                enabled: true,
                licensed: Some(true),
            };
            Arc::make_mut(&mut people.all).insert(id.into(), Arc::new(somebody));
        }
        people
    }

    fn somebody<'a>(people: &'a mut People, id: &str) -> &'a mut Somebody {
        let all = Arc::make_mut(&mut people.all);
        Arc::make_mut(all.get_mut(id).unwrap())
    }

    fn user(name: &str) -> PbxUser {
        PbxUser {
            id: name.to_uppercase(),
            h323: Some(name.to_owned()),
            ..PbxUser::default()
        }
    }

    fn pairs(roster: &Roster) -> Vec<(&str, &str)> {
        roster
            .pairs
            .iter()
            .map(|(person, pbx)| (person.as_ref(), pbx.as_ref()))
            .collect()
    }

    #[test]
    fn who_is_not_selected_is_told_when_asked_and_counted_nowhere() {
        let pbx = json!({"innovaphone": {"app": "a", "passwordSecretRef": {"name": "n", "key": "k"}, "endpoints": []}});
        let people = people(&["ada", "Bob"]);
        let known = [user("ada"), user("bob"), user("carl")];
        let roster = Roster::new(&spec(&pbx), true, known.iter(), &people);
        assert_eq!(pairs(&roster), [("0-ada", "ADA")]);
        assert_eq!((roster.counts.synced, roster.counts.unmatched), (1, 1));
        assert!(roster.why_not("BOB").unwrap().contains("not selected"));
        let shown = roster.first_unmatched(&["0-ada".to_owned()], &BTreeSet::new());
        assert_eq!(shown.len(), 2);
        assert!(shown[0].user == "carl" && shown[1].why.contains("650"));
    }

    #[test]
    fn who_is_new_waits_until_the_licence_is_known_if_one_is_needed() {
        let pbx = json!({"sip": {"host": "h", "domain": "d", "address": {"stripDomain": true}}});
        let mut people = people(&["ada", "bob", "carl"]);
        somebody(&mut people, "1-bob").licensed = None;
        somebody(&mut people, "2-carl").licensed = Some(false);
        let mut spec = spec(&pbx);
        let roster = Roster::new(&spec, false, [].iter(), &people);
        assert_eq!(pairs(&roster), [("0-ada", "ada")]);
        assert!(roster.why_not("bob").unwrap().contains("is new"));
        assert_eq!((roster.counts.synced, roster.counts.unlicensed), (1, 1));
        spec.users.licence = Licence::Any;
        assert_eq!(Roster::new(&spec, false, [].iter(), &people).counts.synced, 3);
    }

    #[test]
    fn two_people_with_one_address_are_both_left_out() {
        let pbx = json!({"sip": {"host": "h", "domain": "d", "address": {"stripDomain": true}}});
        let mut people = people(&["ada", "bob", "carl"]);
        let twin = somebody(&mut people, "1-bob");
        twin.person.user_principal_name = Some("ada@fabrikam.com".to_owned());
        somebody(&mut people, "2-carl").person.user_principal_name = None;
        let roster = Roster::new(&spec(&pbx), false, [].iter(), &people);
        assert_eq!(
            (pairs(&roster).len(), roster.counts.ambiguous, roster.counts.unmatched),
            (0, 1, 1)
        );
        assert!(roster.why_not("ada").unwrap().starts_with("2 users"));
        let why = |id: &str| {
            let name = roster.left_out(&spec(&pbx), [].iter(), &people.all[id].person);
            roster.why_not(&name.unwrap()).unwrap()
        };
        assert!(why("0-ada").starts_with("2 users") && why("1-bob").starts_with("2 users"));
        assert!(why("2-carl").contains("is empty"));
    }

    #[test]
    fn guests_match_by_what_they_bring_along_only() {
        let sip = |from: &str| json!({"sip": {"host": "h", "domain": "d", "address": {"from": from}}});
        assert!(guests_match(&spec(&sip("mail"))));
        assert!(!guests_match(&spec(&sip("userPrincipalName"))));
        let pbx = json!({"innovaphone": {"app": "a", "passwordSecretRef": {"name": "n", "key": "k"}, "endpoints": []}});
        let mut spec = spec(&pbx);
        let rules = |fields: &[&str]| {
            let rules: Vec<_> = fields
                .iter()
                .map(|field| json!({"pbxField": "h323", "graphField": field}))
                .collect();
            serde_json::from_value(json!(rules)).unwrap()
        };
        spec.matching = rules(&["userPrincipalName", "onPremisesSamAccountName"]);
        assert!(!guests_match(&spec));
        spec.matching = rules(&["userPrincipalName", "displayName"]);
        assert!(guests_match(&spec));
    }
}
