//! `/api/v1/undelete`: brings expired recordings back while they are in their grace period.

use archive::Error;
use axum::Json;
use axum::extract::State;
use serde::Serialize;

use crate::caller::Caller;
use crate::door::Door;
use crate::fields::Fields;
use crate::listing::Answer;
use crate::parameters::NoParameters;
use crate::problem::Problem;

/// The most recordings in one request.
const MAX_RECORDINGS: usize = 1000;

#[derive(Debug, Default, Serialize)]
pub(crate) struct UndeleteAnswer {
    undeleted: Vec<String>,
    not_found: Vec<String>,
}

/// Each recording by itself: those that cannot come back do not keep the others. When none can, that is a 404.
pub(crate) async fn undelete(
    State(door): State<Door>,
    caller: Caller,
    _: NoParameters,
    mut fields: Fields,
) -> Answer<UndeleteAnswer> {
    let recordings = fields.texts("recordings", MAX_RECORDINGS)?.ok_or_else(|| Problem::missing("recordings"))?;
    fields.finish()?;
    let mut answer = UndeleteAnswer::default();
    for text in recordings {
        let undeleted = match text.parse() {
            Ok(id) => door.archive.undelete(&caller.actor, id).await,
            Err(error) => Err(error),
        };
        match undeleted {
            Ok(()) => answer.undeleted.push(text),
            Err(Error::NotFound(_)) => answer.not_found.push(text),
            Err(error) => return Err(error.into()),
        }
    }
    if answer.undeleted.is_empty() && !answer.not_found.is_empty() {
        return Err(Error::NotFound("expired recording").into());
    }
    Ok(Json(answer))
}
