//! The store's contract, held by SQLite and PostgreSQL alike: every test here runs on both.
//!
//! PostgreSQL is a real server that the test kit starts; where it is missing the tests fail and
//! say so. Each test has a database of its own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test reports by panicking"
)]

mod contract {
    pub(crate) mod changes;
    pub(crate) mod credentials;
    pub(crate) mod durability;
    pub(crate) mod factors;
    pub(crate) mod faults;
    pub(crate) mod grants;
    pub(crate) mod holds;
    pub(crate) mod home;
    pub(crate) mod lifecycle;
    pub(crate) mod locks;
    pub(crate) mod requests;
    pub(crate) mod resources;
    pub(crate) mod reviews;
    pub(crate) mod samples;
    pub(crate) mod secrets;
    pub(crate) mod sequence;
    pub(crate) mod sessions;
    pub(crate) mod subjects;
}

use contract::reviews;
use contract::{
    changes, credentials, durability, factors, faults, grants, holds, lifecycle, locks, requests,
    resources,
};
use contract::{secrets, sequence, sessions, subjects};

/// Makes a test of every contract for every database.
macro_rules! on_every_database {
    ($($module:ident { $($test:ident,)+ })+) => {
        mod sqlite {
            $(mod $module {
                $(#[tokio::test(flavor = "multi_thread")]
                async fn $test() {
                    crate::$module::$test(crate::contract::home::Home::sqlite()).await;
                })+
            })+
        }
        mod postgres {
            $(mod $module {
                $(#[tokio::test(flavor = "multi_thread")]
                async fn $test() {
                    crate::$module::$test(crate::contract::home::Home::postgres().await).await;
                })+
            })+
        }
    };
}

