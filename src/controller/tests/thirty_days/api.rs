//! The API server, as far as the operator writes to it.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Task, Poll};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use kube::client::Body;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::world::{Broken, Sim};
use crate::api::condition::Reason;
use crate::api::subscription::{GraphSubscription, GraphSubscriptionStatus};
use crate::controller::watching;

#[derive(Clone)]
pub struct Api(pub Arc<Sim>);

impl tower::Service<Request<Body>> for Api {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Task<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let sim = self.0.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            sim.step().await;
            sleep(Duration::from_millis(4)).await;
            let (status, answer) = answer(&sim, &head.method, head.uri.path(), &body);
            sim.step().await;
            Ok(Response::builder().status(status).body(Body::from(answer)).unwrap())
        })
    }
}

fn answer(sim: &Sim, method: &Method, path: &str, body: &[u8]) -> (u16, Vec<u8>) {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match (method, &parts[..]) {
        (&Method::GET, ["api", "v1", "namespaces", _, "secrets", name]) => (200, secret(sim, name)),
        (&Method::GET, [.., "graphsubscriptions", name]) => (
            200,
            serde_json::to_vec(&*sim.state().subs[number(name)].object).unwrap(),
        ),
        (&Method::PATCH, [.., "graphsubscriptions", name] | [.., "graphsubscriptions", name, "status"]) => {
            subscription(sim, number(name), body)
        }
        (&Method::PATCH, [.., "graphtenants", name] | [.., "graphtenants", name, "status"]) => {
            (200, tenant(sim, number(name), body))
        }
        _ => panic!("{method} {path}"),
    }
}

fn number(name: &str) -> usize {
    name[1..].parse().unwrap()
}

fn secret(sim: &Sim, name: &str) -> Vec<u8> {
    let stored = sim.state().apps[number(name)].stored_secret;
    let value = STANDARD.encode(format!("secret-{stored}"));
    let secret =
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name }, "data": { "value": value } });
    secret.to_string().into_bytes()
}

fn tenant(sim: &Sim, number: usize, body: &[u8]) -> Vec<u8> {
    let patch: Value = serde_json::from_slice(body).unwrap();
    let mut state = sim.state();
    state.version += 1;
    let version = state.version.to_string();
    let tenant = &mut state.apps[number].tenant;
    if let Some(status) = patch.get("status") {
        tenant.status = Some(serde_json::from_value(status.clone()).unwrap());
    }
    if let Some(finalizers) = patch["metadata"].get("finalizers") {
        tenant.metadata.finalizers = Some(serde_json::from_value(finalizers.clone()).unwrap());
    }
    tenant.metadata.resource_version = Some(version);
    let tenant = tenant.clone();
    drop(state);
    if let Some(process) = &mut *sim.process.lock().unwrap() {
        process
            .writers
            .tenants
            .apply_watcher_event(&Event::Apply(tenant.clone()));
    }
    serde_json::to_vec(&tenant).unwrap()
}

/// A write to an object or its status, conditional where it names a version.
fn subscription(sim: &Sim, number: usize, body: &[u8]) -> (u16, Vec<u8>) {
    let mut patch: Value = serde_json::from_slice(body).unwrap();
    let mut state = sim.state();
    let mut object = (*state.subs[number].object).clone();
    let fence = patch["metadata"].get("resourceVersion").and_then(Value::as_str);
    if fence.is_some() && fence != object.metadata.resource_version.as_deref() {
        state.count("writes refused because the object changed");
        let status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": "changed", "reason": "Conflict", "code": 409,
        });
        return (409, status.to_string().into_bytes());
    }
    state.version += 1;
    object.metadata.resource_version = Some(state.version.to_string());
    if let Some(finalizers) = patch["metadata"].get("finalizers") {
        object.metadata.finalizers = Some(serde_json::from_value(finalizers.clone()).unwrap());
    }
    if let Some(status) = patch.get_mut("status") {
        let mut status: GraphSubscriptionStatus = serde_json::from_value(status.take()).unwrap();
        spoil(state.scale.broken, &mut status);
        state.count("status writes");
        state.written(number, &status);
        object.status = Some(status);
    }
    let answer = serde_json::to_vec(&object).unwrap();
    state.subs[number].object = Arc::new(object);
    drop(state);
    publish(sim, number);
    (200, answer)
}

/// A decision that is not the operator's, in the place of its own.
fn spoil(broken: Option<Broken>, status: &mut GraphSubscriptionStatus) {
    match broken {
        Some(Broken::RenewsAtExpiry) => status.renewal_time.clone_from(&status.expiration_time),
        Some(Broken::ForgetsRemovals) => status.gaps.retain(|gap| gap.cause != Reason::Removed.to_string()),
        _ => {}
    }
}

/// The watch brings what changed.
pub fn publish(sim: &Sim, number: usize) {
    let object = sim.state().subs[number].object.clone();
    let mut process = sim.process.lock().unwrap();
    let Some(process) = &mut *process else { return };
    process
        .writers
        .subscriptions
        .apply_watcher_event(&Event::Apply((*object).clone()));
    let reference = ObjectRef::<GraphSubscription>::from_obj(&*object);
    if let Some(seen) = process.context.stores.subscriptions.get(&reference) {
        // One object for all that keep it.
        sim.state().subs[number].object = seen.clone();
        process.writers.index.put(seen.clone());
        watching::subscription_now(&process.context, &seen);
    }
}
