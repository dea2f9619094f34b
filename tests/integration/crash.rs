//! Crashes: between any two writes, and between the mint and the first write.

use std::sync::Arc;
use std::time::Duration;

use acr_lab::plane::FaultProxy;
use kube::api::DeleteParams;

use crate::harness::{DOMAIN, Lab, SECRET, spec};

const PATIENCE: Duration = Duration::from_secs(20);

/// The oracle: regardless of the moment of the crash, the result is that of a run without one.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_after_any_write_does_not_change_the_result() {
    let (lab, proxy) = Lab::proxied().await;
    lab.until_settled().await;
    let (mut serving, mut withdrawing) = (0, 0);
    // Write numbers beyond the last one end each of the two phases without a crash.
    for number in 1..=9 {
        let name = format!("crash-{number}");
        lab.create_namespace(&name).await;
        lab.create_account(&name, "builder", &["mine"]).await;
        serving += usize::from(
            crash_after(
                &lab,
                &proxy,
                number,
                async || drop(lab.bind(&name, spec(&[&name])).await),
                &name,
                true,
            )
            .await,
        );
        assert_eq!(lab.pull_secrets(&name, "default").await, [SECRET]);
        assert_eq!(lab.pull_secrets(&name, "builder").await, ["mine", SECRET]);
        assert!(lab.token(&name, DOMAIN).await.is_some());
        let delete = async || drop(lab.bindings().delete(&name, &DeleteParams::default()).await.unwrap());
        withdrawing += usize::from(crash_after(&lab, &proxy, number, delete, &name, false).await);
        assert!(lab.secret(&name).await.is_none());
        assert!(lab.pull_secrets(&name, "default").await.is_empty());
        assert_eq!(lab.pull_secrets(&name, "builder").await, ["mine"]);
    }
    // At least a finalizer, a Secret, two accounts and a status; then two accounts, the Secret and the
    // finalizer.
    assert!(serving >= 5 && withdrawing >= 4, "crashed {serving} and {withdrawing} times");
    let mints = lab.cloud.count("GetAuthorizationToken");
    assert!(mints <= 1 + serving, "{mints} mints for one token and {serving} crashes");
}

/// Performs an action, kills the controller after its n-th write, starts it again, and waits for the result.
/// Returns whether the crash happened.
async fn crash_after(
    lab: &Lab,
    proxy: &Arc<FaultProxy>,
    number: usize,
    act: impl AsyncFn(),
    binding: &str,
    serve: bool,
) -> bool {
    lab.until_settled().await;
    proxy.forget_writes();
    let pid = lab.controller.pid();
    let _fired = proxy.crash_after_write(number, move || {
        let _ = std::process::Command::new("kill").args(["-KILL", &pid.to_string()]).status();
    });
    act().await;
    let done = async || match serve {
        true => lab.condition(binding, "Ready").await.is_some_and(|(status, ..)| status == "True"),
        false => lab.bindings().get_opt(binding).await.unwrap().is_none(),
    };
    lab.until("the work is done or the controller is dead", async || {
        !lab.controller.is_running() || done().await
    })
    .await;
    // A last write is observed before the crash that follows it.
    let crashed = !proxy.disarm().await;
    if crashed {
        lab.controller.kill();
        proxy.clear();
        lab.controller.restart().unwrap();
        lab.controller.until_ready(PATIENCE).await.unwrap();
        lab.until("the work is done after the restart", done).await;
    }
    proxy.clear();
    crashed
}
