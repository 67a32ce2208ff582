//! Looks at Webex for BroadWorks: its XSPs and what Webex says, at the same time.

use std::time::Duration;

use futures::future::join;
use reqwest::Client;
use secrecy::SecretString;

use super::{webex, xsp};
use crate::api::connector::{BroadWorksHealth, WebexHealth, XspHealth};
use crate::policy::connector::broadworks::{BroadWorksEvidence, StatusPage, Subscribers, XspEvidence};
use crate::policy::connector::clock::ClockSample;
use crate::policy::connector::learned::Learned;

/// What to look at, and with what was read from Secrets.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// What is expected.
    pub spec: &'a BroadWorksHealth,
    /// The test subscriber, if one is named.
    pub subscriber: Option<&'a xsp::Subscriber>,
    /// Access token of Webex; needed if the spec names Webex.
    pub token: Option<&'a SecretString>,
    /// For Webex; from [`client`](super::client::client).
    pub http: &'a Client,
    /// For the XSPs; likewise, with the bundle that the spec names.
    pub xsp_http: &'a Client,
    /// How long the requests to one server may take together.
    pub limit: Duration,
}

/// Looks at all that the spec names.
pub async fn look(plan: &Plan<'_>, memory: &mut webex::Memory) -> BroadWorksEvidence {
    let ((xsps, mut clock), (subscribers, page, of_webex)) = join(
        xsps(plan, plan.spec.xsps.as_ref()),
        of_webex(plan, plan.spec.webex.as_ref(), memory),
    )
    .await;
    clock.extend(of_webex);
    BroadWorksEvidence {
        xsps,
        subscribers,
        page,
        clock,
    }
}

async fn xsps(plan: &Plan<'_>, spec: Option<&XspHealth>) -> (Vec<XspEvidence>, Vec<ClockSample>) {
    let Some(spec) = spec else {
        return (Vec::new(), Vec::new());
    };
    let plan = xsp::Plan {
        urls: &spec.urls,
        subscriber: plan.subscriber,
        devices: spec.device_type.is_some(),
        http: plan.xsp_http,
        limit: plan.limit,
    };
    xsp::look(&plan).await
}

type OfWebex = (
    Option<Learned<Subscribers>>,
    Option<Learned<StatusPage>>,
    Vec<ClockSample>,
);

async fn of_webex(plan: &Plan<'_>, spec: Option<&WebexHealth>, memory: &mut webex::Memory) -> OfWebex {
    let Some(spec) = spec else {
        return (None, None, Vec::new());
    };
    let (mut of_api, mut of_page) = (Vec::new(), Vec::new());
    let subscribers = async {
        let plan = webex::Plan {
            spec,
            token: plan.token?,
            http: plan.http,
            limit: plan.limit,
        };
        Some(webex::subscribers(&plan, memory, &mut of_api).await)
    };
    let page = async {
        let url = spec.status_url.as_deref()?;
        Some(webex::status_page(plan.http, url, plan.limit, &mut of_page).await)
    };
    let (subscribers, page) = join(subscribers, page).await;
    of_api.extend(of_page);
    (subscribers, page, of_api)
}
