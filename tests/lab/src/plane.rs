//! A real Kubernetes control plane on loopback: etcd, kube-apiserver, kube-controller-manager.
//!
//! Guarantees: each [`Plane`] has its own directory, ports and authority, so that planes never meet. Nothing
//! of a plane is left when it is dropped, nor when its process dies.
//!
//! Caveats: there are no nodes, so a Pod is admitted and stored but never runs, unless a
//! [`Node`](crate::node::Node) joins. Deleting a namespace takes a
//! few seconds, as in any cluster, by the namespace controller's own delay.

mod access;
mod audit;
mod binaries;
mod etcd;
mod keys;
mod kubectl;
mod node;
mod processes;
mod proxy;
mod request;
mod reused;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::{Api, Client, runtime::wait};

use self::{
    access::{Admin, Credential, Server},
    processes::{START_TIMEOUT, Setup},
};
pub use self::{
    audit::{Audit, AuditEvent, AuditEvents, Mark},
    binaries::{Binaries, Release},
    kubectl::Output,
    processes::free_port,
    proxy::{Fault, FaultProxy, Fired, Frozen, Held, Write},
    request::{Request, Target},
    reused::ReusedPlane,
};
pub(crate) use self::{
    binaries::{cache_root, find_in_path, keep, say, until_built},
    processes::until,
};
use crate::{
    certificates::{Authority, write_private},
    cloud::{Cloud, world::OidcProvider},
    process::{Child, Scratch, Signal, lock},
};

/// Another process may take a free port before its user does. A third loss in a row is not an accident.
pub(crate) const START_ATTEMPTS: usize = 3;

/// The user of kube-scheduler; its rights come with its name.
const SCHEDULER: (&str, (&str, &str)) = ("kube-scheduler", ("system:kube-scheduler", "lab"));

/// Options of a plane.
#[derive(Debug, Clone)]
pub struct Options {
    /// The release of Kubernetes.
    pub release: Release,
    /// The issuer that ServiceAccount tokens name.
    pub service_account_issuer: String,
    /// Admission plugins beside those that are on by default.
    pub admission_plugins: Vec<String>,
    /// Controllers of kube-controller-manager beside those that always run.
    pub controllers: Vec<String>,
    /// Further flags of kube-apiserver, as written on its command line.
    pub extra_api_server_args: Vec<String>,
    /// Further flags of etcd, as written on its command line.
    pub extra_etcd_args: Vec<String>,
    /// Whether each loop of kube-controller-manager runs as a ServiceAccount of kube-system, as in most
    /// clusters, and not as one user with all rights. Its accounts are then among kube-system's.
    pub controllers_as_themselves: bool,
    /// Whether Pods run: with a scheduler, the controllers of workloads, and an API server that is ready for the
    /// kubelet of a [`Node`](crate::node::Node).
    pub node: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            release: Release::default(),
            service_account_issuer: "https://kubernetes.default.svc.cluster.local".to_owned(),
            admission_plugins: Vec::new(),
            controllers: Vec::new(),
            extra_api_server_args: Vec::new(),
            extra_etcd_args: Vec::new(),
            controllers_as_themselves: false,
            node: false,
        }
    }
}

impl Options {
    /// Starts a control plane for a [`Node`](crate::node::Node).
    #[must_use]
    pub fn with_node(self) -> Options {
        Options { node: true, ..self }
    }

    /// Starts an API server without MutatingAdmissionPolicy, as before Kubernetes 1.36.
    #[must_use]
    pub fn without_mutating_policies(mut self) -> Options {
        let off = [
            "--runtime-config=admissionregistration.k8s.io/v1/mutatingadmissionpolicies=false,\
             admissionregistration.k8s.io/v1/mutatingadmissionpolicybindings=false",
            // It would wait for an API that is not served.
            "--disable-admission-plugins=MutatingAdmissionPolicy",
        ];
        self.extra_api_server_args.extend(off.map(str::to_owned));
        self
    }
}

