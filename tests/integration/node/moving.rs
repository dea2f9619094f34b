//! From the documented component to this controller, and on to a binding of one's own, while a Pod starts each second.

use acr_lab::node::usable;
use acr_lab::plane::ReusedPlane;

use super::{HOST, PodEachSecond, Site, plane};
use crate::harness::{Lab, SECRET};
use crate::migration::{graduate, leave_behind, moved};

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_steps_move_and_graduate_while_every_pod_runs() {
    if !usable("the_documented_steps_move_and_graduate_while_every_pod_runs").unwrap() {
        return;
    }
    let (plane, turn) = plane().await;
    let site = Site::start(&plane, turn).await;
    let theirs = leave_behind(&plane, HOST).await;
    let starting = PodEachSecond::start(&plane.client(), "default");
    let lab: Lab = moved(ReusedPlane::from(plane), |lab| site.accept_tokens_of(&lab.cloud)).await;
    let ours = lab.secret("default").await.unwrap();
    assert_eq!(ours.metadata.uid, theirs.metadata.uid, "taken over in place");
    assert_eq!(lab.pull_secrets("default", "default").await, [SECRET]);
    lab.until_settled().await;
    graduate(&lab).await;
    starting.all_ran(&site.node).await;
    drop(site);
}
