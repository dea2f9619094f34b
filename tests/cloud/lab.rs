//! A simulated cloud with a client of it.

use std::sync::Arc;

use acr_credential_binding::cloud::{
    Alibaba, Environment, Failure, Lab as Simulated, Reach, Settings, TokenMode, Verify,
};
use acr_credential_binding::model::identity::{Arn, CredentialSource, Identity};
use acr_credential_binding::model::{Credential, Edition, RegistryKey};
use acr_lab::cloud::{Cloud, CloudConfig, Fault, FaultKind};
use k8s_openapi::jiff::Timestamp;

use crate::cluster::Cluster;

pub(crate) const WORKER: &str = "KubernetesWorkerRole-demo";
pub(crate) const PARTNER_ROLE: &str = "acs:ram::2:role/acr-pull";
pub(crate) const MINT: &str = "GetAuthorizationToken";
pub(crate) const LIST: &str = "ListInstanceEndpoint";

/// A cloud and a client of it. Whatever the client returns is searched for secrets on its way to the test.
pub(crate) struct Lab {
    pub(crate) cloud: Cloud,
    pub(crate) alibaba: Alibaba,
    pub(crate) cluster: Arc<Cluster>,
}

impl Lab {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_, _| {}).await
    }

    /// A cloud, and a client that is told something else.
    pub(crate) async fn start_with(change: impl FnOnce(&Cloud, &mut Settings)) -> Self {
        let cloud = Cloud::start(CloudConfig::demo()).await.unwrap();
        let cluster = Arc::new(Cluster::default());
        let mut settings = settings(&cloud, cluster.clone());
        change(&cloud, &mut settings);
        let alibaba = Alibaba::new(settings).unwrap();
        Self { cloud, alibaba, cluster }
    }

    /// A cloud that runs already, and a client of a cluster in which nothing is.
    pub(crate) fn with(cloud: Cloud, settings: Settings) -> Self {
        Self { cloud, alibaba: Alibaba::new(settings).unwrap(), cluster: Arc::default() }
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.cloud.now()).unwrap()
    }

    pub(crate) async fn mint(&self, key: &RegistryKey) -> Result<Credential, Failure> {
        self.mint_at(key, self.now()).await
    }

    pub(crate) async fn mint_at(&self, key: &RegistryKey, now: Timestamp) -> Result<Credential, Failure> {
        self.searched(self.alibaba.mint(key, now).await)
    }

    pub(crate) async fn refused(&self, key: &RegistryKey) -> Failure {
        self.mint(key).await.expect_err("a refusal")
    }

    pub(crate) async fn domains(&self, key: &RegistryKey) -> Result<Vec<String>, Failure> {
        self.domains_at(key, self.now()).await
    }

    pub(crate) async fn domains_at(&self, key: &RegistryKey, now: Timestamp) -> Result<Vec<String>, Failure> {
        self.searched(self.alibaba.domains(key, now).await)
    }

    /// The actions that were asked for so far, but for the metadata service's.
    pub(crate) fn actions(&self) -> Vec<String> {
        let asked = self.cloud.calls().into_iter().map(|call| call.action);
        asked.filter(|action| !action.starts_with("IMDS:")).collect()
    }

    fn searched<T: std::fmt::Debug>(&self, outcome: Result<T, Failure>) -> Result<T, Failure> {
        let mut printed = format!("{outcome:?} {outcome:#?} {:?}", self.alibaba);
        if let Err(failure) = &outcome {
            printed.push_str(&format!("{failure} {}", failure.message));
            let id = failure.request_id.as_deref().unwrap_or("none");
            assert!(
                !failure.message.contains(id),
                "an id that changes with each request: {}",
                failure.message
            );
        }
        for secret in self.cloud.secrets() {
            assert!(!printed.contains(&secret), "the secret {secret} in {printed}");
        }
        outcome
    }

    pub(crate) fn fault(&self, action: &str, kind: FaultKind, times: Option<u32>) {
        self.cloud.fault(Fault { action: action.to_owned(), instance: None, kind, times });
    }

    pub(crate) fn code(&self, action: &str, status: u16, code: &str) {
        // The prose quotes what the client must not pass on.
        let message = format!("now {} {}", self.cloud.now(), self.cloud.secrets().join(" "));
        self.fault(action, FaultKind::Status { status, code: code.to_owned(), message }, Some(1));
    }
}

/// A client that finds the cloud at another address.
pub(crate) fn client(cloud: &Cloud, address: &str) -> Alibaba {
    let mut settings = settings(cloud, Arc::default());
    if let Some(lab) = &mut settings.reach.lab {
        lab.address = address.parse().unwrap();
    }
    Alibaba::new(settings).unwrap()
}

pub(crate) fn settings(cloud: &Cloud, cluster: Arc<Cluster>) -> Settings {
    let address = cloud.address().strip_prefix("http://").unwrap().parse().unwrap();
    let lab = Simulated { address, without_address: Vec::new() };
    Settings {
        cluster_region: "cn-hangzhou".into(),
        reach: Reach { lab: Some(lab), ..Reach::default() },
        metadata_endpoint: cloud.address().into(),
        user_agent: "acr-credential-controller/test".into(),
        token_mode: TokenMode::Auto,
        environment: Environment::default(),
        sources: cluster,
        verify: Verify::Off,
        registry_auth_hosts: Vec::new(),
    }
}

pub(crate) fn key(instance: &str, region: &str, assume: Option<&str>) -> RegistryKey {
    let edition = Edition::Enterprise(instance.into());
    RegistryKey {
        edition,
        region: region.into(),
        identity: identity(CredentialSource::ControllerIdentity, assume),
    }
}

/// A registry of the cluster's region.
pub(crate) fn near_as(instance: &str, identity: Identity) -> RegistryKey {
    RegistryKey { edition: Edition::Enterprise(instance.into()), region: "cn-hangzhou".into(), identity }
}

pub(crate) fn identity(base: CredentialSource, assume: Option<&str>) -> Identity {
    Identity { base, assume: assume.map(|arn| Arn::role(arn).unwrap()), session_seconds: 3600 }
}

/// AccessKeyId and AccessKeySecret of a user of the demonstration.
pub(crate) fn user_pair(cloud: &Cloud, account: &str, user: &str) -> (String, String) {
    let key = cloud.world(|world| world.user_mut(account, user).unwrap().keys[0].clone());
    (key.id, key.secret)
}

pub(crate) fn near() -> RegistryKey {
    key("cri-demo0001", "cn-hangzhou", None)
}

pub(crate) fn partner() -> RegistryKey {
    key("cri-demo0003", "cn-hangzhou", Some(PARTNER_ROLE))
}
