//! `kubectl acr status`, `refresh`, `suspend` and `resume` on a real API server, with no controller.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use acr_lab::docs::block;
use acr_lab::plane::Plane;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::acr::{Done, command, root};
use crate::live::{on, plane};
use crate::process::on_a_screen;

fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({
        "type": kind, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    })
}

/// Creates a binding, and returns what its status begins with.
async fn create(plane: &Plane, name: &str) {
    let binding = json!({
        "apiVersion": "acrcredential.dev/v1alpha1", "kind": "AcrCredentialBinding",
        "metadata": { "name": name },
        "spec": { "registries": [{ "instanceId": "cri-abc123" }, { "instanceId": "cri-def456" }] },
    });
    plane.apply(&binding.to_string()).await.unwrap();
}

async fn report(plane: &Plane, name: &str, status: &Value) {
    let patch = json!({ "status": status }).to_string();
    let args = ["patch", "acb", name, "--subresource=status", "--type=merge", "-p", &patch];
    plane.kubectl_ok(&args).await.unwrap();
}

#[expect(clippy::disallowed_methods, reason = "the command reads the clock too")]
fn later(seconds: i64) -> String {
    (Timestamp::now() + SignedDuration::from_secs(seconds)).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Returns a status as the controller writes it: one registry fails, and one of twelve namespaces.
fn half_ready() -> Value {
    const DENIED: &str = "NoPermission: RAM user acr-pull may not call cr:GetAuthorizationToken (RequestId 4F6B-1): allow \
                          it for the instance cri-def456";
    const CONFLICT: &str = "the Secret shop/acr-credential-secret-aggregation was made by another tool: delete it, or set \
                            acrcredential.dev/adopt on the binding";
    let pair = |registry: &str, namespace: &str, reason: &str, message: &str| {
        let conditions = [condition("Ready", "False", reason, message)];
        json!({ "registry": registry, "namespace": namespace, "conditions": conditions })
    };
    json!({
        "observedGeneration": 1,
        "conditions": [condition("Ready", "False", "AccessDenied", "credentials are issued for 1 of 2 registries")],
        "namespaces": { "matched": 12, "ready": 10 },
        "serviceAccounts": { "matched": 40, "bound": 39 },
        "registries": [
            {
                "registry": "cri-abc123", "regionId": "cn-hangzhou", "identity": "worker-role → acr-pull",
                "domains": ["shop-registry.cn-hangzhou.cr.aliyuncs.com"], // The seconds are left to the slowest machine.
                "expiresAt": later(42 * 60 + 55),
                "refreshedAt": "2026-01-01T00:00:00Z", "conditions": [condition("Issued", "True", "Succeeded", "")],
            },
            {
                "registry": "cri-def456", "regionId": "cn-beijing", "identity": "worker-role",
                "conditions": [condition("Issued", "False", "AccessDenied", DENIED)],
            },
        ],
        "pairs": [
            pair("cri-abc123", "shop", "SecretConflict", CONFLICT),
            pair("cri-def456", "shop", "SecretConflict", CONFLICT),
            pair("cri-def456", "web", "AccessDenied", "no credential was issued"),
        ],
    })
}

fn screen(plane: &Plane, args: &[&str], columns: u16) -> String {
    let mut command = command(args);
    command.env("KUBECONFIG", plane.kubeconfig()).env("NO_COLOR", "1");
    let done = on_a_screen(command, columns);
    assert_eq!(done.code, Some(0), "{}", done.out);
    done.out.replace("\r\n", "\n")
}

/// Compares with the golden file; `UPDATE_GOLDEN=1` rewrites it.
fn assert_golden(name: &str, actual: &str) {
    let path = root().join("tests/cli/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, actual).unwrap();
    }
    assert_eq!(
        actual,
        std::fs::read_to_string(&path).unwrap_or_default(),
        "{name}: UPDATE_GOLDEN=1 keeps it"
    );
}

/// Checks that a value has only keys of its schema, and all that the schema requires.
fn assert_schema(schema: &Value, part: &Value, value: &Value, place: &str) {
    if let Some(reference) = part["$ref"].as_str() {
        let target = schema.pointer(reference.trim_start_matches('#')).unwrap();
        return assert_schema(schema, target, value, place);
    }
    if let Some(object) = value.as_object() {
        for (key, value) in object {
            let part = &part["properties"][key];
            assert!(!part.is_null(), "{place}.{key} is not in the schema");
            assert_schema(schema, part, value, &format!("{place}.{key}"));
        }
        for required in part["required"].as_array().into_iter().flatten() {
            assert!(object.contains_key(required.as_str().unwrap()), "{place} lacks {required}");
        }
    }
    for item in value.as_array().into_iter().flatten() {
        assert_schema(schema, &part["items"], item, &format!("{place}[]"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_binding_is_shown_as_a_tree_as_json_and_as_yaml_and_waited_for() {
    let plane = &Plane::start(Default::default()).await.unwrap();
    let absent = on(plane, &["status"]);
    assert_eq!(absent.code, Some(2));
    assert!(
        absent.err.contains("does not serve AcrCredentialBindings: run kubectl acr check"),
        "{}",
        absent.err
    );
    assert!(on(plane, &["status", "--watch"]).err.contains("does not serve AcrCredentialBindings"));
    crate::live::install(plane).await;
    assert_eq!(on(plane, &["status"]).out, "no AcrCredentialBinding exists: apply one first\n");
    create(plane, "team-a").await;
    let fresh = on(plane, &["status"]);
    assert!(fresh.out.starts_with("team-a: the controller has not reported on it yet"), "{}", fresh.out);

    // A watch shows each change, and ends with its reader.
    let mut command = command(&["status", "--watch"]);
    command.env("KUBECONFIG", plane.kubeconfig()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.next().unwrap().contains("has not reported"));
    report(plane, "team-a", &half_ready()).await;
    assert!(lines.any(|line| line == "team-a: not ready, AccessDenied"));
    assert!(lines.any(|line| line.ends_with("39/40 ServiceAccounts have the entry")));
    // The time left is shown as it passes, with no change of the binding.
    let mut ending = half_ready();
    ending["registries"][0]["expiresAt"] = json!(later(110));
    report(plane, "team-a", &ending).await;
    let mut left = lines.by_ref().filter(|line| line.contains("valid for 1m"));
    let (first, next) = (left.next().unwrap(), left.next().unwrap());
    assert_ne!(first, next);
    report(plane, "team-a", &half_ready()).await;
    drop(lines);

    let narrow = screen(plane, &["status", "team-a"], 80);
    assert_golden("status-80.txt", &narrow);
    assert_golden("status-120.txt", &screen(plane, &["status", "-o", "tree"], 120));
    for page in ["docs/kubectl-acr.md", "docs/zh-CN/kubectl-acr.md"] {
        let heading = if page.contains("zh-CN") { "状态" } else { "Status" };
        assert_eq!(block(page, heading, "text").unwrap().trim_end(), narrow.trim_end(), "{page}");
    }
    let wide = on(plane, &["status", "-o", "wide"]).out;
    assert!(wide.contains("for shop-registry.cn-hangzhou.cr.aliyuncs.com"), "{wide}");
    let one = on(plane, &["status", "-n", "web"]).out;
    assert!(
        one.contains("web, cri-def456") && !one.contains("shop, ") && one.contains("1 more is not ready"),
        "{one}"
    );

    let json: Value = serde_json::from_str(&on(plane, &["status", "-o", "json"]).out).unwrap();
    let yaml: Value = serde_saphyr::from_str(&on(plane, &["status", "-o", "yaml"]).out).unwrap();
    assert_eq!(json, yaml);
    let schema = std::fs::read_to_string(root().join("docs/reference/status.schema.json")).unwrap();
    let schema: Value = serde_json::from_str(&schema).unwrap();
    assert_schema(&schema, &schema, &json, "status");
    assert_eq!(json["bindings"][0]["failing"].as_array().unwrap().len(), 2);

    let waited = on(plane, &["status", "--wait=Ready", "--timeout=1s"]);
    assert_eq!(waited.code, Some(1), "{}", waited.err);
    assert!(waited.err.contains("not ready after 1s: kubectl acr check says whether"), "{}", waited.err);
    assert!(waited.out.starts_with("team-a: not ready, AccessDenied\n"), "{}", waited.out);
    let ready = json!({ "conditions": [condition("Ready", "True", "Succeeded", "")] });
    let waiting = tokio::task::spawn_blocking({
        let kubeconfig = plane.kubeconfig().to_owned();
        move || {
            let mut command = crate::acr::command(&["status", "team-a", "--wait=Ready"]);
            command.env("KUBECONFIG", kubeconfig);
            crate::acr::run(command, "")
        }
    });
    report(plane, "team-a", &ready).await;
    let Done { code, out, err } = waiting.await.unwrap();
    assert!(code == Some(0) && out.starts_with("team-a: ready\n"), "{out}{err}");
    // The reader is gone: the watch has ended by itself, without an error.
    assert!(child.wait().unwrap().success());
    for flag in [&["status", "absent-binding"][..], &["status", "absent-binding", "--watch"]] {
        let missing = on(plane, flag);
        assert_eq!(missing.code, Some(2));
        assert!(
            missing.err.contains("the binding absent-binding does not exist: name one of team-a"),
            "{}",
            missing.err
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refresh_suspend_and_resume_change_what_they_request_and_no_more() {
    let plane = plane().await;
    create(plane, "steered").await;
    let get = async |path: &str| {
        let path = format!("jsonpath={path}");
        plane.kubectl_ok(&["get", "acb", "steered", "-o", &path]).await.unwrap()
    };
    let requested = on(plane, &["refresh", "steered"]);
    assert_eq!(
        (requested.code, requested.out.as_str()),
        (Some(0), "the refresh of the binding steered is requested\n")
    );
    let first = get("{.metadata.annotations.acrcredential\\.dev/refresh-at}").await;
    assert!(first.parse::<Timestamp>().is_ok(), "{first}");
    for (verb, words, state) in [
        ("resume", "is not suspended", "false"),
        ("suspend", "is suspended", "true"),
        ("suspend", "is suspended already", "true"),
        ("resume", "is resumed", "false"),
    ] {
        let done = on(plane, &[verb, "steered"]);
        assert_eq!(
            (done.code, done.out),
            (Some(0), format!("the binding steered {words}\n")),
            "{}",
            done.err
        );
        assert_eq!(get("{.spec.suspend}").await, state);
    }
    on(plane, &["suspend", "steered"]);
    let waited = on(plane, &["refresh", "steered", "--wait", "--timeout=10m"]);
    assert_eq!(waited.code, Some(1), "{}", waited.out);
    let cure =
        "the binding steered is suspended, and refreshed once it is not: run kubectl acr resume steered";
    assert!(waited.err.contains(cure), "{}", waited.err);
    assert_eq!(on(plane, &["resume", "steered"]).code, Some(0));
    assert_eq!(get("{.spec.registries[*].instanceId}").await, "cri-abc123 cri-def456");

    // No controller handles the refresh.
    let waited = on(plane, &["refresh", "steered", "--wait", "--timeout=1s"]);
    assert_eq!(waited.code, Some(1), "{}", waited.err);
    assert!(waited.err.contains("not handled after 1s"), "{}", waited.err);
    for verb in ["refresh", "suspend", "resume"] {
        let missing = on(plane, &[verb, "absent-binding"]);
        assert_eq!(missing.code, Some(2));
        let words = "the binding absent-binding does not exist: name one that kubectl acr status lists";
        assert!(missing.err.contains(words), "{}", missing.err);
    }
}
