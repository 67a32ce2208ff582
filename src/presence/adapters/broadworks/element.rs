//! XML as it comes over an events channel: one document after the other, split anywhere.

use quick_xml::Reader;
use quick_xml::errors::{Error, IllFormedError, SyntaxError};
use quick_xml::events::{BytesRef, BytesStart, Event};

/// Longest piece of text or markup, in bytes.
const LONGEST_TOKEN: usize = 64 * 1024;
/// Largest document, in bytes.
const LARGEST: usize = 256 * 1024;
/// Deepest nesting.
const DEEPEST: usize = 32;

/// An element, without namespaces: names are unique within Xsi.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) name: String,
    /// What `xsi:type` says, without its prefix.
    pub(super) kind: Option<String>,
    pub(super) text: String,
    pub(super) children: Vec<Element>,
}

impl Element {
    /// The first child of this name.
    pub(super) fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The text of the first child of this name, if there is any.
    pub(super) fn text_of(&self, name: &str) -> Option<&str> {
        self.child(name)
            .map(|child| child.text.trim())
            .filter(|text| !text.is_empty())
    }

    /// A switch: `true` or `false`.
    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        match self.text_of(name)? {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        }
    }
}

/// Why a stream cannot be read further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Broken {
    #[error("it is not well-formed XML")]
    Malformed,
    #[error("it is not UTF-8")]
    NotUtf8,
    #[error("an element is too large or nested too deep")]
    TooLarge,
}

/// Reads elements from bytes as they come.
#[derive(Debug, Default)]
pub(super) struct Parser {
    /// What is not read yet.
    rest: Vec<u8>,
    /// Elements that are open, with their full names, the outermost first.
    open: Vec<(String, Element)>,
    /// Size of the document so far.
    size: usize,
}

impl Parser {
    /// Takes more bytes. Tells the documents that they complete.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Element>, Broken> {
        let goes_on = !self.rest.is_empty() && !bytes.iter().any(|byte| b"<>&;".contains(byte));
        self.rest.extend_from_slice(bytes);
        let mut complete = Vec::new();
        // What ends no text or markup is not looked at yet, lest much of it in small pieces cost much.
        if !goes_on {
            let mut rest = std::mem::take(&mut self.rest);
            let used = self.read(readable(&rest)?, &mut complete)?;
            rest.drain(..used.min(rest.len()));
            self.rest = rest;
        }
        if self.rest.len() > LONGEST_TOKEN {
            return Err(Broken::TooLarge);
        }
        Ok(complete)
    }

    /// Reads as far as text and markup are complete. Tells how far that is.
    fn read(&mut self, text: &str, complete: &mut Vec<Element>) -> Result<usize, Broken> {
        let mut reader = Reader::from_str(text);
        // A reader begins anew with each piece, so it cannot know what is open.
        reader.config_mut().check_end_names = false;
        reader.config_mut().allow_unmatched_ends = true;
        let mut used = 0;
        loop {
            let event = match reader.read_event() {
                Ok(Event::Eof) => return Ok(used),
                Ok(event) => event,
                Err(error) => {
                    let rest = text.get(used..).unwrap_or_default();
                    return if may_go_on(&error, rest) {
                        Ok(used)
                    } else {
                        Err(Broken::Malformed)
                    };
                }
            };
            let end = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
            let is_text = matches!(event, Event::Text(_));
            // Text ends where something else begins; blanks between documents belong to none.
            if is_text && end >= text.len() && !self.open.is_empty() {
                return Ok(used);
            }
            self.size += end.saturating_sub(used);
            used = end;
            complete.extend(self.take(event)?);
            if self.open.is_empty() {
                self.size = 0;
            } else if self.size > LARGEST {
                return Err(Broken::TooLarge);
            }
        }
    }

    fn take(&mut self, event: Event<'_>) -> Result<Option<Element>, Broken> {
        match event {
            Event::Start(start) => {
                if self.open.len() >= DEEPEST {
                    return Err(Broken::TooLarge);
                }
                self.open.push((start.name().0.to_owned(), element(&start)?));
                Ok(None)
            }
            Event::Empty(start) => Ok(self.close(element(&start)?)),
            Event::End(end) => {
                let (name, element) = self.open.pop().ok_or(Broken::Malformed)?;
                if name != end.name().0 {
                    return Err(Broken::Malformed);
                }
                Ok(self.close(element))
            }
            Event::Text(text) => self.text(&text.into_inner()),
            Event::CData(text) => self.text(&text.into_inner()),
            Event::GeneralRef(reference) => self.text(resolve(&reference)?.encode_utf8(&mut [0; 4])),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::Eof => Ok(None),
            // Entities of its own could grow without bounds.
            Event::DocType(_) => Err(Broken::Malformed),
        }
    }

    fn close(&mut self, element: Element) -> Option<Element> {
        match self.open.last_mut() {
            Some((_, parent)) => {
                parent.children.push(element);
                None
            }
            None => Some(element),
        }
    }

    fn text(&mut self, text: &str) -> Result<Option<Element>, Broken> {
        match self.open.last_mut() {
            Some((_, element)) => element.text.push_str(text),
            None if text.trim().is_empty() => {}
            None => return Err(Broken::Malformed),
        }
        Ok(None)
    }
}

/// The one element of a whole document.
pub(super) fn document(bytes: &[u8]) -> Result<Element, Broken> {
    let mut elements = Parser::default().feed(bytes)?;
    match (elements.pop(), elements.is_empty()) {
        (Some(element), true) => Ok(element),
        _ => Err(Broken::Malformed),
    }
}

/// The part that is whole characters.
fn readable(bytes: &[u8]) -> Result<&str, Broken> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text),
        Err(error) if error.error_len().is_some() => Err(Broken::NotUtf8),
        Err(error) => bytes
            .get(..error.valid_up_to())
            .and_then(|whole| std::str::from_utf8(whole).ok())
            .ok_or(Broken::NotUtf8),
    }
}

/// Whether an error only means that more is to come.
fn may_go_on(error: &Error, rest: &str) -> bool {
    match error {
        Error::Syntax(SyntaxError::InvalidBangMarkup) => rest == "<!",
        Error::Syntax(_) => true,
        Error::IllFormed(IllFormedError::UnclosedReference) => !rest.chars().skip(1).any(|c| c == '<' || c == '&'),
        _ => false,
    }
}

fn element(start: &BytesStart<'_>) -> Result<Element, Broken> {
    let mut kind = None;
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|_| Broken::Malformed)?;
        if attribute.key.prefix().is_some() && attribute.key.local_name().into_inner() == "type" {
            let value = attribute.value.as_ref();
            kind = Some(value.rsplit(':').next().unwrap_or(value).to_owned());
        }
    }
    Ok(Element {
        name: start.local_name().into_inner().to_owned(),
        kind,
        ..Element::default()
    })
}

fn resolve(reference: &BytesRef<'_>) -> Result<char, Broken> {
    if let Some(character) = reference.resolve_char_ref().map_err(|_| Broken::Malformed)? {
        return Ok(character);
    }
    match &**reference {
        "lt" => Ok('<'),
        "gt" => Ok('>'),
        "amp" => Ok('&'),
        "apos" => Ok('\''),
        "quot" => Ok('"'),
        _ => Err(Broken::Malformed),
    }
}

#[cfg(test)]
mod tests;
