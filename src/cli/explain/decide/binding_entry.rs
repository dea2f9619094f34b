//! An entry of a binding that may serve an image.

use crate::cli::explain::facts::StoredSpec;

/// An entry of a binding.
#[derive(Clone, Copy)]
pub(super) struct EntryOf<'a> {
    /// The binding.
    pub binding: &'a StoredSpec,
    /// The index of the entry.
    pub entry: usize,
}

impl EntryOf<'_> {
    /// Returns the binding as evidence names it.
    pub(super) fn object(&self) -> String {
        object_of(self.binding)
    }
}

/// Returns a binding as evidence names it.
pub(super) fn object_of(binding: &StoredSpec) -> String {
    format!("acrcredentialbinding/{}", binding.name())
}
