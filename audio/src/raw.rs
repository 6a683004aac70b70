//! Headerless files: nothing but the extension says what the bytes are.

use crate::format::Codec;

/// How a headerless file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RawLayout {
    pub(crate) codec: Codec,
    pub(crate) sample_rate: u32,
    pub(crate) channels: u16,
}

/// The name and the parameters of a hint such as `out-306.raw;rate=8000;channels=2`.
///
/// MixMonitor's option D writes interleaved stereo to `.raw`, and nothing in the file says so: whoever knows how the
/// core server was told to record appends the parameters. A name's own semicolons are left alone.
struct Hint<'a> {
    name: &'a str,
    rate: Option<u32>,
    channels: Option<u16>,
}

fn parse_hint(hint: &str) -> Hint<'_> {
    let mut parsed = Hint { name: hint, rate: None, channels: None };
    while let Some((name, parameter)) = parsed.name.rsplit_once(';') {
        let Some((key, value)) = parameter.split_once('=') else { break };
        match (key.trim(), value.trim().parse::<u32>()) {
            ("rate", Ok(rate @ 1..=384_000)) => parsed.rate = Some(rate),
            ("channels", Ok(channels @ 1..=8)) => parsed.channels = Some(channels as u16),
            _ => break,
        }
        parsed.name = name;
    }
    parsed
}

/// The extension of a name hint, in lower case; empty if it has none.
pub(crate) fn extension(hint: &str) -> String {
    let name = parse_hint(hint).name;
    let name = name.rsplit(['/', '\\']).next().unwrap_or(name);
    name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase()).unwrap_or_default()
}

/// The layout that an extension promises, if it is one of the headerless formats that are decoded.
///
/// Rates are those of Asterisk's format modules (`formats/format_*.c`): `.sln` and `.raw` are 8 kHz, the others carry
/// their rate in the name.
pub(crate) fn layout(hint: &str) -> Option<RawLayout> {
    let (codec, rate) = match extension(hint).as_str() {
        "ulaw" | "ul" | "mu" | "pcmu" | "pcm" => (Codec::PcmMuLaw, 8_000),
        "alaw" | "al" | "alw" | "pcma" => (Codec::PcmALaw, 8_000),
        "sln" | "sln8" | "raw" => (Codec::PcmS16Le, 8_000),
        "sln12" => (Codec::PcmS16Le, 12_000),
        "sln16" => (Codec::PcmS16Le, 16_000),
        "sln24" => (Codec::PcmS16Le, 24_000),
        "sln32" => (Codec::PcmS16Le, 32_000),
        "sln44" => (Codec::PcmS16Le, 44_100),
        "sln48" => (Codec::PcmS16Le, 48_000),
        "sln96" => (Codec::PcmS16Le, 96_000),
        "sln192" => (Codec::PcmS16Le, 192_000),
        "gsm" => return mono(Codec::Gsm, 8_000),
        "g722" => return mono(Codec::G722, 16_000),
        "g726-16" => return mono(Codec::G726Le { bits: 2 }, 8_000),
        "g726-24" => return mono(Codec::G726Le { bits: 3 }, 8_000),
        "g726-32" | "g726" => return mono(Codec::G726Le { bits: 4 }, 8_000),
        "g726-40" => return mono(Codec::G726Le { bits: 5 }, 8_000),
        "g726aal2" | "g726aal2-32" => return mono(Codec::G726 { bits: 4 }, 8_000),
        "g726aal2-16" => return mono(Codec::G726 { bits: 2 }, 8_000),
        "g726aal2-24" => return mono(Codec::G726 { bits: 3 }, 8_000),
        "g726aal2-40" => return mono(Codec::G726 { bits: 5 }, 8_000),
        // Voice boards also sample at 6 kHz, and nothing in the file says so.
        "vox" => return mono(Codec::AdpcmOki, parse_hint(hint).rate.unwrap_or(8_000)),
        _ => return None,
    };
    let hint = parse_hint(hint);
    Some(RawLayout { codec, sample_rate: hint.rate.unwrap_or(rate), channels: hint.channels.unwrap_or(1) })
}

fn mono(codec: Codec, sample_rate: u32) -> Option<RawLayout> {
    Some(RawLayout { codec, sample_rate, channels: 1 })
}

/// What a headerless file that is audio, but is not decoded here, is called.
pub(crate) fn unsupported(hint: &str) -> Option<&'static str> {
    Some(match extension(hint).as_str() {
        "siren7" => "Siren 7",
        "siren14" => "Siren 14",
        "spx" | "speex" => "Speex",
        "lpc10" => "LPC-10",
        "amr" | "awb" => "AMR",
        "siren" => "Siren",
        "pcap" | "pcapng" => "a packet capture",
        "aac" | "m4a" | "mp4" | "m4b" | "3gp" => "AAC",
        "wma" | "asf" => "Windows Media Audio",
        "webm" | "mka" | "mkv" => "Matroska",
        "aif" | "aiff" | "aifc" => "AIFF",
        "caf" => "Core Audio",
        "w64" => "Sony Wave64",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_is_found_whatever_its_case_and_its_folder() {
        for (hint, expected) in [
            ("a.WAV", "wav"),
            ("/var/spool/x.d/a", ""),
            ("a.raw;channels=2", "raw"),
            ("strange;name.gsm", "gsm"),
            ("strange;name.gsm;rate=8000;channels=1", "gsm"),
        ] {
            assert_eq!(extension(hint), expected, "{hint}");
        }
    }

    #[test]
    fn a_hint_may_tell_rate_and_channels() {
        let layout = layout("a.raw;rate=16000;channels=2").unwrap();
        assert_eq!((layout.sample_rate, layout.channels), (16_000, 2));
        let layout = super::layout("a.raw").unwrap();
        assert_eq!((layout.sample_rate, layout.channels), (8_000, 1));
        assert_eq!(super::layout("a.raw;channels=99"), None, "not a parameter, so a foreign extension");
    }
}
