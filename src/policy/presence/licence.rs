//! Whether a person has Teams, by the plans that Entra assigns.

/// Service plans that are Teams, in every cloud (`servicePlanId` of `assignedPlans`): TEAMS1, TEAMS_GOV, TEAMS_GCCHIGH,
/// TEAMS_AR_GCCHIGH, TEAMS_DOD, TEAMS_AR_DOD, TEAMS_FREE, as in Microsoft's list of product names and service plans.
pub const TEAMS_PLANS: [&str; 7] = [
    "57ff2da0-773e-42df-b2af-ffb7a2317929",
    "304767db-7d23-49e8-a945-4a7eb65f9f28",
    "495922d5-f138-498b-8967-4acdcdfb2a74",
    "9953b155-8aef-4c56-92f3-72b0487fce41",
    "ec0dd2de-a877-4059-a9b8-5838b5629b2a",
    "fd500458-c24c-478e-856c-a6067a8376cd",
    "4fa4026d-ce74-4962-a151-8e96d57ea8e4",
];

/// A person's licence for Teams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TeamsLicence {
    /// In force.
    InForce,
    /// The payment is overdue, and Microsoft still lets it be used (`Warning`).
    Grace,
    /// Assigned, and not to be used: `Suspended`, `LockedOut`, `Deleted`, or a status that is not known.
    Stopped,
    /// None is assigned.
    None,
}

impl TeamsLicence {
    /// Whether the person can use Teams.
    pub fn usable(self) -> bool {
        matches!(self, Self::InForce | Self::Grace)
    }
}

/// Looks for Teams among a person's `assignedPlans`, each as `servicePlanId` and `capabilityStatus`. The best of them counts, as
/// an old plan stays in the list when a new one is assigned.
pub fn teams_licence<'a>(plans: impl IntoIterator<Item = (&'a str, &'a str)>) -> TeamsLicence {
    let mut best = TeamsLicence::None;
    for (plan, status) in plans {
        if !TEAMS_PLANS.iter().any(|teams| teams.eq_ignore_ascii_case(plan)) {
            continue;
        }
        if status.eq_ignore_ascii_case("Enabled") {
            return TeamsLicence::InForce;
        }
        if status.eq_ignore_ascii_case("Warning") {
            best = TeamsLicence::Grace;
        } else if best == TeamsLicence::None {
            best = TeamsLicence::Stopped;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEAMS: &str = "57ff2da0-773e-42df-b2af-ffb7a2317929";
    const GOVERNMENT: &str = "304767DB-7D23-49E8-A945-4A7EB65F9F28";
    const EXCHANGE: &str = "efb87545-963c-4e0d-99df-69c6916d9eb0";

    #[test]
    fn the_best_teams_plan_counts() {
        let cases: &[(&[(&str, &str)], TeamsLicence)] = &[
            (&[], TeamsLicence::None),
            (&[(EXCHANGE, "Enabled")], TeamsLicence::None),
            (&[(TEAMS, "Enabled")], TeamsLicence::InForce),
            (&[(TEAMS, "enabled")], TeamsLicence::InForce),
            (&[(GOVERNMENT, "Enabled")], TeamsLicence::InForce),
            (&[(TEAMS, "Warning")], TeamsLicence::Grace),
            (&[(TEAMS, "Suspended")], TeamsLicence::Stopped),
            (&[(TEAMS, "LockedOut")], TeamsLicence::Stopped),
            (&[(TEAMS, "Deleted")], TeamsLicence::Stopped),
            (&[(TEAMS, "something new")], TeamsLicence::Stopped),
            (&[(TEAMS, "Deleted"), (EXCHANGE, "Enabled")], TeamsLicence::Stopped),
            (&[(TEAMS, "Deleted"), (TEAMS, "Enabled")], TeamsLicence::InForce),
            (&[(TEAMS, "Warning"), (GOVERNMENT, "Deleted")], TeamsLicence::Grace),
        ];
        for (plans, expected) in cases {
            assert_eq!(teams_licence(plans.iter().copied()), *expected, "{plans:?}");
        }
        assert!(TeamsLicence::Grace.usable() && TeamsLicence::InForce.usable());
        assert!(!TeamsLicence::Stopped.usable() && !TeamsLicence::None.usable());
    }

    #[test]
    fn every_plan_of_every_cloud_counts() {
        for plan in TEAMS_PLANS {
            assert_eq!(teams_licence([(plan, "Enabled")]), TeamsLicence::InForce, "{plan}");
        }
    }
}
