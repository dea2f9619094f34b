//! The actions of the gateway, and the form of their requests.

use super::host::{Place, Product};
use super::reply::Refusal;
use super::request::Request;

/// A request that the caller signs.
#[derive(Clone, Copy, Debug)]
pub(super) enum Action {
    GetAuthorizationToken,
    ListInstanceEndpoint,
    GetPersonalAuthorizationToken,
    AssumeRole,
}

/// How a caller proves its rights.
#[derive(Clone, Copy, Debug)]
pub(super) enum Entry {
    /// By a key's signature.
    Signed(Action),
    /// By an OIDC token and no signature: `AssumeRoleWithOIDC`.
    OidcToken,
}

/// One action of one version of a product.
#[derive(Debug)]
pub(super) struct Route {
    /// The product that has it.
    pub(super) product: Product,
    version: &'static str,
    /// `Action` or `x-acs-action`.
    name: &'static str,
    /// RPC has all its actions at `/`, ROA a path for each.
    path: &'static str,
    methods: &'static [&'static str],
    /// The name in the record and for faults. Both editions have an action of this name, so Personal's is
    /// prefixed here.
    pub(super) recorded: &'static str,
    /// Its authentication and its work.
    pub(super) entry: Entry,
}

const ROUTES: [Route; 5] = [
    Route::rpc(
        Product::Cr,
        "2018-12-01",
        "GetAuthorizationToken",
        Entry::Signed(Action::GetAuthorizationToken),
    ),
    Route::rpc(
        Product::Cr,
        "2018-12-01",
        "ListInstanceEndpoint",
        Entry::Signed(Action::ListInstanceEndpoint),
    ),
    Route {
        product: Product::Cr,
        version: "2016-06-07",
        name: "GetAuthorizationToken",
        path: "/tokens",
        methods: &["GET"],
        recorded: "Personal:GetAuthorizationToken",
        entry: Entry::Signed(Action::GetPersonalAuthorizationToken),
    },
    Route::rpc(Product::Sts, "2015-04-01", "AssumeRole", Entry::Signed(Action::AssumeRole)),
    Route::rpc(Product::Sts, "2015-04-01", "AssumeRoleWithOIDC", Entry::OidcToken),
];

impl Route {
    const fn rpc(product: Product, version: &'static str, name: &'static str, entry: Entry) -> Self {
        Self { product, version, name, path: "/", methods: &["GET", "POST"], recorded: name, entry }
    }

    /// Returns the route that a request's action and version name at the place where it arrived.
    pub(super) fn find(request: &Request, place: &Place) -> Result<&'static Self, Refusal> {
        let name = request.named("x-acs-action", "Action");
        let version = request.named("x-acs-version", "Version");
        ROUTES
            .iter()
            .find(|route| {
                place.product.is_none_or(|asked| asked == route.product)
                    && route.version == version
                    && route.name == name
            })
            .ok_or_else(Refusal::no_api)
    }

    /// Refuses another path or method than the action has.
    pub(super) fn check_form(&self, request: &Request) -> Result<(), Refusal> {
        if request.path == self.path && self.methods.contains(&request.method.as_str()) {
            return Ok(());
        }
        Err(Refusal::no_api())
    }
}
