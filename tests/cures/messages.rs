//! The messages that ask their reader to do something: conditions, Events, the log, and errors at the start.

/// Words of a message, and the tests that follow them.
pub struct Row {
    /// The file that holds the message.
    pub file: &'static str,
    /// The words that ask, as they are in the code and in one of the tests.
    pub words: &'static str,
    pub tests: &'static [&'static str],
}

const fn row(file: &'static str, words: &'static str, tests: &'static [&'static str]) -> Row {
    Row { file, words, tests }
}

const FLAGS: &[&str] = &["cures::flags::a_refused_value_is_corrected_as_the_message_says"];
const START: &[&str] = &["cures::flags::what_the_start_lacks_is_given_as_its_error_says"];

const PLUGIN: &[&str] =
    &["cloud::cures::provider::a_file_or_a_request_is_accepted_once_it_is_corrected_as_the_message_says"];
const PLUGIN_FILE: &[&str] =
    &["cloud::cures::provider::the_file_and_the_region_are_given_as_the_message_says"];
const NO_ROLE: &[&str] =
    &["cloud::provider::another_accounts_role_is_refused_and_the_nodes_role_is_an_explicit_switch"];
const DOCKER: &[&str] =
    &["cloud::cures::docker_helper::a_profile_a_token_and_an_address_are_corrected_as_the_message_says"];
const DOCKER_FILE: &[&str] =
    &["cloud::cures::docker_helper::a_home_and_a_file_are_given_as_the_message_says"];
const DOCKER_STORE: &[&str] =
    &["cloud::cures::docker_helper::a_registry_without_the_helper_stores_a_password"];
const DOCKER_TOKEN: &[&str] = &["cloud::cures::docker_helper::an_oidc_token_is_given_as_the_message_says"];

const SPEC: &[&str] = &["schema::cures::a_refused_spec_is_accepted_once_it_is_written_as_the_message_says"];

const PERMISSION: &[&str] = &["cloud::cures::registry::a_missing_permission_is_allowed_as_the_error_says"];
const PERSONAL: &[&str] =
    &["cloud::cures::registry::a_missing_personal_registry_is_corrected_or_replaced_as_the_error_says"];
const INSTANCE: &[&str] = &["cloud::cures::registry::an_unknown_instance_is_corrected_as_the_error_says"];
const CLOCK: &[&str] = &["cloud::cures::registry::a_wrong_clock_is_set_by_the_minutes_of_the_error"];
const KEY: &[&str] =
    &["cloud::cures::registry::a_rejected_key_is_restored_corrected_enabled_or_replaced_as_the_error_says"];
const AUTOMATIC: &[&str] =
    &["cloud::cures::registry::what_the_error_calls_automatic_goes_at_the_next_attempt"];
const PERSISTS: &[&str] = &["cloud::cures::registry::what_persists_goes_with_the_cause_that_the_error_names"];
const ROLE: &[&str] = &["cloud::cures::sts::a_role_is_created_or_its_name_corrected_as_the_error_says"];
const TRUST: &[&str] = &["cloud::cures::sts::a_denied_role_is_granted_in_the_policy_that_the_error_names"];
const TOKEN_TRUST: &[&str] =
    &["cloud::cures::sts::a_role_trusts_the_token_once_the_statement_of_the_error_is_in_its_policy"];
const TOKEN: &[&str] = &["cloud::cures::sts::a_rejected_token_is_corrected_as_the_error_says"];
const SESSION: &[&str] =
    &["cloud::cures::sts::a_session_is_shortened_or_the_role_allows_it_as_the_error_says"];
const HOST: &[&str] = &["cloud::cures::transport::a_host_is_found_reached_or_corrected_as_the_error_says"];
const CERTIFICATE: &[&str] =
    &["cloud::cures::transport::a_certificate_is_trusted_or_its_proxy_bypassed_as_the_error_says"];
const ADDON: &[&str] = &["cloud::cures::identity::an_unusable_addon_token_is_replaced_as_the_error_says"];
const NO_IDENTITY: &[&str] = &["cloud::cures::identity::a_missing_identity_is_given_as_the_error_says"];
const NO_METADATA: &[&str] =
    &["cloud::cures::identity::an_identity_is_given_without_the_metadata_service_as_the_error_says"];
const OTHER_ACCOUNT: &[&str] =
    &["cloud::cures::identity::the_managed_role_is_replaced_for_another_account_as_the_error_says"];

const SOURCE: &[&str] =
    &["integration::cures::identity::a_source_of_an_identity_is_created_or_allowed_as_the_message_says"];
const STALE: &[&str] =
    &["integration::blindness::a_restart_opens_a_watch_that_is_heard_again_as_the_message_says"];
const QUOTA: &[&str] =
    &["integration::cures::namespace::a_full_quota_is_raised_or_its_namespace_excluded_as_the_message_says"];
