//! Which host serves which product in which region: `alibaba-api.md` §5.

use super::call::At;

/// Regions whose endpoint page lists no VPC address for Container Registry.
const WITHOUT_CR_VPC: [&str; 4] = ["cn-huhehaote", "cn-wulanchabu", "cn-heyuan", "cn-wuhan-lr"];

/// Regions that the SDKs' endpoint maps send to the central STS.
const CENTRAL_STS: [&str; 4] = ["ap-south-1", "ap-southeast-2", "cn-wuhan", "cn-beijing-gov-1"];

/// The hosts of one product for one caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hosts {
    first: String,
    /// The public host, where the first one is inside a VPC.
    fallback: Option<String>,
}

impl Hosts {
    /// One host and no other.
    pub(super) fn only(host: impl Into<String>) -> Self {
        Self { first: host.into(), fallback: None }
    }

    fn vpc(product: &str, region: &str) -> Self {
        Self {
            first: format!("{product}-vpc.{region}.aliyuncs.com"),
            fallback: Some(format!("{product}.{region}.aliyuncs.com")),
        }
    }

    /// As a call takes them.
    pub(super) fn at(&self) -> At<'_> {
        At { host: &self.first, fallback: self.fallback.as_deref() }
    }
}

/// The hosts of Container Registry's API in `region`, for a caller in `cluster_region`: a VPC host serves its own
/// region only.
pub(super) fn cr(region: &str, cluster_region: &str) -> Hosts {
    if region == cluster_region && !WITHOUT_CR_VPC.contains(&region) {
        Hosts::vpc("cr", region)
    } else {
        Hosts::only(format!("cr.{region}.aliyuncs.com"))
    }
}

/// The hosts of STS for a caller in `cluster_region`. Its sessions are good in every region, so the nearest host
/// serves all registries.
pub(super) fn sts(cluster_region: &str) -> Hosts {
    match cluster_region {
        // This finance region has no STS of its own and uses its neighbour's.
        "cn-hangzhou-finance" => Hosts::vpc("sts", "cn-hangzhou"),
        central if CENTRAL_STS.contains(&central) => Hosts::only("sts.aliyuncs.com"),
        region => Hosts::vpc("sts", region),
    }
}

#[cfg(test)]
mod tests {
    use super::{cr, sts};

    #[test]
    fn the_registry_is_asked_inside_the_vpc_in_its_own_region_only() {
        for (region, cluster, host) in [
            ("cn-hangzhou", "cn-hangzhou", "cr-vpc.cn-hangzhou.aliyuncs.com"),
            ("cn-beijing", "cn-hangzhou", "cr.cn-beijing.aliyuncs.com"),
            ("cn-huhehaote", "cn-huhehaote", "cr.cn-huhehaote.aliyuncs.com"),
            ("cn-wulanchabu", "cn-wulanchabu", "cr.cn-wulanchabu.aliyuncs.com"),
            ("cn-heyuan", "cn-heyuan", "cr.cn-heyuan.aliyuncs.com"),
            ("cn-wuhan-lr", "cn-wuhan-lr", "cr.cn-wuhan-lr.aliyuncs.com"),
        ] {
            assert_eq!(cr(region, cluster).at().host, host, "{region} from {cluster}");
        }
    }

    #[test]
    fn sts_is_asked_in_the_clusters_own_region_with_the_documented_exceptions() {
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
            assert_eq!(sts(cluster).at().host, host, "{cluster}");
        }
    }

    #[test]
    fn a_vpc_host_has_its_public_one_beside_it_and_a_public_one_has_none() {
        assert_eq!(cr("cn-hangzhou", "cn-hangzhou").at().fallback, Some("cr.cn-hangzhou.aliyuncs.com"));
        assert_eq!(cr("cn-beijing", "cn-hangzhou").at().fallback, None);
        assert_eq!(sts("cn-hangzhou-finance").at().fallback, Some("sts.cn-hangzhou.aliyuncs.com"));
        assert_eq!(sts("cn-wuhan").at().fallback, None);
    }
}
