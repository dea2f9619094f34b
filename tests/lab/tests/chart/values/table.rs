//! The values, each with one that is right and three that are not.

/// A value of the chart.
pub struct Row {
    /// Its path.
    pub path: &'static str,
    /// Other arguments, without which it has no effect.
    pub with: &'static [&'static str],
    /// A right one, as JSON.
    pub good: &'static str,
    /// Wrong ones, as JSON.
    pub bad: [&'static str; 3],
}

const fn row(path: &'static str, good: &'static str, bad: [&'static str; 3]) -> Row {
    Row { path, with: &[], good, bad }
}

/// Returns the row of a switch.
const fn switch(path: &'static str, good: &'static str) -> Row {
    row(path, good, ["\"true\"", "1", "{}"])
}

impl Row {
    const fn with(self, with: &'static [&'static str]) -> Row {
        Row { with, ..self }
    }
}

pub const ROWS: [Row; 88] = [
    row("replicaCount", "3", ["-1", r#""two""#, "1.5"]),
    row(
        "image.registry",
        r#""registry.cn-hangzhou.aliyuncs.com""#,
        [r#""https://registry.example.com""#, r#""registry.example.com/team""#, "1"],
    ),
    row("image.repository", r#""team/controller""#, [r#""Team/controller""#, r#""controller:1.0""#, r#""""#]),
    row("image.tag", r#""1.2.3""#, [r#""a b""#, r#"":1""#, "1"]),
    row(
        "image.digest",
        r#""sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef""#,
        [r#""sha256:0""#, r#""latest""#, "1"],
    ),
    row("image.pullPolicy", r#""Always""#, [r#""always""#, "true", r#""Sometimes""#]),
    row("imagePullSecrets", r#"[{"name":"pull"}]"#, [r#"["pull"]"#, r#"[{"name":"Pull"}]"#, r#""pull""#]),
    row("fullnameOverride", r#""acr""#, [r#""Acr""#, r#""a.b""#, r#""-a""#]),
    row("commonLabels", r#"{"team":"platform"}"#, [r#"{"team":1}"#, r#"{"team":"a b"}"#, r#"["team"]"#]),
    switch("standardLabels", "false"),
    switch("namespace.create", "true"),
    switch("crds.enabled", "false"),
    switch("crds.keep", "false"),
    switch("serviceAccount.create", "false"),
    row("serviceAccount.name", r#""acr""#, [r#""Acr""#, r#""a'b""#, "1"]),
    row(
        "serviceAccount.annotations",
        r#"{"a.example.com/b":"c"}"#,
        [r#"{"a b":"c"}"#, r#"{"a":true}"#, "[]"],
    ),
    row("serviceAccount.labels", r#"{"a":"b"}"#, [r#"{"a b":"c"}"#, r#"{"a":"b/c"}"#, "[]"]),
    switch("rbac.create", "false"),
    switch("rbac.aggregateClusterRoles", "false"),
    row("accessKeySecrets", r#"["acr-access-key"]"#, [r#"["Key"]"#, r#"["a","a"]"#, r#""acr-access-key""#]),
    row("policies.enabled", "false", [r#""yes""#, "1", r#""on""#]),
    switch("policies.installHook", "false"),
    row(
        "policies.annotations",
        r#"{"argocd.argoproj.io/sync-wave":"-1"}"#,
        [r#"{"argocd.argoproj.io/sync-wave":-1}"#, r#"{"a b":"c"}"#, "[]"],
    ),
    row(
        "policies.exceptions.secrets.labels",
        r#"["cost-center=retail"]"#,
        [r#"["cost center"]"#, r#"["*"]"#, r#""team""#],
    ),
    row(
        "policies.exceptions.secrets.annotations",
        r#"["note=it's"]"#,
        [r#"["a/b/c"]"#, r#"["*/*"]"#, r#""team""#],
    ),
    row(
        "policies.exceptions.serviceAccounts.labels",
        r#"["platform.example.com/*"]"#,
        [r#"["team=a b"]"#, r#"["platform.*/a"]"#, r#""team""#],
    ),
    row(
        "policies.exceptions.serviceAccounts.annotations",
        r#"["team"]"#,
        [r#"[""]"#, r#"["A.example.com/*"]"#, r#""team""#],
    ),
    row(
        "policies.exceptions.serviceAccounts.fields",
        r#"["automountServiceAccountToken=false"]"#,
        [r#"["automountServiceAccountToken=true"]"#, r#"["secrets"]"#, r#""secrets""#],
    ),
    row(
        "policies.exceptions.serviceAccounts.pullSecrets",
        r#"["harbor"]"#,
        [r#"["*"]"#, r#"["Harbor"]"#, r#""harbor""#],
    ),
    row("region", r#""cn-hangzhou""#, [r#""Hangzhou""#, r#""cn_hangzhou""#, "1"]),
    row("tokenMode", r#""managedRole""#, [r#""managed""#, "true", r#""ManagedRole""#]),
    row("secretName", r#""acr-pull""#, [r#""Pull""#, r#""a'b""#, r#""""#]),
    row("secretLabels", r#"{"team":"a"}"#, [r#"{"team":"a b"}"#, r#"{"":"a"}"#, r#"["team"]"#]),
    row(
        "secretAnnotations",
        r#"{"note":"it's \"quoted\" \\ twice"}"#,
        [r#"{"note":1}"#, r#"{"a/b/c":"d"}"#, r#"["note"]"#],
    ),
    row("admission.mode", r#""webhook""#, [r#""on""#, "true", r#""Policy""#]),
    row("webhook.certificate", r#""certManager""#, [r#""cert-manager""#, "true", r#""self""#])
        .with(&["--set=admission.mode=webhook"]),
    row("webhook.secretName", r#""tls""#, [r#""TLS""#, "1", r#""a/b""#]).with(&[
        "--set=admission.mode=webhook",
        "--set=webhook.certificate=secret",
        r#"--set-json=webhook.secretName="a""#,
    ]),
    row(
        "webhook.certManager.issuerRef",
        r#"{"kind":"ClusterIssuer","name":"ca"}"#,
        [r#""ca""#, r#"{"names":"ca"}"#, r#"{"name":""}"#],
    )
    .with(&["--set=admission.mode=webhook", "--set=webhook.certificate=certManager"]),
    switch("webhook.onUpdate", "true").with(&["--set=admission.mode=webhook"]),
    switch("replaceStuckPods.enabled", "true"),
    switch("flowSchema.enabled", "true"),
    row("verifyCredentials", r#""warn""#, [r#""on""#, "true", r#""Warn""#]),
    row("caBundle.configMap", r#""authorities""#, [r#""Authorities""#, "true", r#""a/b""#]),
    row("caBundle.key", r#""ca.pem""#, [r#""a/b""#, r#""""#, "1"])
        .with(&["--set=caBundle.configMap=authorities"]),
    row(
        "proxy.https",
        r#""http://proxy.example.com:3128""#,
        [r#""proxy.example.com:3128""#, r#""http://a b""#, "true"],
    ),
    row("proxy.noProxy", r#""10.0.0.0/8,.example.com""#, [r#""a b""#, r#"["a"]"#, "1"]),
    switch("dryRun", "true"),
    row("leaderElection.leaseDuration", r#""30s""#, ["30", r#""30""#, r#""half a minute""#]),
    row("logLevel", r#""debug""#, [r#""""#, r#""info debug""#, "1"]),
    row("logFormat", r#""text""#, [r#""yaml""#, r#""JSON""#, "true"]),
    row("extraArgs", r#"["--config-map-grace=5m"]"#, [r#"["config-map-grace=5m"]"#, r#""--dry-run""#, "[1]"]),
    row(
        "extraEnv",
        r#"[{"name":"ACR_LOG_FORMAT","value":"text"}]"#,
        [r#"[{"value":"a"}]"#, r#"[{"name":"A","values":"a"}]"#, r#"{"A":"a"}"#],
    ),
    row(
        "volumes",
        r#"[{"name":"a","emptyDir":{}}]"#,
        [r#"[{"name":"a"}]"#, r#"[{"emptyDir":{},"name":"A"}]"#, r#""a""#],
    ),
    row(
        "volumeMounts",
        r#"[{"name":"a","mountPath":"/a"}]"#,
        [r#"[{"name":"a"}]"#, r#"[{"name":"a","path":"/a"}]"#, r#""/a""#],
    )
    .with(&["--set-json=volumes=[{\"name\":\"a\",\"emptyDir\":{}}]"]),
    row(
        "extraObjects",
        r#"[{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a-{{ .Release.Name }}","namespace":"{{ .Release.Namespace }}"}},"{apiVersion: v1, kind: ConfigMap, metadata: {name: b, namespace: {{ .Release.Namespace }}}}"]"#,
        [r#"[{"kind":"ConfigMap"}]"#, "[1]", r#""a""#],
    ),
    row(
        "resources",
        r#"{"limits":{"memory":"256Mi"}}"#,
        [r#"{"limit":{"memory":"256Mi"}}"#, r#"{"limits":{"memory":"256MB"}}"#, r#""256Mi""#],
    ),
    row("securityContext", r#"{"runAsUser":1000}"#, [r#"{"runasUser":1000}"#, "[]", r#""restricted""#]),
    row(
        "containerSecurityContext",
        r#"{"runAsUser":1000}"#,
        [r#"{"drop":["ALL"]}"#, "[]", r#""restricted""#],
    ),
    row("podLabels", r#"{"a":"b"}"#, [r#"{"a":1}"#, r#"{"a":"b c"}"#, r#"["a"]"#]),
    row("podAnnotations", r#"{"a":"b c"}"#, [r#"{"a":1}"#, r#"{"a b":"c"}"#, r#"["a"]"#]),
    row("nodeSelector", r#"{"kubernetes.io/os":"linux"}"#, [r#"{"a":1}"#, r#"{"a":"b c"}"#, r#""linux""#]),
    row(
        "tolerations",
        r#"[{"key":"a","operator":"Exists","effect":"NoSchedule"}]"#,
        [r#"[{"keys":"a"}]"#, r#"[{"key":"a","operator":"exists"}]"#, r#""a""#],
    ),
    row(
        "affinity",
        r#"{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"a","operator":"Exists"}]}]}}}"#,
        [r#"{"nodeaffinity":{}}"#, "[]", r#"{"nodeAffinity":"a"}"#],
    ),
    row(
        "topologySpreadConstraints",
        r#"[{"maxSkew":2,"topologyKey":"topology.kubernetes.io/zone","whenUnsatisfiable":"DoNotSchedule"}]"#,
        [
            r#"[{"maxSkew":0,"topologyKey":"a","whenUnsatisfiable":"DoNotSchedule"}]"#,
            r#"[{"topologyKey":"a"}]"#,
            "{}",
        ],
    ),
    row("priorityClassName", r#""system-cluster-critical""#, [r#""High""#, "1", r#""a/b""#]),
    switch("podDisruptionBudget.enabled", "false"),
    row("podDisruptionBudget.minAvailable", r#""50%""#, ["-1", r#""half""#, r#""101%""#]),
    row("podDisruptionBudget.maxUnavailable", "1", ["-1", r#""half""#, "true"]),
    row(
        "podDisruptionBudget.unhealthyPodEvictionPolicy",
        r#""AlwaysAllow""#,
        [r#""Always""#, "true", r#""alwaysAllow""#],
    ),
    switch("networkPolicy.enabled", "true"),
    row(
        "networkPolicy.ingress",
        r#"[{"from":[{"namespaceSelector":{}}],"ports":[{"port":8080}]}]"#,
        [r#"[{"to":[]}]"#, r#"[{"ports":[{"port":0}]}]"#, "{}"],
    )
    .with(&["--set=networkPolicy.enabled=true"]),
    row(
        "networkPolicy.egress",
        r#"[{"to":[{"ipBlock":{"cidr":"10.0.0.0/8"}}],"ports":[{"port":443,"protocol":"TCP"}]}]"#,
        [r#"[{"from":[]}]"#, r#"[{"ports":[{"protocol":"tcp"}]}]"#, "{}"],
    )
    .with(&["--set=networkPolicy.enabled=true"]),
    switch("prometheus.servicemonitor.enabled", "true")
        .with(&["--api-versions=monitoring.coreos.com/v1/ServiceMonitor"]),
    row("prometheus.servicemonitor.renderMode", r#""alwaysRender""#, [r#""skip""#, "true", r#""always""#])
        .with(&["--set=prometheus.servicemonitor.enabled=true"]),
    row(
        "prometheus.servicemonitor.labels",
        r#"{"release":"prometheus"}"#,
        [r#"{"release":1}"#, r#"{"a":"b c"}"#, r#"["a"]"#],
    )
    .with(&[
        "--set=prometheus.servicemonitor.enabled=true",
        "--api-versions=monitoring.coreos.com/v1/ServiceMonitor",
    ]),
    row("prometheus.servicemonitor.interval", r#""30s""#, ["30", r#""30""#, r#""half a minute""#]).with(&[
        "--set=prometheus.servicemonitor.enabled=true",
        "--api-versions=monitoring.coreos.com/v1/ServiceMonitor",
    ]),
    switch("prometheus.podmonitor.enabled", "true")
        .with(&["--api-versions=monitoring.coreos.com/v1/PodMonitor"]),
    row("prometheus.podmonitor.renderMode", r#""alwaysRender""#, [r#""skip""#, "true", r#""always""#])
        .with(&["--set=prometheus.podmonitor.enabled=true"]),
    row(
        "prometheus.podmonitor.labels",
        r#"{"release":"prometheus"}"#,
        [r#"{"release":1}"#, r#"{"a":"b c"}"#, r#"["a"]"#],
    )
    .with(&[
        "--set=prometheus.podmonitor.enabled=true",
        "--api-versions=monitoring.coreos.com/v1/PodMonitor",
    ]),
    row("prometheus.podmonitor.interval", r#""30s""#, ["30", r#""30""#, r#""half a minute""#]).with(&[
        "--set=prometheus.podmonitor.enabled=true",
        "--api-versions=monitoring.coreos.com/v1/PodMonitor",
    ]),
    switch("prometheusRule.enabled", "true")
        .with(&["--api-versions=monitoring.coreos.com/v1/PrometheusRule"]),
    row("prometheusRule.renderMode", r#""alwaysRender""#, [r#""skip""#, "true", r#""always""#])
        .with(&["--set=prometheusRule.enabled=true"]),
    row(
        "prometheusRule.labels",
        r#"{"release":"prometheus"}"#,
        [r#"{"release":1}"#, r#"{"a":"b c"}"#, r#"["a"]"#],
    )
    .with(&["--set=prometheusRule.enabled=true", "--api-versions=monitoring.coreos.com/v1/PrometheusRule"]),
    switch("grafanaDashboard.enabled", "true"),
    row("grafanaDashboard.sidecarLabel", r#""dashboards""#, [r#""a b""#, r#""""#, "1"])
        .with(&["--set=grafanaDashboard.enabled=true"]),
    row("grafanaDashboard.sidecarLabelValue", r#""acr""#, [r#""a b""#, "1", "true"])
        .with(&["--set=grafanaDashboard.enabled=true"]),
    switch("uninstall.enabled", "false"),
    switch("uninstall.withdraw", "true"),
];
