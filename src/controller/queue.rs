//! Objects that want a reconcile, each at most once, from any task to the leader's controllers.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use futures::Stream;
use futures::stream::unfold;
use kube::Resource;
use kube::runtime::reflector::ObjectRef;
use tokio::sync::Notify;

/// A set of waiting objects; bounded by the number of objects there are.
pub struct Queue<K: Resource>
where
    K::DynamicType: Eq + Hash,
{
    waiting: Arc<Mutex<HashSet<ObjectRef<K>>>>,
    news: Arc<Notify>,
}

impl<K: Resource> Clone for Queue<K>
where
    K::DynamicType: Eq + Hash,
{
    fn clone(&self) -> Self {
        Self {
            waiting: self.waiting.clone(),
            news: self.news.clone(),
        }
    }
}

impl<K: Resource> Default for Queue<K>
where
    K::DynamicType: Eq + Hash,
{
    fn default() -> Self {
        Self {
            waiting: Arc::default(),
            news: Arc::default(),
        }
    }
}

impl<K: Resource + 'static> Queue<K>
where
    K::DynamicType: Eq + Hash + Clone + Send + 'static,
{
    /// Asks for a reconcile of `object`.
    pub fn push(&self, object: ObjectRef<K>) {
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(object);
        self.news.notify_one();
    }

    /// Everything pushed, as it comes. Meant for one reader.
    pub fn stream(&self) -> impl Stream<Item = ObjectRef<K>> + Send + 'static {
        unfold(self.clone(), |queue| async move {
            loop {
                if let Some(object) = queue.take() {
                    return Some((object, queue));
                }
                queue.news.notified().await;
            }
        })
    }

    fn take(&self) -> Option<ObjectRef<K>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let object = waiting.iter().next().cloned()?;
        waiting.take(&object)
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use k8s_openapi::api::core::v1::Secret;

    use super::*;

    #[tokio::test]
    async fn hands_out_each_object_once() {
        let queue = Queue::<Secret>::default();
        queue.push(ObjectRef::new("a"));
        queue.push(ObjectRef::new("a"));
        queue.push(ObjectRef::new("b"));
        let mut stream = Box::pin(queue.stream());
        let mut names = vec![stream.next().await.unwrap().name, stream.next().await.unwrap().name];
        names.sort();
        assert_eq!(names, ["a", "b"]);
        let later = tokio::spawn(async move { stream.next().await.unwrap().name });
        queue.push(ObjectRef::new("c"));
        assert_eq!(later.await.unwrap(), "c");
    }
}
