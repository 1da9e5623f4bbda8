//! Codes that mean the same in several apps.

mainstay_core::problems! {
    /// Somebody must be able to administer.
    pub LAST_ADMIN = 409 "last_admin", "The last administrator",
        "This would leave nobody to administer. Give somebody else the role first.";
    /// A one-time token that is expired, used, revoked or was never given.
    pub TOKEN_INVALID = 410 "token_invalid", "The link is not valid any more",
        "The token has expired, was used or revoked, or never existed. Ask for a new one.";
}
