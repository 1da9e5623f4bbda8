use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

mainstay_core::setting_words! {
    /// How log lines look.
    pub enum LogFormat {
        /// Pretty on a terminal, JSON elsewhere.
        Auto = "auto",
        /// For people.
        Pretty = "pretty",
        /// One JSON object a line, and nothing else on standard output.
        Json = "json",
    }
}

mainstay_core::settings! {
    /// Logs and metrics.
    pub struct TelemetrySettings in "telemetry" {
        /// Which log lines are written: a level (`error`, `warn`, `info`, `debug`, `trace`) or directives such as
        /// `info,mainstay_db=debug`. At `debug` every request has a line.
        log: String = "info".to_owned(), env "RUST_LOG";
        /// How log lines look. With `auto` they are pretty on a terminal and JSON elsewhere; with `json` `serve` prints
        /// nothing but JSON: set it where logs are collected.
        format: LogFormat = LogFormat::Auto;
        /// Whether `/metrics` is served.
        metrics: bool = true;
    }
}

/// Starts logging for the whole process, to standard error when pretty and to
/// standard output as JSON. Later calls change nothing.
///
/// # Errors
/// If `telemetry.log` is not a filter.
pub fn init_logs(settings: &TelemetrySettings) -> Result<(), String> {
    let filter = EnvFilter::try_new(&settings.log).map_err(|error| format!("telemetry.log: {error}"))?;
    let pretty = match settings.format {
        LogFormat::Auto => std::io::stderr().is_terminal(),
        LogFormat::Pretty => true,
        LogFormat::Json => false,
    };
    let registry = tracing_subscriber::registry().with(filter);
    // A second server in the same process shares the first one's log.
    let _already_started = if pretty {
        let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
        registry.with(layer.with_ansi(std::io::stderr().is_terminal())).try_init()
    } else {
        registry
            .with(
                tracing_subscriber::fmt::layer()
                    .json()
                    .flatten_event(true)
                    .with_current_span(true)
                    .with_span_list(false),
            )
            .try_init()
    };
    Ok(())
}
