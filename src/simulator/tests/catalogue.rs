//! The simulator's own copy of the rules beside the operator's. Neither uses the other; here they are compared.

use crate::policy::resource::{self, Announces};
use crate::simulator::subscriptions::catalogue;

#[test]
fn both_catalogues_know_the_same_resources() {
    for path in resource::Rule::samples() {
        assert!(catalogue::rules(&path).is_some(), "the simulator lacks {path}");
    }
    for path in catalogue::samples() {
        assert!(resource::rule_for(&path).is_listed(), "the operator lacks {path}");
    }
}

#[test]
fn both_catalogues_say_the_same() {
    for path in resource::Rule::samples() {
        let (ours, theirs) = (resource::rule_for(&path), catalogue::rules(&path).unwrap());
        assert_eq!(ours.maximum_minutes, theirs.minutes, "{path}");
        assert_eq!(ours.app_only, !theirs.roles.is_empty(), "{path}");
        let announces = match theirs.losses {
            [] => Announces::Nothing,
            ["subscriptionRemoved"] => Announces::Removal,
            _ => Announces::Loss,
        };
        assert_eq!(ours.announces, announces, "{path}");
        let changes: Vec<String> = ours
            .change_types
            .iter()
            .map(|change| format!("{change:?}").to_lowercase())
            .collect();
        assert_eq!(changes, theirs.changes, "{path}");
        if !ours.permissions.is_empty() {
            let strangers: Vec<_> = theirs
                .roles
                .iter()
                .filter(|role| !ours.permissions.contains(role))
                .collect();
            assert!(strangers.is_empty(), "{path}: {strangers:?}");
        }
    }
}
