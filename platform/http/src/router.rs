//! Routes that cannot be added without an access rule.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use axum::routing::MethodRouter;
use http::{HeaderMap, Method};
use mainstay_auth::{Access, Caller};
use mainstay_core::{Problem, ProblemKind};
use serde_json::Value;
use utoipa_axum::router::UtoipaMethodRouter;

use crate::admit::{admit, identify};
use crate::limit::RouteLimits;
use crate::shape::{ErrorShape, PlacedShape};
use crate::{RequestContext, RouteGroup, openapi};

/// The heading that an app's operations stand under in the API reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Its name.
    pub name: &'static str,
    /// What these operations are about.
    pub about: &'static str,
}

impl Tag {
    /// What scopes of API keys call the routes under this heading: its name in
    /// lower case, `_` for every character that is not a letter.
    #[must_use]
    pub fn area(self) -> String {
        let letter = |c: char| if c.is_ascii_alphabetic() { c.to_ascii_lowercase() } else { '_' };
        self.name.chars().map(letter).collect()
    }
}

/// What is known of one route.
#[derive(Clone, Debug)]
pub struct RouteInfo {
    /// Its method. HEAD is answered wherever GET is.
    pub method: Method,
    /// Its path template: `/api/v1/books/{id}`.
    pub path: String,
    /// The handler's name, which is the operation's id too.
    pub operation: String,
    /// Who may use it.
    pub access: Access,
    /// The area that an API key's scope has to cover: `library`.
    pub area: String,
    /// Whether it stands in the OpenAPI document. Pages for people do not.
    pub documented: bool,
    /// Whether the cookie of a browser's session says who asks, and errors are pages.
    pub by_cookie: bool,
    /// Which rate limits it is under besides those of its caller.
    pub group: RouteGroup,
    /// How many calls one call to it counts as.
    pub cost: u32,
    /// Filled by the stack that stands before it. Empty: it is not limited.
    pub(crate) limits: Arc<OnceLock<RouteLimits>>,
}

/// A router that records every route with its access rule and its documentation.
///
/// The rule is not only recorded: it is checked before the handler runs, by the
/// [`Stack`](crate::Stack), which serves no handler that it knows no rule for.
pub struct ApiRouter<S = ()> {
    tag: Tag,
    /// Each path with its methods, put together at the very end: nested routers would cost every
    /// request a look at each of their prefixes.
    methods: Vec<(String, MethodRouter<S>)>,
    routes: Vec<RouteInfo>,
    operations: Vec<Operation>,
    schemas: Vec<(String, Value)>,
    errors: Option<PlacedShape>,
}

/// One operation of the document.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) path: String,
    pub(crate) method: Method,
    pub(crate) value: Value,
}

