use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

/// A kind of thing that is cached: what its keys and values are, and how long they are believed.
/// Declared once, as a constant.
///
/// ```
/// use std::time::Duration;
/// use mainstay_cache::Namespace;
///
/// # #[derive(serde::Serialize, serde::Deserialize)] struct Product;
/// pub const PRODUCT: Namespace<u64, Product> = Namespace::new("catalog.product", 1)
///     .ttl(Duration::from_secs(3600))
///     .stale(Duration::from_secs(60))
///     .stale_if_error(Duration::from_secs(600))
///     .negative(Duration::from_secs(5));
/// ```
pub struct Namespace<K: ?Sized, V> {
    pub(crate) rules: Rules,
    _types: PhantomData<fn(&K) -> V>,
}

/// What a namespace says, without its types.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) name: &'static str,
    pub(crate) schema: u32,
    pub(crate) ttl: Duration,
    pub(crate) jitter_percent: u8,
    pub(crate) stale: Duration,
    pub(crate) stale_if_error: Duration,
    pub(crate) negative: Duration,
    pub(crate) early: bool,
    pub(crate) shared: bool,
}

impl<K: ?Sized, V> Namespace<K, V> {
    /// A namespace whose values are fresh for a minute, less up to 10 %, and absent ones for 5 s; nothing
    /// stale is served.
    ///
    /// `name` is `app.thing` and labels its metrics. `schema` is the version of what `V` looks like in
    /// Redis: raise it when old values must not be read as new ones.
    #[must_use]
    pub const fn new(name: &'static str, schema: u32) -> Self {
        let rules = Rules {
            name,
            schema,
            ttl: Duration::from_secs(60),
            jitter_percent: 10,
            stale: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            negative: Duration::from_secs(5),
            early: true,
            shared: true,
        };
        Self { rules, _types: PhantomData }
    }

    /// How long a value is fresh, at most.
    #[must_use]
    pub const fn ttl(mut self, ttl: Duration) -> Self {
        self.rules.ttl = ttl;
        self
    }

    /// Up to so many percent are taken off each value's time, at random, so that what was loaded
    /// together does not end together. 0 to 90.
    ///
    /// # Panics
    /// Above 90; in a constant, when it is compiled.
    #[must_use]
    pub const fn jitter(mut self, percent: u8) -> Self {
        assert!(percent <= 90, "a jitter is 0 to 90 percent");
        self.rules.jitter_percent = percent;
        self
    }

    /// How long after its time a value is still served while a new one is loaded: nobody waits. Never
    /// after an invalidation.
    #[must_use]
    pub const fn stale(mut self, span: Duration) -> Self {
        self.rules.stale = span;
        self
    }

    /// How long after its time a value is served when no new one can be loaded: after a load that failed, or at
    /// once when one failed a moment ago. Never after an invalidation.
    #[must_use]
    pub const fn stale_if_error(mut self, span: Duration) -> Self {
        self.rules.stale_if_error = span;
        self
    }

    /// How long it is believed that there is nothing. Zero: not at all.
    #[must_use]
    pub const fn negative(mut self, span: Duration) -> Self {
        self.rules.negative = span;
        self
    }

    /// Whether a value that is used is loaded again by chance shortly before its time, the likelier the longer
    /// loading takes (the rule of Vattani, Chierichetti and Lowenstein, VLDB 2015). On unless told otherwise.
    #[must_use]
    pub const fn early(mut self, early: bool) -> Self {
        self.rules.early = early;
        self
    }

    /// In this process alone, even where there is a Redis: for what is quicker to make than to fetch.
    #[must_use]
    pub const fn in_process(mut self) -> Self {
        self.rules.shared = false;
        self
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.rules.name
    }
}

impl<K: ?Sized, V> fmt::Debug for Namespace<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rules.fmt(f)
    }
}
