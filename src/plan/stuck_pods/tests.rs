//! Pods that are replaced, and Pods that never are.

use super::{Circumstances, Owner, PodDecision, StuckPod, decide, is_for, is_refusal};
use crate::plan::fixture::{OURS, at, bound_with, foreign, holding, outdated, resolved, snapshot, view};
use crate::plan::withdrawal_guard::Retained;
use crate::plan::{NamespaceView, Phase, ResolvedBinding, Snapshot};
use k8s_openapi::jiff::SignedDuration;
use serde_json::json;

const IMAGE: &str = "a.example.com/team/app:1";

fn owner(kind: &str) -> Option<Owner> {
    Some(Owner { api_version: "apps/v1".into(), kind: kind.into(), name: "o".into(), uid: "o".into() })
}

/// Returns a Pod of a ReplicaSet that was created before `default` in the namespace `n` was served.
fn pod() -> StuckPod {
    StuckPod {
        namespace: "n".into(),
        name: "p".into(),
        uid: "p".into(),
        resource_version: "1".into(),
        created_at: at(10),
        service_account: "default".into(),
        pull_secrets: [].into(),
        owner: owner("ReplicaSet"),
        images: [IMAGE.into()].into(),
    }
}

/// Returns the namespace with our Secret, as the snapshot wants it.
fn served(accounts: &[(&str, &str)], snapshot: &Snapshot) -> NamespaceView {
    let mut view = view(accounts);
    let all: Vec<usize> = (0..snapshot.bindings().len()).collect();
    view.secret = Some(holding(&snapshot.content(&all)));
    view
}

fn judged(pod: &StuckPod, list: &str, resolved_bindings: Vec<ResolvedBinding>) -> PodDecision {
    let snapshot = snapshot(resolved_bindings);
    decide(
        pod,
        Circumstances {
            view: &served(&[("default", list)], &snapshot),
            snapshot: &snapshot,
            retained: &[],
            replaced_at: None,
            now: at(60),
        },
    )
}

fn is_left(decide: &PodDecision, why: &str) -> bool {
    matches!(decide, PodDecision::Leave(words) if words.contains(why))
}

fn waits(decide: &PodDecision, why: &str) -> bool {
    matches!(decide, PodDecision::Wait(words) if words.contains(why))
}

#[test]
fn a_pod_that_copied_the_list_too_early_is_replaced() {
    assert_eq!(judged(&pod(), OURS, vec![resolved("a")]), PodDecision::Replace);
    let copied = StuckPod { pull_secrets: ["theirs".into()].into(), ..pod() };
    assert_eq!(judged(&copied, "theirs ours", vec![resolved("a")]), PodDecision::Replace);
    assert_eq!(judged(&pod(), "theirs ours", vec![resolved("a")]), PodDecision::Replace);
    let suspended = vec![resolved("a").phased(Phase::Suspended)];
    assert_eq!(judged(&pod(), OURS, suspended), PodDecision::Replace, "what is held still pulls");
}

#[test]
fn a_pod_that_no_owner_creates_again_is_left() {
    for (kind, why) in [("Node", "static"), ("Job", "failure")] {
        let of = StuckPod { owner: owner(kind), ..pod() };
        assert!(is_left(&judged(&of, OURS, vec![resolved("a")]), why), "{kind}");
    }
    let bare = StuckPod { owner: None, ..pod() };
    assert!(is_left(&judged(&bare, OURS, vec![resolved("a")]), "no owner"));
}

#[test]
fn a_list_of_its_own_is_left() {
    for (own, account) in [("mine", OURS), ("mine", "theirs ours"), ("ours", OURS), ("b a", "a b ours")] {
        let pod = StuckPod { pull_secrets: own.split(' ').map(Into::into).collect(), ..pod() };
        assert!(is_left(&judged(&pod, account, vec![resolved("a")]), "carries"), "{own} beside {account}");
    }
}

