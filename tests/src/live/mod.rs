//! The tests. Expected values come from another source than the code under test: a walk of the page tables, a helper
//! that touched a known number of pages, the kernel's own words.

mod aggregates;
mod alerts;
mod causes;
mod commands;
mod crowds;
mod demo;
mod drift;
mod ends;
mod endurance;
mod explain;
mod fallback;
mod files;
mod foreign;
mod ftrace;
mod groups;
mod hard;
mod host;
mod hotplug;
mod labels;
mod memory;
mod oom;
mod output;
mod processes;
mod reclaim;
mod repeated;
mod reports;
mod run;
mod runs;
mod selection;
mod shadow;
mod shared_files;
mod signals;
mod sites;
mod slots;
mod stalled;
mod startup;
mod strain;
mod system;
mod threads;
mod tight;
mod usage;

use crate::harness::Test;

/// The names and functions of a module's tests, under the module's name.
macro_rules! tests {
    ($($module:ident { $($test:ident)* })*) => {
        &[$($((concat!(stringify!($module), "::", stringify!($test)), $module::$test as fn() -> _),)*)*]
    };
}

/// Every test, in the order in which they run.
pub const TESTS: &[Test] = tests! {
    memory {
        anonymous_pages
        pages_of_a_file
        private_copies_of_a_files_pages
        shared_memory
        pages_given_up
        a_region_unmapped
        huge_pages
        locked_pages
        the_zero_page_is_no_memory
        swapped_pages
    }
    processes {
        a_fork_and_its_parent
        an_execve_has_new_memory
        a_process_without_its_leader
        two_processes_with_one_memory
        many_processes_with_one_memory
        a_process_in_a_sandbox
        a_vfork_on_its_parents_memory
        an_execve_that_fails
        a_process_in_a_pid_namespace
        processes_without_memory
    }
    foreign {
        khugepaged_fills_the_gaps
        ksm_makes_equal_pages_one
        userfaultfd_fills_another
        process_madvise_of_another
        process_vm_writev_into_another
    }
    reclaim {
        kswapd_swaps_out_an_idle_process
        a_process_at_the_limit_of_its_group
    }
    hotplug {
        cpus_that_go_and_come
        a_peak_of_drift_on_more_cpus_than_at_the_attach
        all_cpus_but_one_under_load
    }
    threads {
        two_thousand_threads
        threads_that_go_over_all_cpus
    }
    drift {
        stays_within_its_bound_and_gets_there
        is_what_the_files_lack
        adds_up_in_every_row
        lists_the_holders
    }
    explain {
        of_a_known_number_of_pages
        of_a_mark_that_was_reset
        of_what_has_no_memory
    }
    oom {
        ranks_as_the_kernel_scores
        skips_whom_the_kernel_skips
        takes_the_predicted_victim
        of_groups_and_words
    }
    demo {
        of_a_thousand_threads
        of_ten_thousand_threads
    }
    shadow {
        is_exact_for_every_idle_process
        fills_its_columns
        counts_what_was_done
        flushes_when_another_takes_the_cpu
        processes_that_come_and_go_leave_nothing
        processes_that_end_while_they_are_read
        attaches_under_load
        a_full_map_is_counted
        two_at_once
        threads_on_all_cpus
    }
    slots {
        a_task_that_runs_when_we_attach
        a_peak_that_another_cpu_raises
    }
    strain {
        a_stopped_process
        a_stopped_daemon
        busy_cpus
        every_run_is_counted
        with_256_cpu_numbers
        a_reader_for_256_cpus
        steps_down_when_it_costs_too_much
        random_orders
    }
    fallback {
        an_mm_that_ends_unseen
        without_fentry
        without_an_end
        an_end_beside_a_shared_memory
        an_address_after_an_unseen_end
    }
    ftrace {
        ends_that_fentry_does_not_see
        switched_off_meanwhile
        runs_whose_ends_fentry_does_not_see
    }
    hard {
        huge_pages_that_are_split
        a_worker_of_io_uring
        an_address_that_is_used_again
        an_address_that_is_used_again_by_its_process
        ends_that_are_interrupted
        khugepaged_is_interrupted
    }
    ends {
        of_an_mm_by_its_reader
    }
    crowds {
        a_process_that_forks_ten_thousand_times
        a_hundred_thousand_short_lives
        programs_with_long_arguments
        attached_again_and_again
        no_room_for_all
        no_room_for_all_in_the_command
    }
    tight {
        maps_that_find_no_memory
        births_take_no_memory
        a_start_in_a_small_control_group
    }
    usage {
        unknown_words_are_refused_with_the_valid_ones
        bad_durations_and_counts_are_refused
        an_interval_and_a_count_as_vmstat_has_them
        outputs_that_contradict_each_other_are_refused
        help_and_version_are_no_errors
        a_pid_that_is_not_there_is_told_at_once
        a_pid_without_memory_is_told_why
    }
    files {
        a_full_disk_ends_the_run_and_leaves_whole_rows
        a_full_device_is_told
        a_file_of_another_header_is_left_alone
        a_directory_that_is_not_there
        a_second_run_appends
    }
    output {
        csv_has_the_contract
        jsonl_has_the_same_rows
        csv_beside_the_table
        nothing_but_text_where_there_is_no_terminal
        a_narrow_terminal_drops_columns
        a_closed_pipe_is_a_quiet_end
    }
    groups {
        a_row_names_the_group_of_its_process
    }
    aggregates {
        groups_add_up_to_the_host
        a_service_of_known_size
        a_shared_memory_counts_once
        sizes_and_levels_are_of_groups
        words_and_names
        a_name_may_end_in_a_carriage_return
        what_another_mount_covers_has_no_charge
    }
    alerts {
        a_known_drift_fires_in_the_third_report
        every_selected_process_is_judged
        what_moves_counts_as_far_as_it_is_certain
        of_a_group
        a_level_and_several_conditions
        a_signal_before_it_keeps_its_own_status
        conditions_that_are_none
        a_reader_that_goes_is_told
    }
    labels {
        no_drift_of_files_that_may_be_exact
        a_step_down_at_the_start_is_told
        no_name_moves_the_cursor
        no_argument_moves_the_cursor
        an_empty_name_is_a_dash
        a_start_in_a_time_namespace
        a_name_that_a_process_gave_itself
    }
    selection {
        outputs_for_machines_have_every_process
        a_given_top_is_that_of_all_outputs
        figures_are_those_of_the_selection
        a_name_that_matches_nothing_is_told_once
        by_each_kind
        a_container_by_its_name
        kinds_are_all_required
        a_group_that_comes_goes_and_comes_back
        a_group_that_comes_and_goes_is_not_told_each_time
        what_is_not_there_is_told_at_once
        explain_takes_the_largest_drift_of_several
    }
    shared_files {
        a_rotated_file_is_followed
        a_lock_of_another_process
        modes_follow_the_umask
        links_of_others_in_a_sticky_folder
        files_that_a_crash_cut
        outputs_of_run
    }
    stalled {
        a_pipe_that_nobody_reads
        fifos_without_a_reader
        a_stopped_terminal
        without_a_thread_signals_work
        run_with_a_blocked_standard_error
        an_output_that_does_not_block
    }
    endurance {
        a_signal_within_a_report
        twenty_at_once
        memory_and_descriptors_stay
    }
    runs {
        as_many_reports_as_asked_for
        signals_end_with_a_summary
        a_watched_process_that_dies
        a_killed_run_leaves_nothing_in_the_kernel
    }
    signals {
        ignored_at_the_start_stay_ignored
        sigchld_ignored_by_the_parent
        the_command_gets_them_back
        a_report_now
        a_command_that_is_slow_to_end
        at_any_instant
    }
    run {
        gives_the_commands_exit_status
        counts_a_program_to_the_page
        counts_threads_within_the_printed_error
        follows_a_daemon
        waits_for_memory_that_somebody_holds
        tells_what_was_seen_until_a_signal
        writes_rows_and_text
        predicts_misses_of_programs
    }
    commands {
        another_user
        another_user_has_no_privileges
        no_line_where_it_disturbs
        a_full_queue_of_openings
        goes_on_without_us_when_it_costs_too_much
    }
    repeated {
        each_run_is_counted_anew
        a_line_on_a_terminal
    }
    sites {
        the_rfcs_chain_is_among_the_first
        an_execve_misses_once_at_the_rfcs_sites
        a_programs_pages_come_by_the_rfcs_sites
        hidden_symbols_are_told
        cpus_that_ran_the_mm
    }
    system {
        every_process_of_the_host
        the_commands_own_peak
        readings_of_rss
    }
    causes {
        too_few_open_files
        a_limit_of_locked_memory
        a_seccomp_filter
        a_user_namespace
        a_bounding_set
        the_setcap_line_runs
    }
    reports {
        of_all_cost_each_row_the_same
        groups_cost_each_process_the_same
        of_stat_read_no_file_for_each_row
        a_selection_reads_what_it_asks_for
    }
    startup {
        doctor_finds_all_that_is_needed
        doctor_in_a_pid_namespace
        lockdown_to_confidentiality
        the_jit_is_off
        types_from_a_file
        a_kernel_without_btf
        without_privileges
        takes_little_memory
    }
    host {
        every_idle_process
        many_short_lives_beside_an_idle_process
    }
};
