//! Two controllers, one lease: only its holder writes. A holder that may have lost it stops before another
//! can take it.
//!
//! Each replica sends its name with every request, so that the audit log shows who wrote what.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use acr_lab::controller::{Controller, ControllerOptions};
use acr_lab::plane::{AuditEvents, Fault, Mark, Target};
use acr_lab::process::Signal;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::jiff::Timestamp;
use kube::api::DeleteParams;

use crate::harness::{CONTROLLER, DOMAIN, Lab, NAMESPACE, SECRET, spec};

const PATIENCE: Duration = Duration::from_secs(30);

/// A short lease for tests.
const LEASE: Duration = Duration::from_secs(4);

const FIRST: &str = "controller-0";
const SECOND: &str = "controller-1";

fn short(options: ControllerOptions) -> ControllerOptions {
    options.arg(format!("--lease-duration={}s", LEASE.as_secs()))
}

/// Starts a second replica like the first, directly connected to the API server, and waits until it is a
/// standby.
async fn standby(lab: &Lab) -> Controller {
    let options = lab.controller.options().clone().pod(SECOND);
    standby_with(lab, options).await
}

async fn standby_with(lab: &Lab, mut options: ControllerOptions) -> Controller {
    options.kubeconfig = lab.plane.service_account_kubeconfig(NAMESPACE, CONTROLLER).await.unwrap();
    let second = Controller::start_ready(options, PATIENCE).await.unwrap();
    lab.until("the second is a standby", async || second.log().contains("lease held by another replica"))
        .await;
    second
}

async fn leads(controller: &Controller) -> bool {
    controller.metric("leader_election_master_status", &[]).await.is_ok_and(|leads| leads == 1.0)
}

async fn until_leads(lab: &Lab, controller: &Controller) {
    lab.until(&format!("{} leads\n{}", controller.options().pod, controller.log_tail(5)), async || {
        leads(controller).await
    })
    .await;
}

async fn lease(lab: &Lab) -> LeaseSpec {
    lab.namespaced::<Lease>(NAMESPACE).get(CONTROLLER).await.unwrap().spec.unwrap()
}

/// Returns all requests of the replicas, the Lease included.
fn asked(lab: &Lab, since: Mark) -> AuditEvents {
    lab.plane.audit().since(since).unwrap().by_service_account(NAMESPACE, CONTROLLER)
}

fn of(events: &AuditEvents, name: &str) -> AuditEvents {
    events.filter(|event| event.user_agent.contains(&format!("({name})")))
}

/// Counts a replica's successful renewals of the lease.
fn renewals(lab: &Lab, name: &str, since: Mark) -> usize {
    of(&asked(lab, since), name)
        .filter(|e| e.resource == "leases" && e.verb == "patch" && e.code == 200)
        .len()
}

