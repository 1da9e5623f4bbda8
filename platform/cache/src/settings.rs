mainstay_core::settings! {
    /// The cache: values that were made once are served from memory, and from Redis where there is one.
    pub struct CacheSettings in "cache" {
        /// Off: everything is loaded from its source each time. To find out whether the cache is at fault.
        enabled: bool = true;
        /// How many bytes entries may take in this process's memory, everything counted. It is never more.
        l1_bytes: usize = 64 << 20, in 65_536..=1_099_511_627_776_usize;
    }
}
