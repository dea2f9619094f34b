//! The known regions.

/// A region and its names in the console.
pub(super) struct KnownRegion {
    /// The ID.
    pub(super) id: &'static str,
    /// The names of its area and of its city in Chinese, then both in English. An empty one does not exist.
    names: [&'static str; 4],
    /// Other names in use.
    others: &'static [&'static str],
}

impl KnownRegion {
    /// Returns whether a text without spaces and signs names the region: its ID, its area, its city, or both.
    pub(super) fn is_named(&self, text: &str) -> bool {
        let [area, city, english_area, english_city] = self.names.map(plain);
        let id = plain(self.id);
        let local = id.strip_prefix("cn").filter(|local| !local.is_empty());
        let whole = [format!("{area}{city}"), format!("{english_area}{english_city}")];
        let country =
            self.id.starts_with("cn-").then(|| [format!("中国{city}"), format!("china{english_city}")]);
        let named = |name: &str| !name.is_empty() && name == text;
        named(&id)
            || local.is_some_and(named)
            || [area, city, english_area, english_city].iter().chain(&whole).any(|name| named(name))
            || country.iter().flatten().any(|name| named(name) && name != "中国" && name != "china")
            || self.others.iter().any(|name| named(&plain(name)))
    }
}

const fn region(id: &'static str, names: [&'static str; 4], others: &'static [&'static str]) -> KnownRegion {
    KnownRegion { id, names, others }
}

