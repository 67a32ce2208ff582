//! XML documents of a bounded size as a tree. No document type, no entities of its own.

use quick_xml::XmlVersion;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::name::{Namespace, ResolveResult};
use quick_xml::reader::NsReader;

/// Deepest nesting that is read.
const MOST_DEPTH: usize = 16;
/// Most elements of a document.
const MOST_ELEMENTS: usize = 4000;

/// Why a document cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unreadable {
    /// Not well-formed XML in UTF-8, or with a document type.
    #[error("not well-formed XML")]
    Malformed,
    /// Too deep, or too many elements.
    #[error("the XML is too large")]
    TooLarge,
    /// Another kind of document.
    #[error("not the expected kind of document")]
    Kind,
}

/// An element with what is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Element {
    namespace: String,
    name: String,
    attributes: Vec<(String, String)>,
    /// Its own text, without that of elements within.
    pub(super) text: String,
    /// The elements within, in order.
    pub(super) children: Vec<Element>,
}

impl Element {
    /// The name without prefix.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is this element of this namespace.
    pub(super) fn is(&self, namespace: &str, name: &str) -> bool {
        self.namespace == namespace && self.name == name
    }

    /// An attribute without prefix.
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(one, _)| one == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The elements within of this name, whatever their namespace.
    pub(super) fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The trimmed text of the first element within of this name.
    pub(super) fn text_of(&self, name: &str) -> Option<&str> {
        let text = self.children.iter().find(|child| child.name == name)?.text.trim();
        Some(text).filter(|text| !text.is_empty())
    }

    fn open(namespace: &ResolveResult, start: &BytesStart) -> Result<Self, Unreadable> {
        let namespace = match namespace {
            ResolveResult::Bound(Namespace(name)) => (*name).to_owned(),
            ResolveResult::Unbound => String::new(),
            ResolveResult::Unknown(_) => return Err(Unreadable::Malformed),
        };
        let mut attributes = Vec::new();
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|_| Unreadable::Malformed)?;
            let value = attribute
                .normalized_value(XmlVersion::Implicit1_0)
                .map_err(|_| Unreadable::Malformed)?;
            if attribute.key.prefix().is_none() {
                attributes.push((attribute.key.into_inner().to_owned(), value.into_owned()));
            }
        }
        Ok(Self {
            namespace,
            name: start.local_name().into_inner().to_owned(),
            attributes,
            ..Self::default()
        })
    }
}

/// Reads a document. The bytes are bounded by what the transport lets through.
pub(super) fn read(bytes: &[u8]) -> Result<Element, Unreadable> {
    let text = std::str::from_utf8(bytes).map_err(|_| Unreadable::Malformed)?;
    let mut reader = NsReader::from_str(text.trim_start_matches('\u{feff}').trim_start());
    let mut tree = Tree::default();
    loop {
        let (namespace, event) = reader.read_resolved_event().map_err(|_| Unreadable::Malformed)?;
        match event {
            Event::Start(start) => tree.open(Element::open(&namespace, &start)?)?,
            Event::Empty(start) => {
                tree.open(Element::open(&namespace, &start)?)?;
                tree.close()?;
            }
            Event::End(_) => tree.close()?,
            Event::Text(text) => tree.text(&text.xml10_content())?,
            Event::CData(text) => tree.text(&text.xml10_content())?,
            Event::GeneralRef(name) => tree.text(&resolve(&name)?)?,
            Event::Eof => return tree.root.filter(|_| tree.open.is_empty()).ok_or(Unreadable::Malformed),
            Event::DocType(_) => return Err(Unreadable::Malformed),
            Event::Decl(_) | Event::Comment(_) | Event::PI(_) => {}
        }
    }
}

fn resolve(name: &BytesRef) -> Result<String, Unreadable> {
    if let Some(one) = name.resolve_char_ref().map_err(|_| Unreadable::Malformed)? {
        return Ok(one.to_string());
    }
    let known = quick_xml::escape::resolve_predefined_entity(name);
    known.map(str::to_owned).ok_or(Unreadable::Malformed)
}