#[test]
fn it_waits_until_everything_that_a_new_pod_needs_exists() {
    assert!(waits(&judged(&pod(), "", vec![resolved("a")]), "does not carry our entry"));
    assert!(waits(&judged(&pod(), "theirs", vec![resolved("a")]), "does not carry our entry"));
    let snapshot = snapshot([resolved("a")]);
    let judge = |view: &NamespaceView| {
        decide(
            &pod(),
            Circumstances { view, snapshot: &snapshot, retained: &[], replaced_at: None, now: at(60) },
        )
    };
    assert!(waits(&judge(&served(&[("other", OURS)], &snapshot)), "does not exist"));
    for secret in [None, Some(outdated()), Some(foreign())] {
        let mut view = served(&[("default", OURS)], &snapshot);
        view.secret = secret;
        assert!(waits(&judge(&view), "Secret is not up to date"));
    }
    let mut going = served(&[("default", OURS)], &snapshot);
    going.facts.as_mut().unwrap().terminating = true;
    assert!(waits(&judge(&going), "being deleted"));
}

/// The Secret then holds more than what covers the namespace.
#[test]
fn a_part_that_is_held_there_does_not_delay_it() {
    let elsewhere = json!({ "watchNamespaces": { "names": ["other"] } });
    let snapshot = snapshot([resolved("a"), bound_with("b", elsewhere)]);
    let view = served(&[("default", OURS)], &snapshot);
    let retained = |verified| [Retained { binding: "b".into(), held: true, verified }];
    let judge = |retained: &[Retained]| {
        decide(
            &pod(),
            Circumstances { view: &view, snapshot: &snapshot, retained, replaced_at: None, now: at(60) },
        )
    };
    assert_eq!(judge(&retained(true)), PodDecision::Replace);
    assert!(waits(&judge(&[]), "Secret is not up to date"), "it is being withdrawn");
    assert!(waits(&judge(&retained(false)), "Secret is not up to date"), "it may be another's");
}

#[test]
fn an_image_without_a_valid_credential_is_left() {
    let why = "no credential of ours";
    for images in [&["docker.io/library/nginx:1"][..], &[IMAGE, "quay.io/x/y:1"], &[]] {
        let pod = StuckPod { images: images.iter().map(|i| (*i).into()).collect(), ..pod() };
        assert!(is_left(&judged(&pod, OURS, vec![resolved("a")]), why), "{images:?}");
    }
    let snapshot = snapshot([resolved("a")]);
    let view = served(&[("default", OURS)], &snapshot);
    assert!(
        is_left(
            &decide(
                &pod(),
                Circumstances {
                    view: &view,
                    snapshot: &snapshot,
                    retained: &[],
                    replaced_at: None,
                    now: at(3600)
                }
            ),
            why
        ),
        "it has expired"
    );
    let elsewhere = bound_with("a", json!({ "watchNamespaces": { "names": ["other"] } }));
    assert_ne!(judged(&pod(), OURS, vec![elsewhere]), PodDecision::Replace);
}

/// A template that states a list of its own gives each new Pod the same list: replacing them would never end.
#[test]
fn an_owner_whose_next_pod_lacks_the_entry_again_is_left() {
    let snapshot = snapshot([resolved("a")]);
    let view = served(&[("default", OURS)], &snapshot);
    let judge = |replaced_at| {
        decide(
            &pod(),
            Circumstances {
                view: &view,
                snapshot: &snapshot,
                retained: &[],
                replaced_at: Some(replaced_at),
                now: at(60),
            },
        )
    };
    for at in [at(9), at(10), at(10) + SignedDuration::from_millis(700)] {
        assert!(is_left(&judge(at), "lacks our entry again"), "{at}");
    }
    assert_eq!(judge(at(20)), PodDecision::Replace, "a sibling of the same time is not the next one");
}

