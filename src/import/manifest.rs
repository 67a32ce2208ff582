//! From what Graph lists to manifests, and why some are left out.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::naming;
use crate::api::reference::ObjectRef;
use crate::api::subscription::ChangeType::{self, Created, Deleted, Updated};
use crate::api::{GROUP, VERSION};
use crate::graph::Subscription;
use crate::policy::resource::rule_for;

/// Bounds of the kind.
const LONGEST_RESOURCE: usize = 2048;
const LONGEST_URL: usize = 1024;
const LONGEST_OPTIONS: usize = 512;
/// Length of the proof at the end of a derived address.
const PROOF: usize = 43;

/// What the manifests shall say.
pub struct Wanted {
    /// The tenant.
    pub tenant_ref: ObjectRef,
    /// Where notifications shall go.
    pub target: Target,
    /// Namespace of the objects.
    pub namespace: Option<String>,
    /// Object id of the app's service principal, if it is known: what somebody else created was made with a signed-in user.
    pub app_object_id: Option<String>,
}

/// Where notifications shall go.
pub enum Target {
    /// To this receiver.
    Receiver(ObjectRef),
    /// Where they go now. The `clientState` of each is in this Secret, under the name of its object.
    Keep {
        /// Name of the Secret.
        secret: String,
    },
}

/// What came of it.
pub struct Import {
    /// Manifests, in a stable order.
    pub objects: Vec<Value>,
    /// What is left out and why, one line each, in a stable order.
    pub left: Vec<String>,
    /// Names of objects whose lifecycle events go nowhere today.
    without_lifecycle: Vec<String>,
}

struct Candidate<'a> {
    remote: &'a Subscription,
    resource: String,
    changes: Vec<ChangeType>,
}

/// Manifests for `list`. Whatever is left out gives no address away.
pub fn import(list: &[Subscription], wanted: &Wanted, now: Timestamp) -> Import {
    let mut sorted: Vec<&Subscription> = list.iter().collect();
    sorted.sort_by_cached_key(|remote| {
        (
            remote.resource.to_ascii_lowercase(),
            remote.change_type.clone(),
            remote.id.clone(),
        )
    });
    let mut candidates = Vec::new();
    let mut left = Vec::new();
    for remote in sorted {
        match candidate(remote, wanted, now) {
            Ok(candidate) => candidates.push(candidate),
            Err(why) => left.push(format!(
                "{} ({}), id {}: {why}",
                one_line(&remote.resource),
                one_line(&remote.change_type),
                one_line(&remote.id)
            )),
        }
    }
    let watched: Vec<_> = candidates
        .iter()
        .map(|candidate| (candidate.resource.clone(), format!("{:?}", candidate.changes)))
        .collect();
    let names = naming::names(&watched);
    let bare = candidates.iter().zip(&names);
    let without_lifecycle = bare
        .filter(|(candidate, _)| candidate.remote.lifecycle_notification_url.is_none())
        .map(|(_, name)| name.clone())
        .collect();
    let objects = candidates.iter().zip(&names).map(|(candidate, name)| {
        let namespace = wanted.namespace.as_deref();
        object("GraphSubscription", name, namespace, &spec(candidate, name, wanted))
    });
    Import {
        objects: objects.collect(),
        left,
        without_lifecycle,
    }
}

/// An object of one of our kinds.
pub fn object(kind: &str, name: &str, namespace: Option<&str>, spec: &Value) -> Value {
    let mut metadata = json!({ "name": name });
    if let Some(namespace) = namespace {
        metadata["namespace"] = json!(namespace);
    }
    json!({ "apiVersion": format!("{GROUP}/{VERSION}"), "kind": kind, "metadata": metadata, "spec": spec })
}

fn spec(candidate: &Candidate, name: &str, wanted: &Wanted) -> Value {
    let remote = candidate.remote;
    let mut spec = json!({
        "tenantRef": wanted.tenant_ref,
        "resource": candidate.resource,
        "changeTypes": candidate.changes,
    });
    if let Some(options) = &remote.notification_query_options {
        spec["notificationQueryOptions"] = json!(options);
    }
    match &wanted.target {
        Target::Receiver(receiver) => spec["receiverRef"] = json!(receiver),
        Target::Keep { secret } => {
            let mut endpoint = json!({
                "notificationUrl": remote.notification_url,
                "clientStateRef": { "name": secret, "key": name },
            });
            let lifecycle = remote.lifecycle_notification_url.as_ref();
            if let Some(lifecycle) = lifecycle.filter(|url| **url != remote.notification_url) {
                endpoint["lifecycleUrl"] = json!(lifecycle);
            }
            spec["externalEndpoint"] = endpoint;
            // Somebody else works with it, and an object that was made to try must not end that.
            spec["deletionPolicy"] = json!("Orphan");
        }
    }
    spec
}

