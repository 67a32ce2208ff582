//! The simulator over HTTP, as its users see it.

mod accounts;
mod catalogue;
mod changes;
mod creating;
mod delivering;
mod delta;
mod entra;
mod faults;
mod handshake;
mod innovaphone;
mod lasting;
mod lists;
mod pexip;
mod portal;
mod presence;
mod rich;
mod store;
mod strict;
mod webex;
mod world;
mod xsi;
