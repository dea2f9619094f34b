//! What people write where a region ID belongs.

use super::known::KNOWN;
use super::{check, check_form, meant, of_address, other_region, respelled, similar, unknown};

#[test]
fn every_known_region_is_a_region_and_each_of_its_names_means_it() {
    let mut ids = std::collections::BTreeSet::new();
    for region in KNOWN {
        assert_eq!(check(region.id), Ok(region.id));
        assert_eq!((unknown(region.id), meant(region.id)), (None, Some(region.id)));
        assert!(ids.insert(region.id), "{} is listed twice", region.id);
    }
    assert!(ids.len() > 35);
}

#[test]
fn a_name_of_the_console_means_its_region() {
    for (written, id) in [
        ("华东1（杭州）", "cn-hangzhou"),
        ("华东1(杭州)", "cn-hangzhou"),
        ("华东 1（杭州）", "cn-hangzhou"),
        ("华东1", "cn-hangzhou"),
        ("杭州", "cn-hangzhou"),
        ("China (Hangzhou)", "cn-hangzhou"),
        ("China East 1 (Hangzhou)", "cn-hangzhou"),
        ("Hangzhou", "cn-hangzhou"),
        ("hangzhou", "cn-hangzhou"),
        ("华东2（上海）", "cn-shanghai"),
        ("华东2 金融云", "cn-shanghai-finance-1"),
        ("华中1（武汉-本地地域）", "cn-wuhan-lr"),
        ("中国（香港）", "cn-hongkong"),
        ("China (Hong Kong)", "cn-hongkong"),
        ("Singapore", "ap-southeast-1"),
        ("新加坡", "ap-southeast-1"),
        ("美国（硅谷）", "us-west-1"),
        ("US (Virginia)", "us-east-1"),
        ("Japan (Tokyo)", "ap-northeast-1"),
        ("SAU (Riyadh - Partner Region)", "me-central-1"),
        ("cn_hangzhou", "cn-hangzhou"),
        ("CN-Hangzhou", "cn-hangzhou"),
        ("cn hangzhou", "cn-hangzhou"),
        ("cn—hangzhou", "cn-hangzhou"),
        ("cnhangzhou", "cn-hangzhou"),
        ("shanghai-finance-1", "cn-shanghai-finance-1"),
        ("CN-HANGZHOU-B", "cn-hangzhou"),
        ("cn-hangzhou-MAZ10(h,i)", "cn-hangzhou"),
        ("oss-cn-hangzhou", "cn-hangzhou"),
        ("registry-vpc.cn-hangzhou.aliyuncs.com", "cn-hangzhou"),
        ("https://oss-cn-shanghai-internal.aliyuncs.com", "cn-shanghai"),
    ] {
        assert_eq!(meant(written), Some(id), "{written}");
        let refused = check(written).unwrap_err();
        assert!(
            refused.contains(&format!("write {id}")) || refused.contains("write its region"),
            "{refused}"
        );
    }
    for nothing in ["", "US", "美国", "China", "中国", "East", "mars-1", "cn-", "（）", "华东9"] {
        assert_eq!(meant(nothing), None, "{nothing}");
    }
    assert_eq!(respelled("CN_Hangzhou"), Some("cn-hangzhou"));
    assert_eq!(respelled("Hangzhou"), None, "a name is not an ID spelled otherwise");
}

#[test]
fn a_zone_is_not_a_region_and_names_its_region() {
    for (zone, region) in [
        ("cn-hangzhou-b", "cn-hangzhou"),
        ("cn-shanghai-finance-1b", "cn-shanghai-finance-1"),
        ("cn-hangzhou-finance-b", "cn-hangzhou-finance"),
        ("us-east-1a", "us-east-1"),
        ("ap-southeast-7c", "ap-southeast-7"),
        ("cn-nowhere-a", "cn-nowhere"),
    ] {
        let refused = check(zone).unwrap_err();
        assert_eq!(refused, format!("{zone:?} is a zone and not a region: write its region {region}"));
        assert!(check_form(zone).is_ok() && unknown(zone).unwrap().contains(region), "{zone}");
    }
    for region in ["cn-hangzhou-finance", "cn-shanghai-finance-1", "cn-wuhan-lr", "cn-wulanchabu-acdr-1"] {
        assert_eq!(check(region), Ok(region));
    }
}

#[test]
fn an_unknown_region_is_served_with_a_question() {
    for (id, question) in [
        ("cn-hangzou", Some("cn-hangzhou")),
        ("cn-hangzhuo", Some("cn-hangzhou")),
        ("cn-shangahi", Some("cn-shanghai")),
        ("cn-bejing", Some("cn-beijing")),
        ("ch-hangzhou", Some("cn-hangzhou")),
        ("cn-shenzen", Some("cn-shenzhen")),
        ("ap-southest-1", Some("ap-southeast-1")),
        ("ap-southeast-8", None),
        ("cn-atlantis", None),
        ("cn-hangzhou-2", None),
        ("eu-south-1", None),
    ] {
        assert_eq!(check(id), Ok(id));
        assert_eq!(similar(id), question, "{id}");
        let remark = unknown(id).unwrap();
        assert_eq!(remark.contains("if that is meant"), question.is_some(), "{remark}");
    }
    // Without a known region that is similar, only the console can say.
    assert!(unknown("xx-nowhere-9").unwrap().ends_with("check it in the console"));
}

#[test]
fn a_host_names_its_region() {
    for (address, region) in [
        ("demo-registry.cn-hangzhou.cr.aliyuncs.com", Some("cn-hangzhou")),
        ("demo-registry-vpc.cn-shanghai-finance-1.cr.aliyuncs.com/team", Some("cn-shanghai-finance-1")),
        ("demo-registry.distributed.cn-beijing.cr.aliyuncs.com:65001", Some("cn-beijing")),
        ("registry.cn-hangzhou.aliyuncs.com/team-b", Some("cn-hangzhou")),
        ("registry-intl-vpc.ap-southeast-1.aliyuncs.com", Some("ap-southeast-1")),
        ("img.example.com", None),
        ("*.cr.aliyuncs.com", None),
        ("demo-registry.*.cr.aliyuncs.com", None),
        ("cr.aliyuncs.com", None),
        ("oss-cn-hangzhou.aliyuncs.com", None),
    ] {
        assert_eq!(of_address(address), region, "{address}");
    }
    let domains = ["img.example.com".to_owned(), "a-registry.cn-shanghai.cr.aliyuncs.com".to_owned()];
    assert_eq!(other_region("cn-shanghai", &domains), None);
    assert!(other_region("cn-hangzhou", &domains).unwrap().contains("write regionId cn-shanghai"));
}
