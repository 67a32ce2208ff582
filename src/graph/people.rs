//! People of the tenant: as a whole, as changes since, as members of a group.
//! <https://learn.microsoft.com/graph/api/user-list>, <https://learn.microsoft.com/graph/api/user-delta>

use jiff::Timestamp;
use reqwest::Method;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use url::Url;

use super::client::Graph;
use super::error::{Failure, Kind};
use super::limiter::Lane;
use super::metrics::Operation;
use super::presence::extend;

/// What is asked about a person. Licences are not told by delta queries.
const PROPERTIES: &str = "id,displayName,mail,mailNickname,userPrincipalName,onPremisesDistinguishedName,onPremisesSamAccountName,onPremisesUserPrincipalName,businessPhones,accountEnabled";
/// A person with all plans of a large licence takes 14 kB: this many fit into the longest answer that is read.
const PAGE: &str = "500";

/// A person, as Entra describes one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Person {
    /// Object id.
    pub id: String,
    /// Name that is shown.
    pub display_name: Option<String>,
    /// Mail address.
    pub mail: Option<String>,
    /// Mail nickname, also called alias.
    pub mail_nickname: Option<String>,
    /// The name to sign in with.
    pub user_principal_name: Option<String>,
    /// Distinguished name in the directory at home.
    pub on_premises_distinguished_name: Option<String>,
    /// Account name in the directory at home.
    pub on_premises_sam_account_name: Option<String>,
    /// User principal name in the directory at home.
    pub on_premises_user_principal_name: Option<String>,
    /// Phone numbers.
    pub business_phones: Vec<String>,
    /// Whether the account may sign in.
    pub account_enabled: bool,
    /// Plans, as far as they were asked for.
    pub plans: Vec<Plan>,
}

/// A service plan of a person.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// Which plan.
    #[serde(default)]
    pub service_plan_id: String,
    /// `Enabled`, `Warning`, `Suspended`, `Deleted`, `LockedOut`.
    #[serde(default)]
    pub capability_status: String,
}

/// What an answer says of one person: what it does not mention is as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonNews {
    /// Object id.
    pub id: String,
    /// Whether the person is gone.
    pub removed: bool,
    fields: Map<String, Value>,
    plans: Option<Vec<Plan>>,
}

/// A page of people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeoplePage {
    /// What it says.
    pub people: Vec<PersonNews>,
    /// Where it goes on.
    pub next: Option<String>,
    /// Where later changes will be told: the end of a delta query.
    pub link: Option<String>,
}

/// A row of an answer. As JSON, a person with all plans of a large licence takes many times what is kept of it, so each is cut down
/// before the next is read.
struct Row(Option<PersonNews>);

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(|value| Self(PersonNews::read(value)))
    }
}

#[derive(Deserialize)]
struct Page {
    value: Vec<Row>,
    #[serde(rename = "@odata.nextLink")]
    next: Option<String>,
    #[serde(rename = "@odata.deltaLink")]
    link: Option<String>,
}

impl Person {
    /// Takes over what is new.
    pub fn apply(&mut self, news: &PersonNews) {
        self.id.clone_from(&news.id);
        let text = |field: &mut Option<String>, name: &str| {
            if let Some(value) = news.fields.get(name) {
                *field = value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
            }
        };
        text(&mut self.display_name, "displayName");
        text(&mut self.mail, "mail");
        text(&mut self.mail_nickname, "mailNickname");
        text(&mut self.user_principal_name, "userPrincipalName");
        text(&mut self.on_premises_distinguished_name, "onPremisesDistinguishedName");
        text(&mut self.on_premises_sam_account_name, "onPremisesSamAccountName");
        text(&mut self.on_premises_user_principal_name, "onPremisesUserPrincipalName");
        if let Some(value) = news.fields.get("accountEnabled") {
            self.account_enabled = value.as_bool().unwrap_or(true);
        }
        if let Some(value) = news.fields.get("businessPhones") {
            self.business_phones = Vec::deserialize(value).unwrap_or_default();
        }
        if let Some(plans) = &news.plans {
            self.plans.clone_from(plans);
        }
    }
}

