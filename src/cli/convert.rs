//! `kubectl acr convert`: the binding that the configuration becomes, ready for Git.

use std::collections::BTreeMap;
use std::io;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::manifest::prune;
use crate::api::binding::{AcrCredentialBinding, crd};
use crate::api::legacy::parse_yaml;
use crate::api::names::{
    ANNOTATION_ADOPT, ANNOTATION_AUTHORITATIVE, DEFAULT_NAMESPACE, LEGACY_NAME, LEGACY_NAMESPACE,
};
use crate::model::legacy::{Conversion, KeyPair};

/// An error of a manifest that cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("the manifest cannot be written as YAML")]
pub struct ManifestError(#[source] Box<dyn std::error::Error + Send + Sync>);

/// The manifests. They may hold a key pair, hence no `Debug`.
pub struct Manifests {
    /// The binding.
    pub binding: String,
    /// The Secrets with the key pairs, by their names.
    pub secrets: Vec<(String, String)>,
}

/// The edition of the documented component that a configuration is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ComponentEdition {
    /// The one in the cluster, with its ConfigMap.
    ConfigMap,
    /// The managed add-on, with its JSON.
    Managed,
}

/// The managed add-on, and the one of its webhook.
const MANAGED_ADDONS: [&str; 2] = ["managed-aliyun-acr-credential-helper", "acr-credential-helper-webhook"];

/// Writes the manifests. `None`: the conversion has no spec.
///
/// # Errors
/// [`ManifestError`]
pub fn manifests(
    conversion: &Conversion,
    edition: ComponentEdition,
) -> Result<Option<Manifests>, ManifestError> {
    let Some(spec) = &conversion.spec else { return Ok(None) };
    let mut object = AcrCredentialBinding::new(LEGACY_NAME, spec.clone());
    if edition == ComponentEdition::Managed {
        // The Secret that the add-on leaves has the name of ours. For the ConfigMap's binding, adoption is implied.
        object.annotations_mut().insert(ANNOTATION_ADOPT.to_owned(), "true".to_owned());
    }
    let binding = binding(&object).map_err(ManifestError)?;
    let secrets = conversion.key_pairs.iter().map(|pair| Ok((pair.secret_name.clone(), secret(pair)?)));
    let secrets = secrets.collect::<Result<_, _>>().map_err(ManifestError)?;
    Ok(Some(Manifests { binding, secrets }))
}

impl Manifests {
    /// Writes the binding, and the Secrets after it on request.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn write(&self, secrets: bool, to: &mut dyn io::Write) -> io::Result<()> {
        to.write_all(self.binding.as_bytes())?;
        for (_, secret) in self.secrets.iter().filter(|_| secrets) {
            write!(to, "---\n{secret}")?;
        }
        Ok(())
    }
}

/// Describes the Secret of a key pair to a user who does not see it.
pub fn place(name: &str) -> String {
    format!(
        "the Secret {DEFAULT_NAMESPACE}/{name} with accessKeyId and accessKeySecret; --show-secrets prints it, and so does a file or a pipe"
    )
}

/// Returns whether the Secrets may be printed to standard output.
///
/// A terminal keeps its output, and others may see it. A file or a pipe is the user's own choice.
pub fn secrets_may_be_printed(to_a_terminal: bool, show_secrets: bool) -> bool {
    show_secrets || !to_a_terminal
}

/// Lists the steps to the binding for a user who keeps the printed manifests.
pub fn steps(conversion: &Conversion, edition: ComponentEdition) -> Vec<String> {
    let mut steps = match edition {
        ComponentEdition::ConfigMap => steps_from_config_map(),
        ComponentEdition::Managed => steps_from_managed_addon(),
    };
    let names: Vec<&str> = conversion.key_pairs.iter().map(|pair| pair.secret_name.as_str()).collect();
    if !names.is_empty() {
        let step = format!(
            "keep the Secret {} in {DEFAULT_NAMESPACE}, and out of Git: deploy/rbac.yaml lets the controller read it",
            names.join(", ")
        );
        steps.insert(0, step);
    }
    steps
}

fn steps_from_config_map() -> Vec<String> {
    vec![
        format!(
            "kubectl annotate configmap {LEGACY_NAME} -n {LEGACY_NAMESPACE} {ANNOTATION_AUTHORITATIVE}=false    # the binding becomes your own; no namespace is changed"
        ),
        // Written when the mark of the conversion is removed. `kubectl wait` cannot wait for the removal itself.
        format!(
            "kubectl wait acrcredentialbinding {LEGACY_NAME} --for=jsonpath='{{.metadata.annotations.{}}}'=true --timeout=60s    # a ConfigMap deleted earlier takes the binding with it",
            ANNOTATION_ADOPT.replace('.', "\\.")
        ),
        "kubectl apply --server-side -f <printed manifests>    # they equal what the cluster has".to_owned(),
        format!(
            "kubectl wait acrcredentialbinding {LEGACY_NAME} --for=condition=Ready    # no Secret changes"
        ),
        format!("kubectl delete configmap {LEGACY_NAME} -n {LEGACY_NAMESPACE}"),
    ]
}

