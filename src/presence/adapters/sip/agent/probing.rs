//! Whether the server is there: OPTIONS at first and while nobody is watched, later a refresh.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::exchanges::{Errand, Proofs, Purpose};
use super::{Agent, Output, Timer, WINDOW, patience_of, random};
use crate::policy::presence::pbx::PbxError;
use crate::presence::adapters::sip::message::Message;
use crate::presence::adapters::sip::text::parameter;

/// How often the server is asked whether it is there.
const PROBE_EVERY: Duration = Duration::from_secs(30);
/// How long it may take to answer that.
pub(super) const PROBE_PATIENCE: Duration = Duration::from_secs(10);
impl Agent {
    /// Asks whether the server is there.
    pub(super) fn probe(&mut self, proofs: Proofs, now: Instant) {
        let domain = format!("sip:{}", self.profile.domain());
        let contact = self.contact();
        let Some(link) = &mut self.link else {
            return;
        };
        link.sequence += 1;
        let from = self.profile.subscriber();
        let message = Message::request("OPTIONS", &domain)
            .with("From", format!("<{from}>;tag={}", random()))
            .with("To", format!("<{domain}>"))
            .with("Call-ID", &*link.call_id)
            .with("CSeq", format!("{} OPTIONS", link.sequence))
            .with("Contact", contact)
            .with("Accept", "application/pidf+xml, application/dialog-info+xml");
        let errand = Errand {
            patience: PROBE_PATIENCE,
            ..Errand::new(Purpose::Probe, proofs)
        };
        self.send(errand, message, now);
    }

    pub(super) fn probe_again(&mut self, now: Instant) {
        let busy = self.held_until.is_some() || self.exchanges.len() >= WINDOW;
        if !busy && !self.probe_by_refresh(now) {
            self.probe(Proofs::NONE, now);
        }
        self.timers
            .set(Timer::Probe, now + PROBE_EVERY.mul_f64(0.8 + 0.4 * fastrand::f64()));
    }

    /// Whatever it answers, it speaks SIP; what it thinks of users, their requests tell.
    pub(super) fn probed(&mut self, answer: &Message, status: u16, now: Instant) {
        let Some(link) = &mut self.link else {
            return;
        };
        if status == 503 && !link.up {
            self.outputs
                .push_back(Output::Drop(PbxError::Throttled(patience_of(answer))));
            return;
        }
        if link.up {
            return;
        }
        link.up = true;
        if let Some(seen) = seen_as(answer) {
            link.contact = seen.to_string();
        }
        self.outbox.up();
        self.timers.set(Timer::Probe, now + PROBE_EVERY);
        self.watch_all(now);
        self.publish_all(now);
    }
}

/// Our address as the server sees it, behind address translation (RFC 3581).
fn seen_as(answer: &Message) -> Option<SocketAddr> {
    let via = answer.list("Via").next()?;
    let host: IpAddr = parameter(via, "received")?.trim_matches(['[', ']']).parse().ok()?;
    let port = parameter(via, "rport")?.parse().ok()?;
    Some(SocketAddr::new(host, port))
}
