//! What breaks around the controller, and what must hold then. `docs/contributing/lab.md` lists all of it.

mod cloud;
mod crash;
mod outage;
mod random;
mod replies;
mod restore;
mod rollback;
mod tasks;
mod versions;
mod watches;

use std::path::Path;

use acr_lab::canary;
use acr_lab::plane::Options;
use acr_lab::trial::Rig;

/// Starts replicas with a short lease, and a log that is searched at the end.
async fn rig(replicas: usize, flags: &[&str]) -> Rig {
    rig_of(Options::default(), &vec![built(); replicas], flags).await
}

/// Starts a replica of each build in the same way.
async fn rig_of(plane: Options, builds: &[&Path], flags: &[&str]) -> Rig {
    Rig::start(plane, builds, |options| {
        let options = options.arg("--lease-duration=4s").log_level(crate::harness::LOG_LEVEL);
        flags.iter().fold(options, |options, flag| options.arg(*flag))
    })
    .await
    .unwrap()
}

fn built() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_acr-credential-controller"))
}

/// Checks that no replica logged a secret.
fn assert_nothing_leaked(rig: &Rig) {
    let leaked = canary::leaked(&rig.plane, &rig.cloud).unwrap();
    assert!(leaked.is_none(), "a log holds a secret: {leaked:?}");
}
