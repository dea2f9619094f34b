//! A binding that is made, edited and deleted while many others exist.

use std::time::{Duration, Instant};

use acr_lab::plane::{AuditEvents, Mark};
use anyhow::Context;
use serde_json::json;

use super::{
    Bench, CONTROLLER, NAMESPACE,
    call::Call,
    group::Group,
    layout::{Beside, PlannedBinding},
    registries::registries,
    report::Row,
    requests::{Who, until_at_rest},
    scale::{MORE_BINDINGS, MORE_REGISTRIES, share},
    scout::BINDINGS,
    spans::{Spans, grouped},
    transport::{Kind, Transport},
    watch::{Watch, from_to},
};

/// The binding, and the beginning of the names of the namespaces that it has alone.
const NAME: &str = "beside";

/// Namespaces that it has alone.
const APART: usize = 5;

/// The longest time until it is ready or gone.
const SOON: Duration = Duration::from_secs(1);

/// What the controller wrote for one change.
#[derive(Default)]
struct Written {
    secrets: usize,
    elsewhere: usize,
}

/// One kind of change, made a few times.
struct Change {
    what: &'static str,
    took: Spans,
    written: Written,
}

impl Change {
    fn new(what: &'static str) -> Change {
        Change { what, took: Spans::default(), written: Written::default() }
    }
}

impl Bench {
    pub(super) async fn beside(&mut self) -> anyhow::Result<()> {
        let (others, rounds) = (grouped(self.layout.bindings.len()), self.layout.rounds);
        println!("\nMake, edit and delete a binding beside {others} others, {rounds} times");
        let client = self.transport.client(0);
        let (selected, count, prefix) = match self.layout.beside {
            Beside::Apart => {
                Group::create(&self.transport, &mut self.accounts, (NAME, APART, self.layout.accounts))
                    .await?;
                (format!("{NAME}-*"), APART, NAME)
            }
            Beside::Together => ("bench-*".to_owned(), self.covered.len(), "bench-"),
        };
        until_at_rest(&self.plane, Who::Controller).await?;
        let watcher = Transport::open(self.plane.kubeconfig(), Kind::Http2(1)).await?;
        let selector = format!("&fieldSelector=metadata.name={NAME}");
        let mut bindings = Watch::open(watcher.client(0), BINDINGS, &selector).await?;
        let start = self.begin()?;
        // Registries that no other binding names.
        let (first, second) = (self.layout.instances - 2, self.layout.instances - 1);
        let planned = PlannedBinding {
            name: NAME.to_owned(),
            namespaces: vec![selected],
            registries: registries([first]),
        };
        let path = format!("{BINDINGS}/{NAME}");
        let edit = json!({ "spec": { "registries": registries([second]) } });
        let mut changes = [Change::new("made"), Change::new("edited"), Change::new("deleted")];
        let mut end = start.at;
        for _ in 0..rounds {
            for (number, change) in changes.iter_mut().enumerate() {
                let call = match number {
                    0 => planned.create(),
                    1 => Call::merge(&path, &edit),
                    _ => Call::delete(path.clone()),
                };
                let mark = self.plane.audit().mark()?;
                call.send(&client).await?;
                let returned = Instant::now();
                let wanted = i64::try_from(number)? + 1;
                let seen = bindings.find(|seen| match number {
                    2 => !seen.exists,
                    _ => seen.exists && seen.ready && seen.generation == wanted,
                });
                let seen = seen.await.with_context(|| format!("the binding was not {}", change.what))?;
                change.took.push(from_to(returned, seen.at));
                end = until_at_rest(&self.plane, Who::Controller).await?;
                let written = self.written(mark, prefix)?;
                change.written.secrets += written.secrets;
                change.written.elsewhere += written.elsewhere;
            }
        }
        for Change { what, took, written } in &changes {
            let job = format!("a binding {what} beside {others}, p50 / slowest of {rounds}");
            let slowest = took.percentile(100);
            let measured = format!("{} / {} ms", took.p50().as_millis(), slowest.as_millis());
            self.report.row(Row::plain(&job, measured, "≤ 1000 ms", slowest <= SOON));
            let measured = format!("{} writes of {} Secrets", written.secrets, count * rounds);
            let met = written.secrets == count * rounds;
            self.report.row(Row::plain(
                &format!("writes for a binding {what}"),
                measured,
                "one a Secret",
                met,
            ));
            let job = format!("writes elsewhere for a binding {what}");
            self.report.row(Row::count(&job, written.elsewhere.to_string(), "0", written.elsewhere == 0));
        }
        self.secrets.drain()?;
        self.report.cost(self.cost("a binding made, edited and deleted", start, end)?);
        Ok(())
    }

    /// Returns what the controller wrote in tenants' namespaces since a mark.
    fn written(&self, mark: Mark, prefix: &str) -> anyhow::Result<Written> {
        let events: AuditEvents =
            self.plane.audit().since(mark)?.by_service_account(NAMESPACE, CONTROLLER).writes();
        let mut written = Written::default();
        for event in events.iter().filter(|event| event.namespace != NAMESPACE && !event.namespace.is_empty())
        {
            match event.namespace.starts_with(prefix) {
                true => written.secrets += usize::from(event.target() == "secrets"),
                false => written.elsewhere += 1,
            }
        }
        Ok(written)
    }

    /// Has a thousand registries in all, few of them in each namespace.
    pub(super) async fn more_registries(&mut self) -> anyhow::Result<()> {
        println!("\nAdd {MORE_BINDINGS} bindings with {MORE_REGISTRIES} registries in all");
        let start = self.begin()?;
        let accounts = self.layout.accounts;
        Group::create(&self.transport, &mut self.accounts, ("many", MORE_BINDINGS, accounts)).await?;
        for number in 0..MORE_BINDINGS {
            let binding = PlannedBinding {
                name: format!("many-{number:05}"),
                namespaces: vec![format!("many-{number:05}")],
                registries: registries(share(MORE_REGISTRIES, number, MORE_BINDINGS)),
            };
            binding.create().send(&self.transport.client(0)).await?;
        }
        let end = until_at_rest(&self.plane, Who::Controller).await?;
        self.secrets.drain()?;
        self.report.cost(self.cost("1,000 registries", start, end)?);
        Ok(())
    }
}
