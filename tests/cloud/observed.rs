//! What is counted of each call: its action, and how it ended.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use acr_credential_binding::cloud::{CallObserver, ObservedCall};
use acr_lab::cloud::FaultKind;

use crate::lab::{Lab, MINT, near, partner};

#[derive(Debug, Default)]
struct Calls(Mutex<Vec<(&'static str, &'static str)>>);

impl CallObserver for Calls {
    fn observe(&self, call: ObservedCall, _: Duration) {
        self.0.lock().unwrap().push((call.action, call.code));
    }
}

impl Calls {
    fn take(&self) -> Vec<(&'static str, &'static str)> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

#[tokio::test]
async fn each_call_is_counted_once_by_its_action_and_its_end() {
    let calls = Arc::new(Calls::default());
    let lab = Lab::start_with(|_, settings| settings.observer = calls.clone()).await;
    lab.mint(&partner()).await.unwrap();
    assert_eq!(calls.take(), [("assume_role", "200"), ("get_authorization_token", "200")]);
    let teapot = FaultKind::Status { status: 418, code: "Teapot".to_owned(), message: String::new() };
    let busy = FaultKind::Status { status: 503, code: "Busy".to_owned(), message: String::new() };
    for (kind, code) in [
        (FaultKind::NotSuccess { code: "Wrong".to_owned() }, "rejected"),
        (FaultKind::MalformedJson, "rejected"),
        (teapot, "4xx"),
        (busy, "503"),
    ] {
        lab.fault(MINT, kind, Some(1));
        lab.mint_error(&near()).await;
        assert_eq!(calls.take(), [("get_authorization_token", code)]);
    }
}

/// A VPC host does not resolve outside its VPC: the public one is called then, and the call has not failed.
#[tokio::test]
async fn a_call_that_ends_at_the_second_host_is_counted_once() {
    let calls = Arc::new(Calls::default());
    let lab = Lab::start_with(|_, settings| {
        settings.observer = calls.clone();
        let simulator = settings.network.simulator.as_mut().unwrap();
        simulator.unresolvable_hosts = vec!["cr-vpc.cn-hangzhou.aliyuncs.com".into()];
    })
    .await;
    lab.mint(&near()).await.unwrap();
    assert_eq!(calls.take(), [("get_authorization_token", "200")]);
    // And so is one that reaches neither.
    let calls = Arc::new(Calls::default());
    let lab = Lab::start_with(|_, settings| {
        settings.observer = calls.clone();
        let simulator = settings.network.simulator.as_mut().unwrap();
        simulator.unresolvable_hosts =
            ["cr-vpc", "cr"].map(|host| format!("{host}.cn-hangzhou.aliyuncs.com").into()).into();
    })
    .await;
    lab.mint_error(&near()).await;
    assert_eq!(calls.take(), [("get_authorization_token", "unresolved")]);
}
