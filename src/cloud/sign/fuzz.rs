//! The signer against the lab's simulator, which has its own signature check: for any parameters, the request that is
//! sent is the one that was signed.

use acr_lab::cloud::{Cloud, CloudConfig};
use k8s_openapi::jiff::Timestamp;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use secrecy::SecretString;

use super::{CanonicalRequest, canonical_query, sha256};
use crate::cloud::access_key::AccessKey;
use crate::cloud::call::{Action, Call, CallAuth};
use crate::cloud::client::Client;
use crate::cloud::enterprise;
use crate::cloud::network::{NetworkConfig, SimulatedCloud};

const HOST: &str = "cr.cn-hangzhou.aliyuncs.com";
const INSTANCE: (&str, &str) = ("InstanceId", "cri-demo0001");

/// Each case is two or three requests over loopback.
const CASES: u32 = 128;

/// Generates text mostly of characters that URL libraries and signatures treat differently, and some of any other.
fn text() -> impl Strategy<Value = String> {
    let awkward = prop::sample::select(
        "*~+%=&;/?#:@!$'()[]{}<>|\\^`\"., \t\n\r\0\u{7f}aZ0-_éß镜像🦀\u{feff}\u{fffd}\u{10ffff}"
            .chars()
            .collect::<Vec<_>>(),
    );
    vec(prop_oneof![8 => awkward, 1 => any::<char>()], 0..12).prop_map(|chars| chars.into_iter().collect())
}

/// Generates parameters that the simulator does not know, with few names, so that some repeat.
fn parameters() -> impl Strategy<Value = Vec<(String, String)>> {
    let name = prop_oneof![
        prop::sample::select(vec!["a", "a*", "%41", "", "Instanceid"]).prop_map(str::to_owned),
        text()
    ];
    vec((name, text()), 0..8)
}

fn borrowed(parameters: &[(String, String)]) -> Vec<(&str, &str)> {
    let unknown = parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    std::iter::once(INSTANCE).chain(unknown.filter(|(name, _)| *name != INSTANCE.0)).collect()
}

/// A simulated cloud and a user's permanent key, so that no session is involved.
struct SigningLab {
    cloud: Cloud,
    key: AccessKey,
    address: std::net::SocketAddr,
}

impl SigningLab {
    async fn start() -> Self {
        let cloud = Cloud::start(CloudConfig::demo()).await.unwrap();
        let pair = cloud.world(|world| world.accounts["1"].users["puller"].keys[0].clone());
        let key = AccessKey {
            holder: "puller".into(),
            id: pair.id,
            secret: SecretString::from(pair.secret),
            token: None,
            expires_at: Timestamp::MAX,
        };
        let address = cloud.address().strip_prefix("http://").unwrap().parse().unwrap();
        Self { cloud, key, address }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.cloud.now()).unwrap()
    }

    /// Sends the query `sent` with a signature of `signed`, and returns the `Code` of the reply.
    async fn send(&self, http: &reqwest::Client, signed: &[(&str, &str)], sent: &str) -> String {
        let (date, nonce) = (
            self.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            format!("{:032x}", rand::random::<u128>()),
        );
        let empty = sha256(b"");
        let headers = [
            ("host", HOST),
            ("x-acs-action", "GetAuthorizationToken"),
            ("x-acs-version", "2018-12-01"),
            ("x-acs-date", &date),
            ("x-acs-signature-nonce", &nonce),
            ("x-acs-content-sha256", &empty),
        ];
        let canonical = CanonicalRequest {
            method: "POST",
            path: "/",
            query: signed,
            headers: &headers,
            body_sha256: &empty,
        };
        let authorization = canonical.authorization(&self.key.id, &self.key.secret);
        let request = headers.iter().fold(
            http.post(format!("http://{}/?{sent}", self.address)).header("authorization", authorization),
            |request, (name, value)| request.header(*name, *value),
        );
        let reply: serde_json::Value =
            serde_json::from_slice(&request.send().await.unwrap().bytes().await.unwrap()).unwrap();
        reply["Code"].as_str().unwrap().to_owned()
    }
}

fn run<S: Strategy>(strategy: &S, case: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    // No file stores failed seeds; they are printed.
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    TestRunner::new(config).run(strategy, case).unwrap();
}

#[test]
fn the_client_sends_exactly_the_query_that_it_signed() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let lab = runtime.block_on(SigningLab::start());
    let network = NetworkConfig {
        simulator: Some(SimulatedCloud { address: lab.address, unresolvable_hosts: Vec::new() }),
        ..NetworkConfig::default()
    };
    let client = Client::new("fuzz", &network, std::sync::Arc::new(())).unwrap();
    run(&parameters(), |parameters| {
        let query = borrowed(&parameters);
        let call = Call {
            action: Action::GetAuthorizationToken,
            host: HOST,
            fallback_host: None,
            subject: "cri-demo0001 in cn-hangzhou",
            query: &query,
            auth: CallAuth::AccessKey(&lab.key),
            now: lab.now(),
        };
        let outcome = runtime.block_on(enterprise::mint(&client, &call));
        prop_assert!(outcome.is_ok(), "{:?}", outcome.err());
        Ok(())
    });
    assert_eq!(lab.cloud.count("GetAuthorizationToken"), CASES as usize);
}

#[test]
fn a_query_that_was_changed_by_one_byte_is_rejected() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let lab = runtime.block_on(SigningLab::start());
    let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
    run(&(parameters(), any::<prop::sample::Index>()), |(parameters, at)| {
        let signed = borrowed(&parameters);
        let sent = canonical_query(&signed);
        prop_assert_eq!(runtime.block_on(lab.send(&http, &signed, &sent)), "success");
        // Neither letter is a hexadecimal digit, so the result cannot be another encoding of the same parameters.
        let at = at.index(sent.len());
        let letter = if &sent[at..=at] == "x" { "y" } else { "x" };
        let changed = format!("{}{letter}{}", &sent[..at], &sent[at + 1..]);
        prop_assert_eq!(runtime.block_on(lab.send(&http, &signed, &changed)), "SignatureDoesNotMatch");
        Ok(())
    });
}
