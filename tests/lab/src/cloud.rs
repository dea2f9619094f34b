//! A simulated Alibaba Cloud: both editions of ACR, STS and the ECS metadata service on one loopback port.
//!
//! It is the product's oracle, so it shares no code with it and is strict: it verifies signatures, clocks,
//! nonces, session tokens, rights and trust as the cloud documents them. What it issues expires.
//!
//! ```text
//! [server] -> [gateway]: host -> action -> authenticate -> fault -> enterprise | personal | sts | oidc -> record
//!                     \-> metadata                        -> fault                                 -> record
//! ```
//!
//! Clients reach it over plain HTTP with the real host names in `Host`: by their own address override, or by
//! using it as an HTTP proxy. Its numeric address means any product in the cluster's region.
//!
//! Absent on purpose: throttling of its own accord, latency, XML replies, and session policies.

mod acs3;
mod addon;
mod authenticate;
mod caller;
mod calls;
mod clock;
mod demo;
mod describe;
mod enterprise;
mod fault;
mod gateway;
mod host;
mod identity;
mod issuer;
mod jwt;
mod metadata;
mod oidc;
mod personal;
mod reply;
mod request;
mod route;
mod rpc_sha1;
mod server;
mod sts;
#[cfg(test)]
mod tests;
mod vault;
pub mod verify;
pub mod world;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::sync::watch;

pub use calls::Call;
pub use clock::Millis;
pub use fault::{Fault, FaultId, FaultKind};
use gateway::State;
pub use issuer::OidcIssuer;
use server::Shared;
use vault::{Registry, RegistryToken};
use world::OidcProvider;
pub use world::World;

/// Configuration of a cloud.
#[derive(Clone, Debug)]
pub struct CloudConfig {
    /// The accounts and resources.
    pub world: World,
    /// The loopback port; 0 takes any free one.
    pub port: u16,
}

impl CloudConfig {
    /// Returns the world of the demonstration.
    ///
    /// Account `1` owns the cluster in `cn-hangzhou` and the instances `cri-demo0001` (`cn-hangzhou`) and
    /// `cri-demo0002` (`cn-beijing`). Its roles have the documented rights: the node's
    /// `KubernetesWorkerRole-demo` and `acr-rrsa` may assume roles besides, `AliyunCSManagedAcrRole` may not.
    /// `acr-rrsa` trusts tokens of `acs:ram::1:oidc-provider/ack-rrsa-demo`, which exists once
    /// [`register_oidc_provider`](Cloud::register_oidc_provider) was called, for the ServiceAccount
    /// `kube-system/aliyun-acr-credential-helper`. Its users are `puller` (documented rights), `retired`
    /// (inactive key) and `stranger` (no rights).
    ///
    /// Account `2` owns `cri-demo0003` (`cn-hangzhou`) and the role `acr-pull`, which trusts
    /// `KubernetesWorkerRole-demo`, `acr-rrsa` and its own user `partner-hopper` (`sts:AssumeRole` only); the
    /// user `partner-puller` has the documented rights.
    ///
    /// Either account has a Personal registry in `cn-hangzhou`. AccessKeys' secrets are drawn again at each
    /// call.
    pub fn demo() -> Self {
        Self { world: demo::world(), port: 0 }
    }
}

/// A running cloud. Clones are the same cloud; it stops when the last one drops.
#[derive(Clone, Debug)]
pub struct Cloud {
    shared: Arc<Shared>,
    address: SocketAddr,
    /// The server holds the other end and stops when this is dropped.
    _running: Arc<watch::Sender<()>>,
}

