//! `cargo lab admission`: what it costs, and what is refused, when ServiceAccounts are served at their creation.
//!
//! Both ways, each on a plane of its own under `failurePolicy: Fail` and 15 s: by MutatingAdmissionPolicy, and by
//! webhook with two replicas behind one address. ServiceAccounts are created at 10 and 100 a second and as fast as
//! the API server goes. The floor is the same load on the same plane before anything is asked. By webhook once more
//! while certificates and their authority change, while a replica is stopped, and while one is killed.
//!
//! It measures and judges nothing: it fails only when a phase cannot be set up.

mod load;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use acr_lab::{
    cloud::{Cloud, CloudConfig},
    controller::{Controller, ControllerOptions},
    front::Balancer,
    plane::{Options, Plane, free_port},
    process::Signal,
};
use anyhow::{Context, bail};
use kube::Client;
use serde_json::{Value, json};

use self::load::{Load, Outcome};
use crate::{
    bench::{
        CONTROLLER, NAMESPACE, again_in_release,
        call::Call,
        report::table,
        setup::MANIFESTS,
        transport::{Kind, Transport},
    },
    shipped,
};

/// How long anything may take to be in force.
const PATIENCE: Duration = Duration::from_secs(60);

/// The binding, and the object by which the webhook is told and kept.
const BINDING: &str = "admission";
const WEBHOOK: &str = "acr-credential-webhook";

/// How long a Service goes on leading to a replica that is gone: what a kubelet and kube-proxy take together.
const LATE: Duration = Duration::from_secs(2);

/// ServiceAccounts a second; `None`: as fast as it goes.
const RATES: [Option<u32>; 3] = [Some(10), Some(100), None];

/// How long the measurement is, and what of.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Seconds of each phase.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
    /// Only this way.
    #[arg(long, value_enum)]
    way: Option<Way>,
    /// A controller to measure, instead of a release build of the one here.
    #[arg(long, value_name = "FILE")]
    controller: Option<PathBuf>,
    /// File that gets the table in Markdown.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

/// A way to serve ServiceAccounts at their creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Way {
    Policy,
    Webhook,
}

impl Way {
    /// Returns the reason in the binding's condition where this way serves.
    fn reason(self) -> &'static str {
        match self {
            Way::Policy => "MutatingAdmissionPolicy",
            Way::Webhook => "MutatingWebhook",
        }
    }
}

/// Measures everything.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    if cfg!(debug_assertions) && args.controller.is_none() {
        return Err(again_in_release());
    }
    let binary = shipped(args.controller.as_deref()).await?;
    let mut rows = Vec::new();
    for way in [Way::Policy, Way::Webhook] {
        if args.way.is_none_or(|only| only == way) {
            measure(way, &args, &binary, &mut rows).await.context(way.reason())?;
        }
    }
    let text = table(&HEAD, &rows);
    println!("\n{text}");
    if let Some(file) = &args.markdown {
        std::fs::write(file, text).with_context(|| format!("{} cannot be written", file.display()))?;
    }
    Ok(())
}

const HEAD: [&str; 8] =
    ["way", "asked", "reached", "created", "refused", "without entry", "p50 / p99", "added p50 / p99"];

