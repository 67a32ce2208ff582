//! What of a property is compared: capitals, blanks and ways to write a number do not matter.

use unicode_normalization::UnicodeNormalization;

use super::{Person, graph_values};
use crate::api::presence::{AddressRule, GraphField, MatchRule};

/// What of a value is compared by this rule; `None` if nothing is left.
pub(super) fn of(rule: &MatchRule, value: &str) -> Option<String> {
    let key = if rule.graph_field == GraphField::Phone {
        let digits = usize::try_from(rule.extension_digits.unwrap_or_default()).unwrap_or_default();
        phone(value, rule.country_code.as_deref(), digits)?
    } else {
        text(value, rule.strip_domain)
    };
    (!key.is_empty()).then_some(key)
}

/// The user part of a person's address on the PBX, where a rule makes it from what Entra knows; of several numbers, from the first.
/// `None` if the person has no such property.
pub fn address(rule: &AddressRule, person: &Person) -> Option<String> {
    let value = graph_values(person, rule.from).next()?.trim();
    let address = if rule.from == GraphField::Phone {
        let digits = usize::try_from(rule.extension_digits.unwrap_or_default()).unwrap_or_default();
        let plus = value.starts_with('+') && digits == 0;
        let number = phone(value, None, digits)?;
        if plus { format!("+{number}") } else { number }
    } else {
        user_part(value, rule.strip_domain).nfc().collect()
    };
    (!address.is_empty()).then_some(address)
}

fn text(value: &str, strip_domain: bool) -> String {
    let composed: String = user_part(value.trim(), strip_domain).trim().nfc().collect();
    // There and back, so that letters with more than one small or great form become one: ß and ss, σ and ς.
    composed.to_uppercase().to_lowercase().nfc().collect()
}

fn user_part(value: &str, strip_domain: bool) -> &str {
    match value.rsplit_once('@') {
        Some((user, _)) if strip_domain => user,
        _ => value,
    }
}

/// The digits of an international number (E.164 without the plus), or the last `extension` ones.
fn phone(value: &str, country: Option<&str>, extension: usize) -> Option<String> {
    let value = value.trim();
    let value = value.strip_prefix("tel:").unwrap_or(value);
    // What follows is a parameter (RFC 3966), not a part of the number.
    let value = value.split([';', ',']).next().unwrap_or_default();
    let international = value.starts_with('+');
    // A trunk zero that is written for callers from within the country: +49 (0)89 …
    let value = if international {
        value.replacen("(0)", "", 1)
    } else {
        value.to_owned()
    };
    let digits: String = value.chars().filter(char::is_ascii_digit).collect();
    if extension > 0 {
        let skipped = digits.len().checked_sub(extension)?;
        return digits.get(skipped..).map(str::to_owned);
    }
    if digits.is_empty() {
        return None;
    }
    if international {
        return Some(digits);
    }
    if let Some(rest) = digits.strip_prefix("00") {
        return Some(rest.to_owned());
    }
    Some(match country {
        None => digits,
        Some(country) => national(&digits, country),
    })
}

/// Puts the country code before a national number.
fn national(digits: &str, country: &str) -> String {
    match country {
        // Italy keeps the zero; North America dials its own code within the country.
        "39" => format!("39{digits}"),
        "1" if digits.len() == 11 && digits.starts_with('1') => digits.to_owned(),
        _ => format!("{country}{}", digits.strip_prefix('0').unwrap_or(digits)),
    }
}
