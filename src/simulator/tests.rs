//! The simulator over HTTP, as its users see it.

mod creating;
mod delivering;
mod entra;
mod faults;
mod handshake;
mod lasting;
mod rich;
mod world;
