//! What is tried, and what must come of it.

mod by_ssh;
mod clean;
mod deletes;
mod departures;
mod descriptors;
mod dry;
mod faults;
mod firewalls;
mod first_page;
mod floods;
mod folding;
mod hosts;
mod late;
mod lines;
mod link_local;
mod many;
mod masters;
mod memberships;
mod messages;
mod mirrors;
mod multicast;
mod names;
mod pipes;
mod prefix;
mod resume;
mod returns;
mod rights;
mod satellite;
mod shares;
mod spoilers;
mod stations;
mod tree_faults;
mod tree_mounts;
pub(crate) mod trees;
mod trust;
mod unheard;
mod usage;
mod waits;

use crate::as_rsync;
use crate::lanes::Lane;
use crate::shell::find;

/// Begins the names of those that need TAP devices.
const ON_LINES: [&str; 3] = ["lines::", "satellite::", "spoilers::that_loses"];

/// Whether a scenario needs them.
pub(crate) fn is_on_lines(name: &str) -> bool {
    ON_LINES.iter().any(|on_lines| name.starts_with(on_lines))
}

/// What one alone needs: its name, a program, and the package that brings it.
const NEEDS: &[(&str, &str, &str)] = &[("by_ssh::a_small_host", "busybox", "busybox")];

/// What a scenario needs that is missing here.
pub(crate) fn lacks(name: &str) -> Option<String> {
    let mut needs = NEEDS.iter().filter(|(of, tool, _)| *of == name && find(tool).is_none());
    needs.next().map(|(_, tool, package)| format!("{tool} is missing (package {package})"))
}

/// What is tried.
pub(crate) type Scenario = fn();

/// Begins the names of those that mostly wait, for time limits and for disks, lines and networks that are made slow:
/// they run beside the others. The lanes take about as long as each other (each scenario says how long it took).
pub(crate) const PATIENT: &[(Lane, &str)] = &[
    (Lane::Timers, "memberships::of_announcements_where"),
    (Lane::Timers, "shares::"),
    (Lane::Timers, "returns::"),
    (Lane::Queries, "memberships::"),
    (Lane::Queries, "mirrors::who_is_off"),
    (Lane::Queries, "masters::"),
    (Lane::Queries, "departures::an_address_that_is_taken_away"),
    (Lane::Queries, "unheard::"),
    (Lane::Queries, "spoilers::behind_a_narrow_line"),
    (Lane::Limits, "spoilers::that_loses"),
    (Lane::Limits, "spoilers::who_is_"),
    (Lane::Limits, "hosts::"),
    (Lane::Limits, "late::"),
    (Lane::Limits, "messages::"),
    (Lane::Limits, "waits::"),
    (Lane::Limits, "firewalls::"),
    (Lane::Limits, "by_ssh::one_that_hangs"),
    (Lane::Limits, "tree_faults::one_that_is_slow"),
    (Lane::Limits, "resume::a_network_that_was_lost"),
    (Lane::Limits, "multicast::a_snooping_switch_with_a_querier"),
    (Lane::Limits, "multicast::the_group_dies_midway"),
    (Lane::Limits, "trust::keys_from_first_contact"),
];