/// A running control plane; stopped and removed when dropped.
pub struct Plane {
    // Fields drop in this order: the clients of a program before the program, the directory last.
    _scheduler: Option<Child>,
    controller_manager: Child,
    api_server: Mutex<Arc<Child>>,
    etcd: Mutex<Arc<Child>>,
    binaries: Binaries,
    options: Options,
    ports: Ports,
    url: String,
    authority: Authority,
    admin: Admin,
    kubeconfig: PathBuf,
    /// Whether a caller got hold of its programs, and may have stopped one.
    disturbed: AtomicBool,
    dir: Scratch,
}

#[derive(Clone, Copy)]
struct Ports {
    etcd: u16,
    api_server: u16,
}

impl Plane {
    /// Starts a control plane, and returns when it serves and its first ServiceAccount exists. Builds the
    /// programs first if this machine has never done so, which takes minutes.
    pub async fn start(options: Options) -> anyhow::Result<Plane> {
        // rustls has no default provider when two are compiled in; the first caller decides, and an earlier
        // choice is as good.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let release = options.release;
        let binaries = tokio::task::spawn_blocking(move || Binaries::find(release)).await??;
        let mut attempt = 1;
        loop {
            match Plane::try_start(&binaries, &options).await {
                Err(error) if attempt < START_ATTEMPTS && lost_port(&error) => attempt += 1,
                result => return result.context("the control plane did not start"),
            }
        }
    }

