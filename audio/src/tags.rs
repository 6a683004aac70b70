//! What a kept recording says about itself, in the words of each format.

/// Written into the file, so that a recording that left the archive can be traced back. All are optional.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tags {
    /// A line for people, shown by players.
    pub title: Option<String>,
    /// When the recording began, as ISO 8601: `2026-11-21T07:39:44Z`.
    pub date: Option<String>,
    /// The calling number.
    pub caller: Option<String>,
    /// The called number.
    pub callee: Option<String>,
    /// The PBX's code.
    pub pbx: Option<String>,
    /// The call's reference on its core server.
    pub call_id: Option<String>,
    /// The recording's id in the archive.
    pub recording_id: Option<String>,
    /// SHA-256 of the source as it came, in hexadecimal.
    pub source_sha256: Option<String>,
}

/// Longer values are cut: a tag is a label, and headers have a fixed room for their lengths.
const MAX_VALUE_BYTES: usize = 1024;

impl Tags {
    /// Name and value of those that have no field of their own in ID3 or RIFF.
    fn others(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("CALLER", &self.caller),
            ("CALLEE", &self.callee),
            ("PBX", &self.pbx),
            ("CALL_ID", &self.call_id),
            ("RECORDING_ID", &self.recording_id),
            ("SOURCE_SHA256", &self.source_sha256),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, cut(value.as_deref()?))))
    }

    fn title(&self) -> Option<&str> {
        self.title.as_deref().map(cut)
    }

    fn date(&self) -> Option<&str> {
        self.date.as_deref().map(cut)
    }

    /// A comment header as Vorbis, Opus and FLAC share it (Vorbis I §5.2.1, RFC 7845 §5.2, RFC 9639 §8.6).
    pub(crate) fn vorbis_comment(&self) -> Vec<u8> {
        let named = [("TITLE", self.title()), ("DATE", self.date())];
        let named = named.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let comments: Vec<_> = named.chain(self.others()).map(|(name, value)| format!("{name}={value}")).collect();
        let mut out = Vec::new();
        let mut put = |text: &str| {
            out.extend((text.len() as u32).to_le_bytes());
            out.extend(text.as_bytes());
        };
        put("Fonoteca");
        comments.iter().for_each(|comment| put(comment));
        // The count stands between the vendor and the first comment.
        let at = 4 + "Fonoteca".len();
        out.splice(at..at, (comments.len() as u32).to_le_bytes());
        out
    }

    /// An ID3v2.4 tag, UTF-8; empty if there is nothing to say (ID3v2.4.0 structure §3, frames §4.2).
    pub(crate) fn id3v2(&self) -> Vec<u8> {
        let mut frames = Vec::new();
        let mut put = |id: &[u8; 4], text: &str| {
            frames.extend(id);
            frames.extend(synchsafe(text.len() as u32 + 1));
            // No flags; encoding 3 is UTF-8.
            frames.extend([0, 0, 3]);
            frames.extend(text.as_bytes());
        };
        self.title().into_iter().for_each(|title| put(b"TIT2", title));
        // ID3's timestamps have no zone: they are UTC, and a Z is not foreseen.
        self.date().into_iter().for_each(|date| put(b"TDRC", date.trim_end_matches('Z')));
        self.others().for_each(|(name, value)| put(b"TXXX", &format!("{name}\0{value}")));
        if frames.is_empty() {
            return frames;
        }
        let mut tag = b"ID3\x04\0\0".to_vec();
        tag.extend(synchsafe(frames.len() as u32));
        tag.append(&mut frames);
        tag
    }

    /// A `LIST INFO` chunk, padded to an even length; empty if there is nothing to say.
    pub(crate) fn riff_info(&self) -> Vec<u8> {
        let mut body = b"INFO".to_vec();
        let mut put = |id: &[u8; 4], text: &str| {
            body.extend(id);
            body.extend((text.len() as u32 + 1).to_le_bytes());
            body.extend(text.as_bytes());
            body.push(0);
            if !body.len().is_multiple_of(2) {
                body.push(0);
            }
        };
        self.title().into_iter().for_each(|title| put(b"INAM", title));
        self.date().into_iter().for_each(|date| put(b"ICRD", date));
        let others: Vec<_> = self.others().map(|(name, value)| format!("{name}={value}")).collect();
        if !others.is_empty() {
            put(b"ICMT", &others.join("; "));
        }
        if body.len() == 4 {
            return Vec::new();
        }
        let mut chunk = b"LIST".to_vec();
        chunk.extend((body.len() as u32).to_le_bytes());
        chunk.append(&mut body);
        chunk
    }
}

/// The value without what would end it early (a 0) and not longer than a label may be.
fn cut(value: &str) -> &str {
    let value = value.split('\0').next().unwrap_or_default();
    &value[..value.floor_char_boundary(MAX_VALUE_BYTES)]
}

/// 28 bits in four bytes of seven.
fn synchsafe(value: u32) -> [u8; 4] {
    [21, 14, 7, 0].map(|shift| (value >> shift & 0x7f) as u8)
}
