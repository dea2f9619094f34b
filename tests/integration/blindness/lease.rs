//! The lease on its own thread, in this process: two replicas, each with a runtime of its own that can be blocked.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use acr_credential_binding::cluster::claim::Claim;
use acr_credential_binding::cluster::lease::{Callbacks, Candidate, LeaseConfig, LeaseThread, LeaseWatch};
use acr_credential_binding::plan::lease::{Election, LeaseLost, LeaseTimings};
use acr_credential_binding::server::heartbeats::Heartbeats;
use acr_lab::plane::{Options, Plane};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::config::{KubeConfigOptions, Kubeconfig};
use tokio::sync::Notify;

use super::PATIENCE;
use crate::harness::{CONTROLLER, NAMESPACE, installed_without};

const TIMINGS: LeaseTimings = LeaseTimings { lease: Duration::from_secs(3) };

/// The runtime of a replica's work, with one task that beats. It is blocked while a message is not answered.
struct Work {
    heartbeats: Heartbeats,
    block: mpsc::Sender<mpsc::Receiver<()>>,
}

impl Work {
    fn start() -> Self {
        let heartbeats = Heartbeats::default();
        let heartbeat = heartbeats.start("the work");
        let (block, blocks) = mpsc::channel::<mpsc::Receiver<()>>();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                loop {
                    heartbeat.beat();
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    match blocks.try_recv() {
                        Ok(until) => drop(until.recv()),
                        Err(mpsc::TryRecvError::Empty) => {}
                        Err(mpsc::TryRecvError::Disconnected) => return,
                    }
                }
            });
        });
        Self { heartbeats, block }
    }

    /// Blocks the runtime until the returned sender is dropped.
    fn block(&self) -> mpsc::Sender<()> {
        let (release, until) = mpsc::channel();
        self.block.send(until).unwrap();
        release
    }
}

/// Returns a time that moves on with each call, since a write that changes nothing has no new version.
fn clock() -> Timestamp {
    static SECOND: AtomicI64 = AtomicI64::new(0);
    Timestamp::from_second(SECOND.fetch_add(1, Ordering::Relaxed)).unwrap()
}

struct Replica {
    work: Work,
    lease: LeaseThread,
    acquired: Arc<Notify>,
}

impl Replica {
    /// Starts a replica that is a candidate. Its work has stopped after `limit` without a heartbeat.
    async fn start(kubeconfig: &Path, name: &str, limit: Duration) -> Self {
        let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
        let options = KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options);
        let work = Work::start();
        let heartbeats = work.heartbeats.clone();
        let config = LeaseConfig {
            config: config.await.unwrap(),
            namespace: NAMESPACE.into(),
            name: name.into(),
            timings: TIMINGS,
            clock,
            stopped: Box::new(move |now| heartbeats.stopped(now, limit)),
        };
        let candidate = Candidate {
            election: Election::new(name, TIMINGS, false, Instant::now()),
            claim: Claim::default(),
            ready: Arc::new(Notify::new()),
        };
        candidate.ready.notify_one();
        let acquired = Arc::new(Notify::new());
        let callbacks = Callbacks {
            read: || {},
            acquired: {
                let acquired = acquired.clone();
                move || acquired.notify_one()
            },
        };
        let lease = LeaseThread::start(config, candidate, &LeaseWatch::default(), callbacks).unwrap();
        Self { work, lease, acquired }
    }

    async fn until_acquired(&self) {
        tokio::time::timeout(PATIENCE, self.acquired.notified()).await.expect("it acquires the lease");
    }
}

struct Leases(Api<Lease>);

impl Leases {
    fn of(plane: &Plane) -> Self {
        Self(Api::namespaced(plane.client(), NAMESPACE))
    }

    async fn holder(&self) -> (String, i32) {
        let spec = self.0.get(CONTROLLER).await.unwrap().spec.unwrap();
        (spec.holder_identity.unwrap_or_default(), spec.lease_transitions.unwrap_or_default())
    }

    /// Waits until the lease was renewed this often from now on.
    async fn until_renewed(&self, times: usize) {
        let version = async || self.0.get(CONTROLLER).await.unwrap().metadata.resource_version;
        let (mut last, end) = (version().await, Instant::now() + PATIENCE);
        for _ in 0..times {
            while version().await == last {
                assert!(Instant::now() < end, "the lease is not renewed");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            last = version().await;
        }
    }
}

/// The lease outlasts what blocks the work, and the replica that does nothing for too long loses it to another one.
#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_leader_keeps_the_lease_for_a_while_and_then_another_replica_takes_over() {
    let plane = installed_without(&[], Options::default()).await;
    let kubeconfig = plane.service_account_kubeconfig(NAMESPACE, CONTROLLER).await.unwrap();
    let leases = Leases::of(&plane);
    // Two leases long: without a thread of its own, the lease would be lost before that.
    let mut first = Replica::start(&kubeconfig, "first", TIMINGS.lease * 2).await;
    first.until_acquired().await;
    let second = Replica::start(&kubeconfig, "second", TIMINGS.lease * 2).await;
    leases.until_renewed(2).await;

    let blocked = first.work.block();
    leases.until_renewed(3).await;
    assert_eq!(leases.holder().await, ("first".to_owned(), 0));
    let lost = tokio::time::timeout(PATIENCE, first.lease.lost()).await.expect("it ends");
    assert_eq!(lost, Some(LeaseLost::Expired));
    assert_eq!(leases.holder().await, ("first".to_owned(), 0), "it stops before another one begins");
    second.until_acquired().await;
    assert_eq!(leases.holder().await, ("second".to_owned(), 1));
    drop(blocked);
    leases.until_renewed(2).await;
    second.lease.release().await;
    assert_eq!(leases.holder().await, (String::new(), 1));
}
