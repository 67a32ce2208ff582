//! A stand-in for the App WebSocket of innovaphone PBXs: a protocol fake, made from the published documentation. No vendor
//! code is behind it, and what the documentation leaves open is a setting.
//!
//! `/PBX0/APPS/websocket` is the master; `/{name}/PBX0/APPS/websocket` is the PBX of that name. All have the same users and
//! apps; a slave shows only the users that are registered at it, and calls are told only there.

mod calls;
mod login;
mod presence;
pub mod session;
pub mod site;
pub mod socket;
mod users;

use axum::Router;
use axum::routing::get;

use super::state::Shared;

/// The routes.
pub fn routes() -> Router<Shared> {
    Router::new()
        .route("/PBX0/APPS/websocket", get(socket::dial_master))
        .route("/{pbx}/PBX0/APPS/websocket", get(socket::dial))
}
