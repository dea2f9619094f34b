//! The kinds of finding: their codes, how bad each is, and a sentence in both languages of the READMEs.

use std::fmt;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Something that the user wrote is not served.
    Error,
    /// It is served, by a guess or in a way that the user should know.
    Warning,
    /// It is served as documented; only worth knowing.
    Note,
}

impl Severity {
    /// `error`, `warning` or `note`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One table, so that a code cannot lack its severity or a sentence.
macro_rules! codes {
    ($($name:ident $code:literal $severity:ident $english:literal $chinese:literal;)*) => {
        /// The kind of a finding. A code keeps its meaning for ever: scripts and pages refer to it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $english] $name,)*
        }

        impl Code {
            /// All of them, by number.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// `ACR101`
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// How bad a finding of this kind is.
            pub const fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)* }
            }

            /// What it means, in a sentence without its full stop.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $english,)* }
            }

            /// The same in Chinese.
            pub const fn title_in_chinese(self) -> &'static str {
                match self { $(Self::$name => $chinese,)* }
            }
        }
    };
}

codes! {
    EmptyList "ACR101" Note "no entry is given, which means the Personal Edition of the cluster's region" "没有任何条目,表示集群所在地域的个人版";
    EntryCommented "ACR102" Note "an entry is commented out and not served" "有条目被注释,不会生效";
    EntryHalfCommented "ACR103" Warning "an entry is commented out, but its other keys are not" "条目的首行被注释,而其余键没有";
    NotAList "ACR104" Error "`acr-registry-info` is no list" "`acr-registry-info` 不是列表";
    MapForList "ACR105" Warning "one map stands where a list belongs; it is read as one entry" "应为列表处写成了单个映射,按一个条目读取";
    ListInBrackets "ACR106" Warning "the list is written in brackets" "列表写在方括号中";
    EmptyEntry "ACR107" Error "an entry is empty" "条目为空";
    EntryNotMap "ACR108" Error "an entry is no map" "条目不是映射";
    EntryRepeated "ACR109" Warning "an entry repeats an earlier one and is left out" "条目与前面的重复,已略去";
    EntryKeyUnknown "ACR110" Warning "an entry has a key without a meaning, which is ignored" "条目中有无意义的键,已忽略";
    EntryKeySpelling "ACR111" Warning "a key is not spelt as documented" "键的写法与文档不同";
    KeyTwice "ACR112" Warning "a key stands twice with one value" "键重复且值相同";
    KeyContradicts "ACR113" Error "a key stands twice with different values" "键重复且值不同";
    KeysBeneath "ACR114" Warning "keys of `data` stand beneath `acr-registry-info`" "`data` 的键写在了 `acr-registry-info` 之下";
    SeveralInstances "ACR115" Warning "one `instanceId` lists several instances" "一个 `instanceId` 列出了多个实例";
    InstanceInvalid "ACR116" Error "it is no id of an instance" "不是实例 ID";
    RegionInvalid "ACR117" Error "it is no id of a region" "不是地域 ID";
    RegionSpelling "ACR118" Warning "a region is not in lower case" "地域 ID 未用小写";
    DomainInvalid "ACR119" Error "it is no address of a registry" "不是镜像仓库地址";
    DomainSpelling "ACR120" Warning "a domain is not in lower case" "域名未用小写";
    NoDomainLeft "ACR121" Error "none of an entry's domains can be used" "条目的域名均不可用";
    DomainsShared "ACR122" Warning "the domains go to the first of several instances" "域名只归多个实例中的第一个";
    ArnInvalid "ACR123" Error "it is no ARN" "不是 ARN";
    Placeholder "ACR124" Error "a placeholder of the documentation was not replaced" "文档中的占位符未替换";
    SessionInvalid "ACR125" Error "`expireDuration` is no number from 3600 to 43200" "`expireDuration` 不是 3600 至 43200 的数字";
    SessionUnused "ACR126" Warning "`expireDuration` stands without a role" "`expireDuration` 没有对应的角色";
    RrsaUnused "ACR127" Warning "an entry has RRSA fields, but RRSA is not on" "条目有 RRSA 字段,但未开启 RRSA";
    IdentityInvalid "ACR128" Error "the fields of the identity do not go together" "身份字段互相矛盾或不完整";
    NotText "ACR129" Error "a list or keys stand where a text belongs" "应为文本处写成了列表或映射";
    KeySlippedIn "ACR130" Error "a value holds blanks or another key" "值中含空格或混入了另一个键";
    ListSpelling "ACR131" Warning "a comma list is not spelt plainly" "逗号列表写法不规范";
    TextSpelling "ACR132" Warning "a text has quotes or signs too many" "文本中有多余的引号或符号";
    PlaceholderLikely "ACR133" Warning "an id looks like a placeholder of the documentation" "ID 看似文档中的占位符";
    NamesEmpty "ACR201" Warning "an empty list of names means `default`" "名称列表为空,表示 `default`";
    NamesEverything "ACR202" Warning "every name is meant, but not spelt plainly" "表示全部,但写法不规范";
    NamesSpelling "ACR203" Warning "a list of names is not spelt plainly" "名称列表写法不规范";
    NameInvalid "ACR204" Error "it is no name" "不是合法名称";
    NameGlob "ACR205" Error "the ConfigMap knows no globs" "ConfigMap 不支持通配符";
    AllIsAName "ACR206" Warning "`all` is the name of a ServiceAccount here" "此处的 `all` 是一个 ServiceAccount 的名称";
    ThresholdSpelling "ACR301" Warning "the threshold is not spelt as Go spells durations" "阈值不是 Go 的时长写法";
    ThresholdInvalid "ACR302" Error "the threshold is no duration; 15m is used" "阈值不是时长,使用 15m";
    EmailTooLong "ACR303" Warning "`notify-email` is too long and left out" "`notify-email` 过长,已略去";
    RrsaInvalid "ACR304" Error "`rrsa` cannot be read" "`rrsa` 无法读取";
    RrsaSpelling "ACR305" Warning "`rrsa` is a boolean, where a map belongs" "`rrsa` 应为映射,却写成了布尔值";
    WebhookInvalid "ACR306" Error "`webhook-configuration` cannot be read" "`webhook-configuration` 无法读取";
    WebhookFieldInvalid "ACR307" Error "a field of the webhook is wrong; its default is used" "Webhook 字段有误,使用默认值";
    WebhookSpelling "ACR308" Warning "a field of the webhook is not spelt as documented" "Webhook 字段写法与文档不同";
    SettingKeyUnknown "ACR309" Warning "a map of settings has a key without a meaning, which is ignored" "设置中有无意义的键,已忽略";
    BooleanInvalid "ACR310" Error "it is neither true nor false" "既不是 true 也不是 false";
    DataKeyUnknown "ACR311" Warning "a key of `data` has no meaning and is ignored" "`data` 中的键无意义,已忽略";
    DataKeySpelling "ACR312" Warning "a key of `data` is not spelt as documented" "`data` 的键写法与文档不同";
    DataKeyShadowed "ACR313" Warning "a key of `data` is ignored beside the same key as documented" "`data` 中已有规范写法的同一键,此键被忽略";
    RegistryOf2019 "ACR314" Error "`acr-registry` is the spelling of 2019 and not served" "`acr-registry` 是 2019 年的写法,不会生效";
    RegistryOf2019Beside "ACR315" Warning "`acr-registry` is ignored beside `acr-registry-info`" "已有 `acr-registry-info`,`acr-registry` 被忽略";
    CarriedOnly "ACR316" Note "the key is carried and has no effect" "该键仅保留,不起作用";
    NotYaml "ACR401" Error "it is no YAML" "不是 YAML";
    Excessive "ACR402" Error "the YAML is larger or deeper than configuration can be" "YAML 过大或过深";
    SeveralDocuments "ACR403" Warning "the YAML has several documents, which are read as one" "YAML 含多个文档,合并读取";
    BlankAfterColon "ACR404" Warning "the blank after a colon is missing" "冒号后缺少空格";
    BlankAfterDash "ACR405" Warning "the blank after a `-` is missing" "`-` 后缺少空格";
    NoComment "ACR406" Warning "a comment does not begin with a blank and `#`" "注释未以空格加 `#` 开头";
    Tab "ACR407" Warning "a tab indents a line" "缩进使用了制表符";
    FullWidth "ACR408" Warning "full-width blanks or signs stand where YAML needs plain ones" "YAML 符号写成了全角";
    Indentation "ACR409" Warning "a key is not straight beneath the first of its entry" "键没有与条目首键对齐";
    ValuesInARow "ACR410" Warning "several quoted values stand in a row" "多个带引号的值并列";
    QuotesMissing "ACR411" Warning "a value needs quotes" "值需要加引号";
    EntryUnreadable "ACR412" Error "an entry is no YAML and left out" "条目不是 YAML,已略去";
    KeyPairInClear "ACR501" Warning "an AccessKey pair stands in the clear" "AccessKey 以明文保存";
    KeyPairHalf "ACR502" Error "half of an AccessKey pair is missing" "AccessKey 只有一半";
    KeyPairSpelling "ACR503" Warning "an AccessKey pair has quotes too many" "AccessKey 带有多余的引号";
    NotJson "ACR601" Error "the add-on's configuration is no JSON object" "组件配置不是 JSON 对象";
    AddonTokenMode "ACR602" Note "the add-on's `tokenMode` is the controller's flag `--token-mode`" "组件的 `tokenMode` 对应控制器参数 `--token-mode`";
    AddonKeyUnknown "ACR603" Warning "the add-on's configuration has a key without a meaning, which is ignored" "组件配置中有无意义的键,已忽略";
    OuterNotYaml "ACR701" Error "the file is no YAML" "文件不是 YAML";
    OuterNoConfiguration "ACR702" Error "the file has no configuration" "文件中没有配置";
    OuterBlankAfterColon "ACR703" Error "the blank after a colon is missing" "冒号后缺少空格";
    OuterBlockMissing "ACR704" Error "a list or a map stands where the ConfigMap takes a text" "ConfigMap 应为文本处写成了列表或映射";
    OuterBlockIndent "ACR705" Error "the text of a block is not indented deeper than its key" "多行文本没有比键缩进更深";
    OuterKeysBeneath "ACR706" Error "keys of `data` stand beneath another one" "`data` 的键写在了另一个键之下";
    OuterNotText "ACR707" Error "a number or a boolean stands where the ConfigMap takes a text" "ConfigMap 应为文本处写成了数字或布尔值";
    OuterBareStar "ACR708" Error "a star stands without quotes" "星号没有加引号";
    OuterNoComment "ACR709" Error "a comment does not begin with `#`" "注释未以 `#` 开头";
    OuterTab "ACR710" Error "a tab indents a line" "缩进使用了制表符";
    OuterFullWidth "ACR711" Error "a colon or a bar is a full-width one" "冒号或竖线写成了全角";
    OuterKeyTwice "ACR712" Error "a key of `data` stands twice" "`data` 的键重复";
    OuterTemplate "ACR713" Error "the file is a template, not yet rendered" "文件是尚未渲染的模板";
    OuterElsewhere "ACR714" Warning "the ConfigMap is not `kube-system/acr-configuration`, which alone is read" "ConfigMap 不是 `kube-system/acr-configuration`,而只有它会被读取";
    OuterBesideData "ACR715" Error "something stands beside `data`, where it is not read" "有内容写在 `data` 之外,不会被读取";
    OuterDataNoMap "ACR716" Error "`data` is no map of keys and texts" "`data` 不是由键和文本组成的映射";
    ValueTooLarge "ACR901" Error "a value is larger than a ConfigMap can be" "值超过 ConfigMap 的上限";
    RegistriesTooMany "ACR902" Error "there are more than 64 registries" "镜像仓库超过 64 个";
    NamesTooMany "ACR903" Error "there are more than 256 names" "名称超过 256 个";
    DomainsTooMany "ACR904" Error "there are more than 32 domains in an entry" "条目的域名超过 32 个";
    InstancesTooMany "ACR905" Error "there are more than 64 instances in an entry" "条目的实例超过 64 个";
    SpecInvalid "ACR906" Error "the whole is no valid binding" "整体不是合法的绑定";
    MoreErrors "ACR907" Error "more findings are not listed, errors among them" "还有未列出的问题,其中有错误";
    MoreWarnings "ACR908" Warning "more findings are not listed" "还有未列出的问题";
    KeyPairsTooMany "ACR909" Error "there are more than 8 AccessKey pairs" "AccessKey 超过 8 对";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
