//! The same with a waypoint at every sync.

use super::appends::{appends_synced, flushes, several_partitions, tiny_segments};
use super::failures::{failed_sync_that_loses_pages, full_disk_while_rolling};
use super::producers::producers_after_restarts;
use super::restarts::{close_and_reopen, killed_again_and_again, power_cut_while_rolling};
use super::{Workload, with_waypoints};

pub(super) const WORKLOADS: &[Workload] = &[
    with_waypoints("waypoints, synced", appends_synced),
    with_waypoints("waypoints in several partitions", several_partitions),
    with_waypoints("waypoints while segments roll", tiny_segments),
    with_waypoints("waypoints and flushes", flushes),
    with_waypoints("waypoints across reopenings", close_and_reopen),
    with_waypoints("waypoints across kills", killed_again_and_again),
    with_waypoints("waypoints across power cuts", power_cut_while_rolling),
    with_waypoints("waypoints of producers", producers_after_restarts),
    with_waypoints("waypoints on a full disk", full_disk_while_rolling),
    with_waypoints(
        "waypoints and a failed sync that loses pages",
        failed_sync_that_loses_pages,
    ),
];
