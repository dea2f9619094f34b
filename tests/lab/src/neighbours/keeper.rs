//! The controller under a kubelet's care: started again when it ends, with its figures across restarts.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use acr_lab::controller::{Controller, ControllerOptions};
use tokio::task::JoinHandle;

/// How often to read the figures: the kernel drops them with the process.
const POLL_EVERY: Duration = Duration::from_millis(50);

/// A kubelet waits so long before the second restart, and twice as long before each further one.
const FIRST_WAIT: Duration = Duration::from_secs(10);

/// The longest wait. A kubelet's is five minutes, which no phase lasts.
const LONGEST_WAIT: Duration = Duration::from_secs(40);

/// The longest time for a start or an end.
const PATIENCE: Duration = Duration::from_secs(60);

/// A controller that is started again when it ends; killed when dropped.
pub(super) struct Keeper {
    controller: Arc<Controller>,
    figures: Arc<Mutex<Figures>>,
    /// Held while the controller is stopped on purpose.
    on_purpose: Arc<tokio::sync::Mutex<()>>,
    keeping: JoinHandle<()>,
}

#[derive(Default)]
struct Figures {
    /// The processor time of earlier processes.
    past: Duration,
    /// The processor time of this one.
    cpu: Duration,
    peak_rss_kib: u64,
    ends: u32,
}

impl Keeper {
    /// Starts a controller, and waits until it is ready.
    pub(super) async fn start(options: ControllerOptions) -> anyhow::Result<Keeper> {
        let controller = Arc::new(Controller::start_ready(options, PATIENCE).await?);
        let (figures, on_purpose) = (Arc::default(), Arc::default());
        let keeping =
            tokio::spawn(keep(Arc::clone(&controller), Arc::clone(&figures), Arc::clone(&on_purpose)));
        Ok(Keeper { controller, figures, on_purpose, keeping })
    }

    /// Stops the controller and starts it again, as a rollout does. Does not wait until it is ready.
    pub(super) async fn restart(&self) -> anyhow::Result<()> {
        let _on_purpose = self.on_purpose.lock().await;
        read(&self.controller, &self.figures);
        if self.controller.is_running() {
            self.controller.terminate(PATIENCE).await?;
        }
        lock(&self.figures).next_process();
        self.controller.restart()
    }

    /// Waits until the controller is ready; returns whether it was in time.
    pub(super) async fn until_ready(&self, patience: Duration) -> bool {
        let ready = async {
            while !matches!(self.controller.ready().await, Ok(None)) {
                tokio::time::sleep(POLL_EVERY).await;
            }
        };
        tokio::time::timeout(patience, ready).await.is_ok()
    }

    /// Returns the processor time of all its processes.
    pub(super) fn cpu(&self) -> Duration {
        read(&self.controller, &self.figures);
        let figures = lock(&self.figures);
        figures.past + figures.cpu
    }

    /// Returns the most memory that any of its processes held at once.
    pub(super) fn peak_rss_kib(&self) -> u64 {
        read(&self.controller, &self.figures);
        lock(&self.figures).peak_rss_kib
    }

    /// Returns how often it ended by itself.
    pub(super) fn ends(&self) -> u32 {
        lock(&self.figures).ends
    }

    /// Returns the address of its health and metrics endpoints.
    pub(super) fn admin_address(&self) -> String {
        self.controller.address()
    }

    /// Returns the last lines of its log.
    pub(super) fn log_tail(&self, lines: usize) -> String {
        self.controller.log_tail(lines)
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.keeping.abort();
    }
}

impl Figures {
    fn next_process(&mut self) {
        self.past += std::mem::take(&mut self.cpu);
    }
}

fn lock(figures: &Mutex<Figures>) -> MutexGuard<'_, Figures> {
    figures.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read(controller: &Controller, figures: &Mutex<Figures>) {
    let mut figures = lock(figures);
    // A process that has just ended has no figures.
    if let Ok(cpu) = controller.cpu() {
        figures.cpu = cpu.max(figures.cpu);
    }
    if let Ok(peak) = controller.peak_rss_kib() {
        figures.peak_rss_kib = peak.max(figures.peak_rss_kib);
    }
}

async fn keep(
    controller: Arc<Controller>,
    figures: Arc<Mutex<Figures>>,
    on_purpose: Arc<tokio::sync::Mutex<()>>,
) {
    let mut wait = Duration::ZERO;
    loop {
        tokio::time::sleep(POLL_EVERY).await;
        let _not_on_purpose = on_purpose.lock().await;
        if controller.is_running() {
            read(&controller, &figures);
            continue;
        }
        lock(&figures).ends += 1;
        lock(&figures).next_process();
        tokio::time::sleep(wait).await;
        wait = (wait * 2).clamp(FIRST_WAIT, LONGEST_WAIT);
        if let Err(error) = controller.restart() {
            println!("   the controller did not start again: {error:#}");
        }
    }
}
