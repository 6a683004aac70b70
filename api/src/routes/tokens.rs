//! `/api/v1/tokens`: from login and password to a bearer token, and its end.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use archive::{Error, TokenId};
use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Serialize;

use crate::caller::{Caller, Id};
use crate::door::Door;
use crate::fields::Fields;
use crate::parameters::NoParameters;
use crate::problem::Problem;
use crate::request::RequestContext;

/// The longest that a token with an end may live: ten years.
const MAX_LIFETIME_S: u64 = 10 * 366 * 86_400;
/// The longest password that is hashed.
const MAX_PASSWORD: usize = 1024;

#[derive(Debug, Serialize)]
pub(crate) struct TokenAnswer {
    id: String,
    token: String,
    expires_at: Option<String>,
}

/// Without `expires_in_s` the token is good until it is revoked.
pub(crate) async fn create(
    State(door): State<Door>,
    Extension(context): Extension<RequestContext>,
    _: NoParameters,
    mut fields: Fields,
) -> Result<(StatusCode, Json<TokenAnswer>), Problem> {
    let login = fields.text("login")?.ok_or_else(|| Problem::missing("login"))?;
    let password = fields.secret("password")?.ok_or_else(|| Problem::missing("password"))?;
    let name = fields.text("name")?.unwrap_or_else(|| "login".to_owned());
    let lifetime_s = fields.whole("expires_in_s")?;
    fields.finish()?;
    if password.len() > MAX_PASSWORD {
        return Err(Problem::invalid("password", "this is longer than any password"));
    }
    if lifetime_s.is_some_and(|seconds| !(1..=MAX_LIFETIME_S).contains(&seconds)) {
        return Err(Problem::invalid("expires_in_s", "a number of seconds, from 1 to ten years of them"));
    }
    // Without an address (a router that is not told of it) all callers share one throttle.
    let address = context.address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let user = match door.archive.log_in(&login, &password, address).await {
        Err(Error::NotFound(_)) => return Err(Problem::wrong_credentials()),
        other => other?,
    };
    let actor = user.actor(context.address, Some(context.id));
    let token = door.archive.new_token(&actor, user.id, &name, lifetime_s.map(Duration::from_secs)).await?;
    let answer = TokenAnswer {
        id: token.id.to_string(),
        token: token.secret,
        expires_at: token.expires_at.map(|at| at.to_string()),
    };
    Ok((StatusCode::CREATED, Json(answer)))
}

/// Revokes one of the caller's own tokens.
pub(crate) async fn revoke(
    State(door): State<Door>,
    caller: Caller,
    Id(token): Id<TokenId>,
    _: NoParameters,
) -> Result<StatusCode, Problem> {
    door.archive.revoke_token(&caller.actor, caller.user.id, token).await?;
    Ok(StatusCode::NO_CONTENT)
}
