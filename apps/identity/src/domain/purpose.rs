/// What a one-time token is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Making the first administrator.
    Setup,
    /// Proving that an address is one's own.
    VerifyEmail,
    /// Choosing another password without the old one.
    ResetPassword,
    /// Making an account where that takes an invitation.
    Register,
}

impl Purpose {
    /// As the database keeps it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Setup => "setup",
            Self::VerifyEmail => "verify_email",
            Self::ResetPassword => "reset_password",
            Self::Register => "register",
        }
    }
}
