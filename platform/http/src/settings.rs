use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use mainstay_core::settings::Sources;
use url::Url;

use crate::TrustedProxies;
use crate::server::{BodyLimits, ConnectionStats, ServerOptions};

mainstay_core::settings! {
    /// The server and how it treats requests.
    pub struct HttpSettings in "http" {
        /// Address to listen on. `0.0.0.0` or `::` for all.
        host: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
        /// Port to listen on. 0 takes any free one.
        port: u16 = 8080, env "PORT";
        /// Where people reach this server, for links and as issuer of tokens. With `https://` the
        /// security headers ask browsers to stay on TLS. Unset: `http://HOST:PORT`.
        public_url: Option<String> = None;
        /// Networks of proxies whose `X-Forwarded-For` and `Forwarded` headers are believed.
        trusted_proxies: Vec<String> = vec![];
        /// Origins that may call the API from a browser, such as `https://app.example.com`.
        cors_origins: Vec<String> = vec![];
        /// Whether changes without `If-Match` are refused (428).
        require_if_match: bool = false;
        /// Whether requests that take an `Idempotency-Key` are refused without one (400).
        require_idempotency_key: bool = false;
        /// Longest time for one request, in seconds.
        request_timeout_s: u64 = 30, in 1..=3600;
        /// Longest wait for the first byte of a connection, in seconds.
        first_byte_timeout_s: u64 = 10, in 1..=120;
        /// Longest time for a request's headers to arrive, in seconds.
        header_timeout_s: u64 = 10, in 1..=120;
        /// Longest pause within a request's body, in seconds.
        body_idle_timeout_s: u64 = 5, in 1..=120;
        /// Longest time for a small body to arrive, in seconds; each KiB adds one second.
        body_timeout_s: u64 = 10, in 1..=600;
        /// Longest time that a client may take nothing of its answer, in seconds.
        write_timeout_s: u64 = 10, in 1..=120;
        /// How long an idle connection is kept, in seconds.
        keep_alive_s: u64 = 60, in 1..=3600;
        /// Largest request body, in bytes. Uploads have limits of their own.
        max_body_bytes: usize = 1_048_576, in 1024..=104_857_600;
        /// Open connections in all.
        max_connections: usize = 4096, in 1..=1_000_000;
        /// Open connections of one address (trusted proxies aside).
        max_connections_per_address: usize = 256, in 1..=1_000_000;
        /// Requests in progress beyond which further ones are answered 503.
        max_in_flight: usize = 512, in 1..=100_000;
        /// At shutdown: how long to go on accepting while `/readyz` says no, in seconds. Give it as long as
        /// your load balancer needs to notice.
        drain_delay_s: u64 = 0, in 0..=300;
        /// At shutdown: how long requests in progress may take to finish, in seconds.
        drain_grace_s: u64 = 25, in 0..=600;
    }
}

impl HttpSettings {
    /// Checks what a single key's range can't.
    pub fn check(&self, sources: &mut Sources) {
        if let Err(fault) = TrustedProxies::parse(&self.trusted_proxies) {
            sources.fault(format!("http.trusted_proxies: {fault}"));
        }
        for origin in &self.cors_origins {
            let good = Url::parse(origin).is_ok_and(|url| {
                matches!(url.scheme(), "http" | "https") && url.origin().ascii_serialization() == *origin
            });
            if !good {
                sources.fault(format!(
                    "http.cors_origins must hold origins such as \"https://app.example.com\", not {origin:?}"
                ));
            }
        }
        if let Some(url) = &self.public_url
            && !Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
        {
            sources.fault(format!("http.public_url must be an http or https URL, not {url:?}"));
        }
    }

    /// Where to listen.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.host, self.port)
    }

    /// Where people reach the server, without a slash at the end.
    #[must_use]
    pub fn public_url(&self) -> String {
        match &self.public_url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => format!("http://{}", self.address()),
        }
    }

    /// Whether browsers reach the server over TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.public_url.as_ref().is_some_and(|url| url.starts_with("https://"))
    }

    /// The accept loop's options.
    #[must_use]
    pub fn server_options(&self, proxies: TrustedProxies, stats: Arc<ConnectionStats>) -> ServerOptions {
        let seconds = Duration::from_secs;
        ServerOptions {
            first_byte_timeout: seconds(self.first_byte_timeout_s),
            head_timeout: seconds(self.header_timeout_s),
            idle_timeout: seconds(self.keep_alive_s),
            write_timeout: seconds(self.write_timeout_s),
            body: BodyLimits {
                idle: seconds(self.body_idle_timeout_s),
                total: seconds(self.body_timeout_s),
                ..BodyLimits::default()
            },
            max_connections: self.max_connections,
            max_connections_per_address: self.max_connections_per_address,
            exempt: Arc::new(move |address| proxies.contains(address)),
            drain_delay: seconds(self.drain_delay_s),
            grace: seconds(self.drain_grace_s),
            stats,
            ..ServerOptions::default()
        }
    }
}
