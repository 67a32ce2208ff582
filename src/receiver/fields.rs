//! The members of a JSON object, each value left exactly as it was written.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// An object's members in their order.
pub struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::with_capacity(16);
        while let Some((Name(name), value)) = map.next_entry()? {
            fields.push((name, value));
        }
        Ok(Fields(fields))
    }
}

impl<'a> Fields<'a> {
    /// The members of a JSON object; `None` if the text is anything else.
    pub fn parse(json: &'a RawValue) -> Option<Self> {
        serde_json::from_str(json.get()).ok()
    }

    /// Every value of a name; more than one only in odd documents.
    pub fn all<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'a RawValue> + 's {
        self.0
            .iter()
            .filter(move |(field, _)| field == name)
            .map(|(_, value)| *value)
    }

    /// Whether there is a member of this name that is not null.
    pub fn has(&self, name: &str) -> bool {
        self.all(name).any(|value| value.get() != "null")
    }

    /// The first value of a name, if it is text.
    pub fn text(&self, name: &str) -> Option<String> {
        self.all(name).next().and_then(text)
    }

    /// The object again, without the members of this name.
    pub fn without(&self, name: &str) -> Result<Box<RawValue>, serde_json::Error> {
        let size = self
            .0
            .iter()
            .map(|(field, value)| field.len() + value.get().len() + 4)
            .sum::<usize>();
        let mut json = String::with_capacity(size + 2);
        json.push('{');
        for (field, value) in self.0.iter().filter(|(field, _)| field != name) {
            if json.len() > 1 {
                json.push(',');
            }
            json.push_str(&serde_json::to_string(field)?);
            json.push(':');
            json.push_str(value.get());
        }
        json.push('}');
        RawValue::from_string(json)
    }
}

/// A JSON value's text; `None` if it is anything but a string.
pub fn text(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}
