//! The reasons of conditions, in the order of `Reason::ALL`.

use acr_credential_binding::api::Reason;

use End::{ByItself, Followed, Healthy};

/// How a reason ends.
pub enum End {
    /// It is the good state: the tests see it, and nothing is to be done.
    Healthy,
    /// It goes by itself: the tests see it go without a deed.
    ByItself,
    /// It goes once its cure is followed: the tests follow it.
    Followed,
}

/// A reason, its tests and the places that give it.
pub struct Row {
    pub reason: Reason,
    pub end: End,
    pub tests: &'static [&'static str],
    /// Files that give this reason, and in how many places each.
    pub places: &'static [(&'static str, usize)],
}

const fn row(
    reason: Reason,
    end: End,
    tests: &'static [&'static str],
    places: &'static [(&'static str, usize)],
) -> Row {
    Row { reason, end, tests, places }
}

/// The table.
pub const REASONS: &[Row] = &[
    row(
        Reason::Succeeded,
        Healthy,
        &[
            "integration::serve::a_binding_becomes_a_secret_with_a_valid_token_and_an_entry_in_each_service_account",
        ],
        &[("src/plan/config_map.rs", 2), ("src/plan/status/overall.rs", 1), ("src/plan/status/pairs.rs", 1)],
    ),
    row(
        Reason::Issued,
        Healthy,
        &["src::plan::status::tests::a_registry_reports_its_credential_and_its_last_refresh"],
        &[("src/plan/status.rs", 1)],
    ),
    row(
        Reason::Progressing,
        ByItself,
        &[
            "integration::serve::service_accounts_are_attached_while_the_cloud_hangs",
            "integration::leave::the_first_returning_binding_removes_nothing_of_the_others",
        ],
        &[("src/plan/desired.rs", 1), ("src/plan/status/overall.rs", 1)],
    ),
    row(
        Reason::DryRun,
        Followed,
        &["integration::cures::process::a_flag_is_changed_as_the_message_says"],
        &[("src/controller/namespace.rs", 1)],
    ),
    row(
        Reason::Suspended,
        Followed,
        &["integration::cures::binding::a_binding_that_serves_nothing_serves_again_as_its_reason_says"],
        &[("src/plan/binding_facts.rs", 1), ("src/plan/namespace.rs", 1)],
    ),
    row(
        Reason::Withdrawing,
        ByItself,
        &[
            "integration::withdraw::a_binding_stays_until_all_its_objects_are_gone",
            "integration::leave::a_refused_withdrawal_names_who_refused_it_and_continues_once_it_is_allowed",
        ],
        &[("src/plan/binding_facts.rs", 1), ("src/plan/namespace.rs", 1)],
    ),
    row(
        Reason::NothingCovered,
        Followed,
        &["integration::cures::binding::a_binding_that_serves_nothing_serves_again_as_its_reason_says"],
        &[("src/plan/status/overall.rs", 2)],
    ),
    row(
        Reason::CoverageLost,
        Followed,
        &[
            "integration::cures::binding::a_held_withdrawal_is_undone_or_confirmed_as_its_message_says",
            "integration::withdrawal_guard::the_grace_period_survives_restarts_and_covers_labels_removed_while_the_controller_was_down",
            "integration::documentation::the_commands_of_the_operations_page_work",
        ],
        &[("src/plan/namespace.rs", 2), ("src/plan/withdrawal_guard.rs", 2)],
    ),
    row(
        Reason::InvalidSpec,
        Followed,
        &["integration::invalid::an_invalid_spec_that_passes_the_schema_keeps_the_last_valid_one_in_force"],
        &[("src/plan/binding_facts.rs", 1)],
    ),
    row(
        Reason::RefreshFailing,
        Followed,
        &[
            "integration::refresh::a_failed_refresh_removes_nothing_and_is_reported_before_and_after_the_expiry",
        ],
        &[("src/plan/status.rs", 1), ("src/plan/status/overall.rs", 1)],
    ),
    row(
        Reason::CredentialExpired,
        Followed,
        &[
            "integration::refresh::a_failed_refresh_removes_nothing_and_is_reported_before_and_after_the_expiry",
            "src::plan::status::tests::a_registry_reports_its_credential_and_its_last_refresh",
        ],
        &[("src/plan/status.rs", 1)],
    ),
    row(
        Reason::NotIssued,
        Followed,
        &["integration::cures::identity::a_source_of_an_identity_is_created_or_allowed_as_the_message_says"],
        &[("src/plan/status.rs", 1), ("src/plan/status/pairs.rs", 1)],
    ),
    row(
        Reason::AccessDenied,
        Followed,
        &[
            "cloud::cures::registry::a_missing_permission_is_allowed_as_the_error_says",
            "integration::invalid::a_missing_right_is_named_and_its_grant_recovers",
        ],
        &[("src/cloud/classify.rs", 1)],
    ),
    row(
        Reason::TrustPolicyDenies,
        Followed,
        &[
            "cloud::cures::sts::a_role_is_created_or_its_name_corrected_as_the_error_says",
            "cloud::cures::sts::a_denied_role_is_granted_in_the_policy_that_the_error_names",
            "cloud::cures::sts::a_role_trusts_the_token_once_the_statement_of_the_error_is_in_its_policy",
            "cloud::cures::identity::the_managed_role_is_replaced_for_another_account_as_the_error_says",
        ],
        &[("src/cloud/classify.rs", 1)],
    ),
    row(
        Reason::OIDCTokenRejected,
        Followed,
        &["cloud::cures::sts::a_rejected_token_is_corrected_as_the_error_says"],
        &[("src/cloud/classify.rs", 1), ("src/controller/sources.rs", 1)],
    ),
    row(
        Reason::ServiceAccountNotFound,
        Followed,
        &["integration::cures::identity::a_source_of_an_identity_is_created_or_allowed_as_the_message_says"],
        &[("src/controller/sources.rs", 1)],
    ),
    row(
        Reason::SecretNotFound,
        Followed,
        &["integration::cures::identity::a_source_of_an_identity_is_created_or_allowed_as_the_message_says"],
        &[("src/controller/sources.rs", 1), ("src/provider/sources.rs", 1)],
    ),
    row(
        Reason::InstanceNotFound,
        Followed,
        &[
            "cloud::cures::registry::an_unknown_instance_is_corrected_as_the_error_says",
            "cloud::cures::registry::a_missing_personal_registry_is_corrected_or_replaced_as_the_error_says",
        ],
        &[("src/cloud/classify.rs", 1)],
    ),
    row(
        Reason::UnsupportedEdition,
        Followed,
        &[
            "integration::personal::a_stored_one_reports_it_and_costs_no_other_registry",
            "integration::personal::the_pull_secret_made_by_hand_stays_beside_ours",
        ],
        &[("src/plan/binding_facts.rs", 1)],
    ),
    row(
        Reason::NoDomains,
        Followed,
        &[
            "cloud::cures::registry::an_unknown_instance_is_corrected_as_the_error_says",
            "integration::cures::binding::a_binding_that_serves_nothing_serves_again_as_its_reason_says",
        ],
        &[("src/cloud/enterprise.rs", 1)],
    ),
    row(
        Reason::KeyInvalid,
        Followed,
        &[
            "cloud::cures::registry::a_rejected_key_is_restored_corrected_enabled_or_replaced_as_the_error_says",
        ],
        &[("src/cloud/classify.rs", 1)],
    ),
    row(
        Reason::KeyInactive,
        Followed,
        &[
            "cloud::cures::registry::a_rejected_key_is_restored_corrected_enabled_or_replaced_as_the_error_says",
        ],
        &[("src/cloud/classify.rs", 1)],
    ),
    row(
        Reason::ClockSkew,
        Followed,
        &[
            "cloud::cures::registry::a_wrong_clock_is_set_by_the_minutes_of_the_error",
            "cloud::errors::a_clock_skew_is_reported_in_minutes_for_every_action",
        ],
        &[("src/cloud/classify.rs", 1)],
    ),
    row(
        Reason::Throttled,
        ByItself,
        &[
            "cloud::cures::registry::what_the_error_calls_automatic_goes_at_the_next_attempt",
            "integration::refresh::a_throttled_call_waits_as_long_as_the_cloud_asks_and_delays_no_other_registry",
        ],
        &[("src/cloud/classify.rs", 1)],
    ),
    row(
        Reason::Unreachable,
        Followed,
        &[
            "cloud::cures::transport::a_host_is_found_reached_or_corrected_as_the_error_says",
            "cloud::cures::transport::a_certificate_is_trusted_or_its_proxy_bypassed_as_the_error_says",
            "cloud::controller_identity::an_unreachable_api_server_does_not_mean_that_its_credentials_are_absent",
        ],
        &[("src/cloud/client.rs", 1), ("src/controller/sources.rs", 1)],
    ),
    row(
        Reason::SessionTooLong,
        Followed,
        &["cloud::cures::sts::a_session_is_shortened_or_the_role_allows_it_as_the_error_says"],
        &[("src/cloud/classify.rs", 1)],
    ),
    row(
        Reason::NoIdentity,
        Followed,
        &[
            "cloud::cures::identity::a_missing_identity_is_given_as_the_error_says",
            "cloud::cures::identity::an_identity_is_given_without_the_metadata_service_as_the_error_says",
        ],
        &[
            ("src/cloud/identity/controller_identity.rs", 1),
            ("src/cloud/identity/metadata.rs", 2),
            ("src/cloud/identity/worker_role.rs", 1),
            ("src/provider/sources.rs", 1),
        ],
    ),
    row(
        Reason::AddonTokenInvalid,
        Followed,
        &[
            "cloud::cures::identity::an_unusable_addon_token_is_replaced_as_the_error_says",
            "integration::cures::identity::a_token_file_that_cannot_be_read_is_read_once_its_volume_is_right",
        ],
        &[("src/cloud/identity/addon.rs", 1), ("src/controller/sources.rs", 1)],
    ),
    row(
        Reason::CredentialRejected,
        Followed,
        &["integration::verify::under_enforce_a_rejected_token_does_not_replace_the_last_valid_one"],
        &[("src/cloud/verify.rs", 1)],
    ),
    row(
        Reason::UnexpectedReply,
        ByItself,
        &[
            "cloud::cures::registry::what_the_error_calls_automatic_goes_at_the_next_attempt",
            "cloud::cures::registry::what_persists_goes_with_the_cause_that_the_error_names",
        ],
        &[("src/cloud/call.rs", 1), ("src/cloud/classify.rs", 1)],
    ),
    row(
        Reason::CloudFailing,
        ByItself,
        &[
            "cloud::cures::registry::what_the_error_calls_automatic_goes_at_the_next_attempt",
            "src::plan::credential_cache::tests::keeping::a_token_that_expires_with_the_current_one_is_reported_and_costs_no_write",
        ],
        &[("src/cloud/classify.rs", 1), ("src/plan/credential_cache/attempt.rs", 1)],
    ),
    row(
        Reason::SecretConflict,
        Followed,
        &[
            "integration::cures::namespace::a_secret_of_another_owner_makes_room_as_the_message_says",
            "integration::refusal::own_secret::a_secret_of_our_name_and_label_but_another_type_goes_by_the_printed_deletion",
        ],
        &[("src/plan/desired.rs", 1), ("src/plan/refusal.rs", 1)],
    ),
    row(
        Reason::Contended,
        Followed,
        &[
            "integration::limits::a_writer_at_twenty_writes_a_second_gets_a_bounded_answer",
            "integration::limits::a_tool_that_sometimes_applies_the_list_is_reported_and_reverted_each_time",
            "integration::limits::a_tool_that_states_our_entry_in_an_uncovered_namespace_is_reported_with_the_cure",
            "integration::removal::deletions_of_the_secret_are_reported_as_such",
            "src::plan::record::tests::writes_of_objects_that_are_gone_or_rested_for_long_are_forgotten",
        ],
        &[("src/plan/conflict.rs", 1), ("src/plan/deletions.rs", 2)],
    ),
    row(
        Reason::QuotaExceeded,
        Followed,
        &[
            "integration::cures::namespace::a_full_quota_is_raised_or_its_namespace_excluded_as_the_message_says",
            "integration::refusal::own_secret::a_quota_on_the_count_of_secrets_has_room_after_a_deletion_there",
        ],
        &[("src/plan/refusal.rs", 1)],
    ),
    row(
        Reason::Forbidden,
        Followed,
        &[
            "integration::cures::namespace::a_refused_write_is_allowed_by_the_files_of_this_version",
            "integration::cures::identity::a_source_of_an_identity_is_created_or_allowed_as_the_message_says",
            "integration::cures::identity::an_addon_token_may_be_read_once_the_rbac_is_applied_as_the_message_says",
            "integration::identities::an_account_that_the_policies_do_not_name_is_reported_with_the_cure",
            "integration::config_map::an_unreadable_config_map_is_reported_and_its_binding_is_kept",
            "integration::refusal::others::a_policy_that_demands_a_label_of_secrets_is_quoted_and_the_flag_and_its_exception_satisfy_it",
            "integration::refusal::own_secret::a_missing_right_names_its_file_and_applying_it_gives_the_right",
        ],
        &[("src/controller/sources.rs", 3), ("src/plan/config_map.rs", 1), ("src/plan/refusal.rs", 4)],
    ),
    row(
        Reason::MetadataAddedByAdmission,
        Followed,
        &[
            "integration::refusal::additions::a_label_on_everything_is_named_and_the_exceptions_let_secret_and_entries_in",
            "integration::refusal::additions::an_exemption_of_the_named_user_lets_secret_and_entries_in",
        ],
        &[("src/plan/refusal.rs", 1)],
    ),
    row(
        Reason::RefusedByAdmission,
        Followed,
        &[
            "integration::refusal::others::a_policy_that_demands_a_label_of_secrets_is_quoted_and_the_flag_and_its_exception_satisfy_it",
            "integration::refusal::others::a_webhook_that_demands_a_label_of_accounts_is_quoted_once_and_the_owner_satisfies_it",
            "integration::cures::refusal::another_admission_controller_is_corrected_started_deleted_or_exempts_the_user_as_the_message_says",
        ],
        &[("src/plan/refusal.rs", 1)],
    ),
    row(
        Reason::AdmissionUnreachable,
        Followed,
        &[
            "integration::refusal::others::a_webhook_that_does_not_answer_is_named_and_its_deletion_lets_the_entry_in",
            "integration::cures::refusal::another_admission_controller_is_corrected_started_deleted_or_exempts_the_user_as_the_message_says",
        ],
        &[("src/plan/refusal.rs", 1)],
    ),
    row(
        Reason::SecretImmutable,
        Followed,
        &[
            "integration::refusal::own_secret::an_immutable_secret_is_reported_at_once_and_returns_after_the_printed_deletion",
        ],
        &[("src/plan/refusal.rs", 1)],
    ),
    row(
        Reason::WriteFailing,
        Followed,
        &["integration::cures::refusal::a_service_account_without_room_gets_some_as_the_message_says"],
        &[("src/plan/refusal.rs", 4)],
    ),
    row(
        Reason::DomainContested,
        Followed,
        &[
            "integration::cures::binding::a_contested_domain_is_served_once_it_is_removed_from_one_of_its_claims",
        ],
        &[("src/plan/status/overall.rs", 1), ("src/plan/status/pairs.rs", 1)],
    ),
    row(
        Reason::SecretTooLarge,
        Followed,
        &[
            "integration::limits::a_secret_that_would_be_too_large_is_refused_and_the_fitting_domains_are_reported",
            "integration::refusal::own_secret::annotations_of_others_that_leave_no_room_go_by_the_printed_deletion",
            "integration::refusal::own_secret::a_secret_that_etcd_finds_too_large_is_reported_and_fewer_domains_fit",
        ],
        &[("src/plan/desired.rs", 1), ("src/plan/namespace.rs", 1), ("src/plan/refusal.rs", 2)],
    ),
    row(
        Reason::LegacyConfigInvalid,
        Followed,
        &["integration::cures::config_map::a_config_map_is_corrected_restored_or_edited_as_the_message_says"],
        &[("src/controller/config_map.rs", 1), ("src/plan/config_map.rs", 1)],
    ),
    row(
        Reason::LegacyConfigMissing,
        Followed,
        &[
            "integration::cures::config_map::a_config_map_is_corrected_restored_or_edited_as_the_message_says",
            "integration::config_map::a_config_map_that_comes_back_in_time_changes_nothing",
        ],
        &[("src/plan/config_map.rs", 1)],
    ),
    row(
        Reason::WatchStale,
        Followed,
        &[
            "integration::blindness::a_restart_opens_a_watch_that_is_heard_again_as_the_message_says",
            "integration::blindness::a_watch_that_hears_nothing_is_reported_and_bindings_are_unknown_until_it_does",
        ],
        &[("src/plan/status/blindness.rs", 1)],
    ),
    row(
        Reason::PoliciesMissing,
        Followed,
        &[
            "integration::policy_probe::missing_policies_are_reported_and_new_ones_are_noticed",
            "integration::policy_probe::an_api_server_without_policies_is_recognized_and_namespaces_are_served",
        ],
        &[("src/plan/policy_probe.rs", 1)],
    ),
    row(
        Reason::MutatingAdmissionPolicy,
        Healthy,
        &[
            "integration::cures::admission::the_admission_policy_works_once_the_files_of_its_message_are_applied",
        ],
        &[("src/plan/admission_mode.rs", 1)],
    ),
    row(
        Reason::MutatingWebhook,
        Healthy,
        &[
            "integration::webhook::rights::without_the_grant_the_condition_says_the_cure_and_the_loop_serves_and_a_grant_is_noticed",
        ],
        &[("src/plan/admission_mode.rs", 1)],
    ),
    row(
        Reason::AdmissionMissing,
        Followed,
        &[
            "integration::cures::admission::the_admission_policy_works_once_the_files_of_its_message_are_applied",
            "integration::webhook::rights::without_the_grant_the_condition_says_the_cure_and_the_loop_serves_and_a_grant_is_noticed",
            "integration::admission_policy::parameters::the_largest_parameters_are_within_the_cost_limit_of_the_api_server",
        ],
        &[("src/plan/admission_mode.rs", 2)],
    ),
];
