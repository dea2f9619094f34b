//! Tasks that must never end, each with a name for the error that it did.

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

/// Starts a task.
pub fn spawn<T>(tasks: &mut Tasks, name: &'static str, task: impl Future<Output = T> + Send + 'static) {
    let task = async move { drop(task.await) };
    #[cfg(debug_assertions)]
    let task = unless_ordered(name, task);
    tasks.spawn(async move {
        task.await;
        name
    });
}

/// Panics in place of a task once the file that `ACR_PANIC_FILE` names holds its name: so a test sees that no task is
/// missed. A release build has no such order.
#[cfg(debug_assertions)]
#[expect(clippy::panic, reason = "a test ordered it")]
async fn unless_ordered(name: &'static str, task: impl Future<Output = ()>) {
    let Some(file) = std::env::var_os("ACR_PANIC_FILE") else { return task.await };
    tracing::trace!(name, "task begun");
    let ordered = async {
        while !std::fs::read_to_string(&file).is_ok_and(|order| order == name) {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        () = task => {}
        () = ordered => std::panic!("the task {name} panics as ordered"),
    }
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
