//! Finding an object's subscription at Graph.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use secrecy::ExposeSecret;

use super::act::{CREATE_URGENCY, Failed};
use super::endpoint::Endpoint;
use super::observe::View;
use crate::graph::{Graph, Kind, Subscription};
use crate::policy::quota::{self, Full};
use crate::policy::subscription::pending::all_is_on_record;
use crate::policy::subscription::{Remote, RemoteView};

/// A list that is no older than this serves for finding out that nothing is there yet.
const LIST_AGE: Duration = Duration::from_secs(20);

/// What Graph has at this object's address, and the quota that leaves no room for it where there is nothing.
pub type Found = (Remote, Option<Full>);

/// Asks Graph's list for a subscription at this object's address. The list is known to lack some at times and to show some that
/// are gone, so what it shows and what should be there is asked for by id: first the one on record, as another at the address may
/// live while it is gone, then that which lives longest; while a create is pending, that first. Where all is on record anyway, the list is not asked for.
/// Without an address nothing can be told: that is a failure, never an absence.
pub async fn look_up(view: &View) -> Result<Found, Failed> {
    let (graph, _) = view.app.as_ref().map_err(Failed::from)?;
    let endpoint = view.endpoint.as_ref().map_err(Failed::from)?;
    let deadline = view.status.expiration_time.as_ref().map_or(view.now, |at| at.0);
    let on_record = all_is_on_record(&view.situation());
    let list = if on_record {
        Arc::default()
    } else {
        let max_age = if is_new(view) { LIST_AGE } else { Duration::ZERO };
        // One reading of a list serves all that wait for it.
        graph.list(max_age, deadline.min(view.now + CREATE_URGENCY)).await?
    };
    let mut own: Vec<_> = list.iter().filter(|remote| is_ours(view, endpoint, remote)).collect();
    own.sort_by_key(|remote| std::cmp::Reverse(remote.expiration));
    let listed = own.iter().map(|remote| remote.id.as_str());
    let known = view.status.subscription_id.as_deref();
    let settled = known.filter(|_| view.status.create_pending_since.is_none());
    let mut asked: Vec<&str> = Vec::new();
    for id in settled.into_iter().chain(listed).chain(known) {
        if asked.contains(&id) {
            continue;
        }
        asked.push(id);
        if let Some(found) = confirmed(graph, id, deadline)
            .await?
            .filter(|found| is_known(view, found) || is_ours(view, endpoint, found))
        {
            return Ok((Remote::Present(remote_view(view, endpoint, &found)), None));
        }
    }
    let full = if on_record {
        full_as_told_before(view, graph, endpoint).await?
    } else {
        full(view, endpoint, &list)
    };
    Ok((Remote::Absent, full))
}

/// A renewal that is due only by a clock that was set since it was compared would be one too many for Graph: it is asked until two
/// answers tell what time it is there.
pub async fn compare_clocks(view: &mut View, id: &str) -> Result<(), Failed> {
    let (graph, _) = view.app.as_ref().map_err(Failed::from)?;
    let deadline = view.status.expiration_time.as_ref().map_or(view.now, |at| at.0);
    for _ in 0..2 {
        if graph.skew().is_none() {
            confirmed(graph, id, deadline).await?;
        }
    }
    view.see_clock();
    Ok(())
}

/// No list is asked for to find that there is room; only that there is none has to be sure.
async fn full_as_told_before(view: &View, graph: &Graph, endpoint: &Endpoint) -> Result<Option<Full>, Failed> {
    let before = graph.last_list().await?;
    if before.is_none_or(|list| full(view, endpoint, &list).is_none()) {
        return Ok(None);
    }
    Ok(full(view, endpoint, &graph.list(LIST_AGE, view.now).await?))
}

/// The quota that what the app has besides this object's own uses up. Own ones that the list still shows are gone: Graph was
/// asked.
fn full(view: &View, endpoint: &Endpoint, list: &[Subscription]) -> Option<Full> {
    let resource = &view.object.spec.resource;
    // Most lists are shorter, and then nothing has to be counted.
    quota::matters_from(resource).filter(|limit| list.len() >= *limit)?;
    let others = list.iter().filter(|remote| {
        let earlier = view.status.subscription_id.iter().chain(&view.status.previous_ids);
        let own = earlier.into_iter().any(|id| *id == remote.id) || is_ours(view, endpoint, remote);
        remote.expiration > view.now && !own
    });
    quota::full(resource, others.map(|remote| remote.resource.as_str()))
}

/// Removed subscriptions are known to linger in the list.
async fn confirmed(graph: &Graph, id: &str, deadline: Timestamp) -> Result<Option<Subscription>, Failed> {
    match graph.get(id, deadline).await {
        Ok(found) => Ok(Some(found)),
        Err(failure) if failure.kind == Kind::NotFound => Ok(None),
        Err(failure) => Err(failure.into()),
    }
}

/// Whether no create was ever sent for this object: only then can an older list not be wrong about it.
fn is_new(view: &View) -> bool {
    let status = &view.status;
    status.subscription_id.is_none() && status.previous_ids.is_empty() && status.create_pending_since.is_none()
}

/// Whether a remote subscription is this object's. A derived address proves it; a webhook that is run elsewhere may take
/// several subscriptions, of which this object's is the one for the same resource and changes.
pub fn is_ours(view: &View, endpoint: &Endpoint, remote: &Subscription) -> bool {
    endpoint.owns(remote) && (view.receiver.is_some() || watches_the_same(view, remote))
}

/// Whether it is the one that the status names. It stays ours when the spec has changed since, of which `is_ours` knows nothing: a
/// replacement that was cut off before its delete would leave it behind.
fn is_known(view: &View, remote: &Subscription) -> bool {
    view.status.subscription_id.as_deref() == Some(remote.id.as_str())
}

/// A remote subscription of this object as the policy wants it.
pub fn remote_view(view: &View, endpoint: &Endpoint, remote: &Subscription) -> RemoteView {
    let matches =
        watches_the_same(view, remote) && remote.notification_url == endpoint.notification_url.expose_secret();
    RemoteView {
        id: remote.id.clone(),
        expiration: remote.expiration,
        matches,
    }
}

fn watches_the_same(view: &View, remote: &Subscription) -> bool {
    let spec = &view.object.spec;
    // Graph takes a leading slash, and keeps it; the spec has none.
    let resource = remote.resource.trim_start_matches('/');
    resource.eq_ignore_ascii_case(&spec.resource) && sorted(&remote.change_type) == sorted(&spec.graph_change_type())
}

fn sorted(change_types: &str) -> Vec<String> {
    let mut words: Vec<_> = change_types
        .split(',')
        .map(|word| word.trim().to_ascii_lowercase())
        .collect();
    words.sort();
    words
}
