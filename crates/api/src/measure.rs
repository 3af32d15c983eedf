//! Metrics of the node in Prometheus' text format.

use std::time::Duration;

use metrics::{counter, describe_gauge, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use crate::endpoint::Endpoint;

/// How often histograms are folded; without it they grow.
const UPKEEP: Duration = Duration::from_secs(5);
/// Upper bounds of histogram buckets, in seconds.
const BUCKETS_SECONDS: [f64; 9] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];

/// The recorder could not be set up.
#[derive(Debug, Error)]
pub enum MeasureError {
    /// There is one already, or it refused its settings.
    #[error("metrics cannot be recorded: {0}")]
    Recorder(String),
}

/// Records metrics of this process from now on; once per process.
pub fn install_recorder() -> Result<PrometheusHandle, MeasureError> {
    let recorder = |error: &dyn std::fmt::Display| MeasureError::Recorder(error.to_string());
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &BUCKETS_SECONDS)
        .map_err(|error| recorder(&error))?
        .install_recorder()
        .map_err(|error| recorder(&error))?;
    describe_gauge!("process_resident_memory_bytes", "memory of this process that is in RAM");
    describe_gauge!("process_open_fds", "open file descriptors of this process");
    describe_gauge!("process_threads", "threads of this process");
    Ok(handle)
}

/// Keeps the recorder small until `stop`.
pub(crate) async fn keep_up(metrics: PrometheusHandle, stop: CancellationToken) {
    while tokio::time::timeout(UPKEEP, stop.cancelled()).await.is_err() {
        metrics.run_upkeep();
    }
}

/// Notes one answered call. Labels are endpoints of ours, never what a caller sent.
pub(crate) fn call(endpoint: &'static Endpoint, status: u16, took: Duration) {
    let (method, path) = (endpoint.method.as_str(), endpoint.path);
    counter!(
        "portcullis_api_calls_total",
        "method" => method, "path" => path, "status" => status.to_string()
    )
    .increment(1);
    histogram!("portcullis_api_call_seconds", "method" => method, "path" => path).record(took);
}

/// Everything recorded, and how the process is doing. Reads procfs: off the serving threads.
pub(crate) fn render(metrics: &PrometheusHandle) -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if let Some(kilobytes) = field(&status, "VmRSS:") {
        gauge!("process_resident_memory_bytes").set(kilobytes * 1024.0);
    }
    if let Some(threads) = field(&status, "Threads:") {
        gauge!("process_threads").set(threads);
    }
    if let Ok(entries) = std::fs::read_dir("/proc/self/fd") {
        let open = u32::try_from(entries.count()).unwrap_or(u32::MAX);
        gauge!("process_open_fds").set(f64::from(open));
    }
    metrics.render()
}

/// The number of a field of `/proc/PID/status` (proc_pid_status(5)).
fn field(status: &str, name: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_the_process_status_are_read() {
        let status = "Name:\tportcullis\nVmRSS:\t   20480 kB\nThreads:\t7\n";
        assert_eq!(field(status, "VmRSS:"), Some(20480.0));
        assert_eq!(field(status, "Threads:"), Some(7.0));
        assert_eq!(field(status, "VmSwap:"), None);
    }
}
