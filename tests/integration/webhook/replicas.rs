//! Several replicas, one of which ends.

use std::net::SocketAddr;

use acr_lab::controller::{Controller, ControllerOptions};
use acr_lab::front::Balancer;
use acr_lab::plane::{ReusedPlane, free_port};
use acr_lab::process::Signal;
use tokio::net::TcpStream;

use super::{PATIENCE, Stream, asking, grant, plane, until_asked, until_served_by_webhook};
use crate::harness::{CONTROLLER, Lab, NAMESPACE, cloud_of, options};

/// Two replicas behind one address, like a Deployment behind its Service.
pub(super) struct Replicas {
    pub(super) lab: Lab,
    pub(super) second: Controller,
    pub(super) servers: [SocketAddr; 2],
    balancer: Balancer,
}

impl Replicas {
    pub(super) async fn start(change: impl Fn(usize, ControllerOptions) -> ControllerOptions) -> Replicas {
        let plane = plane().await;
        grant(&plane).await;
        Self::start_on(plane, change).await
    }

    pub(super) async fn start_on(
        plane: impl Into<ReusedPlane>,
        change: impl Fn(usize, ControllerOptions) -> ControllerOptions,
    ) -> Replicas {
        let plane = plane.into();
        let cloud = cloud_of(&plane).await;
        let ports = [free_port().unwrap(), free_port().unwrap()];
        let servers = ports.map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let balancer = Balancer::start(servers.to_vec()).await.unwrap();
        let asked = balancer.address().to_string();
        let kubeconfig = plane.service_account_kubeconfig(NAMESPACE, CONTROLLER).await.unwrap();
        let replica = |number: usize| {
            let log = kubeconfig.with_file_name(format!("controller-{number}.log"));
            let options = options(kubeconfig.clone(), &cloud).webhook(ports[number], Some(&asked)).log(log);
            change(number, options.env("POD_NAME", format!("replica-{number}")))
        };
        let controller = Controller::start_ready(replica(0), PATIENCE).await.unwrap();
        let second = Controller::start_ready(replica(1), PATIENCE).await.unwrap();
        let lab = Lab { client: plane.client(), plane, cloud, controller };
        Replicas { lab, second, servers, balancer }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_replicas_may_end_without_a_refusal() {
    // Long enough for a busy machine to see that a stopping replica still answers.
    let delayed = |_, options: ControllerOptions| options.arg("--webhook-shutdown-delay=15s");
    let Replicas { lab, second, servers, balancer } = Replicas::start(delayed).await;
    lab.create_namespace("replicas").await;
    lab.bind("replicas", asking(&["replicas"], "Fail", 15)).await;
    until_asked(&lab, "replicas").await;
    until_served_by_webhook(&lab, "replicas").await;

    // The second one ends as a Pod does, and comes back; then the first.
    for (number, controller) in [(1, &second), (0, &lab.controller)] {
        let stream = Stream::start(&lab, "replicas");
        until_flowing(&lab).await;
        controller.signal(Signal::TERM).unwrap();
        lab.until("it is about to end", async || controller.log().contains("stopping")).await;
        until_leader(&lab, [&lab.controller, &second][1 - number]).await;
        // The Service still leads to it, since its endpoints are removed with a delay.
        until_flowing(&lab).await;
        TcpStream::connect(servers[number]).await.expect("it answers on");
        balancer.leave(servers[number]);
        controller.wait(PATIENCE).await.unwrap();
        until_flowing(&lab).await;
        controller.restart().unwrap();
        controller.until_ready(PATIENCE).await.unwrap();
        balancer.join(servers[number]);
        stream.end_without_a_refusal().await;
    }
    // A killed replica loses its current requests and those that the Service still sends to it, and none
    // after that.
    lab.controller.kill();
    balancer.leave(servers[0]);
    until_asked(&lab, "replicas").await;
    let stream = Stream::start(&lab, "replicas");
    until_flowing(&lab).await;
    stream.end_without_a_refusal().await;
}

/// Waits until the API server has answered some more requests.
async fn until_flowing(lab: &Lab) {
    let begun = lab.mark();
    lab.until("the stream flows", async || lab.plane.audit().since(begun).unwrap().len() > 20).await;
}

/// Waits until this replica holds the lease.
async fn until_leader(lab: &Lab, controller: &Controller) {
    lab.until("another holds the lease", async || {
        controller.metric("leader_election_master_status", &[]).await.is_ok_and(|leads| leads == 1.0)
    })
    .await;
}
