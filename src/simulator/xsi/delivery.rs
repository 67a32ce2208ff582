//! What happens to users, and who is told.

use std::time::Instant;

use uuid::Uuid;

use super::host::{Call, Host, Target, User};
use super::xml::{self, NAMESPACE};

const DO_NOT_DISTURB: &str = "Do Not Disturb";

/// An event that concerns a user.
struct News<'a> {
    user: &'a str,
    /// Whether it is of do not disturb; otherwise, of calls.
    of_dnd: bool,
    kind: &'a str,
    data: String,
}

impl Host {
    /// Switches do not disturb; a ring splash that is not given stays.
    pub fn set_dnd(&mut self, user: &str, active: bool, ring_splash: Option<bool>) {
        let Some(known) = self.users.get_mut(user) else {
            return;
        };
        let was = (known.dnd, known.ring_splash);
        known.dnd = active;
        known.ring_splash = ring_splash.unwrap_or(known.ring_splash);
        let is = (known.dnd, known.ring_splash);
        if is != was {
            self.tell(&dnd_news(user, is));
        }
    }

    /// A call begins. The answer is its id.
    pub fn begin_call(&mut self, user: &str, outgoing: bool) -> Option<String> {
        let id = format!("callhalf-{}:0", self.next());
        let call = Call {
            state: "Alerting".into(),
            outgoing,
        };
        self.users.get_mut(user)?.calls.insert(id.clone(), call.clone());
        if outgoing {
            self.tell_hook(user, "Off-Hook");
            self.tell_call(user, &id, &call, "CallOriginatedEvent");
        } else {
            self.tell_call(user, &id, &call, "CallReceivedEvent");
        }
        Some(id)
    }

    /// A call goes on: `answered`, `held` or `retrieved`. False if there is no such call or step.
    pub fn change_call(&mut self, id: &str, step: &str) -> bool {
        let (state, kind) = match step {
            "answered" => ("Active", "CallAnsweredEvent"),
            "held" => ("Held", "CallHeldEvent"),
            "retrieved" => ("Active", "CallRetrievedEvent"),
            _ => return false,
        };
        let found = self
            .users
            .values_mut()
            .find_map(|user| Some((user.id.clone(), user.calls.get_mut(id)?)));
        let Some((user, call)) = found else {
            return false;
        };
        call.state = state.into();
        let call = call.clone();
        if step == "answered" && !call.outgoing {
            self.tell_hook(&user, "Off-Hook");
        }
        self.tell_call(&user, id, &call, kind);
        true
    }

    /// A call ends. False if there is none.
    pub fn end_call(&mut self, id: &str) -> bool {
        let found = self.users.values_mut().find_map(|user| {
            let call = user.calls.remove(id)?;
            Some((user.id.clone(), call, user.calls.is_empty()))
        });
        let Some((user, mut call, is_last)) = found else {
            return false;
        };
        call.state = "Released".into();
        self.tell_call(&user, id, &call, "CallReleasedEvent");
        if is_last {
            self.tell_hook(&user, "On-Hook");
        }
        true
    }

    fn tell_hook(&mut self, user: &str, status: &str) {
        self.tell(&News {
            user,
            of_dnd: false,
            kind: "HookStatusEvent",
            data: xml::elements("xsi:", &[("hookStatus", status)]),
        });
    }

    fn tell_call(&mut self, user: &str, id: &str, call: &Call, kind: &str) {
        self.tell(&News {
            user,
            of_dnd: false,
            kind,
            data: xml::element("xsi:call", &call_fields(id, call)),
        });
    }

    /// Tells all subscriptions that something concerns.
    fn tell(&mut self, news: &News<'_>) {
        let concerned = self.subscriptions.iter().filter(|(_, one)| {
            one.covers(news.user) && (one.event == DO_NOT_DISTURB) == news.of_dnd && one.ends > Instant::now()
        });
        let ids: Vec<String> = concerned.map(|(id, _)| id.clone()).collect();
        for id in ids {
            self.deliver(&id, news);
        }
    }

    /// The state at the beginning of a subscription.
    pub fn tell_initial(&mut self, id: &str) {
        let Some(subscription) = self.subscriptions.get(id) else {
            return;
        };
        let users: Vec<User> = match &subscription.target {
            Target::User(user) => self.users.get(user).cloned().into_iter().collect(),
            Target::Provider if self.setup.manners.provider_snapshots => self.users.values().cloned().collect(),
            Target::Provider => Vec::new(),
        };
        let of_dnd = subscription.event == DO_NOT_DISTURB;
        for user in users {
            let news = if of_dnd {
                dnd_news(&user.id, (user.dnd, user.ring_splash))
            } else {
                snapshot(&user)
            };
            self.deliver(id, &news);
        }
    }

