//! Random schedules: what a user does, in between what breaks, both from one seed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use fastrand::Rng;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use super::{
    job::spec,
    observe::{State, written},
    rig::{PATIENCE, Rig, SECRET, unless},
};
use crate::{
    cloud::{Fault as CloudFault, FaultKind},
    plane::{Fault, Target},
    process::Signal,
};

/// What a user does in one schedule.
const STEPS: usize = 10;

/// Namespaces and bindings that the steps are about.
const NAMESPACES: usize = 3;
const BINDINGS: usize = 2;

/// The annotation that asks for fresh credentials.
const REFRESH_AT: &str = "acrcredential.dev/refresh-at";

/// A retry after a refusal comes within this time, and an end state must come with it.
const LONGEST_REST: Duration = Duration::from_secs(90);

/// A schedule; equal seeds give equal ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// The seed.
    pub seed: u64,
}

/// One thing that a user does.
#[derive(Debug, Clone)]
enum Step {
    Bind { binding: usize, namespaces: Vec<usize> },
    Unbind { binding: usize },
    Refresh { binding: usize, request: usize },
    CreateAccount { namespace: usize, name: String },
    DeleteAccount { namespace: usize, name: String },
    DeleteSecret { namespace: usize },
    ClearList { namespace: usize },
}

/// One thing that breaks.
#[derive(Debug, Clone)]
enum Break {
    Nothing,
    Requests { target: Target, fault: Fault, times: usize },
    Hold { target: Target, time: Duration },
    Freeze { target: Target, time: Duration },
    Cut,
    Expire { resource: &'static str },
    Kill,
    Pause { time: Duration },
    Cloud(FaultKind),
}

/// Returns the seed of this day, so that each day tries another schedule.
pub fn daily_seed() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "the day decides the seed, which is printed")]
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() / 86_400)
}

impl Schedule {
    /// Runs the schedule without and with what breaks, and compares the ends. The faults are returned, in words.
    ///
    /// The allowance: each fault may repeat two writes of an object, since a failed write is tried again, and
    /// one that landed without an answer is compared once more.
    pub async fn run(self, rig: &Rig) -> anyhow::Result<Vec<String>> {
        let seed = self.seed;
        let (calm, broken) = (format!("s{seed}-calm"), format!("s{seed}-run"));
        let result = self.compare(rig, &calm, &broken).await;
        // The next schedule begins with a whole plane, even after one that failed.
        restore(rig).await?;
        for tag in [&calm, &broken] {
            clean_up(rig, tag).await?;
        }
        result.with_context(|| format!("the schedule of seed {seed}"))
    }

    async fn compare(self, rig: &Rig, calm: &str, broken: &str) -> anyhow::Result<Vec<String>> {
        let (steps, breaks) = self.draw();
        let (state, writes) = self.calm(rig, calm, &steps).await?;
        prepare(rig, broken).await?;
        rig.until_quiet().await?;
        rig.proxy.forget_writes();
        let mut done = Vec::new();
        let mut rng = Rng::with_seed(self.seed ^ 0x5eed);
        for (step, fault) in steps.iter().zip(&breaks) {
            done.push(format!("{fault:?}; {step:?}"));
            break_it(rig, fault).await?;
            step.take(rig, broken).await.with_context(|| done.join("\n"))?;
            tokio::time::sleep(Duration::from_millis(rng.u64(0..300))).await;
        }
        restore(rig).await?;
        let mut difference = String::new();
        let same = rig
            .until("the end state is that of the run without a fault", LONGEST_REST, async || {
                difference = rig.observe(broken).await?.difference(&state);
                Ok(difference.is_empty())
            })
            .await;
        same.with_context(|| format!("{difference}\nafter\n{}", done.join("\n")))?;
        rig.until_quiet().await?;
        let now = rig.observe(broken).await?;
        ensure!(now == state, "it does not stay:\n{}", now.difference(&state));
        let allowance = 2 * breaks.iter().filter(|fault| !matches!(fault, Break::Nothing)).count() + 2;
        for (object, count) in written(&rig.proxy.writes(), broken) {
            let without = writes.get(&object).copied().unwrap_or_default();
            ensure!(
                !object.contains("RUN") || count <= without + allowance,
                "{object} was written {count} times, {without} times without a fault, after\n{}",
                done.join("\n")
            );
        }
        Ok(done)
    }