on_every_database! {
    factors {
        a_challenge_is_answered_once_and_in_time,
        a_counter_goes_forward_or_is_always_zero,
        a_credential_belongs_to_one_person_who_has_a_bounded_number,
        one_code_waits_per_person_and_place_and_is_used_once,
        whoever_changed_a_factor_waits_until_the_latest_time,
    }
    lifecycle {
        random_lives_of_requests_and_grants_are_what_a_model_says,
    }
    sequence {
        batches_of_many_writers_follow_each_other_without_gaps,
    }
    resources {
        an_apply_is_one_revision_and_the_same_again_is_none,
        a_plan_made_at_another_revision_is_refused_whole,
        what_was_applied_reads_back_with_its_author,
        deleting_what_is_not_there_changes_nothing,
        a_key_named_twice_is_refused,
        a_removed_user_leaves_nothing_for_the_next_of_that_name,
        a_target_that_moves_to_another_environment_loses_its_grants,
        an_edited_target_keeps_its_grants,
        facts_hold_what_is_in_force_and_nothing_else,
        facts_are_one_consistent_state_while_others_write,
        of_many_applies_at_one_revision_one_wins,
        a_change_is_told_here_at_once_and_elsewhere_within_a_second,
        the_revision_told_never_shrinks,
    }
    requests {
        a_request_reads_back_and_lists_newest_first,
        an_approval_writes_request_and_grant_and_grows_the_revision,
        of_a_hundred_concurrent_approvals_one_makes_a_grant,
        a_refused_transition_changes_nothing,
        nothing_is_seen_when_what_must_come_first_fails,
        a_transition_may_change_the_state_only,
        two_people_approve_one_after_the_other,
        pending_requests_are_bounded_per_user_even_when_made_at_once,
        a_request_nobody_decided_expires_once,
        an_unknown_request_is_not_found,
    }
    changes {
        of_many_people_on_several_nodes_one_decides_a_change,
        a_change_survives_a_restart_and_expires,
        the_oldest_change_makes_room,
    }
    reviews {
        of_many_uses_at_once_on_two_nodes_one_makes_a_grant,
        a_review_is_closed_once_by_somebody_else_and_then_the_role_is_free,
        nothing_is_used_when_the_audit_fails,
    }
    grants {
        a_grant_is_found_by_every_target_it_is_to,
        revoking_ends_a_grant_once_and_says_when_it_was_over,
        a_grant_whose_window_is_over_is_not_revoked,
        of_many_concurrent_revocations_one_ends_it,
        only_active_grants_are_listed_when_asked_for,
        the_end_of_a_grant_is_said_once_and_of_a_revoked_one_never,
    }
    locks {
        a_lock_holds_until_it_is_lifted_once,
        an_expired_lock_is_in_force_no_more,
        a_dropped_gate_is_not_lifted_by_one_person,
        a_dropped_gate_is_raised_by_two_people_whoever_dropped_it,
        the_same_person_asking_many_times_at_once_counts_once,
        dropping_twice_is_one_drop_and_after_the_raise_a_new_one,
        a_drop_is_of_an_environment_and_never_expires,
    }
    holds {
        a_hold_is_in_force_until_another_person_lifts_it,
        holds_are_bounded,
    }
    subjects {
        a_person_has_one_key_until_forgotten_and_then_another,
        nobody_under_a_hold_is_forgotten,
        invented_names_share_a_key_beyond_a_bound_and_users_do_not,
        every_user_is_enrolled_and_keys_survive_a_rotation,
    }
    credentials {
        a_code_works_once_on_whichever_node_it_arrives,
        an_older_code_never_works_after_a_newer_one,
        an_unconfirmed_totp_secret_accepts_nothing,
        a_set_up_that_is_given_up_leaves_the_totp_in_use_alone,
        a_recovery_code_works_once,
        new_recovery_codes_replace_the_old,
        passwords_and_enrolment_status_read_back,
        no_concurrent_attempt_is_lost,
        totp_that_lost_its_secret_is_an_error_and_not_absent,
    }
    secrets {
        a_secret_reads_back_and_is_not_in_the_database_in_clear,
        a_sealed_value_moved_to_another_place_does_not_open,
        a_wrong_master_key_is_refused_by_name,
        rotation_keeps_every_secret_and_retires_the_old_key,
        a_node_with_the_old_key_neither_reads_nor_writes_secrets,
        a_retired_master_key_is_never_taken_again,
        a_broken_off_rotation_is_completed_at_the_next_start,
        a_lost_key_file_is_not_replaced_by_a_new_key,
        two_nodes_that_start_at_once_share_the_key_one_of_them_made,
        wrapped_keys_survive_a_rotation_and_stay_in_their_context,
    }
    sessions {
        a_session_opens_and_ends_once,
        a_recordings_key_goes_with_the_removal_unless_a_hold_covers_it,
        sessions_are_listed_by_state_and_page_by_page,
        sessions_of_a_killed_node_are_closed_and_no_others,
        a_token_is_found_until_it_is_revoked_or_over,
        a_token_nobody_uses_ends_and_use_keeps_it_up_to_its_end,
        people_see_and_end_their_own_sign_ins_only,
        a_certificate_serial_is_taken_once_and_revoked_for_good,
        all_sign_ins_of_a_user_are_revoked_together,
        heartbeats_are_kept_per_node,
    }
    faults {
        hostile_text_is_refused_the_same_everywhere,
        an_unreadable_entry_fails_the_facts_instead_of_leaving_a_hole,
        a_closed_store_answers_errors_only,
        an_abandoned_write_leaves_no_trace_and_no_lock,
        a_store_written_by_a_newer_program_is_not_opened,
        opening_twice_at_once_makes_one_set_of_tables,
    }
    durability {
        a_writer_killed_at_any_moment_leaves_whole_changes_and_loses_none_acknowledged,
        a_rotation_killed_at_any_moment_leaves_every_secret_readable,
    }
}

/// The victim of the tests in `durability`, which start this same program and kill it.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "started by the tests in `durability` as a process of its own"]
async fn victim() {
    durability::victim().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_server_that_dies_is_unavailable_and_never_an_answer() {
    faults::a_postgres_server_that_dies_is_unavailable_and_never_an_answer().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_sqlite_file_another_process_holds_is_unavailable_in_bounded_time() {
    faults::an_sqlite_file_another_process_holds_is_unavailable_in_bounded_time().await;
}

#[tokio::test]
async fn a_url_that_names_no_store_is_refused_without_repeating_it() {
    faults::a_url_that_names_no_store_is_refused_without_repeating_it().await;
}
