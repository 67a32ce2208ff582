//! The simulator over HTTP, as its users see it.

mod catalogue;
mod changes;
mod creating;
mod delivering;
mod delta;
mod entra;
mod faults;
mod handshake;
mod lasting;
mod lists;
mod rich;
mod store;
mod strict;
mod world;
