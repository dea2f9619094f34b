//! The kinds of finding: codes, severities, and titles in both languages of the documentation.

use std::fmt;

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// A part of the configuration is not served.
    Error,
    /// It is served by a guess, or in a way that the user should know.
    Warning,
    /// It is served as documented.
    Note,
}

impl Severity {
    /// Returns `error`, `warning` or `note`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// One table, so that a code cannot lack its severity or a title.
macro_rules! codes {
    ($($name:ident $code:literal $severity:ident $english:literal $chinese:literal;)*) => {
        /// The kind of a finding. A code never changes its meaning: scripts and pages refer to it.
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

            /// Returns the severity of such a finding in a value. A mistake in the lines of a manifest is an error
            /// of any code, because the API server refuses the file.
            pub const fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)* }
            }

            /// Returns a sentence without its full stop.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $english,)* }
            }

            /// Returns the same sentence in Chinese.
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
    NotAList "ACR104" Error "`acr-registry-info` is not a list" "`acr-registry-info` 不是列表";
    MapForList "ACR105" Warning "a single map is given instead of a list; it is read as one entry" "应为列表处写成了单个映射,按一个条目读取";
    ListInBrackets "ACR106" Warning "the list is written in brackets" "列表写在方括号中";
    EmptyEntry "ACR107" Error "an entry is empty" "条目为空";
    EntryNotMap "ACR108" Error "an entry is not a map" "条目不是映射";
    EntryRepeated "ACR109" Warning "an entry repeats an earlier one and is left out" "条目与前面的重复,已略去";
    EntryKeyUnknown "ACR110" Warning "an entry has an unknown key, which is ignored" "条目中有未知的键,已忽略";
    EntryKeySpelling "ACR111" Warning "a key is not spelled as documented" "键的写法与文档不同";
    KeyRepeated "ACR112" Warning "a key is repeated" "键重复";
    KeyContradicts "ACR113" Error "a key is repeated with another value" "键重复且值不同";
    KeysBelow "ACR114" Warning "keys of `data` are indented below another key" "`data` 的键写在了另一个键之下";
    SeveralInstances "ACR115" Warning "one `instanceId` lists several instances" "一个 `instanceId` 列出了多个实例";
    InstanceInvalid "ACR116" Error "`instanceId` is not a valid instance ID" "`instanceId` 不是有效的实例 ID";
    RegionInvalid "ACR117" Error "`regionId` is not a valid region ID" "`regionId` 不是有效的地域 ID";
    RegionSpelling "ACR118" Warning "a region ID is not in lower case" "地域 ID 未用小写";
    DomainInvalid "ACR119" Error "a domain is not a valid registry address" "域名不是有效的镜像仓库地址";
    DomainSpelling "ACR120" Warning "a domain is not in lower case" "域名未用小写";
    NoDomainLeft "ACR121" Error "none of an entry's domains is valid" "条目的域名均无效";
    DomainsShared "ACR122" Warning "only the first of several instances gets the domains" "只有多个实例中的第一个获得这些域名";
    ArnInvalid "ACR123" Error "an ARN is not valid" "ARN 无效";
    Placeholder "ACR124" Error "a placeholder of the documentation was not replaced" "文档中的占位符未替换";
    SessionInvalid "ACR125" Error "`expireDuration` is not a number from 3600 to 43200" "`expireDuration` 不是 3600 至 43200 的数字";
    SessionUnused "ACR126" Warning "`expireDuration` is given without a role" "`expireDuration` 没有对应的角色";
    RrsaUnused "ACR127" Warning "an entry has RRSA fields, but RRSA is not enabled" "条目有 RRSA 字段,但未开启 RRSA";
    IdentityInvalid "ACR128" Error "the identity fields are contradictory or incomplete" "身份字段互相矛盾或不完整";
    NotText "ACR129" Error "a list or a map is given instead of a text" "应为文本处写成了列表或映射";
    KeySlippedIn "ACR130" Error "a value contains spaces or another key" "值中含空格或混入了另一个键";
    ListSpelling "ACR131" Warning "a comma list is not spelled plainly" "逗号列表写法不规范";
    TextSpelling "ACR132" Warning "a text has extra quotes or signs" "文本中有多余的引号或符号";
    PlaceholderLikely "ACR133" Warning "an ID looks like a placeholder of the documentation" "ID 看似文档中的占位符";
    UnsupportedEdition "ACR134" Error "a Personal Edition instance made after 2024-09-08 gets no token" "2024-09-08 之后创建的个人版实例无法获取令牌";
    RegionUnknown "ACR135" Warning "a region ID is not among the known ones" "地域 ID 不在已知地域之列";
    DomainOfOtherRegion "ACR136" Warning "a domain is a host in another region than the entry's" "域名所属地域与条目的地域不同";
    RegionLeftOut "ACR137" Note "`regionId` is left out, and a domain names its region" "未写 `regionId`,而域名写明了地域";
    DomainGlob "ACR138" Note "a domain is a glob, which is served" "域名含通配符,照常生效";
    NamesEmpty "ACR201" Warning "an empty list of names means `default`" "名称列表为空,表示 `default`";
    NamesEverything "ACR202" Warning "every name is meant, but not spelled plainly" "表示全部,但写法不规范";
    NamesSpelling "ACR203" Warning "a list of names is not spelled plainly" "名称列表写法不规范";
    NameInvalid "ACR204" Error "a name is not valid" "名称无效";
    NameGlob "ACR205" Error "the ConfigMap does not support globs" "ConfigMap 不支持通配符";
    AllIsAName "ACR206" Warning "`all` is the name of a ServiceAccount here" "此处的 `all` 是一个 ServiceAccount 的名称";
    ThresholdSpelling "ACR301" Warning "the threshold is not spelled as a Go duration" "阈值不是 Go 的时长写法";
    ThresholdInvalid "ACR302" Error "the threshold is not a valid duration; 15m is used" "阈值不是有效的时长,使用 15m";
    EmailTooLong "ACR303" Warning "`notify-email` is too long and left out" "`notify-email` 过长,已略去";
    RrsaInvalid "ACR304" Error "`rrsa` is not valid" "`rrsa` 无效";
    RrsaSpelling "ACR305" Warning "`rrsa` is a boolean instead of a map" "`rrsa` 应为映射,却写成了布尔值";
    WebhookInvalid "ACR306" Error "`webhook-configuration` is not valid" "`webhook-configuration` 无效";
    WebhookFieldInvalid "ACR307" Error "a webhook field is not valid; its default is used" "Webhook 字段无效,使用默认值";
    WebhookSpelling "ACR308" Warning "a webhook field is not spelled as documented" "Webhook 字段写法与文档不同";
    SettingKeyUnknown "ACR309" Warning "a map of settings has an unknown key, which is ignored" "设置中有未知的键,已忽略";
    BooleanInvalid "ACR310" Error "a boolean is neither true nor false" "布尔值既不是 true 也不是 false";
    DataKeyUnknown "ACR311" Warning "a key of `data` is unknown and ignored" "`data` 中的键未知,已忽略";
    DataKeySpelling "ACR312" Warning "a key of `data` is not spelled as documented" "`data` 的键写法与文档不同";
    DataKeyShadowed "ACR313" Warning "a key of `data` is ignored because the same key is given as documented" "`data` 中已有规范写法的同一键,此键被忽略";
    RegistryOf2019 "ACR314" Error "`acr-registry` is the key of 2019 and not served" "`acr-registry` 是 2019 年的写法,不会生效";
    RegistryOf2019Beside "ACR315" Warning "`acr-registry` is ignored because `acr-registry-info` is given" "已有 `acr-registry-info`,`acr-registry` 被忽略";
    CarriedOnly "ACR316" Note "the key is carried and has no effect" "该键仅保留,不起作用";
    NotYaml "ACR401" Error "the YAML, JSON or HCL is not valid" "YAML、JSON 或 HCL 无效";
    Excessive "ACR402" Error "the YAML is larger or deeper than configuration can be" "YAML 过大或过深";
    SeveralDocuments "ACR403" Warning "the YAML has several documents, which are read as one" "YAML 含多个文档,合并读取";
    SpaceAfterColon "ACR404" Warning "the space after a colon is missing" "冒号后缺少空格";
    SpaceAfterDash "ACR405" Warning "the space after a `-` is missing" "`-` 后缺少空格";
    NoComment "ACR406" Warning "a comment does not begin with a space and `#`" "注释未以空格加 `#` 开头";
    Tab "ACR407" Warning "a tab is used as space" "用制表符代替了空格";
    FullWidth "ACR408" Warning "a full-width space or sign is used where YAML needs a plain one" "YAML 符号写成了全角";
    Indentation "ACR409" Warning "a line is not indented as it belongs" "行的缩进不正确";
    ValuesInARow "ACR410" Warning "several quoted values are in a row" "多个带引号的值并列";
    QuotesMissing "ACR411" Warning "a value needs quotes" "值需要加引号";
    EntryUnreadable "ACR412" Error "an entry is not valid YAML and left out" "条目不是有效的 YAML,已略去";
    InvisibleCharacter "ACR413" Warning "a character does not show, or is a space of another kind" "文本中有不可见的字符或特殊空格";
    Lookalike "ACR414" Warning "a sign is not the plain one that it looks like" "符号形似但并非普通符号";
    KeysUneven "ACR415" Error "the keys of a map are not at one depth" "映射的键缩进不一致";
    ManifestSign "ACR416" Error "a sign of the manifest, of Markdown or of a shell is in the text" "清单、Markdown 或 Shell 的符号混入了文本";
    KeyPairInClear "ACR501" Warning "an AccessKey pair is stored in clear text" "AccessKey 以明文保存";
    KeyPairHalf "ACR502" Error "half of an AccessKey pair is missing" "AccessKey 只有一半";
    KeyPairSpelling "ACR503" Warning "an AccessKey pair has extra quotes" "AccessKey 带有多余的引号";
    NotJson "ACR601" Error "the add-on's configuration is not a JSON object" "组件配置不是 JSON 对象";
    AddonTokenMode "ACR602" Note "the add-on's `tokenMode` is the controller's flag `--token-mode`" "组件的 `tokenMode` 对应控制器参数 `--token-mode`";
    AddonKeyUnknown "ACR603" Warning "the add-on's configuration has an unknown key, which is ignored" "组件配置中有未知的键,已忽略";
    AddonWithoutConfig "ACR604" Warning "the add-on has no configuration, which means its defaults" "组件没有配置,使用默认值";
    AddonRepeated "ACR605" Error "the file has two configurations of the add-on" "文件中组件有两份不同的配置";
    Unevaluated "ACR606" Error "a value depends on what only the tool around it can evaluate" "值取决于外层工具才能求值的内容";
    NoConfiguration "ACR702" Error "the file has no configuration" "文件中没有配置";
    TextExpected "ACR704" Error "a list or a map is given where the ConfigMap takes a text" "ConfigMap 应为文本处写成了列表或映射";
    NumberForText "ACR707" Error "a number or a boolean is given where the ConfigMap takes a text" "ConfigMap 应为文本处写成了数字或布尔值";
    Template "ACR713" Error "the file is a template, not yet rendered" "文件是尚未渲染的模板";
    OtherConfigMap "ACR714" Warning "the ConfigMap is not `kube-system/acr-configuration`, the only one that is read" "ConfigMap 不是 `kube-system/acr-configuration`,而只有它会被读取";
    OutsideData "ACR715" Error "a key is outside `data`, where it is not read" "有键写在 `data` 之外,不会被读取";
    DataNotMap "ACR716" Error "`data` is not a map of keys and texts" "`data` 不是由键和文本组成的映射";
    Variable "ACR720" Error "a variable was not replaced" "变量未被替换";
    Generator "ACR721" Error "the file generates the ConfigMap and is not the ConfigMap" "文件用于生成 ConfigMap,其本身不是 ConfigMap";
    Encrypted "ACR722" Error "the file or a value is encrypted" "文件或值已加密";
    MergeConflict "ACR723" Error "a merge was not resolved" "合并冲突未解决";
    StoredElsewhere "ACR724" Error "the file is packed, or only points to its content" "文件已压缩,或只是指向内容的指针";
    ValueTooLarge "ACR901" Error "a value is larger than a ConfigMap can be" "值超过 ConfigMap 的上限";
    RegistriesTooMany "ACR902" Error "there are more than 64 registries" "镜像仓库超过 64 个";
    NamesTooMany "ACR903" Error "there are more than 256 names" "名称超过 256 个";
    DomainsTooMany "ACR904" Error "there are more than 32 domains in an entry" "条目的域名超过 32 个";
    InstancesTooMany "ACR905" Error "there are more than 64 instances in an entry" "条目的实例超过 64 个";
    SpecInvalid "ACR906" Error "the binding as a whole is not valid" "绑定整体无效";
    MoreErrors "ACR907" Error "more findings are not listed, errors among them" "还有未列出的问题,其中有错误";
    MoreWarnings "ACR908" Warning "more findings are not listed" "还有未列出的问题";
    KeyPairsTooMany "ACR909" Error "there are more than 8 AccessKey pairs" "AccessKey 超过 8 对";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
