//! From an answer that is no success to a [`Failure`](super::Failure): the one place where errors are judged.

mod entra;
mod graph;

pub(super) use entra::entra;
pub(super) use graph::graph;
