//! Planes that one test leaves for the next: the start of a control plane costs more than most tests.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs,
    ops::Deref,
    path::Path,
    sync::{Arc, Mutex, atomic::Ordering},
    time::{Duration, Instant},
};

use super::{
    Options, Plane,
    etcd::{Etcd, Objects, Write},
};
use crate::process::lock;

/// Planes without a user that are kept at most. Each takes some 400 MiB.
const IDLE: usize = 4;

/// How long a plane must be quiet before its content counts as settled: longer than a controller of
/// kube-controller-manager takes to answer to an event.
const QUIET: Duration = Duration::from_millis(1500);

/// The longest time to become quiet, or to return to the beginning.
const PATIENCE: Duration = Duration::from_secs(20);

/// Objects that decide how requests are served. The API server learns of their change with a delay of its own, so a
/// plane on which one changed is not used again.
const SERVING: [&str; 8] = [
    "/registry/apiextensions.k8s.io/",
    "/registry/apiregistration.k8s.io/",
    "/registry/clusterrole",
    "/registry/mutating",
    "/registry/role",
    "/registry/validating",
    "/registry/flowschemas/",
    "/registry/prioritylevelconfigurations/",
];

/// Objects that the programs of a plane write by the clock.
const CLOCKS: [&str; 3] =
    ["/registry/leases/kube-system/apiserver-", "/registry/peerserverleases/", "/registry/masterleases/"];

static IDLE_PLANES: Mutex<Vec<IdlePlane>> = Mutex::new(Vec::new());

struct IdlePlane {
    plane: Arc<Plane>,
    beginning: Beginning,
}

/// What a plane holds at the beginning of a test.
#[derive(Clone)]
struct Beginning {
    /// How it was started and what was installed.
    kind: Arc<str>,
    objects: Arc<Objects>,
    /// The names in the plane's directory.
    files: Arc<BTreeSet<OsString>>,
}

/// A plane that goes back to its beginning when it is dropped, and serves the next test then.
///
/// It is stopped instead where its test failed, where its programs were stopped or restarted, and where an object
/// changed that decides how requests are served.
pub struct ReusedPlane {
    plane: Arc<Plane>,
    beginning: Option<Beginning>,
}

impl From<Plane> for ReusedPlane {
    /// Takes a plane for one test only.
    fn from(plane: Plane) -> ReusedPlane {
        ReusedPlane { plane: Arc::new(plane), beginning: None }
    }
}

impl Deref for ReusedPlane {
    type Target = Plane;

    fn deref(&self) -> &Plane {
        &self.plane
    }
}

impl Drop for ReusedPlane {
    fn drop(&mut self) {
        let Some(beginning) = self.beginning.take() else { return };
        if std::thread::panicking() || self.plane.disturbed.load(Ordering::Relaxed) {
            return;
        }
        let mut idle = lock(&IDLE_PLANES);
        idle.push(IdlePlane { plane: Arc::clone(&self.plane), beginning });
        let surplus = (idle.len() > IDLE).then(|| idle.remove(0));
        drop(idle);
        drop(surplus);
    }
}

impl ReusedPlane {
    /// Returns a plane of these options on which this was installed, and on which nothing else happened: one that
    /// served a test before, or a new one. `kind` distinguishes installations.
    pub async fn start(
        kind: &str,
        options: Options,
        install: impl AsyncFnOnce(&Plane) -> anyhow::Result<()>,
    ) -> anyhow::Result<ReusedPlane> {
        let kind: Arc<str> = format!("{kind} {options:?}").into();
        while let Some(idle) = take(&kind) {
            if idle.plane.returns_to(&idle.beginning).await? {
                return Ok(ReusedPlane { plane: idle.plane, beginning: Some(idle.beginning) });
            }
        }
        let plane = Plane::start(options).await?;
        install(&plane).await?;
        let objects = Arc::new(plane.settled().await?);
        let files = Arc::new(files(plane.dir())?);
        Ok(ReusedPlane { plane: Arc::new(plane), beginning: Some(Beginning { kind, objects, files }) })
    }
}

fn take(kind: &str) -> Option<IdlePlane> {
    let mut idle = lock(&IDLE_PLANES);
    let at = idle.iter().position(|idle| *idle.beginning.kind == *kind)?;
    Some(idle.remove(at))
}

impl Plane {
    /// Waits until nothing changes any more, and returns what there is.
    async fn settled(&self) -> anyhow::Result<Objects> {
        let etcd = Etcd::on(self.ports.etcd);
        let (begun, mut since) = (Instant::now(), Instant::now());
        let mut known = etcd.objects().await?;
        while since.elapsed() < QUIET {
            anyhow::ensure!(begun.elapsed() < PATIENCE, "the plane's content does not settle");
            tokio::time::sleep(Duration::from_millis(50)).await;
            let found = etcd.objects().await?;
            if !differences(&found, &known).is_empty() {
                since = Instant::now();
            }
            known = found;
        }
        Ok(known)
    }

    /// Brings content and directory back to what they were, and empties the audit log. Returns whether that is possible.
    async fn returns_to(&self, beginning: &Beginning) -> anyhow::Result<bool> {
        let etcd = Etcd::on(self.ports.etcd);
        let begun = Instant::now();
        // Controllers may still work on what is removed, so what they write meanwhile is removed, too.
        let mut unchanged = 0;
        while unchanged < 3 {
            let changes = differences(&etcd.objects().await?, &beginning.objects);
            if begun.elapsed() > PATIENCE || changes.keys().any(|key| serves(key)) {
                return Ok(false);
            }
            unchanged = if changes.is_empty() { unchanged + 1 } else { 0 };
            etcd.write(&changes).await?;
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        for file in files(self.dir())?.difference(&beginning.files) {
            let path = self.dir().join(file);
            if path.is_dir() {
                fs::remove_dir_all(path)?;
            } else {
                fs::remove_file(path)?;
            }
        }
        fs::OpenOptions::new().write(true).open(self.dir().join("audit.log"))?.set_len(0)?;
        Ok(true)
    }
}

/// Returns the names in a directory.
fn files(dir: &Path) -> anyhow::Result<BTreeSet<OsString>> {
    fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name())).collect()
}

fn serves(key: &str) -> bool {
    SERVING.iter().any(|prefix| key.starts_with(prefix))
}

/// Returns the writes that make `found` into `wanted`.
fn differences(found: &Objects, wanted: &Objects) -> BTreeMap<String, Write> {
    let surplus = found.keys().filter(|key| !wanted.contains_key(*key)).map(|key| (key, Write::Delete));
    let changed = wanted.iter().filter(|(key, value)| found.get(*key) != Some(value));
    let changed = changed.map(|(key, value)| (key, Write::Put(value.clone())));
    let all = surplus.chain(changed).map(|(key, write)| (key.clone(), write));
    all.filter(|(key, _)| !CLOCKS.iter().any(|prefix| key.starts_with(prefix))).collect()
}
