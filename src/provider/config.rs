//! The file of the registries, in the shape of a binding's `spec.registries`.

use std::collections::BTreeSet;

use schemars::schema_for;
use serde::Deserialize;
use serde_json::{Value, json};

use super::failure::ProviderFailure;
use crate::api::binding::{AcrCredentialBinding, RegistryEntry};
use crate::model::identity::Arn;
use crate::model::{Binding, Registry};

/// Bytes that the file may have. Sixty-four registries with every field need less than 400 KB.
pub const MAX_FILE: usize = 1 << 20;

/// The file as written.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ProviderFile {
    #[serde(default)]
    region: Option<String>,
    registries: Vec<Value>,
    #[serde(default)]
    pod_identity: Option<PodIdentityFields>,
    #[serde(default)]
    fall_back_to_node_role: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PodIdentityFields {
    #[serde(rename = "oidcProviderARN")]
    provider: String,
    #[serde(default)]
    role_name: Option<String>,
}

/// How a Pod's ServiceAccount becomes a RAM role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodIdentityConfig {
    /// OIDC provider of the cluster. Roles are of its account.
    pub provider: Arn,
    /// Role of ServiceAccounts that name none.
    pub default_role: Option<Arn>,
}

/// A valid file, except that its registries may need the cluster's region.
#[derive(Debug)]
pub struct ProviderConfig {
    /// Name of the file, for messages.
    name: String,
    /// Region of the node, such as `cn-hangzhou`; absent: that of its metadata.
    pub region: Option<String>,
    /// Roles by ServiceAccount; absent: no ServiceAccount has a role of its own.
    pub pod_identity: Option<PodIdentityConfig>,
    /// Whether the node's role is used for a ServiceAccount without a role.
    pub fall_back_to_node_role: bool,
    binding: AcrCredentialBinding,
}

impl ProviderConfig {
    /// Parses the text of a file. `name` is its path, for messages.
    ///
    /// # Errors
    /// `BadInput` with the field, its fault, and what to write instead.
    pub fn parse(name: &str, text: &str) -> Result<Self, ProviderFailure> {
        let bad = |fault: String| ProviderFailure::BadInput(format!("{name}: {fault}"));
        if text.len() > MAX_FILE {
            return Err(bad("has more than 1 MiB: list fewer registries".to_owned()));
        }
        let file: ProviderFile = serde_saphyr::from_str(text)
            .map_err(|error| bad(format!("is not a file of registries: {}", one_line(&error.to_string()))))?;
        known_fields(&file.registries).map_err(bad)?;
        if let Some(at) = file.registries.iter().position(|entry| entry.get("accessKeySecretRef").is_some()) {
            return Err(bad(format!(
                "registries[{at}].accessKeySecretRef: there is no Secret to read here: remove it, and use a role"
            )));
        }
        let spec = json!({ "registries": file.registries });
        let spec = serde_json::from_value(spec).map_err(|error| bad(format!("registries: {error}")))?;
        let pod_identity = file.pod_identity.map(PodIdentityConfig::read).transpose().map_err(bad)?;
        Ok(Self {
            name: name.to_owned(),
            region: file.region.filter(|region| !region.is_empty()),
            pod_identity,
            fall_back_to_node_role: file.fall_back_to_node_role,
            binding: AcrCredentialBinding::new("file", spec),
        })
    }

    /// Validates the registries by the rules of a binding. `region` is that of entries without one.
    ///
    /// # Errors
    /// `BadInput` with every field that a binding would not accept.
    pub fn registries(&self, region: &str) -> Result<Vec<Registry>, ProviderFailure> {
        let binding = Binding::parse(&self.binding, region).map_err(|invalid| {
            let faults: Vec<String> = invalid.iter().map(ToString::to_string).collect();
            let faults = faults.join("; ").replace("spec.registries", "registries");
            ProviderFailure::BadInput(format!("{}: {faults}", self.name))
        })?;
        Ok(binding.registries)
    }
}

impl PodIdentityConfig {
    fn read(fields: PodIdentityFields) -> Result<Self, String> {
        let provider = Arn::oidc_provider(&fields.provider)
            .map_err(|fault| format!("podIdentity.oidcProviderARN: {fault}"))?;
        let role = |name: String| {
            role_of(&provider, &name).ok_or_else(|| {
                format!("podIdentity.roleName: {name:?} is not the name of a role: write it without its ARN, such as acr-pull")
            })
        };
        let default_role = fields.role_name.map(role).transpose()?;
        Ok(Self { provider, default_role })
    }
}

