//! Tasks that must never end, each with a name to say that it did.

use std::future::Future;

use tokio::task::{JoinError, JoinSet};
use tracing::error;

/// What runs; a task gives its name when it ends.
pub type Tasks = JoinSet<&'static str>;

/// Which task ended.
pub fn name_of(ended: Result<&'static str, JoinError>) -> &'static str {
    ended.unwrap_or_else(|error| {
        error!(%error, "a task broke off");
        "a task that broke off"
    })
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
    async fn a_task_that_returns_and_one_that_breaks_off_are_told() {
        let mut tasks = Tasks::new();
        spawn(&mut tasks, "one that waits", std::future::pending::<()>());
        spawn(&mut tasks, "one that returns", async {});
        assert_eq!(name_of(tasks.join_next().await.unwrap()), "one that returns");
        spawn(&mut tasks, "one that breaks off", async { panic!("on purpose") });
        assert_eq!(name_of(tasks.join_next().await.unwrap()), "a task that broke off");
    }
}