#[test]
fn keys_match_images_as_the_kubelet_matches_them() {
    for (key, image, expected) in [
        ("img.example.com", "img.example.com/team/app:1", true),
        ("img.example.com", "img.example.com/app@sha256:00", true),
        ("img.example.com", "img.example.com:5000/app", false),
        ("img.example.com:5000", "img.example.com:5000/app:1", true),
        ("img.example.com:5000", "img.example.com/app", false),
        ("*.example.com", "img.example.com/app", true),
        ("*.example.com", "a.img.example.com/app", false),
        ("img-*.*.com", "img-7.example.com/app", true),
        ("img.example.com/team", "img.example.com/team/app", true),
        ("img.example.com/team", "img.example.com/other/app", false),
        ("img.example.com/team/app", "img.example.com/team/app:1", true),
        ("img.example.com/team/app:1", "img.example.com/team/app:1", false),
        ("example.com", "img.example.com/app", false),
        ("nginx", "nginx", false),
        ("team", "team/app", false),
        ("localhost", "localhost/app", true),
    ] {
        assert_eq!(is_for(key, image), expected, "{key} for {image}");
    }
}

/// Words of real runtimes, with our image's name in them.
#[test]
fn a_refusal_is_recognised_by_the_words_of_each_runtime() {
    let image = "img.example.com/team/app:1";
    for message in [
        // containerd
        r#"failed to pull and unpack image "img.example.com/team/app:1": failed to resolve reference "img.example.com/team/app:1": pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed"#,
        r#"rpc error: code = Unknown desc = failed to pull and unpack image "img.example.com/team/app:1": failed to resolve reference "img.example.com/team/app:1": pulling from host img.example.com failed with status code [manifests 1]: 401 Unauthorized"#,
        r#"failed to resolve reference "img.example.com/team/app:1": failed to authorize: failed to fetch anonymous token: unexpected status from GET request to https://dockerauth.cn-hangzhou.aliyuncs.com/auth?scope=repository%3Ateam%2Fapp%3Apull: 403 Forbidden"#,
        // CRI-O
        "Requesting bearer token: invalid status code from registry 403 (Forbidden)",
        "initializing source docker://img.example.com/team/app:1: reading manifest 1 in img.example.com/team/app: unauthorized: authentication required",
        "unable to retrieve auth token: invalid username/password: unauthorized: Please login",
        // Docker
        "Error response from daemon: pull access denied for img.example.com/team/app, repository does not exist or may require 'docker login': denied: requested access to the resource is denied",
        "Error response from daemon: Head https://img.example.com/v2/team/app/manifests/1: no basic auth credentials",
        // A kubelet that repeats the cause while it backs off.
        r#"Back-off pulling image "img.example.com/team/app:1": ErrImagePull: failed to authorize: 401 Unauthorized"#,
    ] {
        assert!(is_refusal(message, image), "{message}");
    }
    for message in [
        r#"failed to resolve reference "img.example.com/team/app:1": img.example.com/team/app:1: not found"#,
        r#"dial tcp: lookup img.example.com: no such host"#,
        r#"dial tcp 10.0.0.1:403: i/o timeout"#,
        r#"Back-off pulling image "img.example.com/team/app:1""#,
        "toomanyrequests: You have reached your pull rate limit",
        "429 Too Many Requests",
    ] {
        assert!(!is_refusal(message, image), "{message}");
    }
}

#[test]
fn the_name_of_an_image_is_not_a_refusal() {
    for image in
        ["img.example.com/insufficient_scope/x@sha256:403", "img.example.com/team/insufficient_scope:1"]
    {
        let path = image.split_once('/').unwrap().1.split(['@', ':']).next().unwrap();
        let message = format!("failed to resolve reference {image:?}: {image}: not found");
        let address = format!(
            "unexpected status from HEAD request to https://img.example.com/v2/{path}/manifests/1: 500"
        );
        let refused = format!("{address}: 401 Unauthorized");
        assert!(is_refusal(&refused, image) && is_refusal("401 Unauthorized", "img.example.com/auth"));
        assert!(!is_refusal(&message, image) && !is_refusal(&address, image), "{message} {address}");
    }
}