    /// Returns the plane that the tests of one process share; the first caller starts it. Tests avoid each
    /// other by namespaces. The watchdog removes the plane with the process, since a static is never dropped.
    pub async fn shared() -> anyhow::Result<&'static Plane> {
        static SHARED: tokio::sync::OnceCell<Plane> = tokio::sync::OnceCell::const_new();
        SHARED.get_or_try_init(|| Plane::start(Options::default())).await
    }

    async fn try_start(binaries: &Binaries, options: &Options) -> anyhow::Result<Plane> {
        let dir = Scratch::new("acr-lab-")?;
        let path = dir.path();
        let ports = Ports { etcd: free_port()?, api_server: free_port()? };
        let url = format!("https://127.0.0.1:{}", ports.api_server);

        let authority = Authority::new()?;
        keys::serving(path, &authority)?;
        keys::service_accounts(path)?;
        keys::kubelet_client(path, &authority)?;
        write_private(&path.join("audit-policy.yaml"), audit::POLICY)?;
        let server = Server { url: &url, name: None, authority: Some(authority.pem()) };
        let managers = if options.controllers_as_themselves {
            ("system:kube-controller-manager", "lab")
        } else {
            // All of the controller manager's loops run as one user, so it needs what all of them need.
            ("kube-controller-manager", "system:masters")
        };
        for (name, (user, group)) in
            [("admin", ("admin", "system:masters")), ("kube-controller-manager", managers), SCHEDULER]
        {
            let identity = authority.client(user, group)?;
            let file = access::kubeconfig_path(path, name);
            access::write_kubeconfig(&file, &server, user, &Credential::Certificate(&identity))?;
        }
        let kubeconfig = access::kubeconfig_path(path, "admin");
        let admin = Admin::read(&kubeconfig).await?;

        let setup = Setup { binaries, dir: path, options };
        let etcd = setup.etcd(ports.etcd).await?;
        let api_server = setup.api_server(ports.api_server, ports.etcd)?;
        until_ready(&api_server, &admin).await?;
        let controller_manager = setup.controller_manager()?;
        let scheduler = if options.node { Some(setup.scheduler()?) } else { None };
        first_service_account(&controller_manager, &admin).await?;
        Ok(Plane {
            _scheduler: scheduler,
            controller_manager,
            api_server: Mutex::new(Arc::new(api_server)),
            etcd: Mutex::new(Arc::new(etcd)),
            binaries: binaries.clone(),
            options: options.clone(),
            ports,
            url,
            authority,
            admin,
            kubeconfig,
            disturbed: AtomicBool::new(false),
            dir,
        })
    }

    /// Returns the plane's own directory: logs, keys, kubeconfigs. It is removed with the plane.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Returns the API server's address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns a kubeconfig with all rights.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Returns a client with all rights. It is a new one each time: a client belongs to the runtime that
    /// creates it, and a shared plane outlives the runtimes of its tests.
    pub fn client(&self) -> Client {
        self.admin.client()
    }

    /// Writes a kubeconfig for an existing ServiceAccount, with a token valid for a day.
    pub async fn service_account_kubeconfig(&self, namespace: &str, name: &str) -> anyhow::Result<PathBuf> {
        let server = Server { url: &self.url, name: None, authority: Some(self.authority.pem()) };
        let token = access::token(self.client(), namespace, name).await?;
        let path = access::kubeconfig_path(self.dir(), &format!("{namespace}.{name}"));
        access::write_kubeconfig(&path, &server, name, &Credential::Token(&token))?;
        Ok(path)
    }

    /// Returns a client with a ServiceAccount's rights.
    pub async fn service_account_client(&self, namespace: &str, name: &str) -> anyhow::Result<Client> {
        let path = self.service_account_kubeconfig(namespace, name).await?;
        access::client(&access::read_kubeconfig(&path).await?)
    }

    /// Grants the webhook's rights as the installer's manifest does, with an address of loopback in place of
    /// the Service: the plane has no Service network.
    pub async fn grant_webhook(&self, manifest: impl AsRef<Path>) -> anyhow::Result<()> {
        let text = tokio::fs::read_to_string(manifest).await?;
        let first = "!has(webhook.clientConfig.url) && has(webhook.clientConfig.service)";
        let (before, rest) = text.split_once(first).context("the rule on the Service is missing")?;
        let last = "webhook.clientConfig.service.name == 'acr-credential-webhook'";
        let (_, after) = rest.split_once(last).context("the rule's end is missing")?;
        let loopback = "webhook.clientConfig.url.startsWith('https://127.0.0.1:')";
        self.apply(&format!("{before}{loopback}{after}")).await?;
        Ok(())
    }

    /// Returns the keys that verify ServiceAccount tokens, as the API server publishes them.
    pub async fn jwks(&self) -> anyhow::Result<serde_json::Value> {
        let request = hyper::Request::get("/openid/v1/jwks").body(Vec::new())?;
        Ok(serde_json::from_str(&self.client().request_text(request).await?)?)
    }

    /// Makes the cloud trust this cluster's tokens, as enabling RRSA for it does: as the provider
    /// `ack-rrsa-demo` of account 1, for the audience `sts.aliyuncs.com`.
    pub async fn enable_rrsa(&self, cloud: &Cloud) -> anyhow::Result<()> {
        let provider = OidcProvider {
            issuer: self.options.service_account_issuer.clone(),
            client_ids: ["sts.aliyuncs.com".to_owned()].into(),
            jwks: self.jwks().await?,
        };
        cloud.register_oidc_provider("1", "ack-rrsa-demo", provider);
        Ok(())
    }

    /// Returns the audit log.
    pub fn audit(&self) -> Audit {
        Audit::new(self.dir().join("audit.log"))
    }

    /// Returns the API server's process, for its memory, processor time and log. A restart replaces it.
    pub fn api_server(&self) -> Arc<Child> {
        self.disturbed.store(true, Ordering::Relaxed);
        Arc::clone(&lock(&self.api_server))
    }

    /// Returns the controller manager's process.
    pub fn controller_manager(&self) -> &Child {
        self.disturbed.store(true, Ordering::Relaxed);
        &self.controller_manager
    }

    /// Returns etcd's address, where it also serves its API as JSON.
    pub fn etcd_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.etcd)
    }

    /// Returns etcd's process. A restart replaces it.
    pub fn etcd(&self) -> Arc<Child> {
        self.disturbed.store(true, Ordering::Relaxed);
        Arc::clone(&lock(&self.etcd))
    }

    /// Kills etcd, so that the API server answers nothing that needs it.
    pub fn kill_etcd(&self) {
        self.etcd().kill();
    }

    /// Starts etcd again, on the same port and with the same data, and returns when it listens.
    pub async fn restart_etcd(&self) -> anyhow::Result<()> {
        self.kill_etcd();
        let setup = Setup { binaries: &self.binaries, dir: self.dir(), options: &self.options };
        let child = setup.etcd(self.ports.etcd).await?;
        *lock(&self.etcd) = Arc::new(child);
        Ok(())
    }

    /// Copies etcd's data, for [`Plane::restore_etcd`].
    pub fn copy_etcd(&self) -> anyhow::Result<()> {
        self.etcd().signal(Signal::STOP)?;
        let copied = std::process::Command::new("cp")
            .arg("-a")
            .args([self.dir().join("etcd"), self.dir().join("etcd-copy")])
            .status();
        self.etcd().signal(Signal::CONT)?;
        anyhow::ensure!(copied?.success(), "etcd's data are not copied");
        Ok(())
    }

    /// Brings back the data of [`Plane::copy_etcd`], revisions included, as an administrator does after a disaster: the
    /// API server stops first, and is started again afterwards. `bumped`: by how many the revision is raised in
    /// between, as `etcdutl snapshot restore --bump-revision` does.
    pub async fn restore_etcd(&self, bumped: usize) -> anyhow::Result<()> {
        self.kill_api_server();
        self.kill_etcd();
        std::fs::remove_dir_all(self.dir().join("etcd"))?;
        std::fs::rename(self.dir().join("etcd-copy"), self.dir().join("etcd"))?;
        self.restart_etcd().await?;
        etcd::Etcd::on(self.ports.etcd).bump_revision(bumped).await?;
        self.restart_api_server().await
    }

    /// Stops the API server (SIGSTOP), so that it neither answers nor closes connections, like a network
    /// failure.
    pub fn pause_api_server(&self) -> anyhow::Result<()> {
        self.api_server().signal(Signal::STOP)
    }

    /// Resumes a paused API server.
    pub fn resume_api_server(&self) -> anyhow::Result<()> {
        self.api_server().signal(Signal::CONT)
    }

    /// Kills the API server; clients see closed connections and refused new ones.
    pub fn kill_api_server(&self) {
        self.api_server().kill();
    }

    /// Starts the API server again, on the same port and with the same data, and returns when it is ready.
    pub async fn restart_api_server(&self) -> anyhow::Result<()> {
        self.kill_api_server();
        let setup = Setup { binaries: &self.binaries, dir: self.dir(), options: &self.options };
        let child = setup.api_server(self.ports.api_server, self.ports.etcd)?;
        until_ready(&child, &self.admin).await?;
        *lock(&self.api_server) = Arc::new(child);
        Ok(())
    }
}