/// Where a replica listens.
fn server(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

type Rows = Vec<[String; 8]>;

/// All that one way is measured with.
struct Bench {
    // Fields drop in this order: clients before what they are clients of.
    transport: Transport,
    replicas: Vec<Controller>,
    balancer: Balancer,
    ports: Vec<u16>,
    binary: PathBuf,
    kubeconfig: PathBuf,
    cloud: Cloud,
    _plane: Plane,
    phases: usize,
    seconds: u32,
}

async fn measure(way: Way, args: &Args, binary: &Path, rows: &mut Rows) -> anyhow::Result<()> {
    println!("\n{}: start a control plane, a simulated cloud and two replicas", way.reason());
    let mut bench = Bench::set_up(way, args.seconds, binary).await?;
    let mut floor = Vec::new();
    for rate in RATES {
        let outcome = bench.phase("floor", Load { rate, seconds: args.seconds }, async |_| Ok(())).await?;
        rows.push(row("no admission", rate, &outcome, None));
        floor.push(outcome);
    }
    bench.bind().await?;
    bench.until_served(way).await?;
    for (rate, floor) in RATES.into_iter().zip(&floor) {
        let outcome = bench.phase("asked", Load { rate, seconds: args.seconds }, async |_| Ok(())).await?;
        rows.push(row(way.reason(), rate, &outcome, Some(floor)));
    }
    if way == Way::Webhook {
        bench.hardships(&floor[1], rows).await?;
    }
    Ok(())
}

fn row(what: &str, rate: Option<u32>, outcome: &Outcome, floor: Option<&Outcome>) -> [String; 8] {
    let millis = |span: Duration| span.as_secs_f64() * 1000.0;
    let (p50, p99) = (millis(outcome.spans.percentile(50)), millis(outcome.spans.percentile(99)));
    let added = floor.map(|floor| {
        let of = |percent| millis(floor.spans.percentile(percent));
        format!("{:+.2} / {:+.2} ms", p50 - of(50), p99 - of(99))
    });
    for error in &outcome.errors {
        println!("   refused: {error}");
    }
    [
        what.to_owned(),
        rate.map_or_else(|| "as fast as it goes".to_owned(), |rate| format!("{rate}/s")),
        format!("{:.1}/s", outcome.reached()),
        outcome.spans.len().to_string(),
        outcome.refused.to_string(),
        if floor.is_some() { outcome.bare.to_string() } else { String::new() },
        format!("{p50:.2} / {p99:.2} ms"),
        added.unwrap_or_default(),
    ]
}

impl Bench {
    async fn set_up(way: Way, seconds: u32, binary: &Path) -> anyhow::Result<Bench> {
        let options = match way {
            Way::Policy => Options::default(),
            Way::Webhook => Options::default().without_mutating_policies(),
        };
        let plane = Plane::start(options).await?;
        let cloud = Cloud::start(CloudConfig::demo()).await?;
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for manifest in MANIFESTS {
            plane
                .apply_file(root.join(manifest))
                .await
                .with_context(|| format!("{manifest} was not applied"))?;
        }
        match way {
            Way::Policy => plane.apply_file(root.join("deploy/admission.yaml")).await.map(drop)?,
            Way::Webhook => plane.grant_webhook(root.join("deploy/webhook.yaml")).await?,
        }
        let kubeconfig = plane.service_account_kubeconfig(NAMESPACE, CONTROLLER).await?;
        let ports = vec![free_port()?, free_port()?];
        let servers = ports.iter().copied().map(server).collect();
        let mut bench = Bench {
            transport: Transport::open(plane.kubeconfig(), Kind::Http2(4)).await?,
            replicas: Vec::new(),
            balancer: Balancer::start(servers).await?,
            ports,
            binary: binary.to_owned(),
            kubeconfig,
            cloud,
            _plane: plane,
            phases: 0,
            seconds,
        };
        bench.start_replicas(&[]).await?;
        Ok(bench)
    }

    async fn start_replicas(&mut self, flags: &[String]) -> anyhow::Result<()> {
        self.replicas.clear();
        let asked = self.balancer.address().to_string();
        for (number, &port) in self.ports.iter().enumerate() {
            let log = self.kubeconfig.with_file_name(format!("controller-{number}.log"));
            let mut options = ControllerOptions::new(&self.binary, &self.kubeconfig, self.cloud.address())
                .webhook(port, Some(&asked))
                .env("POD_NAME", format!("replica-{number}"))
                .log(log);
            for flag in flags {
                options = options.arg(flag);
            }
            self.replicas.push(Controller::start_ready(options, PATIENCE).await?);
        }
        Ok(())
    }

    fn client(&self) -> Client {
        self.transport.client(0)
    }

    /// Asks for every ServiceAccount in the namespaces of the later phases.
    async fn bind(&self) -> anyhow::Result<()> {
        let binding = json!({
            "apiVersion": "acrcredential.dev/v1alpha1",
            "kind": "AcrCredentialBinding",
            "metadata": { "name": BINDING },
            "spec": {
                "registries": [{ "instanceId": "cri-demo0001" }],
                "watchNamespaces": { "names": ["asked-*"] },
                "serviceAccounts": { "names": ["*"] },
                "webhook": { "enable": true, "failurePolicy": "Fail", "timeoutSeconds": 15 },
            },
        });
        Call::create("/apis/acrcredential.dev/v1alpha1/acrcredentialbindings", &binding)
            .send(&self.client())
            .await?;
        Ok(())
    }

    /// Waits until the condition says so, and until the API server does so.
    async fn until_served(&mut self, way: Way) -> anyhow::Result<()> {
        let path = format!("/apis/acrcredential.dev/v1alpha1/acrcredentialbindings/{BINDING}");
        let end = Instant::now() + PATIENCE;
        loop {
            let request = hyper::Request::get(&path).body(Vec::new())?;
            let binding: Value = self.client().request(request).await?;
            let conditions = binding["status"]["conditions"].as_array().cloned().unwrap_or_default();
            if conditions.iter().any(|c| c["reason"] == way.reason() && c["status"] == "True") {
                break;
            }
            if Instant::now() > end {
                bail!("never served; {conditions:#?}\n{}", self.replicas[0].log_tail(30));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let namespace = self.namespace("asked").await?;
        let mut number = 0;
        while !load::create(&self.client(), &namespace, &format!("probe-{number}")).await.unwrap_or(false) {
            number += 1;
            if Instant::now() > end {
                bail!("the API server never came to it\n{}", self.replicas[0].log_tail(30));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Returns a namespace for one phase.
    async fn namespace(&mut self, kind: &str) -> anyhow::Result<String> {
        self.phases += 1;
        let name = format!("{kind}-{}", self.phases);
        let object = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        Call::create("/api/v1/namespaces", &object).send(&self.client()).await?;
        Ok(name)
    }

    /// One load in a namespace of its own, with something that happens at half of its time.
    async fn phase(
        &mut self,
        kind: &str,
        load: Load,
        halfway: impl AsyncFnOnce(&Self) -> anyhow::Result<()>,
    ) -> anyhow::Result<Outcome> {
        let namespace = self.namespace(kind).await?;
        let rate =
            load.rate.map_or_else(|| "as fast as it goes".to_owned(), |rate| format!("{rate} a second"));
        println!("   {namespace}: {rate} for {} s", load.seconds);
        let half = Duration::from_millis(u64::from(load.seconds) * 500);
        let (outcome, happened) = tokio::join!(load::run(&self.transport, &namespace, load), async {
            tokio::time::sleep(half).await;
            halfway(self).await
        });
        happened?;
        outcome
    }

    async fn hardships(&mut self, floor: &Outcome, rows: &mut Rows) -> anyhow::Result<()> {
        let rate = RATES[1];
        let load = || Load { rate, seconds: self.seconds };
        let (stopped, killed) = (load(), load());
        let changing = Load { rate, seconds: self.seconds.max(20) };

        let servers = [server(self.ports[0]), server(self.ports[1])];
        let outcome = self.phase("asked", stopped, async |bench| {
            bench.replicas[1].signal(Signal::TERM)?;
            tokio::time::sleep(LATE).await;
            bench.balancer.leave(servers[1]);
            bench.replicas[1].wait(PATIENCE).await.map(drop)
        });
        let outcome = outcome.await?;
        rows.push(row("webhook, a replica is stopped", rate, &outcome, Some(floor)));
        self.replicas[1].restart()?;
        self.replicas[1].until_ready(PATIENCE).await?;
        self.balancer.join(servers[1]);

        let outcome = self.phase("asked", killed, async |bench| {
            bench.replicas[0].kill();
            tokio::time::sleep(LATE).await;
            bench.balancer.leave(servers[0]);
            Ok(())
        });
        let outcome = outcome.await?;
        rows.push(row("webhook, a replica is killed", rate, &outcome, Some(floor)));

        println!("   new certificates, whose authority lives for half of the phase");
        self.replicas.clear();
        self.balancer.join(servers[0]);
        let secret = format!("/api/v1/namespaces/{NAMESPACE}/secrets/{WEBHOOK}");
        let request = hyper::Request::delete(secret).body(Vec::new())?;
        let _: Value = self.client().request(request).await?;
        let life = changing.seconds / 2;
        let lives = format!("--webhook-validity={life}s,{}s,2s", (life / 3).max(3));
        self.start_replicas(&[lives]).await?;
        self.until_served(Way::Webhook).await?;
        let outcome = self.phase("asked", changing, async |_| Ok(())).await?;
        let log = self.replicas.iter().map(Controller::log).collect::<String>();
        let changes = log.matches("the webhook's certificates change").count();
        let what = format!("webhook, certificates change {changes} times");
        rows.push(row(&what, rate, &outcome, Some(floor)));
        Ok(())
    }
}
