//! What the worker is told of users.

use std::collections::BTreeSet;

use super::{Out, Set};
use crate::policy::presence::pbx::{PbxEvent, PbxView};

impl Set {
    /// Tells whether the server has a user, if that is news.
    pub(super) fn exists(&mut self, key: &str, exists: bool) {
        let Some(user) = self.users.get(key) else { return };
        let is_news = if exists {
            self.absent.remove(key)
        } else {
            self.absent.insert(key.to_owned())
        };
        if is_news {
            let id = user.id.clone();
            self.out.push_back(Out::Event(PbxEvent::Exists { id, exists }));
        }
    }

    /// After a channel came or went, every view is told as it is now.
    pub(super) fn tell_again(&mut self, event: PbxEvent) {
        self.out.push_back(Out::Event(event));
        let shown: BTreeSet<String> = self.shown.drain().map(|(key, _)| key).collect();
        for key in shown {
            if let Some(user) = self.users.get(&key) {
                let view = user.view(self.own.contains_key(&key));
                let event = PbxEvent::View {
                    id: user.id.clone(),
                    view: view.clone(),
                };
                self.shown.insert(key, view);
                self.out.push_back(Out::Event(event));
            }
        }
    }

    /// Tells a user's view if it differs from what was told.
    pub(super) fn show(&mut self, key: &str) {
        let Some(user) = self.users.get(key) else { return };
        let view = user.view(self.own.contains_key(key));
        let is_news = match self.shown.get(key) {
            Some(shown) => *shown != view,
            None => view != PbxView::default(),
        };
        if is_news {
            let event = PbxEvent::View {
                id: user.id.clone(),
                view: view.clone(),
            };
            self.shown.insert(key.to_owned(), view);
            self.out.push_back(Out::Event(event));
        }
    }
}
