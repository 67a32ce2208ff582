//! Syslog over a stream, cut into messages: by line, or by a length in front of each
//! (<https://www.rfc-editor.org/rfc/rfc6587#section-3.4>).

/// Longest message that is kept, in bytes; what is beyond is dropped.
pub const LONGEST: usize = 8 << 10;
/// Digits of the longest length that counts as one.
const DIGITS: usize = 7;

/// A stream as it comes in. It holds one message at most.
#[derive(Debug, Default)]
pub struct Frames {
    message: Vec<u8>,
    state: State,
    cut: bool,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    /// Between two messages.
    #[default]
    Between,
    /// In a length, of which this is the part that came.
    Length(usize, usize),
    /// Behind a length and a space.
    Announced(usize),
    /// In a message of which so many bytes are to come.
    Counted(usize),
    /// In a message that ends with its line.
    Line,
}

/// A message, and whether a part of it was dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Whether it was longer than is kept.
    pub is_cut: bool,
}

impl Frames {
    /// Takes what came, and hands out each message that is whole.
    pub fn push(&mut self, bytes: &[u8], mut take: impl FnMut(Frame)) {
        for byte in bytes {
            if let Some(frame) = self.step(*byte) {
                take(frame);
            }
        }
    }

    /// What is left where the stream ends: a last line may lack its end.
    pub fn finish(&mut self) -> Option<Frame> {
        match self.state {
            State::Line => Some(self.end()),
            _ => None,
        }
    }

    fn step(&mut self, byte: u8) -> Option<Frame> {
        match self.state {
            State::Between => self.begin(byte),
            State::Length(length, digits) => self.length(byte, length, digits),
            State::Announced(length) => self.announced(byte, length),
            State::Counted(left) => {
                self.keep(byte);
                self.state = State::Counted(left.saturating_sub(1));
                (left <= 1).then(|| self.end())
            }
            State::Line if byte == b'\n' => Some(self.end()),
            State::Line => {
                self.keep(byte);
                None
            }
        }
    }

    fn begin(&mut self, byte: u8) -> Option<Frame> {
        match byte {
            b'\n' | b'\r' | 0 => {}
            b'1'..=b'9' => {
                self.keep(byte);
                self.state = State::Length(usize::from(byte - b'0'), 1);
            }
            _ => {
                self.keep(byte);
                self.state = State::Line;
            }
        }
        None
    }

    /// Digits and a space in front of a `<` are a length. A line may begin with digits as well, such as those of a year.
    fn length(&mut self, byte: u8, length: usize, digits: usize) -> Option<Frame> {
        match byte {
            b'0'..=b'9' if digits < DIGITS => {
                self.keep(byte);
                self.state = State::Length(length * 10 + usize::from(byte - b'0'), digits + 1);
                None
            }
            b' ' => {
                self.keep(byte);
                self.state = State::Announced(length);
                None
            }
            _ => {
                self.state = State::Line;
                self.step(byte)
            }
        }
    }

    fn announced(&mut self, byte: u8, length: usize) -> Option<Frame> {
        if byte == b'<' {
            self.message.clear();
            self.state = State::Counted(length);
        } else {
            self.state = State::Line;
        }
        self.step(byte)
    }

    fn keep(&mut self, byte: u8) {
        if self.message.len() < LONGEST {
            self.message.push(byte);
        } else {
            self.cut = true;
        }
    }

    fn end(&mut self) -> Frame {
        self.state = State::Between;
        let (bytes, is_cut) = (std::mem::take(&mut self.message), std::mem::take(&mut self.cut));
        Frame { bytes, is_cut }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(pieces: &[&[u8]]) -> Vec<(String, bool)> {
        let (mut frames, mut found) = (Frames::default(), Vec::new());
        for piece in pieces {
            frames.push(piece, |frame| found.push(frame));
        }
        found.extend(frames.finish());
        let text = |frame: Frame| (String::from_utf8_lossy(&frame.bytes).into_owned(), frame.is_cut);
        found.into_iter().map(text).collect()
    }

    fn whole(text: &str) -> (String, bool) {
        (text.to_owned(), false)
    }

    #[test]
    fn messages_are_cut_by_line_or_by_length() {
        assert_eq!(
            cut(&[b"<13>one\r\n\n<13>two\nthr"]),
            [whole("<13>one\r"), whole("<13>two"), whole("thr")]
        );
        assert_eq!(
            cut(&[b"7 <13>one8 <13>", b"two\n<13>three\n"]),
            [whole("<13>one"), whole("<13>two\n"), whole("<13>three")],
            "a counted message may have ends of lines within"
        );
        assert_eq!(cut(&[b"2026-11-27T09:00:00Z x\n"]), [whole("2026-11-27T09:00:00Z x")]);
    }

    #[test]
    fn what_is_too_long_is_dropped_and_nothing_after_it() {
        let long = "x".repeat(LONGEST + 1);
        let kept = ("x".repeat(LONGEST), true);
        assert_eq!(cut(&[format!("{long}\ny\n").as_bytes()]), [kept, whole("y")]);
        let counted = format!("{} <{long}y\n", long.len() + 1);
        let kept = (format!("<{}", "x".repeat(LONGEST - 1)), true);
        assert_eq!(cut(&[counted.as_bytes()]), [kept, whole("y")]);
        // Lengths that are none.
        assert_eq!(
            cut(&[b"99999999 <x\n2026 x\n"]),
            [whole("99999999 <x"), whole("2026 x")]
        );
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_the_bytes_come(bytes in prop::collection::vec(any::<u8>(), 0..400), at in 0_usize..400) {
            let (first, second) = bytes.split_at(at.min(bytes.len()));
            prop_assert_eq!(cut(&[first, second]), cut(&[&bytes]));
        }

        #[test]
        fn lengths_and_lines_in_any_order(messages in prop::collection::vec(("[0-9 <a]{0,8}", any::<bool>()), 0..30)) {
            let sent = messages.iter().map(|(text, is_counted)| {
                let message = format!("<{text}");
                if *is_counted { format!("{} {message}", message.len()) } else { message + "\n" }
            });
            let expected: Vec<_> = messages.iter().map(|(text, _)| whole(&format!("<{text}"))).collect();
            prop_assert_eq!(cut(&[sent.collect::<String>().as_bytes()]), expected);
        }
    }
}
