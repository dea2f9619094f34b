//! Which host serves which product in which region: `alibaba-api.md` §5.

/// Regions whose endpoint page lists no VPC address for Container Registry.
const WITHOUT_CR_VPC: [&str; 4] = ["cn-huhehaote", "cn-wulanchabu", "cn-heyuan", "cn-wuhan-lr"];

/// Regions that the SDKs' endpoint maps send to the central STS.
const CENTRAL_STS: [&str; 4] = ["ap-south-1", "ap-southeast-2", "cn-wuhan", "cn-beijing-gov-1"];

/// The host of Container Registry's API in `region`, for a caller in `cluster_region`: a VPC host serves its own
/// region only.
pub(super) fn cr(region: &str, cluster_region: &str) -> String {
    if region == cluster_region && !WITHOUT_CR_VPC.contains(&region) {
        format!("cr-vpc.{region}.aliyuncs.com")
    } else {
        format!("cr.{region}.aliyuncs.com")
    }
}

/// The host of STS for a caller in `cluster_region`. Its sessions are good in every region, so the nearest host
/// serves all registries.
pub(super) fn sts(cluster_region: &str) -> String {
    match cluster_region {
        // This finance region has no STS of its own and uses its neighbour's.
        "cn-hangzhou-finance" => "sts-vpc.cn-hangzhou.aliyuncs.com".to_owned(),
        central if CENTRAL_STS.contains(&central) => "sts.aliyuncs.com".to_owned(),
        region => format!("sts-vpc.{region}.aliyuncs.com"),
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
            assert_eq!(cr(region, cluster), host, "{region} from {cluster}");
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
            assert_eq!(sts(cluster), host, "{cluster}");
        }
    }
}
