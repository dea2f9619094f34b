//! The product and the region that a host name means.

use super::reply::Refusal;
use super::world::World;

/// A product with an API of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Product {
    /// Container Registry.
    Cr,
    /// Security Token Service.
    Sts,
}

impl Product {
    /// Returns the name that its host names begin with.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Cr => "cr",
            Self::Sts => "sts",
        }
    }
}

/// The product and the region that a request arrived at.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// `None` for the loopback address by number: any product, for SDKs with an endpoint override.
    pub(super) product: Option<Product>,
    /// The region that answers.
    pub(super) region: String,
}

impl Place {
    /// Reads a `Host` header. VPC hosts serve the cluster's own region only. In production the names of other
    /// regions resolve to addresses without a route; here they give 404.
    pub(super) fn find(host: &str, world: &World) -> Result<Self, Refusal> {
        let name = without_port(host).to_ascii_lowercase();
        if matches!(name.as_str(), "127.0.0.1" | "localhost" | "[::1]") {
            return Ok(Self { product: None, region: world.cluster_region.clone() });
        }
        let labels = name.strip_suffix(".aliyuncs.com").ok_or_else(Refusal::no_product)?;
        let (service, region) = match labels.split_once('.') {
            Some((service, region)) => (service, region.to_owned()),
            // STS alone has a central host; sessions are valid everywhere, so any region may answer for it.
            None if labels == "sts" => ("sts", world.cluster_region.clone()),
            None => return Err(Refusal::no_product()),
        };
        let known = world.regions.get(&region).ok_or_else(Refusal::no_product)?;
        let near = region == world.cluster_region;
        let product = match service {
            "cr" => Product::Cr,
            "cr-vpc" if near && known.cr_vpc => Product::Cr,
            "sts" => Product::Sts,
            "sts-vpc" if near => Product::Sts,
            _ => return Err(Refusal::no_product()),
        };
        Ok(Self { product: Some(product), region })
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::{Place, Product};
    use crate::cloud::demo;

    #[test]
    fn a_host_name_means_one_product_in_one_region() {
        let world = demo::world();
        let table = [
            ("cr.cn-hangzhou.aliyuncs.com", Some(Product::Cr), "cn-hangzhou"),
            ("CR.cn-beijing.aliyuncs.com:8080", Some(Product::Cr), "cn-beijing"),
            ("cr-vpc.cn-hangzhou.aliyuncs.com", Some(Product::Cr), "cn-hangzhou"),
            ("sts.cn-beijing.aliyuncs.com", Some(Product::Sts), "cn-beijing"),
            ("sts-vpc.cn-hangzhou.aliyuncs.com", Some(Product::Sts), "cn-hangzhou"),
            ("sts.aliyuncs.com", Some(Product::Sts), "cn-hangzhou"),
            ("127.0.0.1:4000", None, "cn-hangzhou"),
            ("localhost", None, "cn-hangzhou"),
            ("[::1]:4000", None, "cn-hangzhou"),
        ];
        for (host, product, region) in table {
            let place = Place::find(host, &world).unwrap();
            assert_eq!(place, Place { product, region: region.to_owned() }, "{host}");
        }
    }

    #[test]
    fn other_names_belong_to_no_product() {
        let mut world = demo::world();
        for host in [
            "cr.cn-atlantis.aliyuncs.com",
            "cr-vpc.cn-beijing.aliyuncs.com",
            "sts-vpc.cn-beijing.aliyuncs.com",
            "ecs.cn-hangzhou.aliyuncs.com",
            "cr.aliyuncs.com",
            "cr.cn-hangzhou.example.com",
            "",
        ] {
            assert!(Place::find(host, &world).is_err(), "{host}");
        }
        world.cluster_region = "cn-heyuan".to_owned();
        assert!(
            Place::find("cr-vpc.cn-heyuan.aliyuncs.com", &world).is_err(),
            "no VPC address is listed there"
        );
        assert!(Place::find("sts-vpc.cn-heyuan.aliyuncs.com", &world).is_ok());
    }
}
