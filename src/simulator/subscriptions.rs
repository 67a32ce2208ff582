//! `/v1.0/subscriptions` of the stand-in for Microsoft Graph.

pub mod bearer;
pub mod catalogue;
pub mod change;
pub mod create;
pub mod handshake;
pub mod paths;
pub mod payload;
pub mod read;
pub mod store;
mod subscription;
mod watched;

use axum::Router;
use axum::routing::{get, post};

use super::state::Shared;

/// The routes.
pub fn routes() -> Router<Shared> {
    Router::new()
        .route("/v1.0/subscriptions", get(read::list).post(create::create))
        .route(
            "/v1.0/subscriptions/{id}",
            get(read::get).patch(change::patch).delete(change::delete),
        )
        .route("/v1.0/subscriptions/{id}/reauthorize", post(change::reauthorize))
}
