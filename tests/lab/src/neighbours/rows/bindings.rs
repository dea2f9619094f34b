//! Many bindings on many namespaces.

use std::time::{Duration, Instant};

use futures::FutureExt;
use serde_json::json;

use super::{Row, names};
use crate::{
    bench::{CONTROLLER, NAMESPACE, SECRET, call::Call, scout::BINDINGS, spans::seconds},
    neighbours::{
        report::Found,
        stage::{Stage, add_instances, binding, registries},
    },
};

pub(super) const ROWS: [Row; 1] =
    [Row::new("300x300", "300 bindings on 300 namespaces are made, survive a restart, and leave; the controller restarts in all phases", |stage| {
        many(stage).boxed_local()
    })
    .restarting()
    .arranged(|setup| add_instances(&mut setup.world, "1", SHARED))
    .prepared(|stage| async { stage.create_namespaces(&names("many", NAMESPACES)).await }.boxed_local())];

const BINDINGS_MADE: usize = 300;
const NAMESPACES: usize = 300;

/// Registries that the bindings share.
const SHARED: usize = 8;

/// Writes a Secret while the bindings are made: one with all of them, and one where they came in two parts.
const MOST_WRITES: f64 = 2.0;

/// The longest time that a new binding waits for those that leave.
const MOST_LATE: Duration = Duration::from_secs(1);

async fn many(stage: &Stage) -> anyhow::Result<Found> {
    let made = names("many", BINDINGS_MADE);
    let mark = stage.plane.audit().mark()?;
    stage.create_namespaces(&["late".to_owned()]).await?;
    let busy = stage.scene.busy();
    stage.scene.in_place();
    let started = Instant::now();
    let selected = json!({ "names": ["many-*"] });
    let calls = made.iter().enumerate();
    let calls = calls.map(|(number, name)| binding(name, registries([number % SHARED]), selected.clone()));
    stage.send(calls.collect()).await?;
    let mut ready = 0;
    for name in &made {
        if stage.until_ready(name, "True").await.is_err() {
            break;
        }
        ready += 1;
    }
    let made_in = started.elapsed();
    let written =
        stage.plane.audit().since(mark)?.by_service_account(NAMESPACE, CONTROLLER).writes().of("secrets");
    let written = written.iter().filter(|event| event.namespace.starts_with("many-")).count();

    let before = stage.keeper.peak_rss_kib() / 1024;
    stage.keeper.restart().await?;
    let restarted = Instant::now();
    let back = stage.keeper.until_ready(Duration::from_secs(120)).await;
    let restart = restarted.elapsed();

    let leaving = Instant::now();
    stage.send(made.iter().map(|name| Call::delete(format!("{BINDINGS}/{name}"))).collect()).await?;
    stage.bind("late", registries([0]), &["late"]).await?;
    let late = Instant::now();
    let path = format!("/api/v1/namespaces/late/secrets/{SECRET}");
    let served = stage.until("the new binding is served", &path, |_| true).await.is_ok();
    let late = late.elapsed();
    let gone = async {
        while stage.get(&format!("{BINDINGS}/{}", made[BINDINGS_MADE - 1])).await?.is_some() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        anyhow::Ok(())
    };
    let left = tokio::time::timeout(Duration::from_secs(300), gone).await.is_ok();
    let left_in = leaving.elapsed();
    drop(busy);
    stage.scene.until_over().await;
    #[expect(clippy::cast_precision_loss, reason = "a count of writes is far below 2^53")]
    let each = written as f64 / NAMESPACES as f64;
    let found = Found::note(format!(
        "{ready} ready within {}, {each:.1} writes a Secret, peak until then {before} MiB; ready after a restart of {}; \
         while they left, a new binding was served within {}; the last was gone after {}",
        seconds(made_in),
        seconds(restart),
        seconds(late),
        seconds(left_in),
    ));
    Ok(found
        .unless(ready == BINDINGS_MADE, format!("{ready} of {BINDINGS_MADE} bindings became ready"))
        .unless(each <= MOST_WRITES, format!("{each:.1} writes a Secret"))
        .unless(back, "it was not ready again after a restart")
        .unless(
            served && late < MOST_LATE,
            format!("a new binding was served after {} while others left", seconds(late)),
        )
        .unless(left, "the bindings did not leave"))
}