/// Every scenario by name.
pub(crate) const ALL: &[(&str, Scenario)] = &[
    ("multicast::three_for_the_price_of_one", multicast::three_for_the_price_of_one),
    ("multicast::one_that_hears_no_group", multicast::one_that_hears_no_group),
    ("multicast::five_of_eight", multicast::five_of_eight),
    (
        "multicast::nobody_hears_it_and_that_is_told_once",
        multicast::nobody_hears_it_and_that_is_told_once,
    ),
    (
        "multicast::the_group_dies_midway_and_comes_back",
        multicast::the_group_dies_midway_and_comes_back,
    ),
    ("multicast::a_snooping_switch_with_a_querier", multicast::a_snooping_switch_with_a_querier),
    ("multicast::a_snooping_switch_without_one", multicast::a_snooping_switch_without_one),
    ("multicast::any_source_and_source_specific_v4", multicast::any_source_and_source_specific_v4),
    ("multicast::any_source_and_source_specific_v6", multicast::any_source_and_source_specific_v6),
    ("multicast::a_rate_is_kept", multicast::a_rate_is_kept),
    ("multicast::a_group_of_the_other_family", multicast::a_group_of_the_other_family),
    ("departures::towards_those_that_have_answered", departures::towards_those_that_have_answered),
    ("departures::an_address_that_is_replaced", departures::an_address_that_is_replaced),
    ("departures::a_nat_that_gives_another_port", departures::a_nat_that_gives_another_port),
    ("late::one_that_is_started_at_half", late::one_that_is_started_at_half),
    ("late::one_that_never_comes", late::one_that_never_comes),
    ("late::as_many_as_are_wanted", late::as_many_as_are_wanted),
    ("departures::receivers_of_two_interfaces", departures::receivers_of_two_interfaces),
    ("departures::an_address_that_is_taken_away", departures::an_address_that_is_taken_away),
    ("returns::one_that_joins_at_half", returns::one_that_joins_at_half),
    ("returns::one_that_is_started_again", returns::one_that_is_started_again),
    ("returns::one_that_loses_its_network", returns::one_that_loses_its_network),
    ("returns::one_that_is_stopped", returns::one_that_is_stopped),
    ("returns::one_that_is_dead", returns::one_that_is_dead),
    ("shares::of_a_line_that_is_full", shares::of_a_line_that_is_full),
    ("spoilers::behind_a_narrow_line", spoilers::behind_a_narrow_line),
    ("spoilers::that_loses", spoilers::that_loses),
    ("spoilers::whose_disk_is_slow", spoilers::whose_disk_is_slow),
    ("spoilers::who_is_dropped", spoilers::who_is_dropped),
    ("spoilers::who_is_kept", spoilers::who_is_kept),
    ("stations::are_served_by_unicast", stations::are_served_by_unicast),
    ("memberships::a_switch_that_forgets_them_v4", memberships::a_switch_that_forgets_them_v4),
    ("memberships::a_switch_that_forgets_them_v6", memberships::a_switch_that_forgets_them_v6),
    ("memberships::firewalls_that_drop_queries", memberships::firewalls_that_drop_queries),
    (
        "memberships::of_those_who_wait_for_announcements",
        memberships::of_those_who_wait_for_announcements,
    ),
    (
        "memberships::of_announcements_where_nobody_is_asked",
        memberships::of_announcements_where_nobody_is_asked,
    ),
    ("memberships::a_cable_out_and_in", memberships::a_cable_out_and_in),
    (
        "memberships::a_cable_out_and_in_far_from_the_querier",
        memberships::a_cable_out_and_in_far_from_the_querier,
    ),
    ("memberships::an_interface_that_is_made_anew", memberships::an_interface_that_is_made_anew),
    (
        "memberships::a_host_that_has_just_been_started",
        memberships::a_host_that_has_just_been_started,
    ),
    (
        "memberships::the_senders_link_is_down_for_a_moment",
        memberships::the_senders_link_is_down_for_a_moment,
    ),
    (
        "link_local::once_for_all_by_every_kind_of_group",
        link_local::once_for_all_by_every_kind_of_group,
    ),
    (
        "link_local::an_address_that_is_still_tentative",
        link_local::an_address_that_is_still_tentative,
    ),
    (
        "link_local::zones_that_lead_nowhere_fail_alone",
        link_local::zones_that_lead_nowhere_fail_alone,
    ),
    ("names::dead_addresses_hold_nobody_up", names::dead_addresses_hold_nobody_up),
    ("names::a_sender_without_ipv6", names::a_sender_without_ipv6),
    ("hosts::one_is_killed_midway", hosts::one_is_killed_midway),
    ("hosts::one_is_killed_and_started_again", hosts::one_is_killed_and_started_again),
    ("hosts::nobody_listens_and_nobody_is_there", hosts::nobody_listens_and_nobody_is_there),
    ("hosts::a_daemon_comes_late", hosts::a_daemon_comes_late),
    ("hosts::one_that_comes_back_is_tried_again", hosts::one_that_comes_back_is_tried_again),
    ("hosts::all_are_bad", hosts::all_are_bad),
    ("hosts::a_name_that_does_not_resolve", hosts::a_name_that_does_not_resolve),
    (
        "firewalls::each_is_told_as_one_with_what_opens_it",
        firewalls::each_is_told_as_one_with_what_opens_it,
    ),
    ("firewalls::one_that_is_opened_meanwhile", firewalls::one_that_is_opened_meanwhile),
    (
        "unheard::behind_a_firewall_for_established_flows",
        unheard::behind_a_firewall_for_established_flows,
    ),
    ("unheard::by_a_reverse_path_filter", unheard::by_a_reverse_path_filter),
    (
        "firewalls::a_dead_unicast_member_costs_the_group_nothing",
        firewalls::a_dead_unicast_member_costs_the_group_nothing,
    ),
    ("descriptors::none_outlives_an_exec", descriptors::none_outlives_an_exec),
    ("faults::disks_that_cannot_take_it", faults::disks_that_cannot_take_it),
    (
        "faults::a_root_that_is_made_anew_under_a_service",
        faults::a_root_that_is_made_anew_under_a_service,
    ),
    ("faults::an_old_file_survives_a_failure", faults::an_old_file_survives_a_failure),
    ("faults::every_write_fails_once", faults::every_write_fails_once),
    ("faults::every_fsync_fails_once", faults::every_fsync_fails_once),
    ("faults::every_rename_fails_once", faults::every_rename_fails_once),
    (
        "faults::every_step_of_the_temporary_file_fails_once",
        faults::every_step_of_the_temporary_file_fails_once,
    ),
    (
        "faults::a_file_system_without_permissions_and_reservation",
        faults::a_file_system_without_permissions_and_reservation,
    ),
    (
        "clean::a_killed_daemon_sweeps_at_its_next_start",
        clean::a_killed_daemon_sweeps_at_its_next_start,
    ),
    ("clean::a_daemon_that_is_told_to_end_says_so", clean::a_daemon_that_is_told_to_end_says_so),
    ("clean::senders_are_killed_at_random_moments", clean::senders_are_killed_at_random_moments),
    ("clean::an_interrupted_copy", clean::an_interrupted_copy),
    ("many::forty_sessions_with_their_own_groups", many::forty_sessions_with_their_own_groups),
    ("many::forty_sessions_on_one_group", many::forty_sessions_on_one_group),
    ("many::twenty_five_senders_to_one_group", many::twenty_five_senders_to_one_group),
    ("floods::with_a_secret", floods::with_a_secret),
    ("floods::with_keys", floods::with_keys),
    ("trust::one_of_eight_has_another_secret", trust::one_of_eight_has_another_secret),
    ("trust::in_plaintext_a_capture_can_be_read", trust::in_plaintext_a_capture_can_be_read),
    ("trust::keys_from_first_contact_to_revocation", trust::keys_from_first_contact_to_revocation),
    ("trees::attributes_and_lists_are_kept", trees::attributes_and_lists_are_kept),
    ("trees::everything_is_kept", trees::everything_is_kept),
    ("trees::a_hundredth_has_changed", trees::a_hundredth_has_changed),
    ("trees::many_empty_files", trees::many_empty_files),
    ("trees::a_folder_of_this_machine", trees::a_folder_of_this_machine),
    (
        "tree_faults::files_and_folders_in_each_others_place",
        tree_faults::files_and_folders_in_each_others_place,
    ),
    (
        "folding::nothing_replaces_another_entry_without_a_word",
        folding::nothing_replaces_another_entry_without_a_word,
    ),
    ("tree_faults::circles_and_depths", tree_faults::circles_and_depths),
    ("tree_faults::half_of_it_may_not_be_read", tree_faults::half_of_it_may_not_be_read),
    (
        "tree_faults::a_file_that_its_owner_may_not_read",
        tree_faults::a_file_that_its_owner_may_not_read,
    ),
    ("tree_faults::a_disk_that_is_full_midway", tree_faults::a_disk_that_is_full_midway),
    (
        "tree_faults::each_file_system_is_made_durable",
        tree_faults::each_file_system_is_made_durable,
    ),
    (
        "tree_faults::what_was_left_on_a_disk_that_is_nearly_full",
        tree_faults::what_was_left_on_a_disk_that_is_nearly_full,
    ),
    ("tree_faults::one_that_is_slow", tree_faults::one_that_is_slow),
    ("tree_faults::hosts_that_cannot_take_it_all", tree_faults::hosts_that_cannot_take_it_all),
    ("tree_faults::a_file_that_is_too_long", tree_faults::a_file_that_is_too_long),
    ("tree_faults::files_that_change_on_the_way", tree_faults::files_that_change_on_the_way),
    (
        "tree_mounts::other_file_systems_below_the_root",
        tree_mounts::other_file_systems_below_the_root,
    ),
    (
        "tree_mounts::what_is_listed_on_another_file_system",
        tree_mounts::what_is_listed_on_another_file_system,
    ),
    (
        "tree_mounts::owners_of_what_a_slash_stands_behind",
        tree_mounts::owners_of_what_a_slash_stands_behind,
    ),
    ("tree_mounts::a_mirror_of_what_was_mounted", tree_mounts::a_mirror_of_what_was_mounted),
    (
        "rights::what_is_not_allowed_is_left_out_and_told",
        rights::what_is_not_allowed_is_left_out_and_told,
    ),
    ("rights::owners_go_by_name_or_by_number", rights::owners_go_by_name_or_by_number),
    ("resume::a_killed_sender_is_gone_on_with", resume::a_killed_sender_is_gone_on_with),
    ("resume::a_disk_that_was_full_is_gone_on_with", resume::a_disk_that_was_full_is_gone_on_with),
    (
        "resume::a_network_that_was_lost_is_gone_on_with",
        resume::a_network_that_was_lost_is_gone_on_with,
    ),
    ("resume::kills_while_a_tree_is_replaced", resume::kills_while_a_tree_is_replaced),
    ("resume::what_is_made_durable", resume::what_is_made_durable),
    ("dry::hosts_that_agree_share_a_line", dry::hosts_that_agree_share_a_line),
    ("deletes::kills_while_it_is_deleted", deletes::kills_while_it_is_deleted),
    ("deletes::a_tree_takes_the_place_of_another", deletes::a_tree_takes_the_place_of_another),
    (
        "deletes::a_sender_that_stood_still_is_not_told_that_all_is_there",
        deletes::a_sender_that_stood_still_is_not_told_that_all_is_there,
    ),
    (
        "deletes::nothing_goes_where_something_is_mounted",
        deletes::nothing_goes_where_something_is_mounted,
    ),
    ("pipes::a_folder_into_tar_at_three_hosts", pipes::a_folder_into_tar_at_three_hosts),
    ("pipes::memory_does_not_follow_the_length", pipes::memory_does_not_follow_the_length),
    ("pipes::one_reader_that_has_seen_enough", pipes::one_reader_that_has_seen_enough),
    ("prefix::two_hosts_read_what_the_group_brings", prefix::two_hosts_read_what_the_group_brings),
    ("mirrors::a_tree_reaches_all", mirrors::a_tree_reaches_all),
    ("mirrors::who_is_off_gets_it_later", mirrors::who_is_off_gets_it_later),
    ("mirrors::killed_again_and_again", mirrors::killed_again_and_again),
    ("masters::each_keeps_its_rate", masters::each_keeps_its_rate),
    ("satellite::by_ipv4", satellite::by_ipv4),
    ("satellite::by_ipv6", satellite::by_ipv6),
    ("satellite::a_one_way_link", satellite::a_one_way_link),
    ("messages::sessions_in_the_daemons_log", messages::sessions_in_the_daemons_log),
    ("messages::disks_that_take_nothing", messages::disks_that_take_nothing),
    ("messages::keys_that_meet", messages::keys_that_meet),
    ("messages::a_group_that_is_heard", messages::a_group_that_is_heard),
    ("messages::configuration_that_is_read_again", messages::configuration_that_is_read_again),
    ("messages::interfaces_addresses_and_firewalls", messages::interfaces_addresses_and_firewalls),
    ("by_ssh::five_hosts_of_which_two_are_well", by_ssh::five_hosts_of_which_two_are_well),
    ("by_ssh::forty_hosts", by_ssh::forty_hosts),
    ("by_ssh::few_files_may_be_open", by_ssh::few_files_may_be_open),
    ("by_ssh::one_that_hangs", by_ssh::one_that_hangs),
    ("by_ssh::through_a_jump_host", by_ssh::through_a_jump_host),
    ("by_ssh::interrupted_at_a_login", by_ssh::interrupted_at_a_login),
    ("by_ssh::a_small_host", by_ssh::a_small_host),
    ("by_ssh::a_host_that_takes_no_program", by_ssh::a_host_that_takes_no_program),
    ("by_ssh::a_configuration_for_terminals", by_ssh::a_configuration_for_terminals),
    ("as_rsync::filters", || as_rsync::group(&as_rsync::FILTERS)),
    ("as_rsync::slashes", || as_rsync::group(&as_rsync::SLASHES)),
    ("as_rsync::links", || as_rsync::group(&as_rsync::LINKS)),
    ("as_rsync::updates", || as_rsync::group(&as_rsync::UPDATES)),
    ("as_rsync::deletes", || as_rsync::group(&as_rsync::DELETES)),
    ("as_rsync::every_kind_of_difference_is_seen", as_rsync::every_kind_of_difference_is_seen),
    ("as_rsync::the_document_lists_every_deviation", as_rsync::the_document_lists_every_deviation),
    ("usage::exit_codes", usage::exit_codes),
    ("first_page::it_does_what_it_says", first_page::it_does_what_it_says),
    ("waits::for_disks_that_hang", waits::for_disks_that_hang),
    ("lines::faults_of_every_kind", lines::faults_of_every_kind),
    ("lines::a_short_queue", lines::a_short_queue),
    ("lines::a_queue_that_marks", lines::a_queue_that_marks),
    ("lines::a_narrow_way_to_one", lines::a_narrow_way_to_one),
];
