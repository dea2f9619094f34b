//! The ConfigMap as it stands in the cluster.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};

use crate::api::names::{LEGACY_NAME, LEGACY_NAMESPACE};

/// The `data` of `kube-system/acr-configuration`. `None`: there is no such ConfigMap.
///
/// # Errors
/// The API server's, when it cannot be asked or refuses.
pub async fn data(client: Client) -> kube::Result<Option<BTreeMap<String, String>>> {
    let maps: Api<ConfigMap> = Api::namespaced(client, LEGACY_NAMESPACE);
    Ok(maps.get_opt(LEGACY_NAME).await?.map(|map| map.data.unwrap_or_default()))
}