impl<S: Clone + Send + Sync + 'static> ApiRouter<S> {
    /// A router without routes, whose operations stand under `tag`.
    #[must_use]
    pub fn new(tag: Tag) -> Self {
        Self {
            tag,
            methods: Vec::new(),
            routes: Vec::new(),
            operations: Vec::new(),
            schemas: Vec::new(),
            errors: None,
        }
    }

    /// Gives every error at the shape's path, and under it, another shape than a problem. Comes
    /// before the routes, whose documentation then promises it.
    #[must_use]
    pub fn errors_as(mut self, shape: &'static ErrorShape) -> Self {
        self.schemas.push((shape.schema_name.to_owned(), (shape.schema)()));
        self.errors = Some(PlacedShape::new(shape));
        self
    }

    /// Adds the route of one handler: `route(routes!(get_book), Access::Public, &[&BOOK_NOT_FOUND])`.
    ///
    /// Method, path and documentation are the handler's own `#[utoipa::path]`;
    /// `problems` are the error codes of its domain. Those that every route has
    /// (no sign-in, malformed body, overload …) are added here.
    ///
    /// # Panics
    /// If it is not exactly one handler: a fault in the code that every start shows.
    #[must_use]
    pub fn route(
        mut self,
        declared: UtoipaMethodRouter<S>,
        access: Access,
        problems: &[&'static ProblemKind],
    ) -> Self {
        let (schemas, paths, methods) = declared;
        let item = serde_json::to_value(&paths).expect("paths serialize");
        let (path, item) = only(&item);
        let (method, operation) = only(item);
        let method: Method = method.to_uppercase().parse().expect("the document names methods");
        let shape = self.errors.as_ref().map(PlacedShape::shape);
        let value = openapi::complete(operation.clone(), self.tag, access, &method, problems, shape);
        self.methods.push((path.to_owned(), methods));
        self.routes.push(RouteInfo {
            method: method.clone(),
            path: path.to_owned(),
            operation: value["operationId"].as_str().unwrap_or_default().to_owned(),
            access,
            area: self.tag.area(),
            documented: true,
            by_cookie: false,
            group: RouteGroup::Default,
            cost: 1,
            limits: Arc::default(),
        });
        self.operations.push(Operation { path: path.to_owned(), method, value });
        let schema = |(name, schema)| (name, serde_json::to_value(schema).expect("schemas serialize"));
        self.schemas.extend(schemas.into_iter().map(schema));
        self
    }

    /// Adds a page for people: it has an access rule, but stands in no document.
    #[must_use]
    pub fn page(mut self, path: &'static str, methods: MethodRouter<S>, access: Access) -> Self {
        let limits: Arc<OnceLock<RouteLimits>> = Arc::default();
        self.routes.push(RouteInfo {
            method: Method::GET,
            path: path.to_owned(),
            operation: path.trim_matches('/').replace(['/', '.', '-'], "_"),
            access,
            area: self.tag.area(),
            documented: false,
            by_cookie: false,
            group: RouteGroup::Default,
            cost: 1,
            limits: limits.clone(),
        });
        self.methods.push((path.to_owned(), guarded(methods, access, self.tag, false, &limits)));
        self
    }

    /// Adds a page of the console: the cookie of a browser's session, and nothing else, says who
    /// asks; what does not come from a page of ours may change nothing; errors are pages.
    #[must_use]
    pub fn console_page(mut self, path: &'static str, methods: MethodRouter<S>, access: Access) -> Self {
        let limits: Arc<OnceLock<RouteLimits>> = Arc::default();
        self.routes.push(RouteInfo {
            method: Method::GET,
            path: path.to_owned(),
            operation: path.trim_matches('/').replace(['/', '.', '-'], "_"),
            access,
            area: self.tag.area(),
            documented: false,
            by_cookie: true,
            group: RouteGroup::Default,
            cost: 1,
            limits: limits.clone(),
        });
        self.methods.push((path.to_owned(), guarded(methods, access, self.tag, true, &limits)));
        self
    }

    /// Puts the route that was added last under the limits of a group.
    ///
    /// # Panics
    /// If there is no route yet.
    #[must_use]
    pub fn in_group(mut self, group: RouteGroup) -> Self {
        self.last().group = group;
        if group == RouteGroup::Unlimited
            && self.last().documented
            && let Some(operation) = self.operations.last_mut()
        {
            openapi::without_limits(&mut operation.value);
        }
        self
    }

    /// Counts each call to the route that was added last as so many, against every limit.
    ///
    /// # Panics
    /// If there is no route yet.
    #[must_use]
    pub fn at_cost(mut self, calls: u32) -> Self {
        self.last().cost = calls;
        self
    }

    fn last(&mut self) -> &mut RouteInfo {
        self.routes.last_mut().expect("a route was added before")
    }

    /// Gives the handlers their state.
    #[must_use]
    pub fn with_state(self, state: S) -> ApiRouter {
        let Self { tag, methods, routes, operations, schemas, errors } = self;
        let with_state =
            |(path, methods): (String, MethodRouter<S>)| (path, methods.with_state(state.clone()));
        let methods = methods.into_iter().map(with_state).collect();
        ApiRouter { tag, methods, routes, operations, schemas, errors }
    }
}

impl ApiRouter {
    /// No routes at all.
    #[must_use]
    pub fn none() -> Self {
        Self::new(Tag { name: "", about: "" })
    }

    /// The same routes under a prefix.
    #[must_use]
    pub fn under(mut self, prefix: &str) -> Self {
        self.methods.iter_mut().for_each(|(path, _)| path.insert_str(0, prefix));
        self.routes.iter_mut().for_each(|route| route.path.insert_str(0, prefix));
        self.operations.iter_mut().for_each(|operation| operation.path.insert_str(0, prefix));
        self.errors.iter_mut().for_each(|shape| shape.under(prefix));
        self
    }

    /// Every route, in the order they were added.
    #[must_use]
    pub fn routes(&self) -> &[RouteInfo] {
        &self.routes
    }

    /// The shape of its errors, for the [`Stack`](crate::Stack). `None`: they are problems.
    #[must_use]
    pub fn error_shape(&self) -> Option<&PlacedShape> {
        self.errors.as_ref()
    }

    pub(crate) fn tag(&self) -> Tag {
        self.tag
    }

    pub(crate) fn operations(&self) -> &[Operation] {
        &self.operations
    }

    pub(crate) fn schemas(&self) -> &[(String, Value)] {
        &self.schemas
    }

    /// The router itself, for the [`Stack`](crate::Stack).
    pub fn into_axum(self) -> axum::Router {
        self.methods
            .into_iter()
            .fold(axum::Router::new(), |router, (path, methods)| router.route(&path, methods))
    }
}