const REGION: &[&str] = &["integration::cures::binding::a_region_is_corrected_as_the_remark_on_it_says"];
const ADDED: &[&str] = &[
    "integration::refusal::additions::a_label_on_everything_is_named_and_the_exceptions_let_secret_and_entries_in",
    "integration::refusal::additions::an_exemption_of_the_named_user_lets_secret_and_entries_in",
];
const PLATFORM: &[&str] = &[
    "integration::cures::refusal::another_admission_controller_is_corrected_started_deleted_or_exempts_the_user_as_the_message_says",
];
const FLAG_KEY: &[&str] =
    &["integration::cures::refusal::a_key_of_a_flag_is_excepted_or_removed_as_the_message_says"];
const PARAMETERS: &[&str] =
    &["integration::cures::refusal::parameters_are_written_once_the_user_is_exempt_as_the_message_says"];
const VERSION: &[&str] =
    &["integration::cures::refusal::policies_of_another_version_are_replaced_as_the_message_says"];
const ROOM: &[&str] = &[
    "integration::refusal::own_secret::annotations_of_others_that_leave_no_room_go_by_the_printed_deletion",
    "integration::refusal::own_secret::a_secret_that_etcd_finds_too_large_is_reported_and_fewer_domains_fit",
];
const IMMUTABLE: &[&str] = &[
    "integration::refusal::own_secret::an_immutable_secret_is_reported_at_once_and_returns_after_the_printed_deletion",
];
const CACHE_RIGHTS: &[&str] = &[
    "integration::credentials::an_upgrade_from_one_cache_secret_mints_nothing_also_with_the_rights_of_before",
];
const NO_TOKEN: &[&str] = &[
    "integration::personal::a_dry_run_refuses_it_in_words",
    "integration::personal::the_pull_secret_made_by_hand_stays_beside_ours",
];
const EXCEPTION: &[&str] = &[
    "src::model::exceptions::tests::a_refused_exception_is_accepted_once_it_is_written_as_the_message_says",
];
const OWNER: &[&str] =
    &["integration::cures::namespace::a_secret_of_another_owner_makes_room_as_the_message_says"];
const HELD: &[&str] =
    &["integration::cures::binding::a_held_withdrawal_is_undone_or_confirmed_as_its_message_says"];
const BESIDE: &[&str] = &[
    "integration::cures::config_map::a_config_map_beside_a_binding_of_its_name_is_resolved_as_the_event_says",
];
const CONFIG_MAP: &[&str] =
    &["integration::cures::config_map::a_config_map_is_corrected_restored_or_edited_as_the_message_says"];
const ADMISSION: &[&str] =
    &["integration::cures::admission::the_admission_policy_works_once_the_files_of_its_message_are_applied"];
const PROBE: &[&str] = &["integration::policy_probe::missing_policies_are_reported_and_new_ones_are_noticed"];
const LIST: &[&str] =
    &["integration::cures::process::what_cannot_be_listed_is_allowed_or_defined_as_the_log_says"];
const FLAG: &[&str] = &["integration::cures::process::a_flag_is_changed_as_the_message_says"];
const WEBHOOK: &[&str] = &[
    "integration::webhook::rights::without_the_grant_the_condition_says_the_cure_and_the_loop_serves_and_a_grant_is_noticed",
];
const FILES: &[&str] =
    &["integration::webhook::certificates::files_of_cert_manager_are_read_as_the_kubelet_swaps_them"];
const TOOL: &[&str] =
    &["integration::limits::a_tool_that_sometimes_applies_the_list_is_reported_and_reverted_each_time"];

