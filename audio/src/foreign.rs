//! What is recognised but not decoded here, and how an installed ffmpeg is told what it is.

use crate::format::{Codec, Container};

/// A recording of a codec that only an ffmpeg decodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Foreign {
    /// Container or codec, for people.
    pub(crate) what: String,
    /// The demuxer that ffmpeg is told to use: it never guesses, so that no playlist can send it elsewhere.
    pub(crate) demuxer: &'static str,
    /// What has to come before the bytes of a headerless file.
    pub(crate) head: &'static [u8],
}

impl Foreign {
    /// What lies in a container of which ffmpeg has the demuxer; `None` where nothing would decode it.
    pub(crate) fn inside(container: Container, what: String) -> Option<Self> {
        let demuxer = match container {
            Container::Wav => "wav",
            Container::W64 => "w64",
            Container::Au => "au",
            Container::Aiff => "aiff",
            Container::Caf => "caf",
            Container::Ogg => "ogg",
            Container::Mp3 => "mp3",
            Container::Flac => "flac",
            Container::Mp4 => "mov",
            Container::Adts => "aac",
            Container::Matroska => "matroska",
            Container::Amr => "amr",
            Container::Ilbc => "ilbc",
            Container::Asf => "asf",
            Container::Pcap | Container::Raw => return None,
        };
        Some(Self { what, demuxer, head: b"" })
    }

    /// The codec's name, out of the one for people.
    pub(crate) fn codec(&self) -> Codec {
        const NAMES: [(&str, &str); 9] = [
            ("G.729", "g729"),
            ("G.723.1", "g723_1"),
            ("iLBC", "ilbc"),
            ("Speex", "speex"),
            ("AMR-WB", "amr_wb"),
            ("AMR", "amr_nb"),
            ("MSN Siren", "msnsiren"),
            ("TrueSpeech", "truespeech"),
            ("Windows Media Audio", "wma"),
        ];
        let name = NAMES.iter().find(|(what, _)| self.what.starts_with(what));
        Codec::Foreign(name.map_or("foreign", |(_, name)| name))
    }
}

/// A headerless file of such a codec, told by its extension, and the bytes of one frame.
pub(crate) fn headerless(extension: &str) -> Option<(Foreign, u64)> {
    let (what, demuxer, head, frame): (_, _, &'static [u8], _) = match extension {
        "g729" | "g729a" => ("G.729", "g729", b"", 10),
        // As Asterisk writes it: frames of 30 ms, without the header of RFC 3952 §5. `ilbc20` is rtpengine's word.
        "ilbc" | "ilbc30" => ("iLBC", "ilbc", b"#!iLBC30\n", 50),
        "ilbc20" => ("iLBC", "ilbc", b"#!iLBC20\n", 38),
        // Frames of 24, 20 or 4 bytes, as the first bits of each say.
        "g723" | "g723sf" | "g723_1" => ("G.723.1", "g723_1", b"", 1),
        _ => return None,
    };
    Some((Foreign { what: what.to_owned(), demuxer, head }, frame))
}
