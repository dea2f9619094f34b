//! The agreement of a fault and its observer on when each begins and ends.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use tokio::sync::watch;

/// The progress of one fault.
#[derive(Default)]
pub(super) struct Scene {
    in_place: watch::Sender<bool>,
    over: watch::Sender<bool>,
    busy: AtomicUsize,
}

/// Work of a neighbour that must be observed to its end; ends when dropped.
pub(super) struct Busy<'a>(&'a Scene);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Scene {
    /// Reports that the fault has its effect.
    pub(super) fn in_place(&self) {
        self.in_place.send_replace(true);
    }

    /// Waits until the fault has its effect.
    pub(super) async fn until_in_place(&self) {
        wait(&self.in_place).await;
    }

    /// Keeps the observation going until the guard is dropped.
    pub(super) fn busy(&self) -> Busy<'_> {
        self.busy.fetch_add(1, Ordering::SeqCst);
        Busy(self)
    }

    /// Returns whether a neighbour has work that must be observed to its end.
    pub(super) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::SeqCst) > 0
    }

    /// Keeps the observation going for at least this long.
    pub(super) async fn at_least(&self, time: Duration) {
        let _busy = self.busy();
        tokio::time::sleep(time).await;
    }

    /// Reports that the observation has ended.
    pub(super) fn end(&self) {
        self.over.send_replace(true);
    }

    /// Returns whether the observation has ended.
    pub(super) fn is_over(&self) -> bool {
        *self.over.borrow()
    }

    /// Waits until the observation has ended.
    pub(super) async fn until_over(&self) {
        wait(&self.over).await;
    }
}

async fn wait(flag: &watch::Sender<bool>) {
    // The sender is borrowed, so that it cannot be gone.
    let _ = flag.subscribe().wait_for(|set| *set).await;
}