/// The table, in the order of the files.
pub const MESSAGES: &[Row] = &[
    row("src/api/binding.rs", "needs an assumed role: set assumeRoleARN or rrsaRoleARN with it", SPEC),
    row("src/api/binding.rs", "rrsaRoleARN and accessKeySecretRef exclude each other: set one of them", SPEC),
    row(
        "src/api/binding.rs",
        "rrsaRoleARN and rrsaOIDCProviderRoleARN go together: set both or neither",
        SPEC,
    ),
    row("src/api/binding.rs", "use names: [\"*\"] if that is intended", SPEC),
    row("src/api/binding/values.rs", "kubectl create secret docker-registry", NO_TOKEN),
    row("src/api/binding/values.rs", "or use an Enterprise Edition instance", SPEC),
    row("src/api/binding/values.rs", "write the host in domains", SPEC),
    row("src/api/binding/values.rs", "write the ID, not the name in the console", SPEC),
    row("src/api/binding/values.rs", "write each address as an item of its own", SPEC),
    row("src/api/binding/values.rs", "leave out the user name", SPEC),
    row("src/api/binding/values.rs", "leave out the scheme and a trailing /", SPEC),
    row("src/api/binding/values.rs", "leave out the tag or the digest of an image", SPEC),
    row("src/api/binding/values.rs", "leave out the trailing /", SPEC),
    row("src/args/acr_credential_controller.rs", "write a duration between 3s and 5m", FLAGS),
    row(
        "src/args/credential_provider.rs",
        "set ACR_CREDENTIAL_PROVIDER_CONFIG to a file of registries",
        DOCKER_FILE,
    ),
    row(
        "src/bin/acr-credential-provider/docker.rs",
        "remove the registry from credHelpers to log in with a password",
        DOCKER_STORE,
    ),
    row("src/bin/acr-credential-provider/docker.rs", "use a profile of the mode AK", DOCKER),
    row(
        "src/bin/acr-credential-provider/run.rs",
        "write the registries there, or name another file with --config",
        PLUGIN_FILE,
    ),
    row("src/bin/acr-credential-provider/run.rs", "or set region in the file of registries", PLUGIN_FILE),
    row("src/provider/aliyun_cli.rs", "run aliyun configure", DOCKER),
    row("src/provider/aliyun_cli.rs", "name one with ALIBABA_CLOUD_PROFILE", DOCKER),
    row("src/provider/aliyun_cli.rs", "use AK, StsToken, RamRoleArn or EcsRamRole", DOCKER),
    row("src/provider/config.rs", "list fewer registries", PLUGIN),
    row("src/provider/config.rs", "remove it, and use a role", PLUGIN),
    row("src/provider/config.rs", "write it without its ARN, such as acr-pull", PLUGIN),
    row("src/provider/config.rs", "write fields such as instanceId: cri-abc123", PLUGIN),
    row("src/provider/config.rs", "is not a field of a registry: write one of", PLUGIN),
    row("src/provider/docker.rs", "write one, such as img.example.com", DOCKER),
    row("src/provider/kubelet.rs", "of this provider in the CredentialProviderConfig", PLUGIN),
    row("src/provider/pod_identity.rs", "write the name alone, such as acr-pull", PLUGIN),
    row("src/provider/pod_identity.rs", "set podIdentity.oidcProviderARN", PLUGIN),
    row(
        "src/provider/pod_identity.rs",
        "or set podIdentity.roleName or fallBackToNodeRole: true in the file",
        NO_ROLE,
    ),
    row("src/provider/pod_identity.rs", "set tokenAttributes with serviceAccountTokenAudience", PLUGIN),
    row("src/provider/sources.rs", "correct ALIBABA_CLOUD_OIDC_TOKEN_FILE", DOCKER_TOKEN),
    row("src/provider/sources.rs", "set ALIBABA_CLOUD_OIDC_TOKEN_FILE to a file with one", DOCKER_TOKEN),
    row("src/args/network.rs", "write key=value", FLAGS),
    row("src/args/acr_credential_controller.rs", "write address:port, such as 0.0.0.0:8080", FLAGS),
    row(
        "src/args/acr_credential_controller.rs",
        "write lower-case letters, digits, - and ., such as acr-pull",
        FLAGS,
    ),
    row("src/args/network.rs", "is not an address such as http://127.0.0.1:8080", FLAGS),
    row("src/args/identity.rs", "write namespace/name", FLAGS),
    row("src/args/webhook.rs", "write address:port, or an empty value", FLAGS),
    row("src/args/webhook.rs", "write three durations, as 300s,90s,3s", FLAGS),
    row("src/bin/acr-credential-controller/main.rs", "set KUBECONFIG to a file, or run in a Pod", START),
    row("src/bin/acr-credential-controller/main.rs", "the node's metadata: set --region", START),
    row(
        "src/cloud/call.rs",
        "if this persists, check for a proxy that answers instead of the cloud",
        PERSISTS,
    ),
    row("src/cloud/classify.rs", "allow it in a RAM policy of that identity", PERMISSION),
    row(
        "src/cloud/classify.rs",
        "check regionId, and that the account has a registry in that region",
        PERSONAL,
    ),
    row("src/cloud/classify.rs", "or the Enterprise Edition", PERSONAL),
    row(
        "src/cloud/classify.rs",
        "in the role's trust policy, allow the provider as Federated principal",
        TOKEN_TRUST,
    ),
    row("src/cloud/classify.rs", "enable RRSA for this cluster", TOKEN),
    row("src/cloud/classify.rs", "copy rrsaOIDCProviderRoleARN from the RRSA page", TOKEN),
    row("src/cloud/classify.rs", "create the role or correct ", ROLE),
    row("src/cloud/classify.rs", "shorten it, or raise the role's MaxSessionDuration", SESSION),
    row("src/cloud/classify.rs", "check instanceId and regionId", INSTANCE),
    row("src/cloud/classify.rs", "check regionId", INSTANCE),
    row("src/cloud/classify.rs", "synchronise the node's clock", CLOCK),
    row("src/cloud/classify.rs", "check that it was not deleted", KEY),
    row("src/cloud/classify.rs", "check the pair, and check for a proxy that changes requests", KEY),
    row("src/cloud/classify.rs", "enable or replace it", KEY),
    row("src/cloud/classify.rs", "a new session is requested automatically", AUTOMATIC),
    row("src/cloud/classify.rs", "if this persists, check the node's clock", PERSISTS),
    row("src/cloud/classify.rs", "if this persists, check for a proxy that repeats requests", PERSISTS),
    row(
        "src/cloud/classify.rs",
        "if this persists, raise the account's quota or reduce other callers",
        PERSISTS,
    ),
    row("src/cloud/classify.rs", "retrying automatically", AUTOMATIC),
    row(
        "src/cloud/classify.rs",
        "if this persists, look up the code, and check for a proxy that answers instead of the cloud",
        PERSISTS,
    ),
    row("src/cloud/classify.rs", "check the node's clock, and that the token's file is renewed", TOKEN),
    row("src/cloud/classify.rs", "register sts.aliyuncs.com as a client ID of the provider", TOKEN),
    row("src/cloud/classify.rs", "project the token for that audience", TOKEN),
    row("src/cloud/classify.rs", "set rrsaOIDCProviderRoleARN to the provider of this cluster", TOKEN),
    row("src/cloud/classify.rs", "or enable RRSA again after the cluster's keys changed", TOKEN),
    row("src/cloud/classify.rs", "check that the cloud can reach the provider's issuer URL", TOKEN),
    row("src/cloud/classify.rs", "check that RRSA is enabled for this cluster", TOKEN),
    row("src/cloud/classify.rs", " in the role's trust policy", TRUST),
    row("src/cloud/classify.rs", "sts:AssumeRole on the role in a RAM policy", TRUST),
    row("src/cloud/client.rs", "check regionId and the cluster's DNS", HOST),
    row("src/cloud/client.rs", "check for a proxy, and trust its certificate or bypass it", CERTIFICATE),
    row("src/cloud/client.rs", "check regionId and the configured credentials", KEY),
    row(
        "src/cloud/client.rs",
        "check the network policies, the routes and HTTPS_PROXY of the controller",
        HOST,
    ),
    row("src/cloud/enterprise.rs", "enable its VPC or public endpoint", INSTANCE),
    row(
        "src/cloud/enterprise.rs",
        "or list ",
        &["integration::cures::binding::a_binding_that_serves_nothing_serves_again_as_its_reason_says"],
    ),
    row("src/cloud/enterprise.rs", "the returned token has already expired, check the node's clock", CLOCK),
    row(
        "src/cloud/identity/addon.rs",
        "authorise the role AliyunCSManagedAcrRole again in the ACK console",
        ADDON,
    ),
    row("src/cloud/identity/addon.rs", "or use RRSA", ADDON),
    row("src/cloud/identity/addon.rs", "has expired (check the node's clock)", ADDON),
    row(
        "src/cloud/identity/assume.rs",
        "the returned session has already expired, check the node's clock",
        TRUST,
    ),
    row(
        "src/cloud/identity/controller_identity.rs",
        "authorise the role AliyunCSManagedAcrRole for ACK",
        NO_IDENTITY,
    ),
    row("src/cloud/identity/controller_identity.rs", "or use RRSA or --token-mode workerRole", NO_IDENTITY),
    row("src/cloud/identity/controller_identity.rs", "use RRSA (rrsaRoleARN)", NO_METADATA),
    row(
        "src/cloud/identity/controller_identity.rs",
        "name an AccessKey with accessKeySecretRef",
        NO_METADATA,
    ),
    row(
        "src/cloud/identity/controller_identity.rs",
        "unset ALIBABA_CLOUD_ECS_METADATA_DISABLED to use the node's RAM role",
        NO_METADATA,
    ),
    row(
        "src/cloud/identity/controller_identity.rs",
        "for another account use RRSA (rrsaRoleARN) or --token-mode workerRole",
        OTHER_ACCOUNT,
    ),
    row(
        "src/cloud/identity/metadata.rs",
        "run on an ECS node whose metadata service is reachable",
        NO_IDENTITY,
    ),
    row("src/cloud/identity/worker_role.rs", "grant the node a RAM role (worker role)", NO_IDENTITY),
    row(
        "src/cloud/identity/worker_role.rs",
        "returns a key that has already expired (check the node's clock)",
        NO_IDENTITY,
    ),
    row(
        "src/cloud/registry_check.rs",
        "which is not allowed; allow that host if it belongs to the registry",
        &["integration::verify::a_realm_that_is_not_allowed_gets_no_credential_and_does_not_reject"],
    ),
    row(
        "src/cloud/verify.rs",
        "check that the domain belongs to this instance, and that this identity may pull from it",
        &["integration::verify::under_enforce_a_rejected_token_does_not_replace_the_last_valid_one"],
    ),
    row(
        "src/cluster/certificates.rs",
        "delete the Secret, and the controller creates it again",
        &[
            "integration::webhook::certificates::an_unusable_secret_is_reported_and_the_last_valid_certificate_stays",
        ],
    ),
    row(
        "src/cluster/lease.rs",
        "lease forbidden: apply the RBAC of this version",
        &["integration::cures::process::a_refused_lease_is_allowed_by_the_files_of_this_version"],
    ),
    row(
        "src/cluster/watch/sink.rs",
        ": apply the RBAC of this version, with the name of --secret-name in it",
        LIST,
    ),
    row("src/cluster/watch/sink.rs", ": apply the RBAC of this version", LIST),
    row("src/cluster/watch/sink.rs", ": apply crds/acrcredentialbindings.yaml", LIST),
    row(
        "src/cluster/watch/sink.rs",
        ": apply deploy/stuck-pods.yaml",
        &["integration::start::a_refused_list_is_retried_at_growing_intervals"],
    ),
    row(
        "src/cluster/watch/event.rs",
        "remove what makes it large",
        &["integration::memory::an_account_over_the_limit_is_ignored_until_what_makes_it_large_is_removed"],
    ),
    row("src/controller.rs", "cannot be served; choose another --listen-address", FLAG),
    row("src/controller/admission_policy.rs", ": apply deploy/rbac.yaml of this version", ADMISSION),
    row("src/controller/admission_policy.rs", ": exempt the controller's user there", PARAMETERS),
    row("src/controller/admission_policy.rs", "or apply deploy/policies.yaml of this version", PARAMETERS),
    row(
        "src/cluster/store.rs",
        "a part of the token cache may not be read; apply deploy/rbac.yaml of this version",
        CACHE_RIGHTS,
    ),
    row(
        "src/controller/credential.rs",
        "a restart mints again; apply deploy/rbac.yaml of this version",
        CACHE_RIGHTS,
    ),
    row(
        "src/controller/credential.rs",
        "exempt the controller's user from what changes or refuses Secrets of its namespace",
        &["integration::cures::refusal::a_token_cache_is_written_once_the_user_is_exempt_as_the_log_says"],
    ),
    row(
        "src/controller/policy_probe.rs",
        "apply the RBAC of this version, and delete other bindings of its account",
        &["integration::cures::process::rights_that_are_too_wide_are_narrowed_as_the_log_says"],
    ),
    row("src/controller/sources.rs", "give it both", SOURCE),
    row("src/controller/sources.rs", "create it with the keys ", SOURCE),
    row("src/controller/sources.rs", " to resourceNames of the Role ", SOURCE),
    row("src/controller/sources.rs", "create it: kubectl", SOURCE),
    row(
        "src/controller/sources.rs",
        "may not be read; apply the RBAC of this version",
        &[
            "integration::cures::identity::an_addon_token_may_be_read_once_the_rbac_is_applied_as_the_message_says",
        ],
    ),
    row(
        "src/controller/sources.rs",
        "name the account in them as --rrsa-service-account does",
        &["integration::identities::an_account_that_the_policies_do_not_name_is_reported_with_the_cure"],
    ),
    row(
        "src/controller/sources.rs",
        "check the volume and its mode",
        &["integration::cures::identity::a_token_file_that_cannot_be_read_is_read_once_its_volume_is_right"],
    ),
    row(
        "src/controller/stuck_pods.rs",
        "apply deploy/stuck-pods.yaml",
        &["integration::stuck_pods::without_the_policy_or_the_flag_no_pod_is_deleted"],
    ),
    row(
        "src/controller/webhook/configuration.rs",
        "this controller may not write the webhook's configuration: apply deploy/webhook.yaml",
        WEBHOOK,
    ),
    row("src/controller/webhook/files.rs", "; mount a Secret of type kubernetes.io/tls", FILES),
    row(
        "src/controller/webhook/files.rs",
        "mount a Secret of type kubernetes.io/tls with ca.crt as cert-manager makes it",
        FILES,
    ),
    row(
        "src/controller/webhook/server.rs",
        "webhook cannot listen; choose another --webhook-address, or an empty one",
        FLAG,
    ),
    row("src/model/binding.rs", "needs an assumed role: set assumeRoleARN or rrsaRoleARN with it", SPEC),
    row("src/model/binding.rs", "entries: write 1 to 64", SPEC),
    row("src/model/binding.rs", "is out of range: write 1 to 30 seconds", SPEC),
    row("src/model/binding.rs", "is out of range: write 3600 to 43200 seconds", SPEC),
    row("src/model/binding.rs", "at most 320: write fewer", SPEC),
    row(
        "src/model/binding.rs",
        "rrsaRoleARN and accessKeySecretRef exclude each other: set one of them",
        SPEC,
    ),
    row(
        "src/model/binding.rs",
        "rrsaRoleARN and rrsaOIDCProviderRoleARN go together: set both or neither",
        SPEC,
    ),
    row("src/model/binding/shape.rs", ": split the binding", SPEC),
    row("src/model/binding/shape.rs", ": write fewer", SPEC),
    row(
        "src/model/binding/shape.rs",
        "is not a valid Secret name: write lower-case letters, digits, '-' and '.'",
        SPEC,
    ),
    row(
        "src/model/binding/shape.rs",
        "write lower-case letters, digits and '-', or a glob with * and ?",
        SPEC,
    ),
    row(
        "src/model/binding/shape.rs",
        "write lower-case letters, digits, '-' and '.', or a glob with * and ?",
        SPEC,
    ),
    row("src/model/binding/shape.rs", "an expression has no key: add key: and the name of a label", SPEC),
    row("src/model/binding/shape.rs", "has an unusual format: write 15m, 900s, 1h30m or 0.5h", SPEC),
    row("src/model/domain.rs", "the address has a user name in it: write only ", SPEC),
    row("src/model/domain.rs", "lists several addresses: write each as an item of its own", SPEC),
    row("src/model/domain.rs", ": write only ", SPEC),
    row(
        "src/model/domain.rs",
        "write host[:port][/path] in lower case, such as demo-registry.cn-hangzhou.cr.aliyuncs.com",
        SPEC,
    ),
    row(
        "src/model/domain.rs",
        "has a port above 65535: write the one that the registry listens on",
        &["src::model::domain::a_domain_is_a_host_with_a_port_and_a_path_if_need_be"],
    ),
    row("src/model/duration.rs", "write a number and a unit, such as 15m, 900s or 1h30m", FLAGS),
    row("src/model/edition.rs", "kubectl create secret docker-registry", NO_TOKEN),
    row("src/model/edition.rs", "or use an Enterprise Edition instance", SPEC),
    row("src/model/exceptions.rs", "write key=value, key or domain/*", EXCEPTION),
    row("src/model/exceptions.rs", "name each domain", EXCEPTION),
    row("src/model/exceptions.rs", "write the name of a Secret, without its namespace", EXCEPTION),
    row(
        "src/model/exceptions.rs",
        "Exempt the controller's user in the policy or webhook that adds it",
        &[
            "src::model::exceptions::tests::a_refused_exception_is_accepted_once_it_is_written_as_the_message_says",
            "integration::refusal::additions::a_key_that_no_exception_allows_has_the_exemption_alone",
        ],
    ),
    row("src/model/identity.rs", "RAM has no region: leave the third part empty", SPEC),
    row("src/model/instance_id.rs", "is not an Enterprise instance ID: write ", SPEC),
    row("src/model/instance_id.rs", "write cri-… as in the console, and the host in domains", SPEC),
    row("src/model/instance_id.rs", "that the console shows with the instance's name", SPEC),
    row("src/model/instance_id.rs", "or omit it for the Personal Edition", SPEC),
    row("src/model/labels.rs", "needs values: write values: and a list", SPEC),
    row("src/model/labels.rs", "takes no values: delete them", SPEC),
    row("src/model/labels.rs", "does not exist: use In, NotIn, Exists or DoesNotExist", SPEC),
    row("src/model/labels.rs", "use names: [\"*\"] if that is intended", SPEC),
    row("src/model/region.rs", "is a zone and not a region: write its region ", SPEC),
    row("src/model/region.rs", "is not a region ID: write ", SPEC),
    row("src/model/region.rs", "write the ID, not the console's name", SPEC),
    row(
        "src/model/region.rs",
        "check it in the console",
        &["src::model::region::tests::an_unknown_region_is_served_with_a_question"],
    ),
    row("src/model/region.rs", " if that is meant", REGION),
    row("src/model/region.rs", " if the instance is there", REGION),
    row(
        "src/plan/admission_mode.rs",
        "write them shorter, with globs",
        &[
            "integration::admission_policy::parameters::the_largest_parameters_are_within_the_cost_limit_of_the_api_server",
        ],
    ),
    row(
        "src/plan/config_map.rs",
        "apply the RBAC of this version",
        &["integration::config_map::an_unreadable_config_map_is_reported_and_its_binding_is_kept"],
    ),
    row("src/plan/config_map.rs", "delete one of them, or annotate the ConfigMap with", BESIDE),
    row("src/plan/config_map.rs", "Edit the ConfigMap instead", CONFIG_MAP),
    row("src/plan/conflict.rs", "is written again and again by", TOOL),
    row(
        "src/plan/conflict.rs",
        "have it leave this Secret alone",
        &["integration::limits::a_returning_documented_component_is_named"],
    ),
    row("src/plan/conflict.rs", "state our entry in its manifest", TOOL),
    row("src/plan/conflict.rs", "have it ignore the field", TOOL),
    row(
        "src/plan/conflict.rs",
        "set spec.webhook.enable so that admission adds it to each write",
        &[
            "integration::limits::a_tool_that_sometimes_applies_the_list_is_reported_and_reverted_each_time",
            "integration::admission_policy::a_tool_that_declares_the_list_without_our_entry_changes_nothing",
        ],
    ),
    row(
        "src/plan/conflict.rs",
        "--webhook-on-update",
        &["integration::webhook::an_update_that_drops_the_entry_keeps_it_if_the_webhook_receives_updates"],
    ),
    row(
        "src/plan/conflict.rs",
        "take our entry out of its manifest, or cover the ServiceAccount",
        &[
            "integration::limits::a_tool_that_states_our_entry_in_an_uncovered_namespace_is_reported_with_the_cure",
        ],
    ),
    row(
        "src/plan/deletions.rs",
        "Stop what deletes it",
        &["src::plan::deletions::the_report_ends_and_the_secret_returns_once_nothing_deletes_it"],
    ),
    row(
        "src/plan/desired.rs",
        "cover the namespace by a binding",
        &["integration::removal::a_leftover_is_announced_in_its_namespace_and_then_removed"],
    ),
    row("src/plan/desired.rs", "which cannot be changed: delete it (", OWNER),
    row("src/plan/desired.rs", "was not created by this controller: delete or rename it", OWNER),
    row("src/plan/desired.rs", "or annotate the binding with", OWNER),
    row(
        "src/plan/desired.rs",
        "Write \"true\" or \"false\"",
        &[
            "integration::removal::skip_is_a_label_or_an_annotation_and_a_value_that_is_not_understood_gives_one_event",
        ],
    ),
    row(
        "src/plan/passed_over.rs",
        "take it out of exclude to cover them",
        &["integration::removal::a_status_names_the_rule_by_which_something_written_is_not_covered"],
    ),
    row(
        "src/plan/policy_parameters.rs",
        "it is left alone for a while: stop that writer",
        &[
            "integration::admission_policy::parameters::another_writer_that_reverts_the_parameters_is_reported_and_left_alone",
        ],
    ),
    row("src/plan/policy_parameters.rs", "is not in force: apply deploy/admission.yaml", ADMISSION),
    row("src/plan/policy_parameters.rs", "apply deploy/webhook.yaml instead", WEBHOOK),
    row("src/plan/policy_probe.rs", " not enforced: apply ", PROBE),
    row(
        "src/plan/policy_probe.rs",
        "upgrade to Kubernetes 1.30, then apply deploy/policies.yaml",
        &[
            "integration::policy_probe::an_api_server_without_policies_is_recognized_and_namespaces_are_served",
        ],
    ),
    row("src/plan/refusal.rs", "kubectl get mutating", ADDED),
    row(
        "src/plan/refusal.rs",
        "exclude the controller's own namespace from the binding (watchNamespaces.exclude)",
        &["src::plan::refusal::tests::in_the_controllers_own_namespace_the_cure_is_to_exclude_it"],
    ),
    row(
        "src/plan/refusal.rs",
        "exclude the namespace from the binding (watchNamespaces.exclude)",
        &["src::plan::refusal::tests::in_the_controllers_own_namespace_the_cure_is_to_exclude_it"],
    ),
    row("src/plan/refusal.rs", "raise the quota for secrets", QUOTA),
    row("src/plan/refusal.rs", " edit resourcequota ", QUOTA),
    row("src/plan/refusal.rs", "delete a Secret there", QUOTA),
    row("src/plan/refusal.rs", "or exclude the namespace from the binding", QUOTA),
    row(
        "src/plan/refusal.rs",
        "restart the controller's Pods, and check that its ServiceAccount exists",
        &["integration::cures::refusal::a_token_that_is_not_accepted_is_replaced_as_the_log_says"],
    ),
    row(
        "src/plan/refusal.rs",
        "apply deploy/rbac.yaml of this version",
        &[
            "integration::cures::namespace::a_refused_write_is_allowed_by_the_files_of_this_version",
            "integration::refusal::own_secret::a_missing_right_names_its_file_and_applying_it_gives_the_right",
        ],
    ),
    row("src/plan/refusal.rs", "apply deploy/policies.yaml of this version", VERSION),
    row("src/plan/refusal.rs", "which cannot be changed: delete it (", OWNER),
    row(
        "src/plan/refusal.rs",
        "and the controller writes it again; it says",
        &["src::plan::refusal::tests::errors_about_our_own_secret_have_a_cure_each"],
    ),
    row(
        "src/plan/refusal.rs",
        "as it is: correct what it names",
        &["src::plan::refusal::tests::errors_about_our_own_secret_have_a_cure_each"],
    ),
    row("src/plan/refusal.rs", ": start its Pods", PLATFORM),
    row("src/plan/refusal.rs", "or delete its configuration if it was uninstalled", PLATFORM),
    row("src/plan/refusal.rs", "or exempt the user {} there", PLATFORM),
    row("src/plan/refusal.rs", "correct it, or exempt the user {user} in it", PLATFORM),
    row("src/plan/refusal.rs", "exempt the user {user} in it", PLATFORM),
    row("src/plan/refusal.rs", "add the exception to the policy", ADDED),
    row("src/plan/refusal.rs", "kubectl acr exceptions", ADDED),
    row("src/plan/refusal.rs", "add the exception (", FLAG_KEY),
    row("src/plan/refusal.rs", "or remove the flag", FLAG_KEY),
    row("src/plan/refusal.rs", " from the controller's flags", FLAG_KEY),
    row(
        "src/plan/refusal.rs",
        "have the ServiceAccount's owner set what it demands",
        &[
            "integration::refusal::others::a_webhook_that_demands_a_label_of_accounts_is_quoted_once_and_the_owner_satisfies_it",
        ],
    ),
    row(
        "src/plan/refusal.rs",
        "--secret-label KEY=VALUE",
        &[
            "integration::refusal::others::a_policy_that_demands_a_label_of_secrets_is_quoted_and_the_flag_and_its_exception_satisfy_it",
        ],
    ),
    row(
        "src/plan/refusal.rs",
        "remove annotations or entries of imagePullSecrets from it",
        &["integration::cures::refusal::a_service_account_without_room_gets_some_as_the_message_says"],
    ),
    row("src/plan/refusal.rs", "fewer registries or domains", ROOM),
    row("src/plan/refusal.rs", "if others annotated it", ROOM),
    row("src/plan/refusal.rs", " delete secret ", IMMUTABLE),
    row("src/plan/refusal.rs", "is immutable, so its credential cannot be renewed: delete it (", IMMUTABLE),
    row(
        "src/plan/secret.rs",
        "have the bindings of this namespace name fewer registries or domains",
        &[
            "integration::limits::a_secret_that_would_be_too_large_is_refused_and_the_fitting_domains_are_reported",
        ],
    ),
    row(
        "src/plan/webhook_configuration.rs",
        "the webhook is off: set --webhook-address",
        &[
            "src::plan::webhook_configuration::the_configuration_is_needed_where_it_is_requested_and_no_policy_works",
        ],
    ),
    row(
        "src/plan/webhook_configuration.rs",
        "it is left alone for a while: stop that writer",
        &[
            "integration::webhook::other_writer::a_writer_that_keeps_reverting_the_configuration_is_reported_and_not_fought",
        ],
    ),
    row("src/plan/status/blindness.rs", "Check the connection to the API server", STALE),
    row("src/plan/status/blindness.rs", "If it works, restart the controller's Pods", STALE),
    row("src/plan/withdrawal_guard.rs", "To confirm it, annotate the binding with", HELD),
    row("src/plan/withdrawal_guard.rs", "or delete the binding", HELD),
    row("src/plan/withdrawal_guard.rs", "correct spec.serviceAccounts", HELD),
    row("src/plan/withdrawal_guard.rs", "correct spec.watchNamespaces or the labels", HELD),
];

