//! Where a message ends on a stream (RFC 3261 section 18.3): its `Content-Length` says it.

use super::message::{MOST_BYTES, MOST_HEAD_BYTES, Malformed, Message, split_head};

/// What a stream carries.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// A message.
    Message(Box<Message>),
    /// Two empty lines: the peer asks whether anybody is there (RFC 5626 section 3.5.1), and wants one empty line.
    Ping,
}

/// Cuts a stream into messages. After an error nobody knows where the next message begins: the stream must end.
#[derive(Debug, Default)]
pub(super) struct Framer {
    bytes: Vec<u8>,
    /// How much of a head was looked through in vain, so that a slow sender costs nothing more.
    looked_at: usize,
    /// How many bytes the next message has, once its head is there.
    needed: usize,
}

impl Framer {
    /// Takes what was received.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next frame; `None` until more is received.
    pub(super) fn next(&mut self) -> Result<Option<Frame>, Malformed> {
        if self.bytes.starts_with(b"\r\n\r\n") {
            self.drop_front(4);
            return Ok(Some(Frame::Ping));
        }
        // A single empty line is an answer to a ping, or lies between messages. It may still become a ping.
        if self.bytes.starts_with(b"\r\n") && self.bytes.get(2).is_some_and(|next| *next != b'\r') {
            self.drop_front(2);
        }
        if b"\r\n\r\n".starts_with(&self.bytes) {
            return Ok(None);
        }
        if self.bytes.len() < self.needed {
            return Ok(None);
        }
        let from = self.looked_at.saturating_sub(3);
        let found = self.bytes.get(from..).and_then(split_head);
        let Some((piece, rest)) = found else {
            self.looked_at = self.bytes.len();
            return if self.bytes.len() > MOST_HEAD_BYTES {
                Err(Malformed::TooLong)
            } else {
                Ok(None)
            };
        };
        let head_end = from + piece.len();
        let head = self.bytes.get(..head_end).unwrap_or_default();
        let mut message = Message::read_head(head)?;
        let length = message.content_length()?.ok_or(Malformed::Length)?;
        if length > MOST_BYTES {
            return Err(Malformed::TooLong);
        }
        let Some(body) = rest.get(..length) else {
            self.needed = head_end + 4 + length;
            return Ok(None);
        };
        message.body = body.to_vec();
        self.drop_front(head_end + 4 + length);
        Ok(Some(Frame::Message(Box::new(message))))
    }

    fn drop_front(&mut self, bytes: usize) {
        self.bytes.drain(..bytes.min(self.bytes.len()));
        self.looked_at = 0;
        self.needed = 0;
    }
}

#[cfg(test)]
mod tests;
