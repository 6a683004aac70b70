//! Names of what is read (container, codec) and of what is written (format, settings).

use std::fmt;
use std::str::FromStr;

/// What a file's bytes are packed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Container {
    /// RIFF/WAVE, and RF64 or BW64 where it is beyond 4 GiB (EBU Tech 3306, ITU-R BS.2088).
    Wav,
    /// Sony Wave64.
    W64,
    /// Sun/NeXT audio (`.au`).
    Au,
    /// AIFF and AIFF-C.
    Aiff,
    /// Core Audio (`.caf`).
    Caf,
    /// Ogg (RFC 3533).
    Ogg,
    /// MPEG audio frames, with or without an ID3 tag.
    Mp3,
    /// Native FLAC (RFC 9639).
    Flac,
    /// MPEG-4 (`.m4a`, `.mp4`; ISO 14496-12).
    Mp4,
    /// AAC frames with a header each (ADTS, `.aac`).
    Adts,
    /// Matroska or WebM (RFC 9559).
    Matroska,
    /// A packet capture of RTP (pcap, pcapng), as rtpengine records calls: each leg is a channel.
    Pcap,
    /// AMR frames with a header (RFC 4867 §5).
    Amr,
    /// iLBC frames with a header (RFC 3952 §5).
    Ilbc,
    /// Microsoft's container of Windows Media Audio.
    Asf,
    /// No container: the extension says what the bytes are.
    Raw,
}

/// How the samples are coded. The PCM variants say sign or float, bits and byte order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Codec {
    PcmU8,
    PcmS8,
    PcmS16Le,
    PcmS16Be,
    PcmS24Le,
    PcmS24Be,
    PcmS32Le,
    PcmS32Be,
    PcmF32Le,
    PcmF32Be,
    PcmF64Le,
    PcmF64Be,
    PcmMuLaw,
    PcmALaw,
    /// GSM 06.10 full rate, 33 bytes each 20 ms.
    Gsm,
    /// The same in Microsoft's packing (WAV49): 65 bytes each 40 ms.
    GsmMs,
    /// IMA (DVI) ADPCM in blocks, as in WAVE: 4 bits a sample.
    AdpcmIma,
    /// Microsoft ADPCM in blocks: 4 bits a sample.
    AdpcmMs,
    /// OKI (Dialogic) ADPCM: 4 bits a sample of 12 bits.
    AdpcmOki,
    /// G.722 at 64 kbit/s, 16 kHz.
    G722,
    /// G.726 of so many bits a sample (2 to 5), the first code in the upper bits of a byte (ITU-T I.366.2).
    G726 {
        bits: u8,
    },
    /// The same with the first code in the lower bits (RFC 3551 §4.5.4).
    G726Le {
        bits: u8,
    },
    Vorbis,
    Opus,
    Mp3,
    Flac,
    /// AAC; of its successor (HE-AAC) in bare frames, the half of the band that is plain AAC.
    Aac,
    /// Apple Lossless.
    Alac,
    /// One that only an installed ffmpeg decodes ([`crate::Limits::ffmpeg`]), by its name.
    Foreign(&'static str),
}

impl Container {
    /// The name in logs and in [`crate::Measured::source_format`].
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Wav => "wav",
            Self::W64 => "w64",
            Self::Au => "au",
            Self::Aiff => "aiff",
            Self::Caf => "caf",
            Self::Ogg => "ogg",
            Self::Mp3 => "mp3",
            Self::Flac => "flac",
            Self::Mp4 => "mp4",
            Self::Adts => "adts",
            Self::Matroska => "matroska",
            Self::Pcap => "pcap",
            Self::Amr => "amr",
            Self::Ilbc => "ilbc",
            Self::Asf => "asf",
            Self::Raw => "raw",
        }
    }
}

impl Codec {
    /// The name in logs and in [`crate::Measured::source_format`].
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PcmU8 => "pcm_u8",
            Self::PcmS8 => "pcm_s8",
            Self::PcmS16Le => "pcm_s16le",
            Self::PcmS16Be => "pcm_s16be",
            Self::PcmS24Le => "pcm_s24le",
            Self::PcmS24Be => "pcm_s24be",
            Self::PcmS32Le => "pcm_s32le",
            Self::PcmS32Be => "pcm_s32be",
            Self::PcmF32Le => "pcm_f32le",
            Self::PcmF32Be => "pcm_f32be",
            Self::PcmF64Le => "pcm_f64le",
            Self::PcmF64Be => "pcm_f64be",
            Self::PcmMuLaw => "pcm_mulaw",
            Self::PcmALaw => "pcm_alaw",
            Self::Gsm => "gsm",
            Self::GsmMs => "gsm_ms",
            Self::AdpcmIma => "adpcm_ima_wav",
            Self::AdpcmMs => "adpcm_ms",
            Self::AdpcmOki => "adpcm_oki",
            Self::G722 => "adpcm_g722",
            Self::G726 { .. } => "adpcm_g726",
            Self::G726Le { .. } => "adpcm_g726le",
            Self::Vorbis => "vorbis",
            Self::Opus => "opus",
            Self::Mp3 => "mp3",
            Self::Flac => "flac",
            Self::Aac => "aac",
            Self::Alac => "alac",
            Self::Foreign(name) => name,
        }
    }

    /// Bytes of one sample of one channel, for the codecs where that is a constant.
    pub(crate) fn bytes_per_sample(self) -> Option<usize> {
        match self {
            Self::PcmU8 | Self::PcmS8 | Self::PcmMuLaw | Self::PcmALaw => Some(1),
            Self::PcmS16Le | Self::PcmS16Be => Some(2),
            Self::PcmS24Le | Self::PcmS24Be => Some(3),
            Self::PcmS32Le | Self::PcmS32Be | Self::PcmF32Le | Self::PcmF32Be => Some(4),
            Self::PcmF64Le | Self::PcmF64Be => Some(8),
            _ => None,
        }
    }
}

impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// MPEG layer III.
    Mp3,
    /// Opus in Ogg (RFC 7845).
    Opus,
    /// Native FLAC, 16 bits.
    Flac,
    /// RIFF/WAVE, 16-bit PCM.
    Wav,
}

impl Format {
    /// All of them, in the order in which they are offered to people.
    pub const ALL: [Self; 4] = [Self::Mp3, Self::Opus, Self::Flac, Self::Wav];

    /// The name in configuration, tiers and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mp3 => "mp3",
            Self::Opus => "opus",
            Self::Flac => "flac",
            Self::Wav => "wav",
        }
    }

    /// The file extension, without its dot.
    pub fn extension(self) -> &'static str {
        self.as_str()
    }

    /// The media type, for HTTP and S3.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Mp3 => "audio/mpeg",
            Self::Opus => "audio/ogg",
            Self::Flac => "audio/flac",
            Self::Wav => "audio/wav",
        }
    }

    /// The most channels that it carries.
    pub fn max_channels(self) -> u16 {
        match self {
            Self::Mp3 | Self::Opus => 2,
            Self::Flac => 8,
            Self::Wav => 64,
        }
    }

    /// The sample rate to ask for ([`EncodeSettings::sample_rate`]) of a source of `sample_rate`: the same where the
    /// format carries it, else the next above, so that nothing is lost.
    pub fn rate_for(self, sample_rate: u32) -> u32 {
        crate::encode::rate_for(self, sample_rate)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is not the name of a [`Format`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown audio format {0:?}, expected one of mp3, opus, flac, wav")]
pub struct UnknownFormat(String);

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|format| format.as_str() == text).ok_or_else(|| UnknownFormat(text.to_owned()))
    }
}

/// Whether an MP3 spends as many bits on silence as on speech. The other formats have no choice: Opus's bit rate is a
/// mean, FLAC takes what it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BitrateMode {
    /// Every frame has the same bit rate: a player knows where every second lies.
    #[default]
    Constant,
    /// LAME chooses for each frame, and [`EncodeSettings::bitrate_bps`] does not count.
    Variable {
        /// From 0, the best, to 9; what is above counts as 9.
        quality: u8,
    },
}

/// What becomes of the channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Channels {
    /// They stay as they are.
    #[default]
    Keep,
    /// All are added up to one. The sum is not scaled: the channels of a call are people who as a rule speak by turns,
    /// and it is as loud as the call was. What exceeds full scale is clipped, and counted.
    MixDown,
}

/// How to encode; format and bit rate come from the tier. What is said of the result ([`crate::Transcoded`]) is said of
/// what is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncodeSettings {
    /// The format of what is kept.
    pub format: Format,
    /// Bits per second of the whole stream, all channels together. MP3 takes the nearest rate its tables have for the
    /// sample rate, Opus what lies within 12,000 and 64,000 for each channel (what was taken is in
    /// [`crate::Transcoded::bitrate_bps`]); FLAC and WAV ignore it.
    pub bitrate_bps: u32,
    /// Whether the bit rate of an MP3 may vary.
    pub bitrate_mode: BitrateMode,
    /// What becomes of the channels.
    pub channels: Channels,
    /// Samples per second to resample to. Without it the rate stays as it is, and a format that cannot carry it refuses
    /// it.
    pub sample_rate: Option<u32>,
}

impl EncodeSettings {
    /// For long keeping at the least cost: Opus at 16 kbit/s, 7 MB an hour.
    pub const COMPACT: Self = Self::at(Format::Opus, 16_000);
    /// For everything else: MP3 at 32 kbit/s, 14 MB an hour, which plays on any machine or telephone with a double click.
    pub const STANDARD: Self = Self::at(Format::Mp3, 32_000);
    /// Every bit of the source: FLAC.
    pub const ARCHIVE: Self = Self::at(Format::Flac, 0);

    /// That format at that bit rate, with everything else as the source has it.
    pub const fn at(format: Format, bitrate_bps: u32) -> Self {
        Self { format, bitrate_bps, bitrate_mode: BitrateMode::Constant, channels: Channels::Keep, sample_rate: None }
    }

    /// What a listener is given who asks for `format`, of a source of `sample_rate` and so many `channels`: at a bit rate
    /// that speech of that bandwidth loses little by, and with what the format cannot carry brought to what it can.
    pub fn for_listening(format: Format, sample_rate: u32, channels: u16) -> Self {
        let mixed = channels > format.max_channels();
        let each = match (format, sample_rate) {
            (Format::Opus, ..=16_000) => 24_000,
            (Format::Opus, _) => 32_000,
            (Format::Mp3, ..=12_000) => 32_000,
            (Format::Mp3, ..=24_000) => 48_000,
            (Format::Mp3, _) => 64_000,
            (Format::Flac | Format::Wav, _) => 0,
        };
        Self {
            channels: if mixed { Channels::MixDown } else { Channels::Keep },
            // Of a source that nobody has decoded yet neither is known.
            sample_rate: (sample_rate > 0).then(|| format.rate_for(sample_rate)),
            ..Self::at(format, each * if mixed { 1 } else { u32::from(channels.max(1)) })
        }
    }
}

impl Default for EncodeSettings {
    /// [`EncodeSettings::STANDARD`].
    fn default() -> Self {
        Self::STANDARD
    }
}
