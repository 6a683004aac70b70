//! `/api/v1/ftp-accounts`: the FTP accounts that the caller may see, by login.

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use crate::caller::Caller;
use crate::door::Door;
use crate::listing::{Answer, Listing, PageRequest};
use crate::parameters::Parameters;

#[derive(Debug, Serialize)]
pub(crate) struct FtpAccountAnswer {
    id: String,
    login: String,
    pbx: String,
    disabled: bool,
}

pub(crate) async fn list(
    State(door): State<Door>,
    caller: Caller,
    parameters: Parameters,
) -> Answer<Listing<FtpAccountAnswer>> {
    let page = PageRequest::only(parameters)?;
    let accounts = door.archive.list_ftp_accounts(caller.scope).await?.into_iter().map(|account| FtpAccountAnswer {
        id: account.id.to_string(),
        login: account.login,
        pbx: account.pbx.to_string(),
        disabled: account.disabled,
    });
    Ok(Json(Listing::ascending(accounts.collect(), &page, |account| account.login.clone())))
}
