//! The ConfigMap in the cluster.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};

use crate::api::names::{LEGACY_NAME, LEGACY_NAMESPACE};

/// Reads the `data` of `kube-system/acr-configuration`; `None` if the ConfigMap does not exist.
///
/// # Errors
/// The API server cannot be reached, or refuses.
pub async fn data(client: Client) -> kube::Result<Option<BTreeMap<String, String>>> {
    let maps: Api<ConfigMap> = Api::namespaced(client, LEGACY_NAMESPACE);
    Ok(maps.get_opt(LEGACY_NAME).await?.map(|map| map.data.unwrap_or_default()))
}
