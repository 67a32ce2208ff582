//! Durations as users write them: `45m`, `72h`, `1h30m`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A length of time in hours, minutes and seconds, kept exactly as it was written so that GitOps tools see no drift.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DurationText(pub String);

impl DurationText {
    /// Whole seconds. The schema admits only well-formed text, so anything else counts as absent.
    pub fn seconds(&self) -> Option<i64> {
        let mut total = 0_i64;
        let mut number = String::new();
        for character in self.0.chars() {
            if character.is_ascii_digit() {
                number.push(character);
                continue;
            }
            let unit = match character {
                'h' => 3600,
                'm' => 60,
                's' => 1,
                _ => return None,
            };
            let value: i64 = number.parse().ok()?;
            total = total.checked_add(value.checked_mul(unit)?)?;
            number.clear();
        }
        (number.is_empty() && total > 0).then_some(total)
    }
}

impl From<&str> for DurationText {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl JsonSchema for DurationText {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,6}s)?$",
            "minLength": 2,
            "maxLength": 24,
            "x-kubernetes-validations": [{ "rule": "duration(self) > duration('0s')", "message": "must be longer than zero" }],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::DurationText;

    #[test]
    fn reads_hours_minutes_and_seconds() {
        let cases = [
            ("45m", Some(2700)),
            ("72h", Some(259_200)),
            ("1h30m", Some(5400)),
            ("10s", Some(10)),
            ("0s", None),
            ("", None),
            ("5", None),
            ("1d", None),
            ("m", None),
            ("99999999999999999999h", None),
        ];
        for (text, expected) in cases {
            assert_eq!(DurationText::from(text).seconds(), expected, "{text}");
        }
    }
}
