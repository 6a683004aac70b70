//! `/api/v1/usage`: what each PBX has archived, by tier, store and class.

use std::collections::HashMap;

use archive::{PbxId, TenantId, TierId};
use axum::Json;
use axum::extract::State;
use serde::Serialize;

use crate::caller::Caller;
use crate::door::Door;
use crate::listing::{Answer, Listing, PageRequest};
use crate::parameters::Parameters;

#[derive(Debug, Serialize)]
pub(crate) struct UsageAnswer {
    /// `null`: recordings whose PBX is not known yet.
    pbx: Option<String>,
    pbx_code: Option<String>,
    tenant: Option<String>,
    tenant_code: Option<String>,
    /// `null`: recordings outside every tier.
    tier: Option<String>,
    tier_code: Option<String>,
    store: Option<String>,
    /// `live` counts to a quota; `grace` is expired but not purged; `guarded` is older than its core server's enrolment.
    class: &'static str,
    recordings: u64,
    audio_ms: u64,
    stored_bytes: u64,
    #[serde(skip)]
    key: String,
}

pub(crate) async fn list(
    State(door): State<Door>,
    caller: Caller,
    parameters: Parameters,
) -> Answer<Listing<UsageAnswer>> {
    let page = PageRequest::only(parameters)?;
    let (archive, scope) = (&door.archive, caller.scope);
    let pbxs: HashMap<PbxId, String> =
        archive.list_pbxs(scope).await?.into_iter().map(|pbx| (pbx.id, pbx.code)).collect();
    let tenants: HashMap<TenantId, String> =
        archive.list_tenants(scope).await?.into_iter().map(|tenant| (tenant.id, tenant.code)).collect();
    let tiers: HashMap<TierId, String> =
        archive.list_tiers(scope).await?.into_iter().map(|tier| (tier.id, tier.code)).collect();
    let answers = archive.list_usage(scope).await?.into_iter().map(|usage| UsageAnswer {
        key: format!("{}-{}-{}-{}", usage.pbx, usage.tier, usage.store, usage.class),
        pbx: (usage.pbx != PbxId::UNASSIGNED).then(|| usage.pbx.to_string()),
        pbx_code: pbxs.get(&usage.pbx).cloned(),
        tenant: (usage.tenant != TenantId::UNASSIGNED).then(|| usage.tenant.to_string()),
        tenant_code: tenants.get(&usage.tenant).cloned(),
        tier: (usage.tier != TierId::NONE).then(|| usage.tier.to_string()),
        tier_code: tiers.get(&usage.tier).cloned(),
        store: archive.stores().iter().find(|store| store.id() == usage.store).map(|store| store.name().to_owned()),
        class: usage.class.as_str(),
        recordings: usage.recordings,
        audio_ms: usage.audio_ms,
        stored_bytes: usage.stored_bytes,
    });
    Ok(Json(Listing::ascending(answers.collect(), &page, |answer| answer.key.clone())))
}