impl PersonNews {
    fn read(value: Value) -> Option<Self> {
        let Value::Object(mut fields) = value else { return None };
        let id = fields.get("id")?.as_str()?.to_owned();
        let removed = fields.get("@removed").is_some_and(|removed| !removed.is_null());
        let plans = match fields.remove("assignedPlans") {
            Some(Value::Array(plans)) => Some(plans.iter().filter_map(|plan| Plan::deserialize(plan).ok()).collect()),
            _ => None,
        };
        Some(Self {
            id,
            removed,
            fields,
            plans,
        })
    }

    /// The person as these news alone show.
    pub fn person(&self) -> Person {
        let mut person = Person {
            account_enabled: true,
            ..Person::default()
        };
        person.apply(self);
        person
    }
}

impl Graph {
    /// A page of all people with their plans; the first, or where a link of an earlier one leads. Needs `User.Read.All`.
    pub async fn people(&self, link: Option<&str>, deadline: Timestamp) -> Result<PeoplePage, Failure> {
        let select = format!("{PROPERTIES},assignedPlans");
        let query = [("$select", select.as_str()), ("$top", PAGE)];
        self.people_at(&["users"], &query, link, deadline).await
    }

    /// One person with their plans; `None` if there is no such person. Needs `User.Read.All`.
    pub async fn person(&self, id: &str, deadline: Timestamp) -> Result<Option<PersonNews>, Failure> {
        let select = format!("{PROPERTIES},assignedPlans");
        let url = self.people_url(&["users", id], &[("$select", select.as_str())])?;
        let kind = (Operation::Directory, Lane::Changes);
        match self.ask(kind, (Method::GET, &url), None::<&()>, deadline).await {
            Ok(body) => serde_json::from_slice(&body)
                .map_err(|_| unreadable())
                .map(PersonNews::read),
            Err(failure) if failure.kind == Kind::NotFound => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// A page of what changed about people; without a link, only the link to later changes.
    /// [`Kind::ResyncRequired`]: the link is too old, begin anew.
    pub async fn people_changes(&self, link: Option<&str>, deadline: Timestamp) -> Result<PeoplePage, Failure> {
        let query = [("$select", PROPERTIES), ("$deltatoken", "latest")];
        let page = self.people_at(&["users", "delta"], &query, link, deadline).await;
        page.map_err(|failure| match failure.kind {
            // 410: what the link stands for is gone.
            Kind::NotFound if link.is_some() => Failure::of(Kind::ResyncRequired, failure.message),
            _ => failure,
        })
    }

    /// A page of who is in a group, or in groups within. Needs `GroupMember.Read.All`.
    pub async fn members(&self, group: &str, link: Option<&str>, deadline: Timestamp) -> Result<PeoplePage, Failure> {
        let query = [("$select", "id"), ("$top", "999")];
        let path = ["groups", group, "transitiveMembers"];
        self.people_at(&path, &query, link, deadline).await
    }

    async fn people_at(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        link: Option<&str>,
        deadline: Timestamp,
    ) -> Result<PeoplePage, Failure> {
        let url = match link {
            Some(link) => self.changes_url(link)?,
            None => self.people_url(path, query)?,
        };
        let kind = (Operation::Directory, Lane::Changes);
        let body = self.ask(kind, (Method::GET, &url), None::<&()>, deadline).await?;
        read(&body)
    }

    fn people_url(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Url, Failure> {
        let mut url = self.version_url()?;
        extend(&mut url, path);
        // Commas and dollar signs stay: some gateways do not decode them.
        let pairs: Vec<_> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        url.set_query(Some(&pairs.join("&")));
        Ok(url)
    }
}

fn read(body: &[u8]) -> Result<PeoplePage, Failure> {
    let page: Page = serde_json::from_slice(body).map_err(|_| unreadable())?;
    Ok(PeoplePage {
        people: page.value.into_iter().filter_map(|row| row.0).collect(),
        next: page.next,
        link: page.link,
    })
}

fn unreadable() -> Failure {
    Failure::of(Kind::Protocol, "Graph's answer about people cannot be read.")
}

#[cfg(test)]
impl PeoplePage {
    /// A page as Graph writes it.
    pub(crate) fn for_test(body: &[u8]) -> Self {
        read(body).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::graph::testing::{Reply, Server};

    #[tokio::test]
    async fn a_change_leaves_alone_what_it_does_not_mention() {
        let server = Server::start().await;
        let next = format!("{}/v1.0/users?$skiptoken=x", server.base);
        let row = json!({"id": "1", "displayName": "Ada", "mail": "ada@contoso.com", "businessPhones": ["+49 1"],
            "accountEnabled": true, "assignedPlans": [{"servicePlanId": "p", "capabilityStatus": "Enabled", "service": "x"}]});
        server
            .then(Reply::new(200, &json!({"value": [row, "odd"], "@odata.nextLink": next})))
            .then(Reply::new(200, &json!({"value": []})))
            .then(Reply::new(
                200,
                &json!({"value": [{"id": "1", "mail": null, "accountEnabled": false}, {"id": "2", "@removed": {"reason": "deleted"}}],
                    "@odata.deltaLink": "later"}),
            ));
        let (graph, _) = server.graph();
        let page = graph.people(None, Timestamp::MAX).await.unwrap();
        let mut person = page.people[0].person();
        assert_eq!(person.plans[0].capability_status, "Enabled");
        graph.people(page.next.as_deref(), Timestamp::MAX).await.unwrap();
        let changes = graph.people_changes(None, Timestamp::MAX).await.unwrap();
        person.apply(&changes.people[0]);
        assert_eq!((person.display_name.as_deref(), person.mail), (Some("Ada"), None));
        assert_eq!((person.plans.len(), person.account_enabled), (1, false));
        assert!(changes.people[1].removed && changes.link.as_deref() == Some("later"));
        let lines = server.lines();
        assert!(
            lines[1].starts_with("GET /v1.0/users?$select=id,displayName,"),
            "{}",
            lines[1]
        );
        assert!(lines[1].contains("assignedPlans") && lines[2].ends_with("users?$skiptoken=x"));
        assert!(lines[3].starts_with("GET /v1.0/users/delta?$select=") && lines[3].ends_with("$deltatoken=latest"));
    }

    #[tokio::test]
    async fn one_person_is_read_with_the_plans_or_is_not_there() {
        let server = Server::start().await;
        let ada = json!({"id": "1", "accountEnabled": true, "assignedPlans": [{"servicePlanId": "p"}, "odd"]});
        server.then(Reply::new(200, &ada)).then(Reply::error(
            404,
            "Request_ResourceNotFound",
            "Resource '2' does not exist.",
        ));
        let (graph, _) = server.graph();
        let ada = graph.person("1", Timestamp::MAX).await.unwrap().unwrap().person();
        assert_eq!((ada.plans.len(), ada.plans[0].service_plan_id.as_str()), (1, "p"));
        assert_eq!(graph.person("2", Timestamp::MAX).await.unwrap(), None);
        let line = &server.lines()[1];
        assert!(
            line.starts_with("GET /v1.0/users/1?$select=id,") && line.ends_with(",assignedPlans"),
            "{line}"
        );
    }

    #[tokio::test]
    async fn an_old_link_and_a_foreign_one_are_told_apart() {
        let server = Server::start().await;
        let old = format!("{}/v1.0/users/delta?$deltatoken=old", server.base);
        server.then(Reply::error(410, "SyncStateNotFound", "Resync required."));
        let (graph, _) = server.graph();
        let failure = graph.people_changes(Some(&old), Timestamp::MAX).await.unwrap_err();
        assert_eq!(failure.kind, Kind::ResyncRequired);
        let foreign = Some("https://evil.example/v1.0/users");
        assert_eq!(
            graph.people(foreign, Timestamp::MAX).await.unwrap_err().kind,
            Kind::Protocol
        );
        assert_eq!(server.lines().len(), 2);
    }

    #[tokio::test]
    async fn members_are_asked_for_with_those_of_groups_within() {
        let server = Server::start().await;
        server.then(Reply::new(
            200,
            &json!({"value": [{"@odata.type": "#microsoft.graph.user", "id": "1"}]}),
        ));
        let (graph, _) = server.graph();
        let page = graph.members("g/1", None, Timestamp::MAX).await.unwrap();
        assert_eq!(page.people[0].id, "1");
        assert_eq!(
            server.lines()[1],
            "GET /v1.0/groups/g%2F1/transitiveMembers?$select=id&$top=999"
        );
    }
}
