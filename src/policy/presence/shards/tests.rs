//! P11: everyone is in exactly one shard, none is too large, and nobody moves without need.

use proptest::prelude::*;

use super::*;
use crate::policy::presence::testing::histories;

/// A smaller limit, so that a history costs little.
const MOST: usize = 6;

fn names(kind: &str, range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| format!("{kind}{number:05}")).collect()
}

fn people(range: std::ops::Range<usize>) -> BTreeSet<String> {
    names("p", range).into_iter().collect()
}

fn changed(before: &Shards, after: &Shards) -> usize {
    let none = BTreeSet::new();
    let accounts: BTreeSet<&String> = before.accounts.keys().chain(after.accounts.keys()).collect();
    let share = |shards: &Shards, account: &String| shards.accounts.get(account).unwrap_or(&none).clone();
    accounts
        .into_iter()
        .filter(|account| share(before, account) != share(after, account))
        .count()
}

#[test]
fn the_651st_goes_to_the_second_account_or_is_named() {
    let one = assign(&names("a", 0..1), &people(0..651), &Shards::default());
    assert_eq!(one.accounts["a00000"].len(), 650);
    assert_eq!(one.over_limit, people(650..651));

    let two = assign(&names("a", 0..2), &people(0..651), &one);
    assert_eq!(two.accounts["a00000"], one.accounts["a00000"]);
    assert_eq!(two.accounts["a00001"], people(650..651));
    assert!(two.over_limit.is_empty());
}

#[test]
fn a_hole_is_filled_before_another_account_is_touched() {
    let accounts = names("a", 0..2);
    let before = assign(&accounts, &people(0..700), &Shards::default());
    let mut now = people(0..700);
    now.remove("p00010");
    let less = assign(&accounts, &now, &before);
    assert_eq!(changed(&before, &less), 1);
    now.extend(people(700..701));
    let more = assign(&accounts, &now, &less);
    assert_eq!(changed(&less, &more), 1);
    assert!(more.accounts["a00000"].contains("p00700"));
}

#[test]
fn people_of_an_account_that_is_gone_find_another() {
    let before = assign(&names("a", 0..2), &people(0..1000), &Shards::default());
    let after = assign(&names("a", 1..3), &people(0..1000), &before);
    assert!(after.over_limit.is_empty());
    assert!(before.accounts["a00001"].is_subset(&after.accounts["a00001"]));
    assert!(!after.accounts.contains_key("a00000"));
}

#[test]
fn what_was_written_down_wrongly_does_no_harm() {
    let twice = Shards {
        accounts: [
            ("a00000".to_owned(), people(0..900)),
            ("a00001".to_owned(), people(0..20)),
        ]
        .into(),
        over_limit: people(3..4),
    };
    let shards = assign(&names("a", 0..2), &people(0..900), &twice);
    assert_eq!(shards.accounts["a00000"].len(), 650);
    assert_eq!(shards.accounts["a00001"].len(), 250);
    let same_name_twice = assign(&["a".to_owned(), "a".to_owned()], &people(0..700), &Shards::default());
    assert_eq!(
        (same_name_twice.accounts["a"].len(), same_name_twice.over_limit.len()),
        (650, 50)
    );
    let none = assign(&[], &people(0..2), &Shards::default());
    assert_eq!(none.over_limit, people(0..2));
}

/// A change of the people or the accounts.
#[derive(Clone, Debug)]
enum Change {
    Join(usize),
    Leave(usize),
    AddAccount,
    RemoveAccount(usize),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        8 => (0_usize..24).prop_map(Change::Join),
        8 => (0_usize..24).prop_map(Change::Leave),
        1 => Just(Change::AddAccount),
        1 => (0_usize..4).prop_map(Change::RemoveAccount),
    ]
}

proptest! {
    #![proptest_config(histories())]

    #[test]
    fn p11_everyone_is_in_one_shard_and_stays_there(
        first in 0_usize..24,
        changes in prop::collection::vec(change(), 1..12),
    ) {
        let mut accounts = names("a", 0..3);
        let mut people = people(0..first);
        let mut shards = assign_up_to(MOST, &accounts, &people, &Shards::default());
        for change in changes {
            match change {
                Change::Join(number) => drop(people.insert(format!("p{number:05}"))),
                Change::Leave(number) => drop(people.remove(&format!("p{number:05}"))),
                Change::AddAccount => accounts.push(format!("a{:05}", 10 + accounts.len())),
                Change::RemoveAccount(at) if at < accounts.len() => drop(accounts.remove(at)),
                Change::RemoveAccount(_) => {}
            }
            let after = assign_up_to(MOST, &accounts, &people, &shards);
            let everyone: Vec<&String> = after.accounts.values().flatten().chain(&after.over_limit).collect();
            prop_assert_eq!(everyone.len(), people.len());
            prop_assert_eq!(everyone.into_iter().cloned().collect::<BTreeSet<_>>(), people.clone());
            prop_assert!(after.accounts.values().all(|share| share.len() <= MOST));
            let full = after.accounts.values().all(|share| share.len() == MOST);
            prop_assert!(full || after.over_limit.is_empty());
            if matches!(change, Change::Join(_)) {
                prop_assert!(changed(&shards, &after) <= 1);
            }
            if matches!(change, Change::Leave(_)) {
                // The place may go to one who had none.
                prop_assert!(changed(&shards, &after) <= 1);
            }
            for (account, share) in &shards.accounts {
                if let Some(now) = after.accounts.get(account) {
                    prop_assert!(share.iter().all(|person| now.contains(person) || !people.contains(person)));
                }
            }
            prop_assert_eq!(&assign_up_to(MOST, &accounts, &people, &after), &after);
            shards = after;
        }
    }
}