/// Returns whether a program did not start because another had taken its port.
pub(crate) fn lost_port(error: &anyhow::Error) -> bool {
    format!("{error:#}").contains("address already in use")
}

async fn until_ready(api_server: &Child, admin: &Admin) -> anyhow::Result<()> {
    let client = admin.client();
    let ready = || {
        let client = client.clone();
        async move {
            let Ok(request) = hyper::Request::get("/readyz").body(Vec::new()) else { return false };
            // A server that is stopped while it starts must not hang this check.
            let answer = tokio::time::timeout(Duration::from_secs(2), client.request_text(request)).await;
            matches!(answer, Ok(Ok(_)))
        }
    };
    until(api_server, ready).await
}

/// Waits for the ServiceAccount `default` of the namespace `default`, which Pods and tests need.
async fn first_service_account(controller_manager: &Child, admin: &Admin) -> anyhow::Result<()> {
    let accounts: Api<ServiceAccount> = Api::namespaced(admin.client(), "default");
    let created =
        wait::await_condition(accounts, "default", |account: Option<&ServiceAccount>| account.is_some());
    match tokio::time::timeout(START_TIMEOUT, created).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(anyhow::anyhow!(
            "the default ServiceAccount is missing:\n{}",
            controller_manager.log_tail(20)
        )),
    }
}
