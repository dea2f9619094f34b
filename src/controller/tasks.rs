//! Tasks that must never end, each with a name for the error that it did, a heartbeat, and a measure of the time for
//! which it keeps the others waiting.

use std::any::Any;
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::hash::Hash;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::{JoinError, JoinSet};
use tokio::time::MissedTickBehavior;
use tracing::{error, warn};

use super::work_queue::WorkQueue;
use crate::server::Metrics;
use crate::server::heartbeats::{self, Heartbeats};
use crate::server::metrics::TaskLabel;

/// Longest time for which a task may run without giving way to the others. All of them share one thread.
const LONGEST_POLL: Duration = Duration::from_millis(50);

/// Time between two log lines about one task.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Running tasks; each returns its name when it ends.
pub struct Tasks {
    running: JoinSet<&'static str>,
    observer: TaskObserver,
}

/// Observer of the tasks. Clones share what they observe.
#[derive(Clone)]
pub struct TaskObserver {
    heartbeats: Heartbeats,
    metrics: Arc<Metrics>,
    logged: Arc<Mutex<HashMap<&'static str, Instant>>>,
}

impl Tasks {
    /// Returns no tasks yet, which this observer will observe.
    pub fn new(observer: TaskObserver) -> Self {
        Self { running: JoinSet::new(), observer }
    }

    /// Observes the queue of a task that begins: its work must be taken from now on.
    pub fn follow<K>(&self, task: &'static str, queue_name: &'static str, queue: &Arc<WorkQueue<K>>)
    where
        K: Eq + Hash + Clone + Send + 'static,
    {
        let queue = queue.clone();
        self.observer.heartbeats.follow((task, queue_name), move || queue.waiting());
    }

    /// Waits for a task that ends; `None` without tasks.
    pub async fn join_next(&mut self) -> Option<Result<&'static str, JoinError>> {
        self.running.join_next().await
    }

    /// Ends all tasks.
    pub async fn shutdown(&mut self) {
        self.running.shutdown().await;
    }
}

impl TaskObserver {
    /// Returns an observer that has observed nothing yet.
    pub fn new(heartbeats: Heartbeats, metrics: Arc<Metrics>) -> Self {
        Self { heartbeats, metrics, logged: Arc::default() }
    }

    /// Runs a task with a heartbeat, and measures each of its steps.
    pub async fn observe<T>(self, name: &'static str, task: impl Future<Output = T>) -> T {
        let heartbeat = self.heartbeats.start(name);
        let mut beats = tokio::time::interval(heartbeats::INTERVAL);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut task = pin!(task);
        poll_fn(|context| {
            while beats.poll_tick(context).is_ready() {
                heartbeat.beat();
            }
            let begun = Instant::now();
            let progress = task.as_mut().poll(context);
            self.measure(name, begun.elapsed());
            progress
        })
        .await
    }

    /// Records a step that took too long: the others waited meanwhile.
    fn measure(&self, name: &'static str, took: Duration) {
        if took < LONGEST_POLL {
            return;
        }
        self.metrics.long_polls.get_or_create(&TaskLabel::of(name)).observe(took.as_secs_f64());
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.get(name).is_none_or(|last| last.elapsed() >= LOG_INTERVAL) {
            warn!(task = name, took_ms = took.as_millis(), "task blocked the others");
            logged.insert(name, Instant::now());
        }
    }
}

/// Returns the name of a task that ended.
pub fn name_of(ended: Result<&'static str, JoinError>) -> &'static str {
    ended.unwrap_or_else(|error| {
        error!(%error, "task panicked");
        "a task that panicked"
    })
}

/// Returns the panic of a task that ended by one: who started the task must not go on without it.
pub fn panic_of<T>(ended: Result<T, JoinError>) -> Option<Box<dyn Any + Send>> {
    ended.err()?.try_into_panic().ok()
}

/// Starts a task.
pub fn spawn<T>(tasks: &mut Tasks, name: &'static str, task: impl Future<Output = T> + Send + 'static) {
    let task = async move { drop(task.await) };
    #[cfg(debug_assertions)]
    let task = unless_ordered(name, task);
    let observer = tasks.observer.clone();
    tasks.running.spawn(async move {
        observer.observe(name, task).await;
        name
    });
}

/// Panics in place of a task once the file that `ACR_PANIC_FILE` names holds its name: so a test sees that no task is
/// missed. A release build has no such order.
#[cfg(debug_assertions)]
pub(super) async fn unless_ordered<T>(name: &'static str, task: impl Future<Output = T>) -> T {
    let Some(file) = std::env::var_os("ACR_PANIC_FILE") else { return task.await };
    tracing::trace!(name, "task begun");
    let ordered = async {
        while !std::fs::read_to_string(&file).is_ok_and(|order| order == name) {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        result = task => result,
        () = ordered => std::panic!("the task {name} panics as ordered"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use super::{LONGEST_POLL, TaskObserver, Tasks, name_of, spawn};
    use crate::server::Metrics;
    use crate::server::heartbeats::{Heartbeats, INTERVAL};

    fn observer() -> (TaskObserver, Heartbeats, Arc<Metrics>) {
        let (heartbeats, metrics) = (Heartbeats::default(), Arc::new(Metrics::default()));
        (TaskObserver::new(heartbeats.clone(), metrics.clone()), heartbeats, metrics)
    }

    #[tokio::test]
    async fn a_task_that_returns_and_one_that_panics_are_named() {
        let mut tasks = Tasks::new(observer().0);
        spawn(&mut tasks, "one that waits", std::future::pending::<()>());
        spawn(&mut tasks, "one that returns", async {});
        assert_eq!(name_of(tasks.join_next().await.unwrap()), "one that returns");
        spawn(&mut tasks, "one that panics", async { panic!("on purpose") });
        assert_eq!(name_of(tasks.join_next().await.unwrap()), "a task that panicked");
    }

    /// The tasks share the thread of the test.
    #[tokio::test(start_paused = true)]
    async fn a_task_that_waits_for_events_beats_and_one_that_blocks_stops_all_heartbeats() {
        let (observer, heartbeats, _) = observer();
        let mut tasks = Tasks::new(observer);
        spawn(&mut tasks, "quiet", std::future::pending::<()>());
        tokio::task::yield_now().await;
        let begun = Instant::now();
        while begun.elapsed().is_zero() {}
        let started = Instant::now();
        let age = || heartbeats.ages(started)[0].1;
        assert!(!age().is_zero());
        tokio::time::sleep(INTERVAL * 2).await;
        assert!(age().is_zero(), "it beat after that");
        let blocked = Instant::now();
        std::thread::sleep(Duration::from_millis(5));
        let (name, age) = heartbeats.stopped(Instant::now(), blocked.elapsed()).unwrap();
        assert!(name == "quiet" && age >= Duration::from_millis(5));
        tasks.shutdown().await;
        assert!(heartbeats.ages(Instant::now()).is_empty(), "a task that ended has no heartbeat");
    }

    #[tokio::test]
    async fn a_task_that_keeps_the_thread_is_counted_by_its_name() {
        let (observer, _, metrics) = observer();
        observer.measure("polite", LONGEST_POLL - Duration::from_millis(1));
        let mut tasks = Tasks::new(observer);
        spawn(&mut tasks, "greedy", async { std::thread::sleep(LONGEST_POLL) });
        while tasks.join_next().await.is_some() {}
        let text = metrics.render();
        assert!(text.contains("acr_task_long_poll_duration_seconds_count{task=\"greedy\"} 1"), "{text}");
        assert!(!text.contains("polite"), "{text}");
    }
}
