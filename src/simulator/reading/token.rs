//! The opaque tokens in the links of delta queries.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::query::Options;

/// Where a round of a delta query stands.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Token {
    /// Path of the collection for which it was made.
    pub path: String,
    /// When the round began, in simulated seconds.
    pub issued: i64,
    /// The generation of its collection.
    pub generation: u64,
    /// The version at which the round began: what was gone by then is not told.
    pub since: u64,
    /// The last version that was told.
    pub told: u64,
    /// What was asked for in the first place.
    pub options: Options,
}

impl Token {
    /// As it stands in a link.
    pub fn write(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    /// None if it is not one of these.
    pub fn read(text: &str) -> Option<Self> {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
    }
}