    /// Sends an event over one of the channels of the subscription's set, any of them.
    fn deliver(&mut self, id: &str, news: &News<'_>) {
        let Some(subscription) = self.subscriptions.get_mut(id) else {
            return;
        };
        let mut open: Vec<_> = self
            .channels
            .iter_mut()
            .filter(|(_, channel)| channel.set == subscription.set && !channel.out.is_closed())
            .collect();
        if open.is_empty() {
            return;
        }
        let (channel_id, channel) = open.swap_remove(fastrand::usize(..open.len()));
        subscription.count += 1;
        let (event, number) = (Uuid::new_v4().to_string(), subscription.count.to_string());
        let fields = [
            ("eventID", event.as_str()),
            ("sequenceNumber", &number),
            ("userId", &subscription.subscriber),
            ("subscriptionId", id),
            ("externalApplicationId", "simulated"),
            ("channelId", channel_id),
            ("targetId", news.user),
        ];
        let data = format!(
            "<xsi:eventData xsi1:type=\"xsi:{}\">{}</xsi:eventData>",
            news.kind, news.data
        );
        channel.say(event_document("SubscriptionEvent", &fields, &data));
        channel.unanswered.insert(event, Instant::now());
    }

    /// Ends a subscription, and tells so.
    pub fn end_subscription(&mut self, id: &str) {
        let Some(gone) = self.subscriptions.remove(id) else {
            return;
        };
        let mut channels = self.channels.iter_mut();
        let Some((channel_id, channel)) = channels.find(|(_, channel)| channel.set == gone.set) else {
            return;
        };
        let event = Uuid::new_v4().to_string();
        let fields = [
            ("eventID", event.as_str()),
            ("userId", &gone.subscriber),
            ("subscriptionId", id),
            ("channelId", channel_id),
        ];
        channel.say(event_document("SubscriptionTerminatedEvent", &fields, ""));
        channel.unanswered.insert(event, Instant::now());
    }

    /// Ends a channel, and tells so on it. Without a channel in their set, subscriptions end as well.
    pub fn end_channel(&mut self, id: &str, reason: &str) {
        if let Some(channel) = self.channels.get(id) {
            let fields = [("channelId", id), ("reason", reason)];
            channel.say(event_document("ChannelTerminatedEvent", &fields, ""));
        }
        self.forget_channel(id);
    }

    /// The server knows a channel no more, while its stream stays open: the next heartbeat finds out.
    pub fn lose_channel(&mut self, id: &str) {
        if let Some(channel) = self.channels.get(id) {
            self.lost.push(channel.out.clone());
        }
        self.forget_channel(id);
    }

    /// The connection of a channel breaks.
    pub fn break_channel(&mut self, id: &str) {
        if let Some(channel) = self.channels.get(id) {
            // A full channel is cut off anyway.
            let _ = channel.out.try_send(Err(std::io::ErrorKind::ConnectionReset.into()));
        }
        self.forget_channel(id);
    }

    /// The same without a word: the stream ends once what was said is sent.
    pub fn forget_channel(&mut self, id: &str) {
        let Some(gone) = self.channels.remove(id) else {
            return;
        };
        if !self.channels.values().any(|channel| channel.set == gone.set) {
            self.subscriptions
                .retain(|_, subscription| subscription.set != gone.set);
        }
    }
}

fn dnd_news(user: &str, (active, rings): (bool, bool)) -> News<'_> {
    News {
        user,
        of_dnd: true,
        kind: "DoNotDisturbEvent",
        data: xml::elements(
            "xsi:",
            &[("active", &active.to_string()), ("ringSplash", &rings.to_string())],
        ),
    }
}

fn snapshot(user: &User) -> News<'_> {
    let hook = if user.calls.is_empty() { "On-Hook" } else { "Off-Hook" };
    let calls = user.calls.iter();
    let calls: Vec<String> = calls
        .map(|(id, call)| xml::element("xsi:call", &call_fields(id, call)))
        .collect();
    let hook = xml::elements("xsi:", &[("hookStatus", hook)]);
    News {
        user: &user.id,
        of_dnd: false,
        kind: "CallSubscriptionEvent",
        data: format!("<xsi:calls>{}</xsi:calls>{hook}", calls.concat()),
    }
}

fn call_fields(id: &str, call: &Call) -> String {
    let personality = if call.outgoing { "Originator" } else { "Terminator" };
    let fields = [
        ("callId", id),
        ("extTrackingId", "1:1"),
        ("personality", personality),
        ("state", call.state.as_str()),
    ];
    xml::elements("xsi:", &fields)
}

fn event_document(kind: &str, fields: &[(&str, &str)], data: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<xsi:Event xsi1:type=\"xsi:{kind}\" xmlns:xsi=\"{NAMESPACE}\" \
         xmlns:xsi1=\"http://www.w3.org/2001/XMLSchema-instance\">{}{data}</xsi:Event>",
        xml::elements("xsi:", fields)
    )
}
