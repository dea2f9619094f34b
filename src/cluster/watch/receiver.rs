//! A sink, and what it must not believe yet.
//!
//! The answer to our own write is often ahead of a list: the event of that write follows. After a restore of etcd no event
//! follows, since the known version belongs to a history that was undone, and the older object is the true one. Which of
//! the two it is shows once everything up to the known version was heard.

use std::collections::HashMap;

use kube::{Resource, ResourceExt};

use super::sink::Sink;
use crate::cluster::listed_names::ListedNames;

/// Namespace and name of an object.
type ObjectName = (Box<str>, Box<str>);

/// The last thing heard of an object, which is older than it is known.
enum Older<K> {
    Exists(K),
    Gone(K),
}

/// Hands lists and events to a sink.
pub(super) struct Receiver<K, S> {
    pub(super) sink: S,
    older: HashMap<ObjectName, Older<K>>,
}

impl<K: Resource<DynamicType = ()>, S: Sink<K>> Receiver<K, S> {
    pub(super) fn new(sink: S) -> Self {
        Self { sink, older: HashMap::new() }
    }

    /// Begins a list, which replaces what the last one showed.
    pub(super) fn begin_list(&mut self) {
        self.older.clear();
    }

    /// Handles an object of a list.
    pub(super) fn list(&mut self, object: K) {
        if is_older(&self.sink, &object) {
            self.older.insert(name(&object), Older::Exists(object));
        } else {
            self.sink.put(object);
        }
    }

    /// Handles the end of a list of this version.
    pub(super) fn end_list(&mut self, names: &ListedNames, version: &str) {
        self.heard_until(version);
        self.sink.listed(names);
    }

    /// Handles an object that was added or changed.
    pub(super) fn put(&mut self, object: K) {
        match self.older.remove(&name(&object)) {
            Some(_) if is_older(&self.sink, &object) => {
                self.older.insert(name(&object), Older::Exists(object));
            }
            _ => self.sink.put(object),
        }
    }

    /// Handles a deleted object.
    pub(super) fn remove(&mut self, object: K) {
        match self.older.remove(&name(&object)) {
            Some(_) if is_older(&self.sink, &object) => {
                self.older.insert(name(&object), Older::Gone(object));
            }
            _ => self.sink.remove(object),
        }
    }

    /// Records that everything up to a version was heard: what is known of it and was not among that never happened.
    pub(super) fn heard_until(&mut self, version: &str) {
        let Ok(version) = version.parse::<u64>() else { return };
        let Self { sink, older } = self;
        let is_undone = |_: &ObjectName, older: &mut Older<K>| {
            let (Older::Exists(object) | Older::Gone(object)) = older;
            sink.known_version(object).is_some_and(|known| known <= version)
        };
        let undone: Vec<_> = older.extract_if(is_undone).collect();
        for (_, older) in undone {
            match older {
                Older::Exists(object) => {
                    self.sink.forget_version(&object);
                    self.sink.put(object);
                }
                Older::Gone(object) => {
                    self.sink.forget_version(&object);
                    self.sink.remove(object);
                }
            }
        }
    }
}

/// Returns whether an object is older than it is known.
fn is_older<K: Resource>(sink: &impl Sink<K>, object: &K) -> bool {
    let version = object.meta().resource_version.as_deref().and_then(|version| version.parse::<u64>().ok());
    matches!((version, sink.known_version(object)), (Some(version), Some(known)) if version < known)
}

fn name<K: Resource<DynamicType = ()>>(object: &K) -> ObjectName {
    (object.namespace().unwrap_or_default().into(), object.name_any().into())
}