    /// Does the steps without a fault.
    async fn calm(
        self,
        rig: &Rig,
        tag: &str,
        steps: &[Step],
    ) -> anyhow::Result<(State, std::collections::BTreeMap<String, usize>)> {
        prepare(rig, tag).await?;
        rig.until_quiet().await?;
        rig.proxy.forget_writes();
        for step in steps {
            step.take(rig, tag).await?;
        }
        rig.until("all bindings are ready", PATIENCE, async || {
            for number in 0..BINDINGS {
                let name = format!("{tag}-binding-{number}");
                let Some(binding) = rig.bindings().get_opt(&name).await? else { continue };
                let asked = binding.metadata.annotations.unwrap_or_default().remove(REFRESH_AT);
                let handled = binding.data["status"]["lastHandledRefreshAt"].as_str();
                if !rig.is_ready(&name).await? || asked.as_deref() != handled {
                    return Ok(false);
                }
            }
            Ok(true)
        })
        .await?;
        rig.until_quiet().await?;
        Ok((rig.observe(tag).await?, written(&rig.proxy.writes(), tag)))
    }

    fn draw(self) -> (Vec<Step>, Vec<Break>) {
        let mut rng = Rng::with_seed(self.seed);
        let mut steps = vec![Step::Bind { binding: 0, namespaces: (0..NAMESPACES).collect() }];
        let mut deleted = [false; NAMESPACES];
        for number in 1..STEPS {
            let (binding, namespace) = (rng.usize(0..BINDINGS), rng.usize(0..NAMESPACES));
            let name = format!("account-{}", rng.usize(0..4));
            steps.push(match rng.usize(0..10) {
                0 | 1 => {
                    let mut namespaces: Vec<usize> = (0..NAMESPACES).collect();
                    rng.shuffle(&mut namespaces);
                    // Never none: that would be held back by the guard for its grace.
                    namespaces.truncate(rng.usize(1..=NAMESPACES));
                    namespaces.sort_unstable();
                    Step::Bind { binding, namespaces }
                }
                2 => Step::Unbind { binding: 1 },
                3 => Step::Refresh { binding: 0, request: number },
                // A Secret that is deleted again and again is a conflict, and not a fault.
                4 if !deleted[namespace] => {
                    deleted[namespace] = true;
                    Step::DeleteSecret { namespace }
                }
                5 => Step::ClearList { namespace },
                6 => Step::DeleteAccount { namespace, name },
                _ => Step::CreateAccount { namespace, name },
            });
        }
        let breaks = (0..STEPS).map(|_| Break::draw(&mut rng)).collect();
        (steps, breaks)
    }
}

impl Break {
    fn draw(rng: &mut Rng) -> Break {
        let kinds = ["secrets", "serviceaccounts", "acrcredentialbindings", "acrcredentialbindings/status"];
        let written = Target::resource(kinds[rng.usize(0..kinds.len())]).written();
        let watched = ["secrets", "serviceaccounts", "namespaces", "acrcredentialbindings"];
        let resource = watched[rng.usize(0..watched.len())];
        let short = |rng: &mut Rng| Duration::from_millis(rng.u64(100..1_500));
        let times = rng.usize(1..=3);
        match rng.usize(0..12) {
            0 => Break::Nothing,
            1 | 2 => {
                let status = [403, 409, 422, 429, 500, 503, 504][rng.usize(0..7)];
                Break::Requests { target: written, fault: Fault::Answer(status), times }
            }
            3 => Break::Requests { target: written, fault: Fault::DropReply, times },
            4 => Break::Requests { target: written, fault: Fault::AnswerLate(504), times },
            5 => Break::Requests { target: written, fault: Fault::Delay(short(rng)), times },
            6 => Break::Hold { target: written, time: short(rng) },
            7 => Break::Freeze { target: Target::new("watch", resource), time: short(rng) },
            8 => Break::Cut,
            9 => Break::Expire { resource },
            10 if rng.bool() => Break::Kill,
            10 => Break::Pause { time: Duration::from_millis(rng.u64(100..1_000)) },
            _ => Break::Cloud(match rng.usize(0..4) {
                0 => FaultKind::Throttle { retry_after_ms: Some(500) },
                1 => FaultKind::Html,
                2 => FaultKind::Truncated,
                _ => FaultKind::Slow(short(rng)),
            }),
        }
    }
}

