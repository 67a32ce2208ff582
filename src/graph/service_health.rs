//! Microsoft's word on its own services.
//! <https://learn.microsoft.com/graph/api/serviceannouncement-list-healthoverviews>

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::client::Graph;
use super::error::Failure;
use super::presence::extend;
use crate::policy::connector::microsoft::ServiceState;

/// Pages that are followed; there are some thirty services, and a hundred on a page.
const MOST_PAGES: usize = 4;
/// Issues of a service that are kept.
const MOST_ISSUES: usize = 20;

#[derive(Deserialize)]
struct Page {
    value: Vec<Value>,
    #[serde(rename = "@odata.nextLink")]
    next: Option<String>,
}

#[derive(Deserialize)]
struct Overview {
    service: String,
    status: Option<String>,
    #[serde(default)]
    issues: Vec<Issue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Issue {
    id: String,
    is_resolved: Option<bool>,
}

impl From<Overview> for ServiceState {
    fn from(overview: Overview) -> Self {
        let open = overview
            .issues
            .into_iter()
            .filter(|issue| issue.is_resolved != Some(true));
        let mut issues: Vec<String> = open.map(|issue| issue.id).collect();
        issues.sort_unstable();
        issues.truncate(MOST_ISSUES);
        Self {
            service: overview.service,
            status: overview.status.unwrap_or_default(),
            issues,
        }
    }
}

impl Graph {
    /// How Microsoft says its services are, at most `max_age` old; all who ask for this app share one answer.
    /// Needs `ServiceHealth.Read.All`.
    pub async fn service_health(
        &self,
        max_age: Duration,
        deadline: Timestamp,
    ) -> Result<Arc<Vec<ServiceState>>, Failure> {
        self.service_states()
            .get(max_age, self.read_service_health(deadline))
            .await
    }

    async fn read_service_health(&self, deadline: Timestamp) -> Result<Vec<ServiceState>, Failure> {
        let mut url = self.version_url()?;
        extend(&mut url, &["admin", "serviceAnnouncement", "healthOverviews"]);
        url.set_query(Some("$expand=issues"));
        let mut all = Vec::new();
        for _ in 0..MOST_PAGES {
            let page: Page = self.inspect(&url, deadline).await?;
            // One odd entry must not hide the others.
            let overviews = page.value.into_iter().filter_map(|one| Overview::deserialize(one).ok());
            all.extend(overviews.map(ServiceState::from));
            let Some(next) = page.next else { break };
            url = self.changes_url(&next)?;
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::graph::Kind;
    use crate::graph::testing::{Reply, Server};

    const AGE: Duration = Duration::from_mins(2);

    #[tokio::test]
    async fn open_issues_are_told_and_resolved_ones_are_not() {
        let server = Server::start().await;
        let issue = |id: &str, resolved: bool| json!({"id": id, "isResolved": resolved, "title": "x", "posts": []});
        let teams = json!({"service": "Microsoft Teams", "id": "microsoftteams", "status": "ServiceDegradation",
            "issues": [issue("TM2", false), issue("TM0", true), issue("TM1", false)]});
        let next = format!(
            "{}/v1.0/admin/serviceAnnouncement/healthOverviews?$skip=100",
            server.base
        );
        server
            .then(Reply::new(
                200,
                &json!({"value": [teams, "odd"], "@odata.nextLink": next}),
            ))
            .then(Reply::new(
                200,
                &json!({"value": [{"service": "Exchange Online", "status": null}]}),
            ));
        let (graph, _) = server.graph();
        let states = graph.service_health(AGE, Timestamp::MAX).await.unwrap();
        assert_eq!(states[0].issues, ["TM1", "TM2"]);
        assert_eq!(
            (states[1].service.as_str(), states[1].status.as_str()),
            ("Exchange Online", "")
        );
        graph.service_health(AGE, Timestamp::MAX).await.unwrap();
        assert_eq!(
            server.lines()[1..],
            [
                "GET /v1.0/admin/serviceAnnouncement/healthOverviews?$expand=issues",
                "GET /v1.0/admin/serviceAnnouncement/healthOverviews?$skip=100",
            ]
        );
    }

    #[tokio::test]
    async fn a_missing_permission_is_told() {
        let server = Server::start().await;
        server.then(Reply::error(403, "UnknownError", ""));
        let (graph, _) = server.graph();
        let failure = graph.service_health(AGE, Timestamp::MAX).await.unwrap_err();
        assert_eq!(failure.kind, Kind::ConsentMissing);
    }
}
