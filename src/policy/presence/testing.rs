//! What the tests of these modules share.

use proptest::test_runner::{Config, RngAlgorithm};

/// How many random cases, or histories, each invariant is tried on; `PRESENCE_HISTORIES` says otherwise.
pub fn histories() -> Config {
    let asked = std::env::var("PRESENCE_HISTORIES").ok();
    Config {
        cases: asked.and_then(|text| text.parse().ok()).unwrap_or(10_000),
        // Dice need not be secret, and these cost a tenth.
        rng_algorithm: RngAlgorithm::XorShift,
        ..Config::default()
    }
}
