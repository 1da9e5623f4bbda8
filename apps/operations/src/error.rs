//! What can't be shown or done, and how a client hears of it.

mainstay_core::problems! {
    /// No dead letter has this id.
    pub DEAD_LETTER_NOT_FOUND = 404 "dead_letter_not_found", "Dead letter not found",
        "No dead letter has this id. It may have been replayed or discarded.";
    /// No mail has this id.
    pub MAIL_NOT_FOUND = 404 "mail_not_found", "Mail not found",
        "No mail has this id. Mails are removed some time after they were sent.";
}
