mainstay_core::settings! {
    /// The public feed.
    pub struct FeedSettings in "feed" {
        /// Whether only who is signed in may read and post.
        require_login: bool = false;
    }
}
