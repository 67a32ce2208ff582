//! Liveness and readiness that tell the truth: each part reports what it checks, and the sum is answered.

use std::sync::Arc;

/// A check: `Ok` when well, otherwise one sentence that says what is wrong.
pub type Check = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// Named checks of a process.
#[derive(Clone, Default)]
pub struct Health {
    live: Vec<(&'static str, Check)>,
    ready: Vec<(&'static str, Check)>,
}

impl Health {
    /// Adds a check whose failure means that only a restart helps.
    #[must_use]
    pub fn live(mut self, name: &'static str, check: impl Fn() -> Result<(), String> + Send + Sync + 'static) -> Self {
        self.live.push((name, Arc::new(check)));
        self
    }

    /// Adds a check whose failure means that no work should be sent here.
    #[must_use]
    pub fn ready(mut self, name: &'static str, check: impl Fn() -> Result<(), String> + Send + Sync + 'static) -> Self {
        self.ready.push((name, Arc::new(check)));
        self
    }

    /// What keeps the process from being live; empty when nothing does.
    pub fn live_problems(&self) -> Vec<String> {
        problems(&self.live)
    }

    /// What keeps the process from being ready; empty when nothing does. A process that is not live is not ready.
    pub fn ready_problems(&self) -> Vec<String> {
        let mut all = problems(&self.live);
        all.extend(problems(&self.ready));
        all
    }
}

fn problems(checks: &[(&'static str, Check)]) -> Vec<String> {
    checks
        .iter()
        .filter_map(|(name, check)| check().err().map(|problem| format!("{name}: {problem}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::Health;

    #[test]
    fn names_what_is_wrong() {
        let health = Health::default()
            .live("lease", || Ok(()))
            .ready("log", || Err("volume is full".to_owned()));
        assert!(health.live_problems().is_empty());
        assert_eq!(health.ready_problems(), ["log: volume is full"]);
        let dead = Health::default().live("lease", || Err("lost".to_owned()));
        assert_eq!(dead.ready_problems(), ["lease: lost"]);
    }
}
