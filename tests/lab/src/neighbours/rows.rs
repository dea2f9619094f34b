//! The bad neighbours.

mod bindings;
mod connections;
mod objects;
mod registries;
mod shared;
mod tenants;
mod writes;

use futures::{FutureExt, future::LocalBoxFuture};

use super::{
    report::Found,
    stage::{Setup, Stage},
};

/// A bad neighbour.
#[derive(Clone, Copy)]
pub(super) struct Row {
    /// Its name on the command line.
    pub(super) name: &'static str,
    /// Its description in the tables.
    pub(super) title: &'static str,
    /// Changes the options before anything starts.
    pub(super) arrange: fn(&mut Setup),
    /// Creates what exists in all phases.
    pub(super) prepare: fn(&Stage) -> LocalBoxFuture<'_, anyhow::Result<()>>,
    /// Begins the fault, keeps it until the observation has ended, and ends it.
    pub(super) disturb: fn(&Stage) -> LocalBoxFuture<'_, anyhow::Result<Found>>,
    /// Restarts the controller, which must be compared with a restart without the neighbour.
    pub(super) restarts: bool,
}

impl Row {
    /// Returns a row that needs no preparation.
    const fn new(
        name: &'static str,
        title: &'static str,
        disturb: fn(&Stage) -> LocalBoxFuture<'_, anyhow::Result<Found>>,
    ) -> Row {
        let prepare: fn(&Stage) -> _ = |_| async { Ok(()) }.boxed_local();
        Row { name, title, arrange: |_| {}, prepare, disturb, restarts: false }
    }

    /// Changes the options before anything starts.
    const fn arranged(self, arrange: fn(&mut Setup)) -> Row {
        Row { arrange, ..self }
    }

    /// Has the controller restart in all phases, since the neighbour's has one.
    const fn restarting(self) -> Row {
        Row { restarts: true, ..self }
    }

    /// Creates something for all phases.
    const fn prepared(self, prepare: fn(&Stage) -> LocalBoxFuture<'_, anyhow::Result<()>>) -> Row {
        Row { prepare, ..self }
    }
}

/// Returns all rows, those of one tenant first and those that hit everyone last.
pub(super) fn all() -> Vec<Row> {
    [
        &writes::ROWS[..],
        &objects::ROWS,
        &connections::ROWS,
        &registries::ROWS,
        &bindings::ROWS,
        &tenants::ROWS,
        &shared::ROWS,
    ]
    .concat()
}

/// Returns names with a number each.
fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{prefix}-{number:03}")).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    #[test]
    fn each_row_has_a_name_of_its_own() {
        let rows = super::all();
        let names: HashSet<_> = rows.iter().map(|row| row.name).collect();
        assert!(names.len() == rows.len() && names.len() >= 20, "{names:?}");
    }
}
