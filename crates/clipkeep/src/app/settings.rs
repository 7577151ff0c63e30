//! The configuration, as engine and sweep take it.

use clipkeep_core::config::Config;

use crate::{data_dir::DataDir, descriptors, fill::FillSettings, source::source_rules, sweep::SweepSettings};

/// What bounds fills.
pub(super) fn fill_settings(config: &Config, data_dir: &DataDir) -> FillSettings {
    FillSettings {
        // A fill takes a few: its copy, its connections, its upload.
        concurrency: config.fill_concurrency.min(descriptors::share(64)),
        backfill_concurrency: config.backfill_concurrency,
        backfill_rate: config.backfill_rate,
        connections: config.fill_connections,
        all_connections: config.source_connections.min(descriptors::share(16)),
        host_connections: config.source_connections_per_host,
        lease: config.lease,
        retry_base: config.retry_base,
        retry_max: config.retry_max,
        not_found_attempts: config.not_found_attempts,
        not_found_timeout: config.not_found_timeout,
        lost_after: config.lost_after,
        adopt_within: config.adopt_within,
        max_clip_size: config.max_clip_size,
        sweep_interval: config.sweep_interval,
        fast_start: config.fast_start,
        share_objects: config.share_objects,
        partials: data_dir.partials(),
    }
}

/// What bounds and paces the sweep.
pub(super) fn sweep_settings(config: &Config) -> SweepSettings {
    SweepSettings {
        interval: config.sweep_interval,
        drift_interval: config.drift_interval,
        lease: config.lease,
        retention: config.retention.clone(),
        retry_base: config.retry_base,
        retry_max: config.retry_max,
        not_found_attempts: config.not_found_attempts,
        poll_timeout: config.poll_timeout,
        at_risk_before: config.at_risk_before,
        share_objects: config.share_objects,
        events_keep: config.events_keep,
        history_keep: config.history_keep,
        usage_hourly_keep: config.usage_hourly_keep,
        endpoints: config.event_endpoints.iter().map(|endpoint| endpoint.name().to_owned()).collect(),
        sources: source_rules(config),
    }
}
