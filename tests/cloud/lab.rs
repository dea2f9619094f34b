//! A simulated cloud and a client of it.

use std::sync::Arc;

use acr_credential_binding::cloud::{
    Alibaba, CloudError, CloudSettings, Environment, NetworkConfig, SimulatedCloud, TokenMode, Verify,
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

/// A simulated cloud and a client of it. Every result of the client is searched for secrets before the test gets it.
pub(crate) struct Lab {
    pub(crate) cloud: Cloud,
    pub(crate) alibaba: Alibaba,
    pub(crate) cluster: Arc<Cluster>,
}

impl Lab {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_, _| {}).await
    }

    /// Starts a cloud, and a client with changed settings.
    pub(crate) async fn start_with(change: impl FnOnce(&Cloud, &mut CloudSettings)) -> Self {
        let cloud = Cloud::start(CloudConfig::demo()).await.unwrap();
        let cluster = Arc::new(Cluster::default());
        let mut settings = settings(&cloud, cluster.clone());
        change(&cloud, &mut settings);
        let alibaba = Alibaba::new(settings).unwrap();
        Self { cloud, alibaba, cluster }
    }

    /// Combines a running cloud with a client of an empty cluster.
    pub(crate) fn with(cloud: Cloud, settings: CloudSettings) -> Self {
        Self { cloud, alibaba: Alibaba::new(settings).unwrap(), cluster: Arc::default() }
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.cloud.now()).unwrap()
    }

    pub(crate) async fn mint(&self, key: &RegistryKey) -> Result<Credential, CloudError> {
        self.mint_at(key, self.now()).await
    }

    pub(crate) async fn mint_at(&self, key: &RegistryKey, now: Timestamp) -> Result<Credential, CloudError> {
        self.without_secrets(self.alibaba.mint(key, now).await)
    }

    pub(crate) async fn mint_error(&self, key: &RegistryKey) -> CloudError {
        self.mint(key).await.expect_err("an error")
    }

    pub(crate) async fn domains(&self, key: &RegistryKey) -> Result<Vec<String>, CloudError> {
        self.domains_at(key, self.now()).await
    }

    pub(crate) async fn domains_at(
        &self,
        key: &RegistryKey,
        now: Timestamp,
    ) -> Result<Vec<String>, CloudError> {
        self.without_secrets(self.alibaba.domains(key, now).await)
    }

    /// Returns the actions that were called so far, except those of the metadata service.
    pub(crate) fn actions(&self) -> Vec<String> {
        let called = self.cloud.calls().into_iter().map(|call| call.action);
        called.filter(|action| !action.starts_with("IMDS:")).collect()
    }

    fn without_secrets<T: std::fmt::Debug>(&self, outcome: Result<T, CloudError>) -> Result<T, CloudError> {
        let mut printed = format!("{outcome:?} {outcome:#?} {:?}", self.alibaba);
        if let Err(error) = &outcome {
            printed.push_str(&format!("{error} {}", error.message));
            let id = error.request_id.as_deref().unwrap_or("none");
            assert!(!error.message.contains(id), "an id that changes with each request: {}", error.message);
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
        // The message quotes secrets, which the client must not pass on.
        let message = format!("now {} {}", self.cloud.now(), self.cloud.secrets().join(" "));
        self.fault(action, FaultKind::Status { status, code: code.to_owned(), message }, Some(1));
    }
}

/// Returns a client that connects to another address.
pub(crate) fn client(cloud: &Cloud, address: &str) -> Alibaba {
    let mut settings = settings(cloud, Arc::default());
    if let Some(simulator) = &mut settings.network.simulator {
        simulator.address = address.parse().unwrap();
    }
    Alibaba::new(settings).unwrap()
}

pub(crate) fn settings(cloud: &Cloud, cluster: Arc<Cluster>) -> CloudSettings {
    let address = cloud.address().strip_prefix("http://").unwrap().parse().unwrap();
    let simulator = SimulatedCloud { address, unresolvable_hosts: Vec::new() };
    CloudSettings {
        cluster_region: "cn-hangzhou".into(),
        network: NetworkConfig { simulator: Some(simulator), ..NetworkConfig::default() },
        metadata_endpoint: cloud.address().into(),
        user_agent: "acr-credential-controller/test".into(),
        token_mode: TokenMode::Auto,
        environment: Environment::default(),
        sources: cluster,
        observer: Arc::new(()),
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

/// Returns the key of a registry in the cluster's region.
pub(crate) fn near_as(instance: &str, identity: Identity) -> RegistryKey {
    RegistryKey { edition: Edition::Enterprise(instance.into()), region: "cn-hangzhou".into(), identity }
}

pub(crate) fn identity(source: CredentialSource, assume: Option<&str>) -> Identity {
    Identity { source, assume: assume.map(|arn| Arn::role(arn).unwrap()), session_seconds: 3600 }
}

/// Returns AccessKeyId and AccessKeySecret of a user of the demonstration.
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