#[derive(Default)]
struct Tree {
    root: Option<Element>,
    open: Vec<Element>,
    elements: usize,
}

impl Tree {
    fn open(&mut self, element: Element) -> Result<(), Unreadable> {
        self.elements += 1;
        if self.elements > MOST_ELEMENTS || self.open.len() == MOST_DEPTH {
            return Err(Unreadable::TooLarge);
        }
        if self.root.is_some() {
            return Err(Unreadable::Malformed);
        }
        self.open.push(element);
        Ok(())
    }

    fn close(&mut self) -> Result<(), Unreadable> {
        let element = self.open.pop().ok_or(Unreadable::Malformed)?;
        match self.open.last_mut() {
            Some(parent) => parent.children.push(element),
            None => self.root = Some(element),
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), Unreadable> {
        match self.open.last_mut() {
            Some(element) => element.text.push_str(text),
            None if text.trim().is_empty() => {}
            None => return Err(Unreadable::Malformed),
        }
        Ok(())
    }
}

/// Text as it may stand in an element or attribute; what XML cannot hold is left out.
pub(super) fn escape(text: &str) -> String {
    let allowed: String = text
        .chars()
        .filter(|one| !one.is_control() || matches!(one, '\t' | '\n'))
        .filter(|one| !matches!(one, '\u{fffe}' | '\u{ffff}'))
        .collect();
    quick_xml::escape::escape(allowed).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_tree_with_namespaces() {
        let text = r#"<?xml version="1.0"?>
            <a xmlns="urn:one" xmlns:t="urn:two"><!-- x --><t:b id="1&lt;" t:id="2">x&amp;&#65;<![CDATA[<]]></t:b><c/></a>"#;
        let root = read(text.as_bytes()).unwrap();
        assert!(root.is("urn:one", "a"));
        let b = root.named("b").next().unwrap();
        assert!(b.is("urn:two", "b"));
        assert_eq!(b.attribute("id"), Some("1<"));
        assert_eq!(root.text_of("b"), Some("x&A<"));
        assert_eq!(root.text_of("c"), None);
    }

    #[test]
    fn limits_and_malformed() {
        let nested = |depth: usize| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
        assert!(read(nested(MOST_DEPTH).as_bytes()).is_ok());
        let cases = [
            (nested(MOST_DEPTH + 1), Unreadable::TooLarge),
            (format!("<a>{}</a>", "<b/>".repeat(MOST_ELEMENTS)), Unreadable::TooLarge),
            (
                r#"<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>"#.to_owned(),
                Unreadable::Malformed,
            ),
            ("<a>&x;</a>".to_owned(), Unreadable::Malformed),
            ("<a><b></a>".to_owned(), Unreadable::Malformed),
            ("<a>".to_owned(), Unreadable::Malformed),
            ("<a/><b/>".to_owned(), Unreadable::Malformed),
            ("<a/>x".to_owned(), Unreadable::Malformed),
            ("<t:a/>".to_owned(), Unreadable::Malformed),
            ("<a b='1' b='2'/>".to_owned(), Unreadable::Malformed),
            (String::new(), Unreadable::Malformed),
        ];
        for (text, expected) in cases {
            assert_eq!(
                read(text.as_bytes()),
                Err(expected),
                "{}",
                text.get(..40).unwrap_or(&text)
            );
        }
        assert_eq!(read(b"<a>\xff</a>"), Err(Unreadable::Malformed));
    }

    proptest! {
        #[test]
        fn random_text_never_panics(text in r#"[<>/a-c:="'&;!\[\]?\- x]{0,80}"#) {
            let _ = read(text.as_bytes());
        }

        /// Any note survives, save what XML cannot hold.
        #[test]
        fn what_is_escaped_is_read(note in "\\PC{0,60}") {
            let document = format!("<a b=\"{0}\">{0}</a>", escape(&note));
            let root = read(document.as_bytes()).unwrap();
            prop_assert_eq!(&root.text, &note);
            prop_assert_eq!(root.attribute("b"), Some(note.as_str()));
        }
    }
}
