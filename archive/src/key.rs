//! What an object's key says: whose it is, of which recording, which object.

use crate::id::{CoreServerId, ObjectId, PbxId, RecordingId, TenantId};

/// `<tenant>/<pbx>/YYYY/MM/DD/<recording>-<object>.<ext>`, or `unassigned/<core server>/…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) recording: RecordingId,
    pub(crate) object: ObjectId,
    pub(crate) owner: Owner,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    Pbx(TenantId, PbxId),
    Unassigned(CoreServerId),
}

impl Key {
    /// `None` where any part of it is not of the shape of ours: then it is somebody else's, or another store's, and none
    /// of our business.
    pub(crate) fn parse(key: &str) -> Option<Self> {
        let [first, second, year, month, day, name] = <[&str; 6]>::try_from(key.split('/').collect::<Vec<_>>()).ok()?;
        let is_day = [(year, 4), (month, 2), (day, 2)]
            .iter()
            .all(|(part, length)| part.len() == *length && part.bytes().all(|byte| byte.is_ascii_digit()));
        let (ids, extension) = name.split_once('.')?;
        if !is_day || !extension.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return None;
        }
        let (recording, object) = ids.split_once('-')?;
        let owner = match first {
            "unassigned" => Owner::Unassigned(second.parse().ok()?),
            tenant => Owner::Pbx(tenant.parse().ok()?, second.parse().ok()?),
        };
        Some(Self { recording: recording.parse().ok()?, object: object.parse().ok()?, owner })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Instant;

    #[test]
    fn a_key_tells_whose_recording_it_is_and_nothing_else_is_a_key() {
        let at = Instant::from_millis(1_795_246_782_000);
        let (tenant, pbx, recording, object) =
            (TenantId::new(at), PbxId::new(at), RecordingId::new(at), ObjectId::new(at));
        let key = format!("{tenant}/{pbx}/2026/11/21/{recording}-{object}.mp3");
        assert_eq!(Key::parse(&key), Some(Key { recording, object, owner: Owner::Pbx(tenant, pbx) }));
        let server = CoreServerId::new(at);
        let key = format!("unassigned/{server}/2026/11/21/{recording}-{object}.wav");
        assert_eq!(Key::parse(&key), Some(Key { recording, object, owner: Owner::Unassigned(server) }));
        let name = format!("{recording}-{object}");
        for key in [
            &format!("cold/{tenant}/{pbx}/2026/11/21/{name}.mp3"),
            &format!("{tenant}/{pbx}/2026/11/{name}.mp3"),
            &format!("{tenant}/{pbx}/2026/11/2x/{name}.mp3"),
            &format!("{tenant}/pbx/2026/11/21/{name}.mp3"),
            &format!("{tenant}/{pbx}/2026/11/21/{name}.mp3#1"),
            &format!("{tenant}/{pbx}/2026/11/21/{recording}.mp3"),
            &format!("{tenant}/{pbx}/2026/11/21/{name}"),
        ] {
            assert_eq!(Key::parse(key), None, "{key}");
        }
        for key in ["stranger.mp3", "a/b/2026/11/21/c-d.mp3", &format!("{tenant}/{pbx}/{recording}-{object}.mp3"), ""] {
            assert_eq!(Key::parse(key), None, "{key}");
        }
    }
}
