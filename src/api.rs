//! The kinds users write: their specs, statuses, defaults, validation rules and conditions.
//!
//! Nothing here talks to anything: no runtime, no HTTP client, no clock. The folder can be read as the product's contract.

pub mod condition;
pub mod connector;
pub mod crds;
pub mod duration;
pub mod presence;
pub mod presence_config;
pub mod presence_report;
pub mod receiver;
pub mod receiver_config;
pub mod reference;
pub mod subscription;
pub mod tenant;

/// API group of every kind.
pub const GROUP: &str = "teamsgraph.dev";
/// The one served and stored version.
pub const VERSION: &str = "v1alpha1";
/// Finalizer that holds a `GraphSubscription` until its remote subscription is released.
pub const FINALIZER: &str = "teamsgraph.dev/subscription";
/// Finalizer that holds a `GraphTenant` or `NotificationReceiver` while subscriptions need it.
pub const IN_USE_FINALIZER: &str = "teamsgraph.dev/in-use";
/// Finalizer that holds a `PresenceSync` until its worker took back what it wrote.
pub const PRESENCE_FINALIZER: &str = "teamsgraph.dev/presence";
/// Annotation that asks for an immediate reconcile; any new value does.
pub const RECONCILE_ANNOTATION: &str = "teamsgraph.dev/reconcile-requested-at";
/// Annotation with an RFC 3339 time: gaps that ended before it were seen by a person and are struck off.
pub const GAPS_ACKNOWLEDGED_ANNOTATION: &str = "teamsgraph.dev/gaps-acknowledged-until";
