//! Who asks: the user behind the bearer token, looked up anew at each request, so that revoking a token or disabling a
//! tenant takes effect at once.

use std::str::FromStr;

use archive::{Actor, Error, Scope, User};
use axum::extract::{FromRequestParts, Path};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

use crate::door::Door;
use crate::problem::Problem;
use crate::request::RequestContext;

/// The user who asks.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) user: User,
    /// How far it may reach: the first argument of every read.
    pub(crate) scope: Scope,
    /// The same user, with the address and the request's id, for changes and the audit.
    pub(crate) actor: Actor,
}

impl FromRequestParts<Door> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, door: &Door) -> Result<Self, Problem> {
        let header = parts.headers.get(AUTHORIZATION).ok_or_else(Problem::no_token)?;
        let secret = header.to_str().ok().and_then(bearer).ok_or_else(Problem::bad_token)?;
        let user = match door.archive.authenticate_token(secret).await {
            Err(Error::NotFound(_)) => return Err(Problem::bad_token()),
            other => other?,
        };
        let context = parts.extensions.get::<RequestContext>();
        let address = context.and_then(|context| context.address);
        let actor = user.actor(address, context.map(|context| context.id.clone()));
        Ok(Self { scope: user.scope, user, actor })
    }
}

impl Caller {
    /// Refuses everybody but operators.
    pub(crate) fn require_operator(&self) -> Result<(), Problem> {
        match self.scope {
            Scope::Platform => Ok(()),
            _ => Err(Problem::forbidden("only an operator may do this")),
        }
    }

    /// Refuses PBX users.
    pub(crate) fn require_more_than_pbx(&self) -> Result<(), Problem> {
        match self.scope {
            Scope::Pbx(_) => Err(Problem::forbidden("a PBX user may not do this; its tenant may")),
            _ => Ok(()),
        }
    }
}

/// The token of `Bearer …` (RFC 6750 section 2.1); the scheme's case does not matter (RFC 9110 section 11.1).
fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The id in a route's path. What is no id at all names nothing, and is answered like what does not exist.
#[derive(Debug)]
pub(crate) struct Id<T>(pub(crate) T);

impl<S: Send + Sync, T: FromStr<Err = Error>> FromRequestParts<S> for Id<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = Path::<String>::from_request_parts(parts, state).await.map(|Path(text)| text).unwrap_or_default();
        Ok(Self(text.parse()?))
    }
}
