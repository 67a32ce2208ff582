//! A stand-in for the Xsi interface of BroadWorks: a protocol fake, made from public clients and documentation. No vendor
//! code is behind it; the texts of errors are the simulator's own.
//!
//! Paths begin with `/com.broadsoft…` for the first XSP, and with `/{name}/com.broadsoft…` for the XSP of that name. A channel
//! lives at the XSP where it was opened, and is found there with the cookie that was set then.

mod actions;
mod channels;
mod delivery;
mod guard;
pub mod host;
mod stream;
mod subscriptions;
mod xml;

use axum::Router;
use axum::routing::{get, post, put};

use super::state::Shared;

/// The routes.
pub fn routes() -> Router<Shared> {
    at("").merge(at("/{xsp}"))
}

fn at(prefix: &str) -> Router<Shared> {
    let actions = format!("{prefix}/com.broadsoft.xsi-actions/v2.0/user/{{user}}");
    let events = format!("{prefix}/com.broadsoft.xsi-events/v2.0");
    Router::new()
        .route(&format!("{actions}/profile"), get(actions::profile))
        .route(&format!("{actions}/profile/device"), get(actions::devices))
        .route(&format!("{actions}/services"), get(actions::services))
        .route(&format!("{actions}/calls"), get(actions::calls))
        .route(
            &format!("{actions}/services/DoNotDisturb"),
            get(actions::do_not_disturb).put(actions::set_do_not_disturb),
        )
        .route(
            &format!("{prefix}/com.broadsoft.async/com.broadsoft.xsi-events/v2.0/channel"),
            post(channels::open),
        )
        .route(
            &format!("{events}/channel/{{id}}"),
            put(channels::refresh).delete(channels::close),
        )
        .route(&format!("{events}/channel/{{id}}/heartbeat"), put(channels::heartbeat))
        .route(&format!("{events}/channel/eventresponse"), post(channels::acknowledge))
        .route(&format!("{events}/channelset/{{id}}"), get(channels::audit))
        .route(&format!("{events}/user/{{user}}"), post(subscriptions::of_user))
        .route(
            &format!("{events}/serviceprovider/{{provider}}"),
            post(subscriptions::of_provider),
        )
        .route(
            &format!("{events}/subscription/{{id}}"),
            put(subscriptions::refresh).delete(subscriptions::end),
        )
}
