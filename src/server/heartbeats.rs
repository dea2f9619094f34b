//! Heartbeats of the tasks, so that one that no longer runs shows.
//!
//! A heartbeat comes from a timer in the task itself, never from the events that the task handles: a quiet cluster has
//! no events, and its tasks are alive all the same. A loop that runs but takes no work shows by its queue: keys wait that
//! could be taken, and none is.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Time from one beat to the next.
pub const INTERVAL: Duration = Duration::from_secs(1);

/// Age of a heartbeat from which on its task has stopped.
pub const STOPPED: Duration = Duration::from_secs(30);

/// Time for which work may wait untaken. A worker's calls to the API server take up to 10 s each, and a few follow each
/// other.
pub const UNTAKEN: Duration = Duration::from_secs(90);

/// Work that could be taken, while none is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitingWork {
    /// The number of keys that wait.
    pub keys: usize,
    /// The time since work could be taken, or since the last key was.
    pub age: Duration,
}

/// The heartbeats of a process, and the queues of its loops. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Heartbeats(Arc<Mutex<BeatingTasks>>);

#[derive(Default)]
struct BeatingTasks {
    tasks: BTreeMap<u64, (&'static str, Instant)>,
    next: u64,
    /// The queues by their names, each with the name of the task that takes its work.
    queues: BTreeMap<&'static str, (&'static str, Arc<WaitingProbe>)>,
}

/// A probe of a queue.
type WaitingProbe = dyn Fn() -> Option<WaitingWork> + Send + Sync;

impl fmt::Debug for BeatingTasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BeatingTasks").field("tasks", &self.tasks).finish_non_exhaustive()
    }
}

/// The heartbeat of one task. It is forgotten when this is dropped.
#[derive(Debug)]
pub struct Heartbeat {
    id: u64,
    all: Heartbeats,
}

impl Heartbeats {
    fn tasks(&self) -> MutexGuard<'_, BeatingTasks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the heartbeat of a task that starts. Tasks of one kind may share a name.
    pub fn start(&self, name: &'static str) -> Heartbeat {
        let mut all = self.tasks();
        let id = all.next;
        all.next += 1;
        all.tasks.insert(id, (name, Instant::now()));
        Heartbeat { id, all: self.clone() }
    }

    /// Returns the time since the last beat of each name, in the order of the names. Where tasks share a name, the
    /// oldest beat counts.
    pub fn ages(&self, now: Instant) -> Vec<(&'static str, Duration)> {
        let mut ages = BTreeMap::new();
        for (name, last) in self.tasks().tasks.values() {
            let age = now.saturating_duration_since(*last);
            let oldest = ages.entry(*name).or_insert(age);
            *oldest = age.max(*oldest);
        }
        ages.into_iter().collect()
    }

    /// Observes the queue of a task that begins: from now on its work is taken.
    pub fn follow(
        &self,
        (task, queue): (&'static str, &'static str),
        waiting: impl Fn() -> Option<WaitingWork> + Send + Sync + 'static,
    ) {
        self.tasks().queues.insert(queue, (task, Arc::new(waiting)));
    }

    /// Returns what waits in each queue, in the order of their names.
    pub fn waiting(&self) -> Vec<(&'static str, Option<WaitingWork>)> {
        self.probes().into_iter().map(|(queue, (_, waiting))| (queue, waiting())).collect()
    }

    /// Returns the queues. Each has a lock of its own, which must not be taken under this one.
    fn probes(&self) -> BTreeMap<&'static str, (&'static str, Arc<WaitingProbe>)> {
        self.tasks().queues.clone()
    }

    /// Returns the task that has not run for longest, if that is `limit` or more, or else the one that has taken no work
    /// for longest though some waits, if that is [`UNTAKEN`] or more.
    pub fn stopped(&self, now: Instant, limit: Duration) -> Option<(&'static str, Duration)> {
        let oldest = self.ages(now).into_iter().max_by_key(|(_, age)| *age);
        let waiting =
            || self.probes().into_values().filter_map(|(task, waiting)| Some((task, waiting()?.age)));
        let untaken = || waiting().max_by_key(|(_, age)| *age).filter(|(_, age)| *age >= UNTAKEN);
        oldest.filter(|(_, age)| *age >= limit).or_else(untaken)
    }
}

impl Heartbeat {
    /// Records that the task runs.
    pub fn beat(&self) {
        if let Some((_, last)) = self.all.tasks().tasks.get_mut(&self.id) {
            *last = Instant::now();
        }
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.all.tasks().tasks.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Heartbeats, STOPPED, UNTAKEN, WaitingWork};

    /// Waits until the clock has moved on, so that a later time differs from an earlier one.
    fn tick() -> Instant {
        let begun = Instant::now();
        while begun.elapsed().is_zero() {}
        Instant::now()
    }

    #[test]
    fn the_oldest_beat_of_a_name_counts_until_its_task_ends() {
        let all = Heartbeats::default();
        let first = all.start("worker");
        let between = tick();
        tick();
        let (second, _other) = (all.start("worker"), all.start("admin"));
        let age = |name: &str| {
            let ages = all.ages(between + STOPPED);
            ages.into_iter().find(|(found, _)| *found == name).map(|(_, age)| age)
        };
        assert!(age("worker") > Some(STOPPED), "the first has not beaten since");
        assert!(age("admin") < Some(STOPPED));
        first.beat();
        assert!(age("worker") < Some(STOPPED), "both have");
        drop((first, second));
        assert_eq!(age("worker"), None, "tasks that ended are forgotten");
    }

    #[test]
    fn a_task_has_stopped_from_the_limit_on() {
        let all = Heartbeats::default();
        assert_eq!(all.stopped(Instant::now() + STOPPED, STOPPED), None, "there is no task");
        let begun = Instant::now();
        let heartbeat = all.start("loop");
        assert_eq!(all.stopped(begun + STOPPED - Duration::from_millis(1), STOPPED), None);
        let (name, age) = all.stopped(Instant::now() + STOPPED, STOPPED).unwrap();
        assert!(name == "loop" && age >= STOPPED);
        drop(heartbeat);
        assert_eq!(all.stopped(Instant::now() + STOPPED, STOPPED), None);
    }

    #[test]
    fn work_that_no_loop_takes_counts_as_stopped_from_its_limit_on() {
        let all = Heartbeats::default();
        let _heartbeat = all.start("loop");
        let work = |age| Some(WaitingWork { keys: 2, age });
        all.follow(("the namespace loop", "namespace"), move || work(UNTAKEN));
        all.follow(("a binding worker", "binding"), || None);
        assert_eq!(all.waiting(), [("binding", None), ("namespace", work(UNTAKEN))]);
        assert_eq!(all.stopped(Instant::now(), STOPPED), Some(("the namespace loop", UNTAKEN)));
        let shortly = UNTAKEN - Duration::from_millis(1);
        all.follow(("the namespace loop", "namespace"), move || work(shortly));
        assert_eq!(all.stopped(Instant::now(), STOPPED), None);
    }
}
