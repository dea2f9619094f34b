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
use std::time::Duration;

use acr_lab::canary;
use acr_lab::plane::Options;
use acr_lab::trial::Rig;

/// Starts replicas with a short lease, and a log that is searched at the end.
async fn rig(replicas: usize, flags: &[&str]) -> Rig {
    rig_of(Options::default(), &vec![built(); replicas], flags).await
}

/// Starts a replica of each build in the same way.
async fn rig_of(plane: Options, builds: &[&Path], flags: &[&str]) -> Rig {
    let rig = Rig::start(plane, builds, |options| {
        let options = options.arg("--lease-duration=4s").log_level(crate::harness::LOG_LEVEL);
        flags.iter().fold(options, |options, flag| options.arg(*flag))
    })
    .await
    .unwrap();
    // A new plane's policies are in force a moment later; until then each status says that they are missing.
    rig.until("the policies are enforced", Duration::from_secs(60), async || {
        for replica in rig.replicas.iter() {
            if !replica.metrics().await?.contains("acr_admission_policies_enforced 1") {
                return Ok(false);
            }
        }
        Ok(true)
    })
    .await
    .unwrap();
    rig
}

fn built() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_acr-credential-controller"))
}

/// Checks that no replica logged a secret.
fn assert_nothing_leaked(rig: &Rig) {
    let leaked = canary::leaked(&rig.plane, &rig.cloud).unwrap();
    assert!(leaked.is_none(), "a log holds a secret: {leaked:?}");
}
