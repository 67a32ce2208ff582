//! Lists and single objects, as the API framework of the original writes them.

use std::cmp::Ordering;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::fields::Resource;
use super::site::{Manners, Times};

/// Objects on a page when nothing is asked for.
const USUAL: usize = 20;

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 404.
    Missing,
    /// 400.
    Bad(String),
}

/// Where an object is found.
pub fn address(kind: &Resource, object: &Value) -> String {
    let id = id_of(object);
    let list = format!("/api/admin/{}/v1/{}/", kind.namespace, kind.name);
    if kind.has_ids { format!("{list}{id}/") } else { list }
}

fn id_of(object: &Value) -> String {
    let id = &object["id"];
    id.as_str().map_or_else(|| id.to_string(), String::from)
}

/// One object.
pub fn one(objects: &[Value], kind: &Resource, id: &str, manners: &Manners, now: Timestamp) -> Result<Value, Refusal> {
    let is_it = |object: &&Value| id_of(object) == id;
    let found = objects.iter().find(is_it).ok_or(Refusal::Missing)?;
    Ok(shown(found, kind, manners.times, 0, now))
}

/// A page of a list.
pub fn page(
    objects: &[Value],
    kind: &Resource,
    query: &[(String, String)],
    manners: &Manners,
    now: Timestamp,
) -> Result<Value, Refusal> {
    let (mut limit, mut offset, mut filters) = (USUAL, 0, Vec::new());
    for (name, value) in query {
        match name.as_str() {
            "format" if value == "json" => {}
            "limit" => limit = number(name, value)?,
            "offset" => offset = number(name, value)?,
            _ => filters.push(Filter::read(kind, name, value)?),
        }
    }
    let limit = if limit == 0 {
        manners.max_page
    } else {
        limit.min(manners.max_page)
    };
    let matching = objects
        .iter()
        .filter(|object| filters.iter().all(|filter| filter.admits(object, now)));
    let matching: Vec<&Value> = matching.collect();
    let shifted = usize::from(manners.shifts && offset > 0);
    let from = offset.saturating_sub(shifted);
    let on_page = matching.iter().enumerate().skip(from).take(limit);
    let shown: Vec<Value> = on_page
        .map(|(number, object)| shown(object, kind, manners.times, number, now))
        .collect();
    let total = matching.len() + usize::from(manners.shifts);
    let link = |offset: usize| {
        let origin = manners.next_origin.as_deref().unwrap_or_default();
        format!(
            "{origin}/api/admin/{}/v1/{}/?limit={limit}&offset={offset}",
            kind.namespace, kind.name
        )
    };
    let next = (from + limit < matching.len()).then(|| link(offset + limit));
    let previous = (offset >= limit && offset > 0).then(|| link(offset - limit));
    let total = if manners.wrong_total { 0 } else { total };
    Ok(json!({
        "meta": {"limit": limit, "offset": offset, "total_count": total, "next": next, "previous": previous},
        "objects": shown,
    }))
}

fn number(name: &str, value: &str) -> Result<usize, Refusal> {
    let refused = || {
        Refusal::Bad(format!(
            "Invalid {name} '{value}' provided. Please provide a positive integer."
        ))
    };
    value.parse().map_err(|_| refused())
}

/// A condition in a query, such as `end_time__gte`.
struct Filter {
    field: &'static str,
    compares: Compares,
    value: String,
    is_time: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Compares {
    Equal,
    AtLeast,
    Above,
    AtMost,
    Below,
}

impl Filter {
    fn read(kind: &Resource, name: &str, value: &str) -> Result<Self, Refusal> {
        let (field, how) = name.split_once("__").unwrap_or((name, "exact"));
        let known = kind.fields.iter().find(|known| **known == field);
        let compares = match how {
            "exact" => Some(Compares::Equal),
            "gte" => Some(Compares::AtLeast),
            "gt" => Some(Compares::Above),
            "lte" => Some(Compares::AtMost),
            "lt" => Some(Compares::Below),
            _ => None,
        };
        let refused = || Refusal::Bad(format!("The '{name}' field does not allow filtering."));
        let filter = Self {
            field: known.ok_or_else(refused)?,
            compares: compares.ok_or_else(refused)?,
            value: value.into(),
            is_time: kind.times.contains(&field),
        };
        if filter.is_time && moment(value, Timestamp::UNIX_EPOCH).is_none() {
            return Err(refused());
        }
        Ok(filter)
    }

    fn admits(&self, object: &Value, now: Timestamp) -> bool {
        let own = &object[self.field];
        let text = own.as_str().map_or_else(|| own.to_string(), String::from);
        let order = if self.is_time {
            match (moment(&text, now), moment(&self.value, now)) {
                (Some(own), Some(wanted)) => own.cmp(&wanted),
                _ => return false,
            }
        } else {
            text.as_str().cmp(&self.value)
        };
        match self.compares {
            Compares::Equal => order == Ordering::Equal,
            Compares::AtLeast => order != Ordering::Less,
            Compares::Above => order == Ordering::Greater,
            Compares::AtMost => order != Ordering::Greater,
            Compares::Below => order == Ordering::Less,
        }
    }
}

/// The object with its times in the form that is asked for. What is no time stays, so that tests can have it wrong.
fn shown(object: &Value, kind: &Resource, times: Times, number: usize, now: Timestamp) -> Value {
    let mut shown = object.clone();
    let forms = [Times::Offset, Times::Micro, Times::Whole];
    for (field, offset) in kind.times.iter().zip(0..) {
        let form = match times {
            Times::Mixed => forms
                .get((number + offset) % forms.len())
                .copied()
                .unwrap_or(Times::Offset),
            one => one,
        };
        if let Some(at) = shown[*field].as_str().and_then(|text| moment(text, now)) {
            shown[*field] = json!(written(at, form));
        }
    }
    shown
}

fn written(at: Timestamp, form: Times) -> String {
    let form = match form {
        Times::Whole => "%Y-%m-%dT%H:%M:%S",
        Times::Micro => "%Y-%m-%dT%H:%M:%S.%6f",
        Times::Offset | Times::Mixed => "%Y-%m-%dT%H:%M:%S.%6f+00:00",
    };
    at.strftime(form).to_string()
}

/// A time; `now`, `now-5m` and `now+2h` are by the simulator's clock, each time anew.
fn moment(text: &str, now: Timestamp) -> Option<Timestamp> {
    if let Some(rest) = text.strip_prefix("now") {
        return shift(rest).and_then(|by| now.checked_add(by).ok());
    }
    text.parse().ok().or_else(|| {
        let local: jiff::civil::DateTime = text.parse().ok()?;
        Some(local.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
    })
}

fn shift(text: &str) -> Option<SignedDuration> {
    let Some(unit) = text.chars().last() else {
        return Some(SignedDuration::ZERO);
    };
    let count: i64 = text.get(..text.len().checked_sub(unit.len_utf8())?)?.parse().ok()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    Some(SignedDuration::from_secs(count.checked_mul(seconds)?))
}
