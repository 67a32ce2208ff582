//! Notifications: what happened, who wants to know, and how it reaches them.

pub mod endpoint;
pub mod event;
pub mod item;
pub mod lifecycle;
pub mod record;
pub mod rich;
pub mod send;