impl Step {
    async fn take(&self, rig: &Rig, tag: &str) -> anyhow::Result<()> {
        let namespace = |number: usize| format!("{tag}-{number}");
        let binding = |number: usize| format!("{tag}-binding-{number}");
        match self {
            Step::Bind { binding: number, namespaces } => {
                let names: Vec<String> = namespaces.iter().map(|number| namespace(*number)).collect();
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                // A binding of that name that is on its way out comes back only once it is gone.
                rig.until("the old binding is gone", PATIENCE, async || {
                    let old = rig.bindings().get_opt(&binding(*number)).await?;
                    Ok(old.is_none_or(|old| old.metadata.deletion_timestamp.is_none()))
                })
                .await?;
                rig.bind(&binding(*number), spec(&names)).await
            }
            Step::Unbind { binding: number } => rig.unbind(&binding(*number)).await,
            Step::Refresh { binding: number, request } => {
                rig.annotate(&binding(*number), REFRESH_AT, &request.to_string()).await
            }
            Step::CreateAccount { namespace: number, name } => {
                rig.create_account(&namespace(*number), name, &["mine"]).await
            }
            Step::DeleteAccount { namespace: number, name } => {
                let accounts = rig.accounts(&namespace(*number));
                unless(404, accounts.delete(name, &DeleteParams::default()).await.map(drop))
            }
            Step::DeleteSecret { namespace: number } => {
                let secrets = rig.secrets(&namespace(*number));
                unless(404, secrets.delete(SECRET, &DeleteParams::default()).await.map(drop))
            }
            Step::ClearList { namespace: number } => {
                let none = json!({ "imagePullSecrets": null });
                let accounts = rig.accounts(&namespace(*number));
                accounts.patch("default", &PatchParams::default(), &Patch::Merge(&none)).await?;
                Ok(())
            }
        }
    }
}

async fn break_it(rig: &Rig, fault: &Break) -> anyhow::Result<()> {
    match fault.clone() {
        Break::Nothing => {}
        Break::Requests { target, fault, times } => rig.proxy.inject(target, fault, times),
        Break::Hold { target, time } => {
            let held = rig.proxy.hold(target);
            tokio::spawn(async move {
                tokio::time::sleep(time).await;
                drop(held);
            });
        }
        Break::Freeze { target, time } => {
            let frozen = rig.proxy.freeze(target);
            tokio::spawn(async move {
                tokio::time::sleep(time).await;
                drop(frozen);
            });
        }
        Break::Cut => rig.proxy.cut(),
        Break::Expire { resource } => {
            rig.proxy.inject(Target::new("watch", resource), Fault::Expired, 1);
            rig.proxy.cut();
        }
        Break::Kill => {
            if let Some(leader) = rig.leads().await {
                rig.replicas[leader].restart()?;
            }
        }
        Break::Pause { time } => {
            if let Some(leader) = rig.leads().await {
                rig.replicas[leader].signal(Signal::STOP)?;
                tokio::time::sleep(time).await;
                // It may have ended before it was stopped.
                let _ = rig.replicas[leader].signal(Signal::CONT);
            }
        }
        Break::Cloud(kind) => {
            let action = "GetAuthorizationToken".to_owned();
            rig.cloud.fault(CloudFault { action, instance: None, kind, times: Some(1) });
        }
    }
    Ok(())
}

/// Ends all faults, and waits until a replica leads.
async fn restore(rig: &Rig) -> anyhow::Result<()> {
    rig.proxy.clear();
    rig.cloud.clear_faults();
    rig.leader().await.map(drop)
}

async fn prepare(rig: &Rig, tag: &str) -> anyhow::Result<()> {
    for number in 0..NAMESPACES {
        rig.create_namespace(&format!("{tag}-{number}")).await?;
        rig.create_account(&format!("{tag}-{number}"), "builder", &["mine"]).await?;
    }
    Ok(())
}

async fn clean_up(rig: &Rig, tag: &str) -> anyhow::Result<()> {
    for number in 0..BINDINGS {
        let binding = format!("{tag}-binding-{number}");
        rig.unbind(&binding).await?;
        rig.until("the binding is gone", PATIENCE, async || {
            Ok(rig.bindings().get_opt(&binding).await?.is_none())
        })
        .await?;
    }
    for number in 0..NAMESPACES {
        rig.delete_namespace(&format!("{tag}-{number}")).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_schedule_each_time_and_another_one_another() {
        let words = |seed: u64| format!("{:?}", Schedule { seed }.draw());
        assert_eq!(words(7), words(7));
        assert_ne!(words(7), words(8));
    }
}
