mainstay_core::setting_words! {
    /// Who may make an account.
    pub enum Registration {
        /// Everybody.
        Open = "open",
        /// Only who was invited by mail.
        Invitation = "invitation",
    }
}

mainstay_core::settings! {
    /// Accounts and sign-ins.
    pub struct IdentitySettings in "identity" {
        /// How long an access token lives, in seconds.
        access_token_s: u32 = 900, in 60..=3600;
        /// Who access tokens are for (`aud`). Services that read them check it.
        audience: String = "mainstay".to_owned();
        /// How long a session lives at most, in seconds.
        session_s: u64 = 2_592_000, in 3600..=31_536_000;
        /// How long a session lives without being used, in seconds: as long as its refresh token.
        session_idle_s: u64 = 1_209_600, in 3600..=31_536_000;
        /// How long a browser stays signed in at most, in seconds.
        web_session_s: u64 = 1_209_600, in 3600..=31_536_000;
        /// How long a browser stays signed in without being used, in seconds.
        web_idle_s: u64 = 86_400, in 300..=31_536_000;
        /// Whether one must have proven one's e-mail address before signing in.
        require_verified_email: bool = false;
        /// Who may make an account: everybody, or only who was invited by mail.
        registration: Registration = Registration::Open;
        /// Whether registering answers the same for a new address and for one that has an account. Its owner hears of it by
        /// mail; and an account signs in only once its address is proven.
        conceal_accounts: bool = false;
        /// How long a link to choose another password works after its mail was handed over, in seconds.
        reset_token_s: u64 = 1800, in 300..=86_400;
        /// Fewest characters of a new password. NIST SP 800-63B-4 asks for 15 where the password is all there is.
        password_min_length: usize = 8, in 8..=64;
    }
}