impl Cloud {
    /// Starts a cloud on `127.0.0.1`, as a task of the present runtime.
    ///
    /// # Errors
    /// If the port is taken.
    pub async fn start(config: CloudConfig) -> anyhow::Result<Self> {
        let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, config.port));
        let listener =
            TcpListener::bind(wanted).await.with_context(|| format!("the cloud cannot have {wanted}"))?;
        let address = listener.local_addr().context("the cloud's listener has no address")?;
        let (running, closing) = watch::channel(());
        let mut state = State {
            world: config.world,
            vault: vault::Vault::default(),
            nonces: authenticate::Nonces::default(),
            faults: fault::Faults::default(),
            calls: Vec::new(),
            node_session: None,
        };
        remember_keys(&mut state);
        let shared = Arc::new(Shared::new(state, closing));
        tokio::spawn(server::serve(listener, Arc::clone(&shared)));
        Ok(Self { shared, address, _running: Arc::new(running) })
    }

    /// Returns the base URL: `http://127.0.0.1:<port>`.
    pub fn address(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Describes the cloud for a human: endpoints, identities with their keys (secrets included), instances
    /// and domains.
    pub fn describe(&self) -> String {
        let (state, address) = (self.shared.state(), self.address());
        describe::Description { world: &state.world, address: &address }.to_string()
    }

    /// Reads or changes the world. A change counts from the next request on. Do not call the cloud from
    /// within.
    pub fn world<R>(&self, change: impl FnOnce(&mut World) -> R) -> R {
        let mut state = self.shared.state();
        let result = change(&mut state.world);
        remember_keys(&mut state);
        result
    }

    /// Returns the JSON that ACK writes for its credential helper under the key `addon.token.config`. The
    /// role is `AliyunCSManagedAcrRole` of the cluster's account, in a new session of this length, which no
    /// cap shortens. Without that role the JSON holds an `error` instead, as ACK's does.
    pub fn addon_token(&self, life: Duration) -> String {
        let now = self.now();
        addon::token(life, &mut self.shared.state(), now).to_string()
    }

    /// Registers an OIDC provider under this name, or replaces it, and returns its ARN. In every role that
    /// trusts the provider already, `oidc:iss` becomes this issuer, as ACK's own tools write it.
    pub fn register_oidc_provider(&self, account: &str, name: &str, provider: OidcProvider) -> String {
        self.world(|world| world.register_oidc_provider(account, name, provider))
    }

    /// Sets the cloud's clock ahead of the machine's by these seconds, or behind it if negative.
    pub fn set_clock_skew(&self, seconds: i64) {
        self.shared.clock.set_skew(seconds);
    }

    /// Returns the time by the cloud's clock.
    pub fn now(&self) -> Millis {
        self.shared.clock.now()
    }

    /// Returns every request since the start or the last [`clear_calls`](Self::clear_calls), oldest first.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.state().calls.clone()
    }

    /// Counts the recorded requests for an action, refused ones included.
    pub fn count(&self, action: &str) -> usize {
        self.shared.state().calls.iter().filter(|call| call.action == action).count()
    }

    /// Clears the record of calls.
    pub fn clear_calls(&self) {
        self.shared.state().calls.clear();
    }

    /// Injects a fault from now on.
    pub fn fault(&self, fault: Fault) -> FaultId {
        self.shared.state().faults.add(fault)
    }

    /// Ends one fault.
    pub fn clear_fault(&self, id: FaultId) {
        self.shared.state().faults.clear(id);
    }

    /// Ends all faults. Requests that hang already go on hanging.
    pub fn clear_faults(&self) {
        self.shared.state().faults.clear_all();
    }

    /// Returns whether a registry would let this user in to this instance now.
    pub fn token_valid(&self, user: &str, token: &str, instance: &str) -> bool {
        self.lets_in((user, token), &Registry::Instance(instance.to_owned()), |_, _| true)
    }

    /// Returns whether it would also let them pull, which takes `cr:PullRepository` of the identity that
    /// requested the token.
    pub fn token_may_pull(&self, user: &str, token: &str, instance: &str) -> bool {
        self.lets_in((user, token), &Registry::Instance(instance.to_owned()), may_pull)
    }

    /// Returns whether the Personal registry of this account and region would let this user in now.
    pub fn personal_token_valid(&self, user: &str, token: &str, account: &str, region: &str) -> bool {
        self.lets_in((user, token), &personal_registry(account, region), |_, _| true)
    }

    /// Returns whether it would also let them pull.
    pub fn personal_token_may_pull(&self, user: &str, token: &str, account: &str, region: &str) -> bool {
        self.lets_in((user, token), &personal_registry(account, region), may_pull)
    }

    /// Returns every secret string that was ever configured or handed out: AccessKeySecrets, security tokens,
    /// registry tokens (alone and as `user:token`), metadata tokens, OIDC tokens that were shown, and what an
    /// addon token has encrypted. For a test that searches all output for them.
    pub fn secrets(&self) -> Vec<String> {
        self.shared.state().vault.secrets()
    }

    fn lets_in(
        &self,
        (user, token): (&str, &str),
        registry: &Registry,
        judge: impl FnOnce(&RegistryToken, &World) -> bool,
    ) -> bool {
        let (now, state) = (self.now(), self.shared.state());
        let facts = state.vault.registry_token(token, now).filter(|facts| facts.user == user);
        facts.is_some_and(|facts| {
            facts.opens == *registry
                && personal::accepts_tokens(registry, &state.world)
                && judge(facts, &state.world)
        })
    }
}

fn may_pull(facts: &RegistryToken, world: &World) -> bool {
    facts.identity.may("cr:PullRepository", world)
}

fn personal_registry(account: &str, region: &str) -> Registry {
    Registry::Personal { account: account.to_owned(), region: region.to_owned() }
}

/// Remembers keys that a test replaces: they stay secrets, because a log may hold them already.
fn remember_keys(state: &mut State) {
    for (_, key) in state.world.keys() {
        state.vault.remember(&key.secret);
    }
}