impl<S> fmt::Debug for ApiRouter<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.routes).finish()
    }
}

fn only(value: &Value) -> (&str, &Value) {
    let map = value.as_object().expect("a document is made of objects");
    assert_eq!(map.len(), 1, "one handler a route: each has an access rule of its own");
    let (name, inner) = map.iter().next().expect("it has one");
    (name, inner)
}

/// What the guard of a route goes by.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) access: Access,
    pub(crate) area: String,
    /// Whether the cookie says who asks.
    pub(crate) by_cookie: bool,
    pub(crate) limits: Arc<OnceLock<RouteLimits>>,
}

/// Every route's rule, by the template of its path: what [`Stack`](crate::Stack) guards routes by.
///
/// One look-up before the router is asked costs a request less than a layer of its own around each
/// handler. Pages keep such a layer: of them only the path is recorded, and a method that a page does not
/// take is refused before anybody is asked who they are.
pub(crate) struct Rules(HashMap<String, Guard>);

enum Guard {
    /// The stack asks, by method.
    Here(Vec<(Method, Rule)>),
    /// The page asks itself.
    OfItsOwn,
}

/// What is known of a request's route before it is asked.
pub(crate) enum Ruled<'a> {
    /// To be held to this.
    By(&'a Rule),
    /// Guarded further in, or there is no handler for this method: 405.
    Elsewhere,
    /// A handler that nobody guards. There is none, as long as routers come from [`ApiRouter`].
    Unknown,
}

impl Rules {
    pub(crate) fn of(routes: &[RouteInfo]) -> Self {
        let mut rules = HashMap::<String, Guard>::new();
        for route in routes {
            let RouteInfo { method, path, access, area, by_cookie, limits, documented, .. } = route;
            if !documented {
                rules.insert(path.clone(), Guard::OfItsOwn);
                continue;
            }
            let rule = Rule {
                access: *access,
                area: area.clone(),
                by_cookie: *by_cookie,
                limits: Arc::clone(limits),
            };
            match rules.entry(path.clone()).or_insert_with(|| Guard::Here(Vec::new())) {
                Guard::Here(methods) => methods.push((method.clone(), rule)),
                Guard::OfItsOwn => unreachable!("a path is a page's or the API's"),
            }
        }
        Self(rules)
    }

    /// The rule for a method of the route with this template.
    pub(crate) fn find(&self, path: &str, method: &Method) -> Ruled<'_> {
        // HEAD is answered by GET's handler.
        let method = if *method == Method::HEAD { &Method::GET } else { method };
        match self.0.get(path) {
            Some(Guard::Here(methods)) => methods
                .iter()
                .find(|(of, _)| of == method)
                .map_or(Ruled::Elsewhere, |(_, rule)| Ruled::By(rule)),
            Some(Guard::OfItsOwn) => Ruled::Elsewhere,
            None => Ruled::Unknown,
        }
    }
}

/// `route_layer`, so that a wrong method is 405 for everybody.
fn guarded<S: Clone + Send + Sync + 'static>(
    methods: MethodRouter<S>,
    access: Access,
    tag: Tag,
    by_cookie: bool,
    limits: &Arc<OnceLock<RouteLimits>>,
) -> MethodRouter<S> {
    let rule = Arc::new(Rule { access, area: tag.area(), by_cookie, limits: limits.clone() });
    methods.route_layer(from_fn(move |request: Request, next: Next| guard(rule.clone(), request, next)))
}

async fn guard(rule: Arc<Rule>, mut request: Request, next: Next) -> Response {
    let context =
        request.extensions().get::<RequestContext>().cloned().expect("the stack stands before every route");
    match enter(&rule, &context, request.method(), request.headers()).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

/// Who asks, whether they have calls left, whether they may: in this order, so that what is refused
/// counts too. Only who has no calls left whoever they are is not asked who they are.
pub(crate) async fn enter(
    rule: &Rule,
    context: &RequestContext,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Caller, Problem> {
    let (address, stamp) = (context.address, &context.stamp);
    match (identify(rule, context, method, headers).await, rule.limits.get()) {
        (Ok(principal), limits) => {
            if let Some(limits) = limits {
                limits.charge(method, address, principal.as_ref(), stamp).await?;
            }
            admit(rule, context, method, principal)
        }
        // Nobody's fault but ours is not counted, and what was refused already not again.
        (Err(problem), Some(limits)) if problem.kind().status < 500 && stamp.is_empty() => {
            limits.charge_stray(address, stamp).await?;
            Err(problem)
        }
        (Err(problem), _) => Err(problem),
    }
}
