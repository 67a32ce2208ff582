//! Presence as Teams keeps it: what a person shows is made of the sessions of clients and apps, and of the person's choice.

pub mod book;
pub mod person;
pub mod read;
pub mod told;
mod write;

use axum::Router;
use axum::routing::{get, post};

use super::state::Shared;

/// The routes.
pub fn routes() -> Router<Shared> {
    Router::new()
        .route("/v1.0/users/{a}/presence", get(read::of_one))
        .route("/v1.0/communications/presences/{a}", get(read::of_one))
        .route("/v1.0/communications/getPresencesByUserId", post(read::of_many))
        .route("/v1.0/users/{a}/presence/setPresence", post(write::set_presence))
        .route("/v1.0/users/{a}/presence/clearPresence", post(write::clear_presence))
        .route(
            "/v1.0/users/{a}/presence/setUserPreferredPresence",
            post(write::set_preferred),
        )
        .route(
            "/v1.0/users/{a}/presence/clearUserPreferredPresence",
            post(write::clear_preferred),
        )
}