fn steps_from_managed_addon() -> Vec<String> {
    let [helper, webhook] = MANAGED_ADDONS;
    vec![
        format!(
            "aliyun cs POST /clusters/<cluster ID>/components/uninstall --header \"Content-Type=application/json\" --body '[{{\"name\":\"{helper}\"}},{{\"name\":\"{webhook}\"}}]'    # or uninstall both in the console (Operations, Add-ons) or in Terraform; leave out the webhook if it is not installed; the Secrets and entries stay"
        ),
        format!(
            "kubectl apply --server-side -f <printed manifests>    # {ANNOTATION_ADOPT} in it lets the controller take over the Secrets that the add-on left"
        ),
        format!(
            "kubectl wait acrcredentialbinding {LEGACY_NAME} --for=condition=Ready --timeout=120s    # each Secret is updated in place"
        ),
    ]
}

/// Returns the heading of the steps.
pub fn heading(edition: ComponentEdition) -> &'static str {
    match edition {
        ComponentEdition::ConfigMap => "from the ConfigMap to the binding:",
        ComponentEdition::Managed => {
            "from the managed add-on to the binding, once the controller is installed (docs/migrate.md):"
        }
    }
}

fn binding(object: &AcrCredentialBinding) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    let written = serde_saphyr::to_string(object)?;
    let mut node = parse_yaml(&written).map_err(|fault| fault.why)?;
    prune(&mut node, &json!({ "properties": { "spec": schema()? } }))?;
    Ok(serde_saphyr::to_string(&node)?)
}

/// Returns the schema of the spec, with its defaults.
pub(super) fn schema() -> Result<Value, serde_json::Error> {
    let crd = serde_json::to_value(crd())?;
    Ok(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"].clone())
}

fn secret(pair: &KeyPair) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    let text = |secret: &secrecy::SecretString| secret.expose_secret().to_owned();
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(pair.secret_name.clone()),
            namespace: Some(DEFAULT_NAMESPACE.to_owned()),
            ..ObjectMeta::default()
        },
        string_data: Some(BTreeMap::from([
            ("accessKeyId".to_owned(), text(&pair.access_key_id)),
            ("accessKeySecret".to_owned(), text(&pair.access_key_secret)),
        ])),
        ..Secret::default()
    };
    let written = serde_saphyr::to_string(&secret)?;
    Ok(format!("# An AccessKey pair in clear text: apply it, and keep it out of Git.\n{written}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::legacy::convert;

    fn of(data: &[(&str, &str)]) -> Manifests {
        let data = data.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        manifests(&convert(&data), ComponentEdition::ConfigMap).unwrap().unwrap()
    }

    #[test]
    fn what_the_schema_adds_by_itself_is_left_out() {
        let binding = of(&[("acr-registry-info", "- instanceId: cri-a1b2c3\n")]).binding;
        let expected = "apiVersion: acrcredential.dev/v1alpha1
kind: AcrCredentialBinding
metadata:
  name: acr-configuration
spec:
  registries:
  - instanceId: cri-a1b2c3
  watchNamespaces:
    names:
    - default
    exclude: []
  serviceAccounts:
    names:
    - default
  deletionPolicy: Retain
";
        assert_eq!(binding, expected);
    }

    #[test]
    fn what_is_not_the_default_is_kept() {
        let webhook = "enable: true\nfailure-policy: Fail\ntimeout-seconds: 10\n";
        let binding = of(&[("expiring-threshold", "30m"), ("webhook-configuration", webhook)]).binding;
        assert!(binding.contains("  expiringThreshold: 30m\n"), "{binding}");
        assert!(
            binding.contains("  webhook:\n    enable: true\n    failurePolicy: Fail\n  deletionPolicy"),
            "{binding}"
        );
    }

    #[test]
    fn a_terminal_is_shown_no_secret_unless_it_is_asked_for() {
        assert!(!secrets_may_be_printed(true, false));
        assert!(secrets_may_be_printed(true, true) && secrets_may_be_printed(false, false));
        let info = "- customAccessKey: LTAIaaaaaaaa\n  customAccessKeySecret: SECRETSECRET\n";
        let manifests = of(&[("acr-registry-info", info)]);
        let written = |secrets| {
            let mut bytes = Vec::new();
            manifests.write(secrets, &mut bytes).unwrap();
            String::from_utf8(bytes).unwrap()
        };
        assert!(!written(false).contains("SECRET") && written(false).contains("name: acr-configuration-0"));
        assert!(written(true).contains("---\n# An AccessKey pair") && written(true).contains("SECRETSECRET"));
    }
}