/// Returns when a controller last logged some words.
fn logged_at(controller: &Controller, words: &str) -> Timestamp {
    let log = controller.log();
    let line =
        log.lines().rfind(|line| line.contains(words)).unwrap_or_else(|| panic!("no {words:?} in\n{log}"));
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// Checks that the first stopped, by its own log, before the second's claim reached the API server.
fn assert_lost_before_taken(lab: &Lab) {
    let all = of(&asked(lab, Mark::default()), SECOND);
    let taken = all.filter(|e| e.resource == "leases" && e.verb == "patch" && e.code == 200)[0].timestamp;
    let lost = logged_at(&lab.controller, "lease lost");
    assert!(lost < taken, "lost at {lost}, taken by the other at {taken}");
    println!("stopped {:?} before the other began", taken.duration_since(lost));
}

/// Checks, as the oracle, that each write arrived while its sender held the lease, in the order of the API
/// server.
fn assert_only_the_holder_wrote(lab: &Lab) {
    let all = asked(lab, Mark::default());
    let name = |agent: &str| {
        [FIRST, SECOND]
            .into_iter()
            .find(|name| agent.contains(&format!("({name})")))
            .expect("a replica")
            .to_owned()
    };
    let taken = all.filter(|event| event.resource == "leases" && event.verb == "patch" && event.code == 200);
    let writes = all.writes();
    assert!(!writes.is_empty() && !taken.is_empty());
    for write in writes.iter() {
        let holder =
            taken.iter().filter(|lease| lease.timestamp <= write.timestamp).max_by_key(|l| l.timestamp);
        let holder = holder.map(|lease| name(&lease.user_agent));
        assert_eq!(
            holder,
            Some(name(&write.user_agent)),
            "{} wrote without the lease: {write:?}",
            write.user_agent
        );
    }
}

async fn serve(lab: &Lab, namespace: &str) {
    lab.create_namespace(namespace).await;
    lab.bind(namespace, spec(&[namespace])).await;
    lab.until_ready_is(namespace, "True", "Succeeded").await;
}

async fn until_refreshed(lab: &Lab, namespace: &str, request: &str) {
    let before = lab.token(namespace, DOMAIN).await;
    lab.refresh(namespace, request).await;
    lab.until("there is a fresh token", async || lab.token(namespace, DOMAIN).await != before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_takes_over_from_a_killed_leader_without_needless_writes() {
    let lab = Lab::start_with(short).await;
    serve(&lab, "taken").await;
    let second = standby(&lab).await;
    assert!(second.alive().await.unwrap() && !leads(&second).await && leads(&lab.controller).await);
    // Requests that the standby observes are the leader's work, and are not repeated.
    until_refreshed(&lab, "taken", "once").await;
    lab.until_settled().await;
    assert!(of(&asked(&lab, Mark::default()), SECOND).writes().is_empty());

    let mark = lab.mark();
    lab.cloud.clear_calls();
    lab.controller.kill();
    let killed = Instant::now();
    until_leads(&lab, &second).await;
    let takeover = killed.elapsed();
    println!("taken over {takeover:?} after the kill, by a lease of {LEASE:?}");
    assert!(takeover > LEASE / 2 && takeover < LEASE + Duration::from_secs(2) + LEASE / 2, "{takeover:?}");
    lab.until_settled().await;
    assert_eq!(lab.requests(mark).writes().counts(), Default::default());
    assert_eq!(lab.cloud.calls().len(), 0, "a takeover mints nothing");
    assert_eq!(lease(&lab).await.lease_transitions, Some(1));

    lab.create_account("taken", "late", &[]).await;
    lab.until_attached("taken", "late").await;
    until_refreshed(&lab, "taken", "twice").await;
    assert_only_the_holder_wrote(&lab);
}

/// With the default lease: a handover that waited for its expiry would take four times as long.
#[tokio::test(flavor = "multi_thread")]
async fn a_terminated_leader_hands_over_at_once() {
    let lab = Lab::start().await;
    serve(&lab, "handed").await;
    lab.until_settled().await;
    let second = standby(&lab).await;
    let mark = lab.mark();
    lab.cloud.clear_calls();
    let asked_to_end = Instant::now();
    assert!(lab.controller.terminate(PATIENCE).await.unwrap().success());
    until_leads(&lab, &second).await;
    let handover = asked_to_end.elapsed();
    println!("handed over {handover:?} after SIGTERM");
    assert!(handover < Duration::from_millis(7_500), "{handover:?}");
    assert!(lab.controller.log().contains("lease released"));

    // A standby that ends changes nothing.
    lab.controller.restart().unwrap();
    lab.controller.until_ready(PATIENCE).await.unwrap();
    assert!(lab.controller.terminate(PATIENCE).await.unwrap().success());
    let now = lease(&lab).await;
    assert_eq!((now.holder_identity.as_deref(), now.lease_transitions), (Some(SECOND), Some(1)));
    assert!(leads(&second).await);
    lab.until_settled().await;
    assert_eq!(lab.requests(mark).writes().counts(), Default::default());
    assert_eq!(lab.cloud.calls().len(), 0);

    // A restarted container in its own Pod resumes its own lease, however the process ended.
    second.kill();
    second.restart().unwrap();
    let restarted = Instant::now();
    until_leads(&lab, &second).await;
    assert!(restarted.elapsed() < Duration::from_millis(7_500), "{:?}", restarted.elapsed());
    assert_eq!(lease(&lab).await.lease_transitions, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_was_paused_past_its_lease_writes_nothing_and_ends() {
    let lab = Lab::start_with(short).await;
    serve(&lab, "stopped").await;
    let second = standby(&lab).await;
    lab.until_settled().await;
    lab.controller.signal(Signal::STOP).unwrap();
    let mark = lab.mark();
    until_leads(&lab, &second).await;
    // All changes meanwhile wait until the first resumes.
    until_refreshed(&lab, "stopped", "meanwhile").await;
    for i in 0..5 {
        lab.create_account("stopped", &format!("late-{i}"), &[]).await;
        lab.until_attached("stopped", &format!("late-{i}")).await;
    }
    let token = lab.token("stopped", DOMAIN).await;
    lab.controller.signal(Signal::CONT).unwrap();
    let status = lab.controller.wait(PATIENCE).await.unwrap();
    assert!(!status.success(), "{status}");
    assert!(lab.controller.log().contains("is lost: "), "{}", lab.controller.log());
    assert_eq!(of(&asked(&lab, mark), FIRST).writes().counts(), Default::default());
    assert_eq!(lab.token("stopped", DOMAIN).await, token);
    assert_only_the_holder_wrote(&lab);
}

/// The leader receives its watches and may write, but cannot renew: it has work until the very end.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_cannot_renew_stops_in_the_middle_of_its_work() {
    let (lab, proxy) = Lab::proxied_with(short).await;
    serve(&lab, "busy").await;
    let second = standby(&lab).await;
    let _held = proxy.hold(Target::resource("leases"));
    let mut created = 0;
    // An account every few milliseconds, until the second has attached some.
    lab.until("the second works", async || {
        created += 1;
        lab.create_account("busy", &format!("late-{created}"), &[]).await;
        of(&asked(&lab, Mark::default()), SECOND).writes().len() > 5
    })
    .await;
    let status = lab.controller.wait(PATIENCE).await.unwrap();
    assert!(!status.success(), "{status}");
    assert!(lab.controller.log().contains("is lost: it could not be renewed in time"));
    for i in 1..=created {
        lab.until_attached("busy", &format!("late-{i}")).await;
    }
    let by_first = of(&asked(&lab, Mark::default()), FIRST).writes().of("serviceaccounts").len();
    assert_lost_before_taken(&lab);
    assert!(by_first > 5, "the first had work too, {by_first} of {created}");
    assert!(leads(&second).await);
    assert_only_the_holder_wrote(&lab);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_cut_off_stops_before_another_begins() {
    let (lab, proxy) = Lab::proxied_with(short).await;
    serve(&lab, "cut").await;
    let second = standby(&lab).await;
    lab.until_settled().await;
    let _held = proxy.hold(Target::any());
    proxy.cut();
    let status = lab.controller.wait(PATIENCE).await.unwrap();
    assert!(!status.success(), "{status}");
    until_leads(&lab, &second).await;
    assert_lost_before_taken(&lab);
    lab.create_account("cut", "late", &[]).await;
    lab.until_attached("cut", "late").await;
    assert_only_the_holder_wrote(&lab);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_controllers_never_write_at_once_while_the_api_server_stalls_or_restarts() {
    let lab = Lab::start_with(|options| options.arg("--lease-duration=12s")).await;
    serve(&lab, "outage").await;
    let second = standby(&lab).await;
    lab.plane.pause_api_server().unwrap();
    tokio::time::sleep(Duration::from_secs(4)).await;
    lab.plane.resume_api_server().unwrap();
    lab.create_account("outage", "after-a-stall", &[]).await;
    lab.until_attached("outage", "after-a-stall").await;
    lab.plane.restart_api_server().await.unwrap();
    for controller in [&lab.controller, &second] {
        // A process that ended logged its reason, and is restarted as by a kubelet.
        if !controller.is_running() {
            controller.restart().unwrap();
        }
    }
    lab.create_account("outage", "after-a-restart", &[]).await;
    lab.until_attached("outage", "after-a-restart").await;
    assert!(leads(&lab.controller).await != leads(&second).await);
    assert_only_the_holder_wrote(&lab);
}

/// Returns Debian's libfaketime, which leaves the monotonic clock alone, as a step of the clock does.
fn libfaketime() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path());
    let found = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1")).find(|path| path.exists());
    if found.is_none() {
        assert!(
            std::env::var_os("CI").is_none(),
            "libfaketime is missing: install Debian's package faketime"
        );
        println!("skipped: libfaketime is missing; install Debian's package faketime");
    }
    found
}

/// Runs the controller with a clock offset that is read from a file.
fn by_clock(options: ControllerOptions, library: &Path, offset: &Path) -> ControllerOptions {
    options
        .env("LD_PRELOAD", library)
        .env("FAKETIME_TIMESTAMP_FILE", offset)
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("FAKETIME_NO_CACHE", "1")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_of_the_clock_does_not_move_the_lease() {
    let Some(library) = libfaketime() else { return };
    let clocks = tempfile::tempdir().unwrap();
    let offsets = [clocks.path().join("first"), clocks.path().join("second")];
    let step = |of: usize, offset: &str| std::fs::write(&offsets[of], offset).unwrap();
    step(0, "+0");
    step(1, "+600");
    // Over plain HTTP, because a certificate of today is not valid at every offset.
    let (lab, proxy) = Lab::proxied_with(|options| by_clock(short(options), &library, &offsets[0])).await;
    serve(&lab, "clocks").await;
    let mut options = lab.controller.options().clone().pod(SECOND);
    options.env.clear();
    let mut options = by_clock(options, &library, &offsets[1]);
    options.kubeconfig = proxy.kubeconfig_for(NAMESPACE, CONTROLLER).await.unwrap();
    let second = Controller::start_ready(options, PATIENCE).await.unwrap();
    for (of, offset) in [(0, "-600"), (1, "-600"), (0, "+600"), (1, "+0")] {
        step(of, offset);
        let mark = lab.mark();
        // Longer than the lease, by renewals that come at a third of it.
        lab.until("the first goes on", async || renewals(&lab, FIRST, mark) >= 5).await;
    }
    let now = lease(&lab).await;
    assert_eq!((now.holder_identity.as_deref(), now.lease_transitions), (Some(FIRST), Some(0)));
    let ahead =
        now.renew_time.unwrap().0.duration_since(Timestamp::from_millisecond(lab.cloud.now()).unwrap());
    assert!(ahead.as_secs() > 300, "the first did run with another clock: {ahead}");
    lab.controller.kill();
    let killed = Instant::now();
    until_leads(&lab, &second).await;
    assert!(killed.elapsed() < LEASE + Duration::from_secs(2) + LEASE / 2, "{:?}", killed.elapsed());
    lab.create_account("clocks", "late", &[]).await;
    lab.until_attached("clocks", "late").await;
    assert_only_the_holder_wrote(&lab);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_or_refused_lease_and_a_lost_answer_move_it_only_if_they_must() {
    let (lab, proxy) = Lab::proxied_with(short).await;
    serve(&lab, "shaken").await;
    let second = standby(&lab).await;
    let goes_on = async |lab: &Lab| {
        let mark = lab.mark();
        lab.until("the first goes on", async || renewals(lab, FIRST, mark) >= 4).await;
        assert!(lab.controller.is_running());
        let now = lease(lab).await;
        assert_eq!((now.holder_identity.as_deref(), now.lease_transitions), (Some(FIRST), Some(0)));
    };
    lab.namespaced::<Lease>(NAMESPACE).delete(CONTROLLER, &DeleteParams::default()).await.unwrap();
    goes_on(&lab).await;
    proxy.inject(Target::new("patch", "leases"), Fault::DropReply, 1);
    goes_on(&lab).await;
    proxy.inject(Target::new("patch", "leases"), Fault::Answer(403), 1);
    goes_on(&lab).await;

    // Both may have recreated the lease, but creating it does not acquire it.
    assert!(of(&asked(&lab, Mark::default()), SECOND).writes().is_empty());
    let refused = lab.mark();
    proxy.inject(Target::resource("leases"), Fault::Answer(403), usize::MAX);
    let status = lab.controller.wait(PATIENCE).await.unwrap();
    assert!(!status.success(), "{status}");
    assert!(lab.controller.log().contains("apply the RBAC of this version"));
    until_leads(&lab, &second).await;
    assert_eq!(lease(&lab).await.lease_transitions, Some(1));
    lab.controller.restart().unwrap();
    lab.until("the first reports that it cannot work", async || {
        matches!(lab.controller.ready().await, Ok(Some(missing)) if missing == "waiting for the lease")
    })
    .await;
    proxy.clear();
    lab.controller.until_ready(PATIENCE).await.unwrap();
    lab.create_account("shaken", "late", &[]).await;
    lab.until_attached("shaken", "late").await;
    assert!(
        of(&asked(&lab, refused), FIRST).writes().is_empty(),
        "it had nothing to write, and then no lease"
    );
}

/// A dry run reports planned changes, which a working controller makes anyway, and both write statuses.
#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_works_only_while_no_controller_does() {
    let lab = Lab::start_with(short).await;
    serve(&lab, "real").await;
    lab.until_settled().await;
    let dry = standby_with(&lab, lab.controller.options().clone().arg("--dry-run").pod(SECOND)).await;
    assert!(of(&asked(&lab, Mark::default()), SECOND).writes().is_empty());
    lab.create_namespace("later").await;
    assert!(lab.controller.terminate(PATIENCE).await.unwrap().success());
    let claimed = lab.mark();
    lab.bind("later", spec(&["later"])).await;
    lab.until_ready_is("later", "False", "DryRun").await;
    assert_eq!(of(&asked(&lab, claimed), SECOND).of("leases").filter(|e| e.verb == "patch").len(), 0);

    lab.controller.restart().unwrap();
    let status = dry.wait(PATIENCE).await.unwrap();
    assert!(!status.success(), "{status}");
    assert!(dry.log().contains(&format!("is lost: {FIRST} holds it now")), "{}", dry.log());
    lab.until_ready_is("later", "True", "Succeeded").await;
    assert_eq!(lab.pull_secrets("later", "default").await, [SECRET]);
}

/// A process that continues without one of its parts would look healthy and do nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_ends_ends_the_process() {
    let lab = Lab::start().await;
    lab.controller.kill();
    let _taken = std::net::TcpListener::bind(lab.controller.address()).unwrap();
    lab.controller.restart().unwrap();
    let status = lab.controller.wait(PATIENCE).await.unwrap();
    assert!(!status.success(), "{status}");
    assert!(lab.controller.log().contains("the admin server ended"), "{}", lab.controller.log());
}
