//! Each fault as a client meets it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Ask, Key, demo};
use crate::cloud::{Cloud, Fault, FaultId, FaultKind};

fn on_tokens(cloud: &Cloud, kind: FaultKind) -> FaultId {
    cloud.fault(Fault { action: "GetAuthorizationToken".to_owned(), instance: None, kind, times: None })
}

async fn ask(cloud: &Cloud) -> super::Heard {
    Ask::token(cloud, &Key::of_user(cloud, "puller")).send(cloud).await
}

async fn raw(cloud: &Cloud) -> reqwest::Response {
    Ask::token(cloud, &Key::of_user(cloud, "puller")).try_send(cloud, |_| {}).await.unwrap()
}

#[tokio::test]
async fn throttling_names_the_delay_in_milliseconds() {
    let cloud = demo().await;
    let fault = on_tokens(&cloud, FaultKind::Throttle { retry_after_ms: Some(1500) });
    let heard = ask(&cloud).await;
    heard.refused(400, "Throttling.User");
    assert_eq!(heard.headers["x-acs-retry-after"], "1500");
    cloud.clear_fault(fault);
    on_tokens(&cloud, FaultKind::Throttle { retry_after_ms: None });
    assert!(!ask(&cloud).await.headers.contains_key("x-acs-retry-after"));
}

#[tokio::test]
async fn errors_of_any_kind_can_be_made_up_in_both_forms() {
    let cloud = demo().await;
    let (code, message) = ("SystemError".to_owned(), "Unknown error.".to_owned());
    on_tokens(&cloud, FaultKind::Status { status: 500, code, message });
    let heard = ask(&cloud).await;
    heard.refused(500, "SystemError");
    assert_eq!(heard.body["Message"], "Unknown error.");
    cloud.clear_faults();
    on_tokens(&cloud, FaultKind::NotSuccess { code: "INSTANCE_NOT_EXIST".to_owned() });
    let heard = ask(&cloud).await;
    heard.refused(200, "INSTANCE_NOT_EXIST");
    assert_eq!(heard.body["IsSuccess"], false);
}

#[tokio::test]
async fn bodies_can_be_malformed_a_page_or_truncated() {
    let cloud = demo().await;
    on_tokens(&cloud, FaultKind::MalformedJson);
    let response = raw(&cloud).await;
    assert_eq!(response.status(), 200);
    assert!(serde_json::from_str::<Value>(&response.text().await.unwrap()).is_err());
    cloud.clear_faults();

    on_tokens(&cloud, FaultKind::Html);
    let response = raw(&cloud).await;
    assert_eq!(response.headers()["content-type"], "text/html");
    assert!(response.text().await.unwrap().starts_with("<!DOCTYPE html>"));
    cloud.clear_faults();

    on_tokens(&cloud, FaultKind::Truncated);
    let response = raw(&cloud).await;
    assert!(response.headers().contains_key("content-length"), "the whole body is announced");
    assert!(response.text().await.is_err(), "the connection breaks inside the body");
    cloud.clear_faults();

    on_tokens(&cloud, FaultKind::HugeBody(3_000_000));
    let body = raw(&cloud).await.text().await.unwrap();
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["RequestId"].as_str().unwrap().len(), 3_000_000);
}

#[tokio::test]
async fn fields_can_be_of_another_type_in_the_past_or_missing() {
    let cloud = demo().await;
    on_tokens(&cloud, FaultKind::ExpireTimeString);
    assert!(ask(&cloud).await.ok()["ExpireTime"].as_str().unwrap().parse::<i64>().unwrap() > cloud.now());
    cloud.clear_faults();
    on_tokens(&cloud, FaultKind::ExpireTimePast);
    assert!(ask(&cloud).await.ok()["ExpireTime"].as_i64().unwrap() < cloud.now());
    cloud.clear_faults();
    on_tokens(&cloud, FaultKind::MissingFields);
    let body = ask(&cloud).await.ok();
    let names: Vec<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["Code", "IsSuccess", "RequestId"]);
    assert_eq!(body["IsSuccess"], json!(true));
}

