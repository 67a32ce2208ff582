//! What addresses within certificates give: lists of revoked certificates, certificates of issuers.
//!
//! Whoever runs the server chooses these addresses, so they are fetched only where the spec asks for it, over http alone, without
//! following redirects, from addresses that were checked, and up to a size.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use tokio::time::Instant;
use url::{Host, Url};

use super::{Plan, connect, http};
use crate::api::connector::{Endpoint, EndpointProtocol, Revocation};
use crate::policy::connector::certificate::Certificate;
use crate::policy::connector::endpoint::{AddressEvidence, Answer, Document, Documents, forbidden};

/// So many addresses of each sort are asked for one endpoint.
const MOST_DOCUMENTS: usize = 8;
/// Longest document, in bytes. The lists of large authorities are divided, and far shorter.
const LONGEST_DOCUMENT: usize = 2 * 1024 * 1024;
/// So long a document is kept. Lists are made anew every few hours at most.
const KEPT: Duration = Duration::from_secs(3600);
/// So long it is kept that there was none.
const FAILURE_KEPT: Duration = Duration::from_secs(60);
/// All that is kept, in bytes.
const LARGEST_CACHE: usize = 16 * 1024 * 1024;
/// All that is kept, in addresses.
const MOST_KEPT: usize = 1024;

/// What was fetched lately, shared by all endpoints: the same authorities sign most certificates.
#[derive(Debug, Default)]
pub struct Cache {
    kept: Mutex<HashMap<Key, Kept>>,
}

/// The address, and whether private addresses were allowed: what one object may see is not shown to another.
type Key = (String, bool);

#[derive(Debug)]
struct Kept {
    until: Instant,
    answer: Answer,
}

impl Cache {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, key: &Key) -> Option<Answer> {
        let kept = self.lock();
        let found = kept.get(key)?;
        (Instant::now() < found.until).then(|| found.answer.clone())
    }

    fn keep(&self, key: Key, answer: Answer) {
        let now = Instant::now();
        let length = match &answer {
            Answer::Body(_) | Answer::Redirect(_) => KEPT,
            _ => FAILURE_KEPT,
        };
        let mut kept = self.lock();
        kept.retain(|_, known| now < known.until);
        let size: usize = kept.values().map(|known| size(&known.answer)).sum();
        if size + self::size(&answer) > LARGEST_CACHE || kept.len() >= MOST_KEPT {
            kept.clear();
        }
        kept.insert(
            key,
            Kept {
                until: now + length,
                answer,
            },
        );
    }
}

fn size(answer: &Answer) -> usize {
    match answer {
        Answer::Body(body) => body.len(),
        _ => 0,
    }
}

/// Whether the spec asks for any.
pub(super) fn wanted(endpoint: &Endpoint) -> bool {
    wants_lists(endpoint) || wants_issuers(endpoint)
}

fn wants_lists(endpoint: &Endpoint) -> bool {
    let expectation = endpoint
        .tls
        .as_ref()
        .filter(|_| endpoint.protocol == EndpointProtocol::Tls);
    expectation.is_some_and(|tls| tls.revocation == Revocation::Crl)
}

fn wants_issuers(endpoint: &Endpoint) -> bool {
    let expectation = endpoint
        .tls
        .as_ref()
        .filter(|_| endpoint.protocol == EndpointProtocol::Tls);
    expectation.is_some_and(|tls| tls.aia_redirect_check)
}

/// Fetches what the spec asks for.
pub(super) async fn fetch_all(plan: &Plan, found: &[AddressEvidence], end: Instant) -> Documents {
    if !wanted(&plan.endpoint) {
        return Documents::default();
    }
    let shown = found.iter().flat_map(|address| &address.tls.chain);
    let certificates: Vec<Certificate> = shown.filter_map(|der| Certificate::read(der).ok()).collect();
    let urls = |wanted: bool, of: fn(&Certificate) -> &[String]| {
        let mut urls: Vec<String> = Vec::new();
        for url in certificates.iter().filter(|_| wanted).flat_map(of) {
            let is_http = url.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http:"));
            if is_http && !urls.contains(url) && urls.len() < MOST_DOCUMENTS {
                urls.push(url.clone());
            }
        }
        urls
    };
    let lists = urls(wants_lists(&plan.endpoint), |one| &one.lists_at);
    let issuers = urls(wants_issuers(&plan.endpoint), |one| &one.issuers_at);
    let (crls, issuers) = tokio::join!(fetch_each(plan, lists, end), fetch_each(plan, issuers, end));
    Documents { crls, issuers }
}

async fn fetch_each(plan: &Plan, urls: Vec<String>, end: Instant) -> Vec<Document> {
    join_all(urls.into_iter().map(|url| fetch_or_recall(plan, url, end))).await
}

async fn fetch_or_recall(plan: &Plan, url: String, end: Instant) -> Document {
    let key = (url.clone(), plan.endpoint.allow_private_addresses);
    if let Some(answer) = plan.cache.get(&key) {
        return Document { url, answer };
    }
    let answer = fetch(plan, &url, end).await;
    plan.cache.keep(key, answer.clone());
    Document { url, answer }
}

pub(super) async fn fetch(plan: &Plan, url: &str, end: Instant) -> Answer {
    let Ok(url) = Url::parse(url) else {
        return Answer::None;
    };
    let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
        return Answer::None;
    };
    let host = match host {
        Host::Domain(name) => name.to_owned(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    };
    let Ok(addresses) = connect::resolve(&host, end).await else {
        return Answer::None;
    };
    // One that is forbidden is not tried, and not passed over for the next either: a name that leads to both is no honest one.
    let Some(address) = addresses.first() else {
        return Answer::None;
    };
    if addresses
        .iter()
        .any(|address| forbidden(&plan.endpoint, *address).is_some())
    {
        return Answer::NotAllowed;
    }
    let Ok(stream) = connect::connect(*address, port, end).await else {
        return Answer::None;
    };
    let path = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    let authority = http::authority(&host, port, 80);
    match http::get(stream, &authority, &path, http::Reading::Whole(LONGEST_DOCUMENT), end).await {
        Err(_) => Answer::None,
        Ok(reply) if (300..400).contains(&reply.status) && reply.location().is_some() => {
            Answer::Redirect(reply.location().unwrap_or_default().to_owned())
        }
        Ok(reply) if reply.status != 200 => Answer::Status(reply.status),
        Ok(reply) if reply.cut => Answer::TooLong,
        Ok(reply) => Answer::Body(reply.body),
    }
}
