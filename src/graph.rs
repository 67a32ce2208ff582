//! Microsoft Graph and Entra over HTTP: tokens, the limiter, errors, subscriptions. Knows nothing of Kubernetes.

mod account;
mod app;
mod applications;
mod changes;
mod classify;
mod client;
mod clock;
pub(crate) mod connection;
mod credential;
mod error;
mod exchange;
mod http;
mod kept;
mod limiter;
mod message;
mod metrics;
mod people;
mod presence;
mod service_health;
mod shared_list;
mod subscription;
mod token;

pub use account::Account;
pub use app::App;
pub use applications::ServicePrincipal;
pub use changes::ChangePage;
pub use client::{Grant, Graph};
pub use credential::{CertificateCredential, Credential};
pub use error::{Class, Failure, Kind};
pub(crate) use http::http_client_builder;
pub use http::{http_client, http_client_inside};
pub use metrics::Metrics;
pub use people::{PeoplePage, Person, PersonNews, Plan};
pub use presence::{MOST_IDS, Presence};
pub use subscription::{NewSubscription, Subscription};

#[cfg(test)]
pub(crate) mod testing;