#[tokio::test]
async fn a_slow_answer_is_right_but_late_and_a_hang_never_answers() {
    let cloud = demo().await;
    let fault = on_tokens(&cloud, FaultKind::Slow(Duration::from_millis(300)));
    let began = Instant::now();
    ask(&cloud).await.ok();
    assert!(began.elapsed() >= Duration::from_millis(300));
    cloud.clear_fault(fault);
    cloud.clear_calls();

    on_tokens(&cloud, FaultKind::Hang);
    let hung = tokio::time::timeout(Duration::from_millis(300), ask(&cloud)).await;
    assert!(hung.is_err());
    let call = cloud.calls().remove(0);
    assert_eq!((call.status, call.fault), (0, Some("Hang")));
    assert_eq!(super::metadata::credentials(&cloud).await["Code"], "Success", "others are not held up");
}

#[tokio::test]
async fn a_fault_keeps_to_its_action_its_instance_and_its_number_of_times() {
    let cloud = demo().await;
    let key = Key::of_user(&cloud, "puller");
    let kind = FaultKind::Throttle { retry_after_ms: None };
    let instance = Some("cri-demo0002".to_owned());
    cloud.fault(Fault { action: "GetAuthorizationToken".to_owned(), instance, kind, times: Some(2) });
    ask(&cloud).await.ok();
    let north = "cr.cn-beijing.aliyuncs.com";
    let of = |action| Ask::new(&cloud, &key, north, action, &[("InstanceId", "cri-demo0002")]);
    of("ListInstanceEndpoint").send(&cloud).await.ok();
    of("GetAuthorizationToken").send(&cloud).await.refused(400, "Throttling.User");
    of("GetAuthorizationToken").send(&cloud).await.refused(400, "Throttling.User");
    of("GetAuthorizationToken").send(&cloud).await.ok();

    let kind = FaultKind::NotSuccess { code: "Any".to_owned() };
    cloud.fault(Fault { action: "*".to_owned(), instance: None, kind, times: None });
    of("ListInstanceEndpoint").send(&cloud).await.refused(200, "Any");
}

#[tokio::test]
async fn a_fault_never_hides_that_the_request_was_signed_wrongly() {
    let cloud = demo().await;
    on_tokens(&cloud, FaultKind::Throttle { retry_after_ms: None });
    let wrong = Key { secret: "guessed".to_owned(), ..Key::of_user(&cloud, "puller") };
    let heard = Ask::token(&cloud, &wrong).send(&cloud).await;
    heard.refused(400, "SignatureDoesNotMatch");
}

#[tokio::test]
async fn sessions_and_node_credentials_can_be_spoiled_too() {
    let cloud = demo().await;
    let node = Key::of_node(&cloud).await;
    let spoil = |action: &str, kind| {
        cloud.fault(Fault { action: action.to_owned(), instance: None, kind, times: Some(1) });
    };
    spoil("AssumeRole", FaultKind::ExpireTimePast);
    let reply = Ask::assume(&cloud, &node, &[]).send(&cloud).await.ok();
    let expiration = reply["Credentials"]["Expiration"].as_str().unwrap();
    assert!(crate::cloud::clock::parse_iso8601(expiration).unwrap() < cloud.now());
    spoil("AssumeRole", FaultKind::MissingFields);
    assert!(Ask::assume(&cloud, &node, &[]).send(&cloud).await.ok().get("Credentials").is_none());
    spoil("IMDS:credentials", FaultKind::NotSuccess { code: "Failed".to_owned() });
    assert_eq!(super::metadata::credentials(&cloud).await, json!({ "Code": "Failed" }));
    spoil("IMDS:credentials", FaultKind::MissingFields);
    assert_eq!(super::metadata::credentials(&cloud).await, json!({ "Code": "Success" }));
}
