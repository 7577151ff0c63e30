//! The OpenAPI document: what holds for all operations alike is said here once,
//! so that no handler can forget it.

use utoipa::{
    Modify, OpenApi, ToSchema,
    openapi::{
        self, Content, HttpMethod, PathItem, Ref, RefOr, Response, Schema,
        path::Operation,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use clipkeep_core::problem;

use crate::provider::HOOKS;

#[derive(OpenApi)]
#[openapi(
    info(title = "clipkeep", description = "Keeps AI video: copies generated clips into your own bucket and serves them."),
    // Answered before the router, which knows no such path.
    paths(super::posters::answer),
    modifiers(&ByToken),
    components(schemas(Problem)),
    tags((name = "hooks"), (name = "proxy"), (name = "delivery"), (name = "generations"), (name = "clips"), (name = "links"), (name = "events"), (name = "usage"), (name = "tokens"), (name = "ops"))
)]
pub(super) struct ApiDoc;

/// How callers show who they are.
struct ByToken;

impl Modify for ByToken {
    fn modify(&self, doc: &mut openapi::OpenApi) {
        let components = doc.components.get_or_insert_default();
        for (name, what) in [
            ("admin_token", "An admin's token."),
            ("token", "A token: an admin's, or a tenant's, for whom there are no rows but its own."),
        ] {
            let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(what)).build();
            components.add_security_scheme(name, SecurityScheme::Http(scheme));
        }
    }
}

/// An error, as RFC 9457 says.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a schema: what is sent is clipkeep_core::problem::Problem")]
struct Problem {
    /// `/problems/{code}`.
    r#type: String,
    /// The code in a few words.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What is wrong with this request.
    #[schema(nullable = false)]
    detail: Option<String>,
    /// What a program may branch on; it never changes its meaning.
    code: String,
    /// The id under which our log speaks of the request.
    #[schema(nullable = false)]
    request_id: Option<String>,
}

/// The document with what holds for all operations.
pub(super) fn complete(mut doc: openapi::OpenApi) -> openapi::OpenApi {
    name_providers(&mut doc);
    for item in doc.paths.paths.values_mut() {
        for (method, operation) in operations(item) {
            tell_of_refusals(&method, operation);
            describe(operation);
            // What fal answers is passed on in its own words.
            if !operation.tags.as_ref().is_some_and(|tags| tags.iter().any(|tag| tag == "proxy")) {
                operation.responses.responses.iter_mut().for_each(|(status, response)| as_problem(status, response));
            }
        }
    }
    without_null_defaults(doc)
}

/// Gives each answer words: a document whose answers have none is not valid.
fn describe(operation: &mut Operation) {
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        if response.description.is_empty() {
            response.description = match status.as_str() {
                "200" => "What was asked for",
                "201" => "It was made",
                "202" => "It has begun",
                "204" => "It is done",
                _ => "It was not done",
            }
            .to_owned();
        }
    }
}

/// A member that may be left out has no default: generators take a member with
/// one for one that is always there.
fn without_null_defaults(mut doc: openapi::OpenApi) -> openapi::OpenApi {
    let components = doc.components.iter_mut().flat_map(|components| components.schemas.values_mut());
    components.for_each(without_null_default);
    doc
}

fn without_null_default(schema: &mut RefOr<Schema>) {
    let RefOr::T(schema) = schema else { return };
    let (default, within): (_, Vec<_>) = match schema {
        Schema::Object(object) => (&mut object.default, object.properties.values_mut().collect()),
        Schema::OneOf(one) => (&mut one.default, one.items.iter_mut().collect()),
        Schema::AllOf(all) => (&mut all.default, all.items.iter_mut().collect()),
        Schema::AnyOf(any) => (&mut any.default, any.items.iter_mut().collect()),
        Schema::Array(array) => (&mut array.default, Vec::new()),
        _ => return,
    };
    *default = default.take().filter(|value| !value.is_null());
    within.into_iter().for_each(without_null_default);
}

/// One path for each provider, by its name, in place of the one for all.
fn name_providers(doc: &mut openapi::OpenApi) {
    const OF_ALL: &str = "/hooks/{provider}";
    let Some(of_all) = doc.paths.paths.remove(OF_ALL) else { return };
    for name in HOOKS {
        let mut item = of_all.clone();
        if let Some(operation) = &mut item.post {
            operation.operation_id = Some(format!("receive_{name}_hook"));
            operation.parameters = None;
            operation.responses.responses.remove("404");
        }
        doc.paths.paths.insert(OF_ALL.replace("{provider}", name), item);
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (HttpMethod, &mut Operation)> {
    let PathItem { get, post, put, delete, .. } = item;
    let all = [(HttpMethod::Get, get), (HttpMethod::Post, post), (HttpMethod::Put, put), (HttpMethod::Delete, delete)];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// What any operation of its sort may answer, beside what it says itself.
fn tell_of_refusals(method: &HttpMethod, operation: &mut Operation) {
    let schemes = serde_json::to_string(&operation.security).unwrap_or_default();
    let takes_input =
        operation.request_body.is_some() || operation.parameters.as_ref().is_some_and(|all| !all.is_empty());
    let by_token = schemes.contains("token");
    for (status, what, holds) in [
        ("400", "Not understood", takes_input),
        ("401", "No valid token", by_token),
        ("403", "Not an admin's token", schemes.contains("admin_token")),
        ("404", "There is nothing at this path", takes_input && by_token),
        ("408", "The body did not come in time", operation.request_body.is_some()),
        ("413", "The body is too large", *method == HttpMethod::Post && by_token),
        ("415", "The body is not of the media type that is taken, or is coded", operation.request_body.is_some()),
        ("503", "The catalogue does not answer: come again after Retry-After", by_token),
    ] {
        if holds {
            let response = || RefOr::T(Response::new(what));
            operation.responses.responses.entry(status.to_owned()).or_insert_with(response);
        }
    }
}

/// Every error that says nothing else of its body is a [`Problem`]; but what
/// RFC 9110 has for conditions and ranges bears none.
fn as_problem(status: &str, response: &mut RefOr<Response>) {
    let RefOr::T(response) = response else { return };
    let bare = matches!(status, "412" | "416");
    if status.starts_with(['4', '5']) && !bare && response.content.is_empty() {
        let body = Content::new(Some(Ref::from_schema_name("Problem")));
        response.content.insert(problem::CONTENT_TYPE.to_owned(), RefOr::T(body));
    }
}
