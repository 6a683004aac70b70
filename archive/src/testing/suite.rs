//! The suite that every kind of catalogue must pass: the same cases on SQLite and on PostgreSQL.

#[expect(clippy::unwrap_used, reason = "these are tests, though the feature compiles them for other crates too")]
pub mod cases {
    //! Each case takes an archive of its own and ends by verifying it.

    mod accounts;
    mod arriving;
    mod copying;
    mod leaving;
    mod losing;
    mod moving;
    mod remembering;
    mod restoring;
    mod running;
    mod scrubbing;
    mod seeing;

    pub use accounts::*;
    pub use arriving::*;
    pub use copying::*;
    pub use leaving::*;
    pub use losing::*;
    pub use moving::*;
    pub use remembering::*;
    pub use restoring::*;
    pub use running::*;
    pub use scrubbing::*;
    pub use seeing::*;
}

/// Makes a test of every case, on archives that `$start` starts.
#[macro_export]
macro_rules! catalogue_suite {
    ($start:path) => {
        $crate::catalogue_suite!($start:
            fault_19_a_recording_is_archived_once_whatever_is_replayed,
            fault_18_the_same_bytes_in_another_call_or_pbx_are_another_recording,
            fault_23_a_lost_claim_changes_nothing,
            a_failed_source_waits_and_a_quarantined_one_can_be_retried,
            an_unknown_pbx_is_archived_as_unassigned_and_only_operators_see_it,
            an_implausible_start_counts_retention_from_archiving,
            what_is_older_than_the_enrolment_is_guarded_until_confirmed,
            an_object_left_in_writing_is_swept_and_never_a_live_one,
            fault_22_several_claimants_never_get_the_same_source,
            what_is_delivered_by_two_at_the_same_moment_is_archived_once,
            what_arrives_while_an_operator_confirms_is_confirmed_too,
            a_collector_learns_what_is_known_what_lies_here_and_what_a_lost_instance_left,
            a_scope_reaches_its_own_and_nothing_else,
            pages_visit_every_recording_once_in_both_orders,
            every_part_of_a_search_narrows_it,
            lists_stay_in_scope_and_go_on_behind_the_last_row_seen,
            audio_reads_back_from_any_offset,
            a_held_recording_neither_expires_nor_is_purged,
            a_hold_set_between_expiry_and_purge_brings_back_what_it_reaches,
            usage_follows_a_recording_through_its_life,
            fault_20_a_purged_recording_leaves_a_tombstone_that_refuses_it,
            undelete_works_until_the_purge_and_only_in_scope,
            fault_30_a_hold_and_a_purge_never_pass_each_other,
            archived_needs_the_copies_it_requires_and_the_others_follow,
            another_store_that_is_named_stands_in_for_one_that_is_down,
            a_store_that_is_down_holds_up_no_copy_for_another,
            a_copier_that_lost_its_claim_changes_nothing,
            two_copiers_at_once_make_each_copy_once,
            a_damaged_copy_is_never_read_and_is_replaced_by_another,
            damage_that_copying_meets_is_found_and_not_copied_on,
            a_reader_goes_on_with_another_copy_where_one_breaks_off,
            a_lost_store_is_survived_shown_and_repaired,
            a_store_that_was_declared_lost_can_be_found_again,
            a_found_store_that_is_empty_takes_no_other_copy_away,
            what_is_delivered_into_a_store_that_is_declared_lost_meanwhile_goes_elsewhere,
            a_purge_needs_nothing_of_a_lost_store,
            a_recording_moves_when_it_is_old_enough_and_its_old_bytes_wait_for_readers,
            what_is_old_enough_for_several_moves_goes_to_the_last,
            a_held_recording_moves_and_stays_held_and_an_expired_one_does_not_move,
            a_move_to_a_store_that_is_down_takes_nothing_away,
            a_move_whose_target_is_down_takes_nothing_away_even_where_it_has_a_copy,
            a_move_whose_target_lost_the_object_copies_it_again_first,
            two_instances_move_a_recording_once,
            a_recording_that_is_purged_while_it_moves_leaves_nothing_behind,
            a_tier_says_what_of_its_stores_is_wrong,
            expiring_over_a_quota_stops_at_the_quota,
            a_round_of_purging_visits_everything_that_is_due_once,
            a_recording_that_cannot_be_purged_keeps_no_other_from_it,
            a_store_that_is_away_keeps_no_other_from_being_swept,
            a_run_is_finished_once_with_its_report_its_events_and_its_row_of_the_audit,
            an_accepted_clock_disowns_the_runs_of_a_later_time,
            applying_twice_changes_nothing_and_a_bad_entry_changes_nothing_at_all,
            a_change_of_retention_or_of_an_alias_is_previewed_and_audited,
            a_start_that_was_cut_off_between_marker_and_row_goes_on_with_its_store,
            passwords_tokens_and_disabling_take_effect_at_once,
            too_many_failures_ban_the_address_from_the_login_for_a_while,
            the_audit_chain_shows_a_changed_row,
            a_lease_has_one_holder_and_a_growing_fence,
            events_wait_in_the_outbox_until_they_are_sent,
            a_pbx_user_reads_what_concerns_its_pbx_and_nothing_else,
            what_is_trimmed_of_the_audit_leaves_a_chain_that_can_be_followed,
            fault_36_a_change_that_cannot_be_audited_does_not_happen,
            a_read_that_can_never_be_written_keeps_no_other_from_the_audit,
            an_instance_that_retires_gives_back_its_leases_and_its_claims,
            what_a_living_instance_has_spooled_stays_its_own_however_long_it_waits,
            fault_21_an_instance_whose_clock_is_ten_minutes_off_takes_nothing_from_another,
            fault_22_two_instances_that_rotate_and_purge_at_once_take_each_recording_once,
            fault_26_and_27_what_is_damaged_is_flagged_told_and_never_read_until_it_is_sound,
            a_store_that_is_away_has_not_lost_everything,
            scrubbing_reads_what_was_unread_longest_and_only_what_is_due,
            a_recording_is_repaired_from_its_source_by_the_very_same_bytes_only,
            a_recording_that_expires_while_it_is_repaired_counts_as_expired,
            a_recording_that_has_a_live_object_is_not_buried,
            fault_27_an_orphan_is_moved_aside_after_a_day_and_a_live_object_never,
            what_is_found_damaged_while_it_is_read_stays_flagged,
            what_a_copy_finds_damaged_is_fetched_again_where_no_other_is_left,
            a_store_that_cannot_be_looked_at_is_found_and_the_others_are_verified,
            fault_27_what_does_not_look_like_ours_is_never_moved_away,
            a_deep_verification_that_was_cut_off_goes_on_where_it_was,
            backups_are_kept_by_number_and_the_journal_as_long_as_one_needs_it,
            a_lost_catalogue_comes_back_with_all_that_happened_since_the_backup,
            rules_come_back_as_they_were_last_and_those_that_were_taken_away_do_not,
            nothing_goes_after_a_restore_until_an_operator_has_confirmed_it,
            the_lost_catalogue_is_refused_where_another_was_restored,
            what_was_purged_after_the_backup_does_not_come_back,
            a_hold_that_was_released_after_the_backup_is_released,
            a_damaged_backup_names_the_one_before_it,
            what_cannot_be_restored_is_refused_in_one_line,
            a_catalogue_is_rebuilt_without_a_backup,
            without_a_journal_keys_and_bytes_bring_recordings_back_guarded,
            what_was_moved_or_copied_since_the_backup_is_found_under_its_new_key,
            an_entry_whose_change_failed_does_no_harm,
            a_copy_brings_back_its_recording_with_all_its_facts_where_every_other_store_is_lost_too,
        );
    };
    ($start:path: $($case:ident,)+) => {$(
        #[tokio::test]
        async fn $case() {
            $crate::testing::cases::$case($start().await).await;
        }
    )+};
}