/// Texts that begin a clause with one of the verbs, and ask for nothing: file and words.
pub const STATEMENTS: &[(&str, &str)] = &[
    // A part of a rule.
    ("src/api/binding/values.rs", "self.lowerAscii().replace('_', '-')"),
    ("src/cluster/watch/sink.rs", "list failed: {}"),
    ("src/controller/config_map.rs", "edit reverted"),
    ("src/controller/namespace.rs", "write failed"),
    // The message before it has the cure.
    (
        "src/controller/policy_probe.rs",
        "without it only RBAC restricts this controller, see docs/security.md",
    ),
    ("src/model/coverage/webhook_filter.rs", "object.metadata.name == ''"),
    ("src/plan/binding_facts.rs", "no credential is minted, and nothing is written or withdrawn"),
    // What a dry run would write.
    ("src/plan/change.rs", "replace the immutable Secret"),
    ("src/plan/change.rs", "create the Secret"),
    ("src/plan/change.rs", "change the Secret in place"),
    ("src/plan/change.rs", "delete the Secret"),
    ("src/plan/change.rs", "add our entry to"),
    ("src/plan/change.rs", "take our entry out of"),
    ("src/plan/passed_over.rs", "spec.watchNamespaces.exclude has {pattern}, which excludes {}"),
    // What the keys do that no exception allows.
    ("src/model/exceptions.rs", "have a tool prune them"),
    // What the API server and etcd say.
    ("src/plan/refusal.rs", "request is too large"),
    ("src/plan/refusal.rs", "Request entity too large"),
    ("src/plan/webhook.rs", "request.userInfo.username != "),
    ("src/server/metrics/labels.rs", "Labels of a counted write or call"),
    ("src/server/metrics/labels.rs", "Result of the write or call"),
    ("src/server/metrics/labels.rs", "Name of the binding"),
    // Answers to an API server that sends no review, not to a person.
    ("src/server/review.rs", "request.object is not a ServiceAccount"),
    ("src/server/review.rs", "in one map or list"),
];