/// Returns the role of a name in the account of the provider; `None` if it is not a name.
pub fn role_of(provider: &Arn, name: &str) -> Option<Arn> {
    let account = provider.as_str().split(':').nth(3)?;
    Arn::role(&format!("acs:ram::{account}:role/{name}")).ok()
}

/// Checks that entries have no field that a binding lacks. An API server would name it, too.
fn known_fields(entries: &[Value]) -> Result<(), String> {
    let schema = schema_for!(RegistryEntry);
    let known: BTreeSet<&String> = schema
        .get("properties")
        .and_then(Value::as_object)
        .map(|all| all.keys().collect())
        .unwrap_or_default();
    for (at, entry) in entries.iter().enumerate() {
        let fields = entry.as_object().ok_or_else(|| {
            format!("registries[{at}] is not an entry: write fields such as instanceId: cri-abc123")
        })?;
        if let Some(field) = fields.keys().find(|field| !known.contains(field)) {
            let all: Vec<&str> = known.iter().map(|field| field.as_str()).collect();
            let field: String = field.chars().take(64).collect();
            return Err(format!(
                "registries[{at}].{field} is not a field of a registry: write one of {}",
                all.join(", ")
            ));
        }
    }
    Ok(())
}

/// Returns a text as one line of at most 300 characters.
pub fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::{ProviderConfig, role_of};
    use crate::model::identity::Arn;

    const VALID: &str = "
registries:
- instanceId: cri-demo0001
  domains: [img.example.com]
- regionId: cn-beijing
podIdentity: {oidcProviderARN: 'acs:ram::7:oidc-provider/ack-rrsa-c1', roleName: acr-pull}
";

    fn fault(text: &str) -> String {
        let parsed = ProviderConfig::parse("f.yaml", text);
        let failure = match parsed {
            Ok(config) => config.registries("cn-hangzhou").unwrap_err(),
            Err(failure) => failure,
        };
        assert_eq!(failure.exit_code(), 2, "{failure}");
        failure.to_string()
    }

    #[test]
    fn a_file_is_read_by_the_rules_of_a_binding() {
        let config = ProviderConfig::parse("f.yaml", VALID).unwrap();
        let registries = config.registries("cn-hangzhou").unwrap();
        assert_eq!(
            registries.iter().map(|r| &*r.key.region).collect::<Vec<_>>(),
            ["cn-hangzhou", "cn-beijing"]
        );
        assert!(!config.fall_back_to_node_role && config.region.is_none());
        let role = config.pod_identity.unwrap().default_role.unwrap();
        assert_eq!(role.as_str(), "acs:ram::7:role/acr-pull");
    }

    #[test]
    fn a_fault_names_its_field_and_what_to_write() {
        for (from, to, words) in [
            (
                "instanceId: cri-demo0001",
                "instanceID: cri-demo0001",
                "registries[0].instanceID is not a field of a registry",
            ),
            ("instanceId: cri-demo0001", "instanceId: demo", "f.yaml: registries[0].instanceId: "),
            ("cn-beijing", "beijing", "registries[1].regionId: "),
            ("- regionId: cn-beijing", "- cn-beijing", "registries[1] is not an entry"),
            (
                "- regionId: cn-beijing",
                "- accessKeySecretRef: {name: a}",
                "registries[1].accessKeySecretRef: there is no Secret",
            ),
            ("oidc-provider/", "role/", "podIdentity.oidcProviderARN: "),
            (
                "roleName: acr-pull",
                "roleName: 'acs:ram::7:role/acr-pull'",
                "write it without its ARN, such as acr-pull",
            ),
            ("registries:", "registry:", "f.yaml: is not a file of registries: "),
            ("registries:", "registries: [", "f.yaml: is not a file of registries: "),
        ] {
            let message = fault(&VALID.replace(from, to));
            assert!(message.contains(words) && !message.contains('\n'), "{to}: {message}");
        }
        assert!(fault("registries: []").contains("write 1 to 64"));
        assert!(fault(&format!("{VALID}# {}", "x".repeat(1 << 20))).contains("more than 1 MiB"));
    }

    #[test]
    fn a_role_is_of_the_account_of_the_provider() {
        let provider = Arn::oidc_provider("acs:ram::7:oidc-provider/p").unwrap();
        assert_eq!(role_of(&provider, "a.b_c-d").unwrap().as_str(), "acs:ram::7:role/a.b_c-d");
        for name in ["", "a/b", "acs:ram::2:role/x", "a b", "../x"] {
            assert_eq!(role_of(&provider, name), None, "{name}");
        }
    }
}
