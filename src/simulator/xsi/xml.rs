//! Just enough XML: the flat documents of requests, and those of answers.

use std::collections::HashMap;
use std::fmt::Write;

use quick_xml::Reader;
use quick_xml::escape::escape;
use quick_xml::events::{BytesRef, BytesStart, Event};

/// The namespace of all of it.
pub const NAMESPACE: &str = "http://schema.broadsoft.com/xsi";

/// A document with fields.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Document {
    /// Name of the root.
    pub name: String,
    /// Text of its children.
    pub fields: HashMap<String, String>,
}

/// Reads a document whose root is in the namespace. None if it is not well formed, or nested.
pub fn read(text: &str) -> Option<Document> {
    let mut reader = Reader::from_str(text);
    let mut document = Document::default();
    let mut field: Option<(String, String)> = None;
    let mut is_over = false;
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) if document.name.is_empty() => {
                document.name = root(&start)?;
            }
            Event::Empty(start) if document.name.is_empty() => {
                document.name = root(&start)?;
                is_over = true;
            }
            Event::Start(start) if field.is_none() && !is_over => field = Some((name(&start), String::new())),
            Event::Empty(start) if field.is_none() && !is_over => {
                document.fields.insert(name(&start), String::new());
            }
            Event::Text(text) => {
                if let Some((_, value)) = &mut field {
                    value.push_str(&text.into_inner());
                }
            }
            Event::CData(text) => field.as_mut()?.1.push_str(&text.into_inner()),
            Event::GeneralRef(reference) => field.as_mut()?.1.push(resolve(&reference)?),
            Event::End(_) => match field.take() {
                Some((name, value)) => {
                    document.fields.insert(name, value);
                }
                None => is_over = true,
            },
            Event::Decl(_) | Event::Comment(_) | Event::PI(_) => {}
            Event::Eof => return Some(document).filter(|_| is_over),
            _ => return None,
        }
    }
}

fn root(start: &BytesStart<'_>) -> Option<String> {
    let mut namespaces = start.attributes().filter_map(Result::ok);
    namespaces
        .any(|attribute| attribute.key.0.starts_with("xmlns") && attribute.value.as_ref() == NAMESPACE)
        .then(|| name(start))
}

fn name(start: &BytesStart<'_>) -> String {
    start.local_name().into_inner().to_owned()
}

fn resolve(reference: &BytesRef<'_>) -> Option<char> {
    if let Some(character) = reference.resolve_char_ref().ok()? {
        return Some(character);
    }
    match &**reference {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "apos" => Some('\''),
        "quot" => Some('"'),
        _ => None,
    }
}

/// A document with fields, as the server writes it.
pub fn document(name: &str, fields: &[(&str, &str)]) -> String {
    around(name, &elements("", fields))
}

/// A document around what is written already.
pub fn around(name: &str, inner: &str) -> String {
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{name} xmlns=\"{NAMESPACE}\">{inner}</{name}>")
}

/// An element around what is written already.
pub fn element(name: &str, inner: &str) -> String {
    format!("<{name}>{inner}</{name}>")
}

/// Elements with text, each with this prefix.
pub fn elements(prefix: &str, fields: &[(&str, &str)]) -> String {
    fields.iter().fold(String::new(), |mut text, (name, value)| {
        // Writing into a String does not fail.
        let _ = write!(text, "<{prefix}{name}>{}</{prefix}{name}>", escape(*value));
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_strictly() {
        let good = document("EventResponse", &[("eventID", "a<&\"'>b"), ("reason", "")]);
        let read_back = read(&good).unwrap();
        assert_eq!(read_back.name, "EventResponse");
        assert_eq!(read_back.fields["eventID"], "a<&\"'>b");
        assert_eq!(read_back.fields["reason"], "");
        let spaced =
            "<?xml version=\"1.0\"?>\n<x:C xmlns:x=\"http://schema.broadsoft.com/xsi\">\n <x:a>1</x:a>\n</x:C>";
        assert_eq!(read(spaced).unwrap().fields["a"], "1");
        for wrong in [
            "",
            "<Channel/>",
            "<Channel xmlns=\"http://schema.broadsoft.com/xsi\">",
            "<Channel xmlns=\"other\"></Channel>",
            "<C xmlns=\"http://schema.broadsoft.com/xsi\"><a><b/></a></C>",
            "<C xmlns=\"http://schema.broadsoft.com/xsi\"><a>&other;</a></C>",
            "{}",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
