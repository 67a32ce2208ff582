//! What is worth telling.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::api::condition::Reason;

/// Conditions that are False and were not, or not for this reason.
pub fn turned_bad<'a>(old: &[Condition], new: &'a [Condition]) -> Vec<(&'a Condition, Reason)> {
    new.iter()
        .filter(|after| after.status == "False")
        .filter(|after| {
            let before = old.iter().find(|before| before.type_ == after.type_);
            before.is_none_or(|before| before.status != after.status || before.reason != after.reason)
        })
        .filter_map(|after| Reason::from_name(&after.reason).map(|reason| (after, reason)))
        .collect()
}

/// Why a deletion waits.
pub fn in_use(users: &[String]) -> String {
    const SHOWN: usize = 10;
    let shown = users.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    let more = users.len().saturating_sub(SHOWN);
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    format!("deletion waits for what needs it: {shown}{more}; delete or move them first")
}
