//! What the tests of these modules share.

/// How many random cases, or histories, each invariant is tried on; `PRESENCE_HISTORIES` says otherwise.
pub fn histories() -> u32 {
    let asked = std::env::var("PRESENCE_HISTORIES").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(10_000)
}
