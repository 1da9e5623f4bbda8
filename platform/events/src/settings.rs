mainstay_core::settings! {
    /// Events and background work.
    pub struct EventsSettings in "events" {
        /// Longest time until something recorded by another process is noticed when no wake-up came, in milliseconds.
        poll_ms: u64 = 1000, in 50..=60_000;
        /// How often a consumer tries an event before it becomes a dead letter.
        max_attempts: u32 = 5, in 1..=50;
        /// The pause before a second try, in milliseconds. It doubles with each further one; the real pause is a random share of it.
        retry_base_ms: u64 = 1000, in 10..=3_600_000;
        /// Longest pause between two tries, in seconds.
        retry_max_s: u64 = 3600, in 1..=86_400;
        /// Longest run of one consumer for one event, in seconds. It holds a transaction meanwhile.
        handler_timeout_s: u64 = 4, in 1..=25;
        /// How long it is remembered which events a consumer has seen, in days. A delivery that is doubled later than this would take effect twice.
        inbox_days: u64 = 14, in 1..=365;
        /// How long a lease holds without being renewed, in seconds: the longest time until another node goes on where one has died.
        lease_s: u64 = 10, in 2..=300;
    }
}