fn candidate<'a>(remote: &'a Subscription, wanted: &Wanted, now: Timestamp) -> Result<Candidate<'a>, String> {
    if remote.expiration <= now {
        return Err("it has expired".to_owned());
    }
    let others = wanted.app_object_id.as_ref().zip(remote.creator_id.as_ref());
    if others.is_some_and(|(app, creator)| !app.eq_ignore_ascii_case(creator)) {
        return Err("it was made for a signed-in user; the operator signs in as the app alone".to_owned());
    }
    if remote.include_resource_data == Some(true) {
        return Err("it carries encrypted resource data, which the operator does not support yet".to_owned());
    }
    let resource = resource(remote)?;
    let changes = changes(remote, &resource)?;
    let options = remote.notification_query_options.as_ref();
    if options.is_some_and(|options| options.is_empty() || options.chars().count() > LONGEST_OPTIONS) {
        return Err(format!(
            "its notificationQueryOptions must have 1 to {LONGEST_OPTIONS} characters"
        ));
    }
    address(remote, &wanted.target)?;
    Ok(Candidate {
        remote,
        resource,
        changes,
    })
}

fn resource(remote: &Subscription) -> Result<String, String> {
    let resource = remote.resource.trim_start_matches('/');
    let version = resource.starts_with("v1.0/") || resource.starts_with("beta/");
    if resource.is_empty() || version || resource.contains("://") {
        return Err("its resource is not a path alone".to_owned());
    }
    if resource.chars().count() > LONGEST_RESOURCE {
        return Err(format!("its resource is longer than {LONGEST_RESOURCE} characters"));
    }
    if !rule_for(resource).app_only {
        return Err("Graph lets only a signed-in user watch it, not an app".to_owned());
    }
    Ok(resource.to_owned())
}

fn changes(remote: &Subscription, resource: &str) -> Result<Vec<ChangeType>, String> {
    let known = [Created, Updated, Deleted];
    let mut changes = Vec::new();
    for word in remote.change_type.split(',').map(str::trim) {
        let change = known
            .into_iter()
            .find(|change| change.graph_name().eq_ignore_ascii_case(word))
            .ok_or_else(|| format!("the change type {} is not known", one_line(word)))?;
        if !rule_for(resource).change_types.contains(&change) {
            return Err(format!("the change type {change:?} is not supported for it"));
        }
        changes.push(change);
    }
    changes.sort_unstable();
    changes.dedup();
    Ok(changes)
}

fn address(remote: &Subscription, target: &Target) -> Result<(), String> {
    let url = &remote.notification_url;
    for (prefix, name) in [("EventHub:", "Event Hubs"), ("EventGrid:", "Event Grid")] {
        if url.starts_with(prefix) {
            return Err(format!(
                "it delivers to {name}, which the operator does not support yet"
            ));
        }
    }
    if is_derived(url) {
        return Err(
            "it delivers to an address that a teams-graph-operator made, so there is or was a GraphSubscription for it"
                .to_owned(),
        );
    }
    if let Target::Keep { .. } = target {
        for url in [Some(url), remote.lifecycle_notification_url.as_ref()]
            .into_iter()
            .flatten()
        {
            if !url.starts_with("https://") || url.chars().count() > LONGEST_URL {
                return Err(format!(
                    "an address of it is not https, or longer than {LONGEST_URL} characters"
                ));
            }
        }
    }
    Ok(())
}

/// Whether an address has the form of those that receivers have. Without the keyring it cannot be proved.
fn is_derived(url: &str) -> bool {
    let Some((_, rest)) = url.split_once("/v1/n/") else {
        return false;
    };
    let parts: Vec<&str> = rest.split('/').collect();
    matches!(parts[..], [_, _, proof] if proof.len() == PROOF)
}

/// A comment must not become a manifest.
fn one_line(text: &str) -> String {
    let plain = text
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter });
    plain.take(200).collect()
}

impl Import {
    /// What a person should know.
    pub fn remarks(&self, wanted: &Wanted) -> Vec<String> {
        let mut remarks = vec![format!(
            "{} of the app's {} subscriptions were written; {} were left out, see the comments at the end.",
            self.objects.len(),
            self.objects.len() + self.left.len(),
            self.left.len()
        )];
        if self.objects.is_empty() {
            return remarks;
        }
        match &wanted.target {
            Target::Receiver(receiver) => remarks.push(format!(
                "They deliver to NotificationReceiver {receiver}. Graph lets the address of a subscription be changed, but not its clientState, so the operator replaces each: deleted and made anew within seconds, and the gap is recorded, and filled where Graph can tell what changed.\n\
                 It replaces only what it holds. Apply the manifests of --keep-endpoint first, wait until they say Subscribed, then apply these: the names are the same. Without that, what delivers elsewhere is left alone, and its new object says Conflict or QuotaExceeded until you delete it at Graph."
            )),
            Target::Keep { secret } => {
                remarks.push(format!(
                    "They keep the addresses that Graph shows, so each subscription is adopted as it is, under its id. Graph does not show clientStates: put them into the Secret {secret}, under the name of each object, before you apply. deletionPolicy is Orphan: deleting an object leaves the subscription."
                ));
                if !self.without_lifecycle.is_empty() {
                    remarks.push(format!(
                        "No lifecycle events go anywhere for: {}. Should one have to be made anew, they go to its notification address.",
                        self.without_lifecycle.join(", ")
                    ));
                }
            }
        }
        remarks
    }
}

#[cfg(test)]
mod tests;