/// Every region that is documented: the pages "Regions" and "Endpoints" of Container Registry and of Container Service
/// (help.aliyun.com and alibabacloud.com, `api-cr-2018-12-01-endpoint`, as of 2025-12), the government, finance and
/// partner regions of the SDKs' endpoint maps, compared in November 2026. Closed regions stay, since their IDs are
/// valid.
pub(super) const KNOWN: &[KnownRegion] = &[
    region("cn-qingdao", ["华北1", "青岛", "China North 1", "Qingdao"], &["North China 1"]),
    region("cn-beijing", ["华北2", "北京", "China North 2", "Beijing"], &["North China 2"]),
    region("cn-zhangjiakou", ["华北3", "张家口", "China North 3", "Zhangjiakou"], &["North China 3"]),
    region("cn-huhehaote", ["华北5", "呼和浩特", "China North 5", "Hohhot"], &["North China 5"]),
    region("cn-wulanchabu", ["华北6", "乌兰察布", "China North 6", "Ulanqab"], &["North China 6"]),
    region(
        "cn-hangzhou",
        ["华东1", "杭州", "China East 1", "Hangzhou"],
        &["East China 1", "East China 1 (Hangzhou)"],
    ),
    region(
        "cn-shanghai",
        ["华东2", "上海", "China East 2", "Shanghai"],
        &["East China 2", "East China 2 (Shanghai)"],
    ),
    region(
        "cn-nanjing",
        ["华东5", "南京", "China East 5", "Nanjing"],
        &["华东5（南京-本地地域）", "China (Nanjing - Local Region)"],
    ),
    region(
        "cn-fuzhou",
        ["华东6", "福州", "China East 6", "Fuzhou"],
        &["华东6（福州-本地地域）", "China (Fuzhou - Local Region)"],
    ),
    region(
        "cn-shenzhen",
        ["华南1", "深圳", "China South 1", "Shenzhen"],
        &["South China 1", "South China 1 (Shenzhen)"],
    ),
    region("cn-heyuan", ["华南2", "河源", "China South 2", "Heyuan"], &["South China 2"]),
    region("cn-guangzhou", ["华南3", "广州", "China South 3", "Guangzhou"], &["South China 3"]),
    region("cn-chengdu", ["西南1", "成都", "China Southwest 1", "Chengdu"], &["Southwest China 1"]),
    region(
        "cn-wuhan-lr",
        ["华中1", "武汉", "China Central 1", "Wuhan"],
        &["华中1（武汉-本地地域）", "China (Wuhan - Local Region)"],
    ),
    region(
        "cn-zhengzhou-jva",
        ["", "郑州", "", "Zhengzhou"],
        &["郑州（联通合营）", "Zhengzhou (China Unicom Joint Venture)"],
    ),
    region(
        "cn-hongkong",
        ["中国香港", "香港", "China (Hong Kong)", "Hong Kong"],
        &["中国（香港）", "Hongkong"],
    ),
    region("ap-northeast-1", ["日本", "东京", "Japan", "Tokyo"], &["亚太东北1", "Asia Pacific NE 1 (Tokyo)"]),
    region("ap-northeast-2", ["韩国", "首尔", "South Korea", "Seoul"], &["亚太东北2", "Korea (Seoul)"]),
    region(
        "ap-southeast-1",
        ["新加坡", "", "Singapore", ""],
        &["亚太东南1", "Asia Pacific SE 1 (Singapore)"],
    ),
    region("ap-southeast-2", ["澳大利亚", "悉尼", "Australia", "Sydney"], &["亚太东南2"]),
    region("ap-southeast-3", ["马来西亚", "吉隆坡", "Malaysia", "Kuala Lumpur"], &["亚太东南3"]),
    region("ap-southeast-5", ["印度尼西亚", "雅加达", "Indonesia", "Jakarta"], &["亚太东南5"]),
    region("ap-southeast-6", ["菲律宾", "马尼拉", "Philippines", "Manila"], &["亚太东南6"]),
    region("ap-southeast-7", ["泰国", "曼谷", "Thailand", "Bangkok"], &["亚太东南7"]),
    region("ap-south-1", ["印度", "孟买", "India", "Mumbai"], &["亚太南部1"]),
    region("us-east-1", ["美国", "弗吉尼亚", "US", "Virginia"], &["美国东部1", "US East 1"]),
    region("us-west-1", ["美国", "硅谷", "US", "Silicon Valley"], &["美国西部1", "US West 1"]),
    region("us-southeast-1", ["美国", "亚特兰大", "US", "Atlanta"], &["US Southeast 1"]),
    region("na-south-1", ["墨西哥", "", "Mexico", ""], &[]),
    region("eu-central-1", ["德国", "法兰克福", "Germany", "Frankfurt"], &["欧洲中部1", "EU Central 1"]),
    region("eu-west-1", ["英国", "伦敦", "UK", "London"], &["欧洲西部1"]),
    region("me-east-1", ["阿联酋", "迪拜", "UAE", "Dubai"], &["中东东部1"]),
    region(
        "me-central-1",
        ["沙特", "利雅得", "Saudi Arabia", "Riyadh"],
        &["沙特（利雅得）- 合作伙伴运营", "SAU (Riyadh - Partner Region)"],
    ),
    region("cn-hangzhou-finance", ["华东1 金融云", "", "China East 1 Finance", ""], &["杭州金融云"]),
    region("cn-shanghai-finance-1", ["华东2 金融云", "", "China East 2 Finance", ""], &["上海金融云"]),
    region("cn-shenzhen-finance-1", ["华南1 金融云", "", "China South 1 Finance", ""], &["深圳金融云"]),
    region("cn-beijing-finance-1", ["华北2 金融云", "", "China North 2 Finance", ""], &["北京金融云"]),
    region(
        "cn-north-2-gov-1",
        ["华北2 阿里政务云1", "", "Beijing Government Cloud", ""],
        &["北京政务云", "China North 2 Ali Gov 1"],
    ),
    region("cn-beijing-gov-1", ["", "", "", ""], &[]),
    region("cn-wuhan", ["", "", "", ""], &[]),
    region("cn-heyuan-acdr-1", ["", "", "", ""], &["河源专属云汽车合规"]),
    region("cn-wulanchabu-acdr-1", ["", "", "", ""], &["乌兰察布专属云汽车合规"]),
];

/// Returns a text in lower case, without spaces and signs.
pub(super) fn plain(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}
