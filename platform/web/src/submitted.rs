use axum::extract::{FromRef, FromRequest, FromRequestParts as _, Request};
use mainstay_core::Problem;
use mainstay_http::{CROSS_SITE, extract};

use crate::{Visit, Web};

/// A form that was sent from a page which this visitor was shown.
#[derive(Debug)]
pub struct Submitted {
    /// The visit.
    pub visit: Visit,
    fields: Vec<(String, String)>,
}

/// The name of the field that holds a form's token.
pub(crate) const TOKEN: &str = "form_token";

impl<S: Send + Sync> FromRequest<S> for Submitted
where
    Web: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let visit = Visit::from_request_parts(&mut parts, state).await?;
        let fields = extract::form_pairs(Request::from_parts(parts, body)).await?;
        let form = Self { visit, fields };
        if form.visit.owns(form.get(TOKEN)) {
            Ok(form)
        } else {
            Err(CROSS_SITE.because("The form has become too old, or is somebody else's."))
        }
    }
}

impl Submitted {
    /// What was entered into a field; empty if it is not there.
    #[must_use]
    pub fn get(&self, name: &str) -> &str {
        self.fields.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }
}
