//! `cargo lab admission`: the cost of serving ServiceAccounts at their creation, and what is refused.
//!
//! Both modes run on a plane of their own, with `failurePolicy: Fail` and 15 s: MutatingAdmissionPolicy, and
//! webhook with two replicas behind one address. ServiceAccounts are created at 10 and 100 a second and as
//! fast as the API server allows. The floor is the same load on the same plane before a binding exists. The
//! webhook also runs while its certificates and authority change, while a replica is stopped, and while one
//! is killed.
//!
//! The measurement has no thresholds: it fails only when a phase cannot be set up.

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

/// The longest wait for a change to take effect.
const PATIENCE: Duration = Duration::from_secs(60);

/// The binding, and the webhook's configuration object.
const BINDING: &str = "admission";
const WEBHOOK: &str = "acr-credential-webhook";

/// How long a Service still routes to a replica that is gone: the delay of a kubelet and kube-proxy together.
const LATE: Duration = Duration::from_secs(2);

/// ServiceAccounts a second; `None` means without a limit.
const RATES: [Option<u32>; 3] = [Some(10), Some(100), None];

/// Size and scope of the measurement.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Seconds of each phase.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
    /// Measure only this mode.
    #[arg(long, value_enum)]
    mode: Option<Mode>,
    /// A controller to measure, instead of a release build of the one here.
    #[arg(long, value_name = "FILE")]
    controller: Option<PathBuf>,
    /// File that gets the table in Markdown.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

/// A mode of serving ServiceAccounts at their creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Mode {
    Policy,
    Webhook,
}

impl Mode {
    /// Returns the reason in the binding's condition when this mode serves.
    fn reason(self) -> &'static str {
        match self {
            Mode::Policy => "MutatingAdmissionPolicy",
            Mode::Webhook => "MutatingWebhook",
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
    for mode in [Mode::Policy, Mode::Webhook] {
        if args.mode.is_none_or(|only| only == mode) {
            measure(mode, &args, &binary, &mut rows).await.context(mode.reason())?;
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
    ["mode", "asked", "reached", "created", "refused", "without entry", "p50 / p99", "added p50 / p99"];

/// Returns the address on which a replica listens.
fn server(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

type Rows = Vec<[String; 8]>;

/// Everything that the measurement of one mode needs.
struct Bench {
    // Fields drop in this order: clients before their servers.
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

async fn measure(mode: Mode, args: &Args, binary: &Path, rows: &mut Rows) -> anyhow::Result<()> {
    println!("\n{}: start a control plane, a simulated cloud and two replicas", mode.reason());
    let mut bench = Bench::set_up(mode, args.seconds, binary).await?;
    let mut floor = Vec::new();
    for rate in RATES {
        let outcome = bench.phase("floor", Load { rate, seconds: args.seconds }, async |_| Ok(())).await?;
        rows.push(row("no admission", rate, &outcome, None));
        floor.push(outcome);
    }
    bench.bind().await?;
    bench.until_served(mode).await?;
    for (rate, floor) in RATES.into_iter().zip(&floor) {
        let outcome = bench.phase("asked", Load { rate, seconds: args.seconds }, async |_| Ok(())).await?;
        rows.push(row(mode.reason(), rate, &outcome, Some(floor)));
    }
    if mode == Mode::Webhook {
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
        rate.map_or_else(|| "unlimited".to_owned(), |rate| format!("{rate}/s")),
        format!("{:.1}/s", outcome.reached()),
        outcome.spans.len().to_string(),
        outcome.refused.to_string(),
        if floor.is_some() { outcome.bare.to_string() } else { String::new() },
        format!("{p50:.2} / {p99:.2} ms"),
        added.unwrap_or_default(),
    ]
}

impl Bench {
    async fn set_up(mode: Mode, seconds: u32, binary: &Path) -> anyhow::Result<Bench> {
        let options = match mode {
            Mode::Policy => Options::default(),
            Mode::Webhook => Options::default().without_mutating_policies(),
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
        match mode {
            Mode::Policy => plane.apply_file(root.join("deploy/admission.yaml")).await.map(drop)?,
            Mode::Webhook => plane.grant_webhook(root.join("deploy/webhook.yaml")).await?,
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

    /// Creates a binding for every ServiceAccount in the namespaces of the later phases.
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

    /// Waits until the condition and the API server both show that admission serves.
    async fn until_served(&mut self, mode: Mode) -> anyhow::Result<()> {
        let path = format!("/apis/acrcredential.dev/v1alpha1/acrcredentialbindings/{BINDING}");
        let end = Instant::now() + PATIENCE;
        loop {
            let request = hyper::Request::get(&path).body(Vec::new())?;
            let binding: Value = self.client().request(request).await?;
            let conditions = binding["status"]["conditions"].as_array().cloned().unwrap_or_default();
            if conditions.iter().any(|c| c["reason"] == mode.reason() && c["status"] == "True") {
                break;
            }
            if Instant::now() > end {
                bail!("the binding was never served; {conditions:#?}\n{}", self.replicas[0].log_tail(30));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let namespace = self.namespace("asked").await?;
        let mut number = 0;
        while !load::create(&self.client(), &namespace, &format!("probe-{number}")).await.unwrap_or(false) {
            number += 1;
            if Instant::now() > end {
                bail!("the API server never applied it\n{}", self.replicas[0].log_tail(30));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Creates a namespace for one phase.
    async fn namespace(&mut self, kind: &str) -> anyhow::Result<String> {
        self.phases += 1;
        let name = format!("{kind}-{}", self.phases);
        let object = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        Call::create("/api/v1/namespaces", &object).send(&self.client()).await?;
        Ok(name)
    }

    /// Runs one load in a namespace of its own, with an action at half of its time.
    async fn phase(
        &mut self,
        kind: &str,
        load: Load,
        halfway: impl AsyncFnOnce(&Self) -> anyhow::Result<()>,
    ) -> anyhow::Result<Outcome> {
        let namespace = self.namespace(kind).await?;
        let rate = load.rate.map_or_else(|| "unlimited".to_owned(), |rate| format!("{rate} a second"));
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

        println!("   new certificates; their authority expires after half of the phase");
        self.replicas.clear();
        self.balancer.join(servers[0]);
        let secret = format!("/api/v1/namespaces/{NAMESPACE}/secrets/{WEBHOOK}");
        let request = hyper::Request::delete(secret).body(Vec::new())?;
        let _: Value = self.client().request(request).await?;
        let life = changing.seconds / 2;
        let lives = format!("--webhook-lifetimes={life}s,{}s,2s", (life / 3).max(3));
        self.start_replicas(&[lives]).await?;
        self.until_served(Mode::Webhook).await?;
        let outcome = self.phase("asked", changing, async |_| Ok(())).await?;
        let log = self.replicas.iter().map(Controller::log).collect::<String>();
        let changes = log.matches("the webhook's certificates change").count();
        let what = format!("webhook, certificates change {changes} times");
        rows.push(row(&what, rate, &outcome, Some(floor)));
        Ok(())
    }
}
