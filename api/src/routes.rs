//! Everything there is to ask: the one table that the router is built from, and that tests of isolation go through.

mod audio;
mod audit;
mod core_servers;
mod ftp_accounts;
mod holds;
mod index;
mod pbxs;
mod quarantine;
mod recordings;
mod resellers;
mod stores;
mod tenants;
mod tiers;
mod tokens;
mod undelete;
mod usage;
mod waveform;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, delete, get, head, post};

use crate::door::Door;
use crate::observe::observe;
use crate::problem::Problem;

/// The largest body that any request needs.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// One thing to ask.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// The method. A `GET` answers `HEAD` as well.
    pub method: &'static str,
    /// The path; `{id}` stands for an id.
    pub path: &'static str,
    /// Who may ask: `false` for everybody, `true` for those who send a bearer token.
    pub needs_token: bool,
    endpoint: fn() -> MethodRouter<Door>,
}

const fn open(method: &'static str, path: &'static str, endpoint: fn() -> MethodRouter<Door>) -> Route {
    Route { method, path, needs_token: false, endpoint }
}

const fn scoped(method: &'static str, path: &'static str, endpoint: fn() -> MethodRouter<Door>) -> Route {
    Route { method, path, needs_token: true, endpoint }
}

/// Everything there is to ask.
pub const ROUTES: &[Route] = &[
    open("GET", "/", || get(index::show)),
    open("POST", "/api/v1/tokens", || post(tokens::create)),
    scoped("DELETE", "/api/v1/tokens/{id}", || delete(tokens::revoke)),
    scoped("GET", "/api/v1/recordings", || get(recordings::search)),
    scoped("GET", "/api/v1/recordings/{id}", || get(recordings::show)),
    scoped("GET", "/api/v1/recordings/{id}/audio", || get(audio::download)),
    scoped("HEAD", "/api/v1/recordings/{id}/audio", || head(audio::describe)),
    scoped("GET", "/api/v1/recordings/{id}/waveform", || get(waveform::show)),
    scoped("POST", "/api/v1/undelete", || post(undelete::undelete)),
    scoped("GET", "/api/v1/usage", || get(usage::list)),
    scoped("GET", "/api/v1/resellers", || get(resellers::list)),
    scoped("GET", "/api/v1/tenants", || get(tenants::list)),
    scoped("GET", "/api/v1/pbxs", || get(pbxs::list)),
    scoped("GET", "/api/v1/ftp-accounts", || get(ftp_accounts::list)),
    scoped("GET", "/api/v1/tiers", || get(tiers::list)),
    scoped("GET", "/api/v1/stores", || get(stores::list)),
    scoped("GET", "/api/v1/core-servers", || get(core_servers::list)),
    scoped("GET", "/api/v1/holds", || get(holds::list)),
    scoped("POST", "/api/v1/holds", || post(holds::set)),
    scoped("DELETE", "/api/v1/holds/{id}", || delete(holds::release)),
    scoped("GET", "/api/v1/quarantine", || get(quarantine::list)),
    scoped("POST", "/api/v1/quarantine/{id}/retry", || post(quarantine::retry)),
    scoped("GET", "/api/v1/audit", || get(audit::list)),
];

/// The router of [`ROUTES`].
pub(crate) fn router_of(door: Door) -> Router {
    let routes = ROUTES.iter().fold(Router::new(), |router, route| router.route(route.path, (route.endpoint)()));
    finish(routes, door)
}

/// What every router of ours gets: the answers to what it does not have, and what happens around every request.
pub(crate) fn finish(routes: Router<Door>, door: Door) -> Router {
    routes
        .fallback(|| async { Problem::no_route() })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(from_fn_with_state(door.clone(), observe))
        .with_state(door)
}
