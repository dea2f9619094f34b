//! The setup before the measurements.

use std::{
    path::{Path, PathBuf},
    thread::available_parallelism,
    time::Duration,
};

use acr_lab::{
    cloud::{Cloud, CloudConfig},
    controller::{Controller, ControllerOptions},
    plane::Plane,
};
use anyhow::Context;

use super::{
    Bench, CONTROLLER, NAMESPACE, SECRET,
    group::{Group, Template},
    layout::Layout,
    registries::add_instances,
    report::Report,
    requests::{Who, until_at_rest},
    scout,
    spans::{grouped, ratio, seconds},
    transport::{Kind, Transport},
    watch::Watch,
};

/// The manifests to install.
pub(crate) const MANIFESTS: [&str; 4] =
    ["crds", "deploy/namespace.yaml", "deploy/rbac.yaml", "deploy/policies.yaml"];

/// Number of measured attempts of each transport, after one to warm it up.
const ROUNDS: usize = 3;

impl Bench {
    /// Installs, learns and creates everything. The controller is stopped when this returns.
    pub(super) async fn set_up(layout: Layout, binary: PathBuf, plane: Plane) -> anyhow::Result<Bench> {
        let (namespaces, accounts_each) = (layout.namespaces, layout.accounts);
        let mut world = CloudConfig::demo();
        add_instances(&mut world.world, "1", layout.instances);
        let cloud = Cloud::start(world).await?;
        for manifest in MANIFESTS {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(manifest);
            plane.apply_file(path).await.with_context(|| format!("{manifest} was not applied"))?;
        }
        let kubeconfig = plane.service_account_kubeconfig(NAMESPACE, CONTROLLER).await?;
        let open = |kind| Transport::open(plane.kubeconfig(), kind);
        let mut accounts =
            Watch::open(open(Kind::Http2(1)).await?.client(0), "/api/v1/serviceaccounts", "").await?;
        let selector = format!("&fieldSelector=metadata.name={SECRET}");
        let mut secrets =
            Watch::open(open(Kind::Http2(1)).await?.client(0), "/api/v1/secrets", &selector).await?;

        println!("Learn from one namespace what the product's Secret looks like");
        let maker = open(Kind::Http2(1)).await?;
        let controller = Controller::start(ControllerOptions::new(binary, kubeconfig, cloud.address()))?;
        let learnt = (&mut secrets, &layout.in_each_secret);
        let scouted = scout::learn(&plane, &controller, &maker, learnt).await;
        let template = scouted.with_context(|| format!("the scout failed:\n{}", controller.log_tail(20)))?;
        println!("   {} bytes of data in base64", grouped(template.size()));

        println!("Create 2 × {} namespaces with {} ServiceAccounts each", grouped(namespaces), accounts_each);
        let probes = (namespaces / 10).clamp(10, 100);
        let probe = Group::create(&maker, &mut accounts, ("probe", probes, accounts_each)).await?;
        let floor = Group::create(&maker, &mut accounts, ("floor", namespaces, accounts_each)).await?;
        let covered = Group::create(&maker, &mut accounts, ("bench", namespaces, accounts_each)).await?;
        until_at_rest(&plane, Who::ControllerManager).await?;

        println!("Find the fastest way to the API server, for the floor");
        let transport = fastest(&plane, probe, &template).await?;
        let report = Report::new(&layout.title, conditions(&layout, &transport));
        Ok(Bench {
            accounts,
            secrets,
            transport,
            controller,
            cloud,
            plane,
            layout,
            template,
            covered,
            floor,
            served: namespaces,
            cpu: Duration::ZERO,
            report,
        })
    }
}

/// Measures each transport on the same namespaces in turn, and returns the fastest in total.
async fn fastest(plane: &Plane, mut probe: Group, template: &Template) -> anyhow::Result<Transport> {
    let mut tried = Vec::new();
    for kind in Kind::ALL {
        tried.push((Duration::ZERO, Transport::open(plane.kubeconfig(), kind).await?));
    }
    let all = 0..probe.len();
    for round in 0..=ROUNDS {
        for (number, (sum, transport)) in tried.iter_mut().enumerate() {
            let secret = format!("acr-credential-secret-probe-{round}-{number}");
            let took = probe.fill_as(transport, template, &secret, all.clone()).await?;
            if round > 0 {
                *sum += took;
            }
        }
    }
    let writes = all.len() * probe.writes_each() * ROUNDS;
    for (sum, transport) in &tried {
        println!("   {} writes by {}: {}", grouped(writes), transport.kind.name(), seconds(*sum));
    }
    tried.sort_by_key(|(sum, _)| *sum);
    if let [(best, _), .., (worst, _)] = &tried[..] {
        println!("   the slowest takes {:.2} × the fastest, which is the floor's", ratio(*worst, *best));
    }
    let (_, transport) = tried.into_iter().next().context("no transport was tried")?;
    Ok(transport)
}

fn conditions(layout: &Layout, transport: &Transport) -> String {
    let cores = available_parallelism().map(usize::from).unwrap_or(1);
    format!(
        "{}; {cores} cores for the controller, the control plane and the bench together. The floor is a bare client over \
         {}, 16 requests at a time.",
        layout.describe(),
        transport.kind.name()
    )
}
