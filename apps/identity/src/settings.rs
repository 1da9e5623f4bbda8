mainstay_core::settings! {
    /// Accounts and sign-ins.
    pub struct IdentitySettings in "identity" {
        /// How long an access token lives, in seconds.
        access_token_s: u32 = 900, in 60..=3600;
        /// Who access tokens are for (`aud`). Services that read them check it.
        audience: String = "mainstay".to_owned();
        /// How long a session lives at most, in seconds.
        session_s: u64 = 2_592_000, in 3600..=31_536_000;
        /// Fewest characters of a new password. NIST SP 800-63B-4 asks for 15 where the password is all there is.
        password_min_length: usize = 8, in 8..=64;
    }
}
