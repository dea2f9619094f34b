//! Tasks that must never end, each with a name for the error that it did.

use std::any::Any;
use std::future::Future;

use tokio::task::{JoinError, JoinSet};
use tracing::error;

/// Running tasks; each returns its name when it ends.
pub type Tasks = JoinSet<&'static str>;

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
    tasks.spawn(async move {
        task.await;
        name
    });
}

#[cfg(test)]
mod tests {
    use super::{Tasks, name_of, spawn};

    #[tokio::test]
    async fn a_task_that_returns_and_one_that_panics_are_named() {
        let mut tasks = Tasks::new();
        spawn(&mut tasks, "one that waits", std::future::pending::<()>());
        spawn(&mut tasks, "one that returns", async {});
        assert_eq!(name_of(tasks.join_next().await.unwrap()), "one that returns");
        spawn(&mut tasks, "one that panics", async { panic!("on purpose") });
        assert_eq!(name_of(tasks.join_next().await.unwrap()), "a task that panicked");
    }
}
