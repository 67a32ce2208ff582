//! People as they are held: each once, with what they are matched by.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::graph::{self, PersonNews};
use crate::policy::presence::licence::teams_licence;
use crate::policy::presence::matching::Person;

/// Somebody of the tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Somebody {
    /// As Entra describes the person; the id is in lower case.
    pub person: Person,
    /// Whether the account may sign in.
    pub enabled: bool,
    /// Whether a Teams plan is in force; `None`: the person is new, and it is not known yet.
    pub licensed: Option<bool>,
}

/// People by object id in lower case. Each is held once, however many tell of them.
pub type Everybody = BTreeMap<Arc<str>, Arc<Somebody>>;

/// All people, and who of them is selected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct People {
    /// All of them.
    pub all: Arc<Everybody>,
    /// Ids of those whom the spec selects, licences aside.
    pub selected: BTreeSet<Arc<str>>,
}

/// A person as an answer with the plans shows one. Licences are noted also where nobody needs one to be kept in step: a communication
/// account does.
pub(super) fn read(id: &str, news: &PersonNews) -> Somebody {
    let mut person = news.person();
    let plans = std::mem::take(&mut person.plans);
    let plans = plans
        .iter()
        .map(|plan| (plan.service_plan_id.as_str(), plan.capability_status.as_str()));
    let licensed = Some(teams_licence(plans).usable());
    Somebody {
        licensed,
        ..Somebody::new(id, person)
    }
}

/// The same, or what is known already where that says the same.
pub(super) fn shared(before: Option<&Everybody>, news: &PersonNews) -> (Arc<str>, Arc<Somebody>) {
    let id = news.id.to_ascii_lowercase();
    let somebody = read(&id, news);
    let before = before.and_then(|all| all.get_key_value(id.as_str()));
    match before.filter(|(_, known)| ***known == somebody) {
        Some((id, known)) => (id.clone(), known.clone()),
        None => (id.into(), Arc::new(somebody)),
    }
}

impl Somebody {
    /// A person of whose licence nothing is known.
    pub(super) fn new(id: &str, person: graph::Person) -> Self {
        Self {
            person: Person {
                id: id.to_owned(),
                display_name: person.display_name,
                mail: person.mail,
                mail_nickname: person.mail_nickname,
                on_premises_distinguished_name: person.on_premises_distinguished_name,
                on_premises_sam_account_name: person.on_premises_sam_account_name,
                on_premises_user_principal_name: person.on_premises_user_principal_name,
                user_principal_name: person.user_principal_name,
                phones: person.business_phones,
            },
            enabled: person.account_enabled,
            licensed: None,
        }
    }

    /// Takes over what is new.
    pub(super) fn apply(&mut self, news: &PersonNews) {
        let known = std::mem::take(&mut self.person);
        let mut person = graph::Person {
            display_name: known.display_name,
            mail: known.mail,
            mail_nickname: known.mail_nickname,
            on_premises_distinguished_name: known.on_premises_distinguished_name,
            on_premises_sam_account_name: known.on_premises_sam_account_name,
            on_premises_user_principal_name: known.on_premises_user_principal_name,
            user_principal_name: known.user_principal_name,
            business_phones: known.phones,
            account_enabled: self.enabled,
            ..graph::Person::default()
        };
        person.apply(news);
        *self = Self {
            licensed: self.licensed,
            ..Self::new(&known.id, person)
        };
    }
}
