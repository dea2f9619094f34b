//! API hosts of each product by region: `docs/contributing/cloud-api.md`, "Endpoints".

/// Regions without a documented VPC host of Container Registry.
const WITHOUT_CR_VPC: [&str; 4] = ["cn-huhehaote", "cn-wulanchabu", "cn-heyuan", "cn-wuhan-lr"];

/// Regions for which the official SDKs call the central STS.
const CENTRAL_STS: [&str; 4] = ["ap-south-1", "ap-southeast-2", "cn-wuhan", "cn-beijing-gov-1"];

/// The hosts that serve one product, as host names without scheme or port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hosts {
    primary: String,
    fallback: Option<String>,
}

impl Hosts {
    /// Returns one host without a fallback.
    pub(super) fn only(host: impl Into<String>) -> Self {
        Self { primary: host.into(), fallback: None }
    }

    /// Returns the hosts of Container Registry's API in `region`, for a caller in `cluster_region`. A VPC host serves
    /// only its own region.
    pub(super) fn container_registry(region: &str, cluster_region: &str) -> Self {
        if region == cluster_region && !WITHOUT_CR_VPC.contains(&region) {
            Self::vpc("cr", region)
        } else {
            Self::only(format!("cr.{region}.aliyuncs.com"))
        }
    }

    /// Returns the hosts of STS for a caller in `cluster_region`. A session is valid in every region, so the nearest
    /// host serves all registries.
    pub(super) fn sts(cluster_region: &str) -> Self {
        match cluster_region {
            // This finance region shares the STS of its neighbour.
            "cn-hangzhou-finance" => Self::vpc("sts", "cn-hangzhou"),
            central if CENTRAL_STS.contains(&central) => Self::only("sts.aliyuncs.com"),
            region => Self::vpc("sts", region),
        }
    }

    fn vpc(product: &str, region: &str) -> Self {
        Self {
            primary: format!("{product}-vpc.{region}.aliyuncs.com"),
            fallback: Some(format!("{product}.{region}.aliyuncs.com")),
        }
    }

    /// Returns the host to call first.
    pub(super) fn primary(&self) -> &str {
        &self.primary
    }

    /// Returns the public host to call if the primary one does not resolve. `None` if the primary one is public.
    pub(super) fn fallback(&self) -> Option<&str> {
        self.fallback.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::Hosts;

    #[test]
    fn the_vpc_host_of_the_registry_is_used_in_its_own_region_only() {
        for (region, cluster, host) in [
            ("cn-hangzhou", "cn-hangzhou", "cr-vpc.cn-hangzhou.aliyuncs.com"),
            ("cn-beijing", "cn-hangzhou", "cr.cn-beijing.aliyuncs.com"),
            ("cn-huhehaote", "cn-huhehaote", "cr.cn-huhehaote.aliyuncs.com"),
            ("cn-wulanchabu", "cn-wulanchabu", "cr.cn-wulanchabu.aliyuncs.com"),
            ("cn-heyuan", "cn-heyuan", "cr.cn-heyuan.aliyuncs.com"),
            ("cn-wuhan-lr", "cn-wuhan-lr", "cr.cn-wuhan-lr.aliyuncs.com"),
        ] {
            assert_eq!(Hosts::container_registry(region, cluster).primary(), host, "{region} from {cluster}");
        }
    }

    #[test]
    fn sts_is_called_in_the_clusters_region_with_the_documented_exceptions() {
        for (cluster, host) in [
            ("cn-hangzhou", "sts-vpc.cn-hangzhou.aliyuncs.com"),
            ("cn-hangzhou-finance", "sts-vpc.cn-hangzhou.aliyuncs.com"),
            ("cn-shenzhen-finance-1", "sts-vpc.cn-shenzhen-finance-1.aliyuncs.com"),
            ("cn-north-2-gov-1", "sts-vpc.cn-north-2-gov-1.aliyuncs.com"),
            ("ap-south-1", "sts.aliyuncs.com"),
            ("ap-southeast-2", "sts.aliyuncs.com"),
            ("cn-wuhan", "sts.aliyuncs.com"),
            ("cn-beijing-gov-1", "sts.aliyuncs.com"),
        ] {
            assert_eq!(Hosts::sts(cluster).primary(), host, "{cluster}");
        }
    }

    #[test]
    fn a_vpc_host_falls_back_to_the_public_host_and_a_public_host_does_not_fall_back() {
        let registry = |region| Hosts::container_registry(region, "cn-hangzhou");
        assert_eq!(registry("cn-hangzhou").fallback(), Some("cr.cn-hangzhou.aliyuncs.com"));
        assert_eq!(registry("cn-beijing").fallback(), None);
        assert_eq!(Hosts::sts("cn-hangzhou-finance").fallback(), Some("sts.cn-hangzhou.aliyuncs.com"));
        assert_eq!(Hosts::sts("cn-wuhan").fallback(), None);
    }
}
