//! Labels of the metrics and their values.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};

use super::described_registry::LabelNames;

/// Defines label sets that know the names of their labels.
macro_rules! label_sets {
    ($(
        $(#[doc = $doc:literal])+
        $set:ident { $($(#[doc = $label_doc:literal])+ $label:ident: $type:ty,)+ }
    )+) => {$(
        $(#[doc = $doc])+
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
        pub struct $set {
            $($(#[doc = $label_doc])+ pub $label: $type,)+
        }

        impl LabelNames for $set {
            const NAMES: &'static [&'static str] = &[$(stringify!($label)),+];
        }
    )+};
}

/// Defines an enum that is the value of a label.
macro_rules! label_values {
    ($(
        $(#[doc = $doc:literal])+
        $name:ident { $($(#[doc = $variant_doc:literal])+ $variant:ident => $text:literal,)+ }
    )+) => {$(
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[doc = $variant_doc])+ $variant,)+
        }

        impl $name {
            /// Every value.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Returns the value as scraped.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }

        impl EncodeLabelValue for $name {
            fn encode(&self, encoder: &mut LabelValueEncoder) -> Result<(), std::fmt::Error> {
                EncodeLabelValue::encode(&self.as_str(), encoder)
            }
        }
    )+};
}

label_values! {
    /// Result of a write or a call.
    CallResult {
        /// It succeeded.
        Success => "success",
        /// The object had changed since it was read; the change is planned again.
        Stale => "stale",
        /// It failed.
        Error => "error",
    }

    /// Answer to an admission request about a ServiceAccount.
    AdmissionOutcome {
        /// The pull Secret was attached.
        Attached => "attached",
        /// The ServiceAccount was left as it is.
        Unchanged => "unchanged",
        /// The namespace was not observed in time, and its name alone does not select it.
        UnknownNamespace => "unknown_namespace",
        /// The request is not a valid AdmissionReview of a ServiceAccount.
        Invalid => "invalid",
    }

    /// Whether a covered ServiceAccount has the pull Secret.
    AccountState {
        /// It has.
        Attached => "attached",
        /// It has not yet, or the write fails.
        Pending => "pending",
        /// Another writer keeps removing it, so that it rests.
        Contended => "contended",
        /// It has not, and the binding is suspended.
        Suspended => "suspended",
    }

    /// A loop that reconciles.
    Reconciler {
        /// Validates bindings and writes their status.
        Binding => "binding",
        /// Writes the Secret and the ServiceAccounts of a namespace.
        Namespace => "namespace",
        /// Mints and refreshes credentials.
        Credential => "credential",
        /// Converts the ConfigMap `acr-configuration`.
        ConfigMap => "configmap",
        /// Writes the parameters of the MutatingAdmissionPolicy.
        AdmissionPolicy => "admission_policy",
        /// Writes the MutatingWebhookConfiguration and its certificates.
        Webhook => "webhook",
        /// Replaces stuck Pods.
        StuckPods => "stuck_pods",
    }

    /// Result of a reconciliation, in the words of controller-runtime.
    ReconcileResult {
        /// Nothing is left to do.
        Success => "success",
        /// It failed, and is retried with back-off.
        Error => "error",
        /// It is repeated at once.
        Requeue => "requeue",
        /// It is repeated at a known time.
        RequeueAfter => "requeue_after",
    }
}

label_sets! {
    /// Labels of a counted write or call.
    ResultLabel {
        /// Result of the write or call.
        result: CallResult,
    }

    /// Labels of a registry's credential.
    RegistryLabel {
        /// `instance in region`.
        registry: String,
        /// Chain of identities that mints, as in the status.
        identity: String,
    }

    /// Labels of a request to the cloud.
    ApiLabel {
        /// API action, such as `get_authorization_token`.
        action: &'static str,
        /// HTTP status, or why there is no valid reply.
        code: &'static str,
    }

    /// Labels of the ServiceAccounts of a binding.
    AccountsLabel {
        /// Name of the binding.
        binding: String,
        /// Whether they have the pull Secret.
        state: AccountState,
    }

    /// Labels of the lease.
    LeaseLabel {
        /// The Lease's name.
        name: &'static str,
    }

    /// Labels of a binding's readiness.
    BindingLabel {
        /// Name of the binding.
        name: String,
        /// `True`, `False` or `Unknown`.
        condition: &'static str,
    }

    /// Labels of a work queue.
    QueueLabel {
        /// `namespace` or `binding`.
        name: &'static str,
    }

    /// Labels of a watch.
    WatchLabel {
        /// What it watches, such as `secrets`.
        watch: &'static str,
    }

    /// Labels of a task.
    TaskLabel {
        /// Its name in lower case, such as `the credential loop`.
        task: String,
    }

    /// Labels of admission requests.
    AdmissionLabel {
        /// Answer to the request.
        outcome: AdmissionOutcome,
    }

    /// Labels of a loop.
    ReconcilerLabel {
        /// The loop that reconciled.
        controller: Reconciler,
    }

    /// Labels of a loop's results.
    ReconcileLabel {
        /// The loop that reconciled.
        controller: Reconciler,
        /// Result of the reconciliation.
        result: ReconcileResult,
    }

    /// Labels of the build.
    BuildLabel {
        /// Version of this controller.
        version: &'static str,
    }
}

impl TaskLabel {
    /// Returns the label of a task by its name.
    pub fn of(task: &str) -> Self {
        Self { task: task.to_lowercase() }
    }
}
