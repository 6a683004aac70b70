//! Codecs, and nothing else: what a file is, how long it lasts, how it sounds, and the same audio in another format.
//!
//! The crate knows no other crate of ours: bytes in, bytes out. It is synchronous and CPU-bound, so callers run it in
//! `spawn_blocking`. A recording is never held whole: it is read, decoded and encoded block by block, and the memory
//! used does not grow with its length.
//!
//! Rate and channels stay as they are, unless [`EncodeSettings`], [`join_legs`] or [`split_legs`] ask for others. A
//! recording of 8 kHz stays 8 kHz, mono stays mono, and an encoder that cannot carry what it is given says so
//! ([`Error::UnsupportedByEncoder`]) instead of resampling; the caller then keeps the recording as it came. Inside, samples are 16 bits: deeper sources lose their lowest bits.
//!
//! What is decoded, and how it is known to be right:
//!
//! | source | decoder | compared with |
//! |---|---|---|
//! | WAV, RF64, Wave64, AIFF, Core Audio, `.au` of PCM 8 to 32 bits, float, A-law, µ-law; raw `.ulaw .alaw .sln* .raw` | here | ffmpeg, bit by bit |
//! | GSM 06.10 (`.gsm`, WAV49), G.722 (`.g722`, WAV) | here | ffmpeg, bit by bit |
//! | IMA and Microsoft ADPCM in WAV | here | ffmpeg, bit by bit |
//! | G.726 of 16 to 40 kbit/s, both packings (`.g726-*`, `.g726aal2*`, WAV) | here | SpanDSP, bit by bit |
//! | Dialogic ADPCM (`.vox`) | here | SoX without its drift, 20 dB |
//! | RTP of G.711 and G.722 in pcap (rtpengine) and pcapng | here | the payloads, bit by bit |
//! | Ogg Opus, WebM Opus | libopus | ffmpeg at 48 kHz, 60 dB |
//! | FLAC (also in Ogg and Matroska), Apple Lossless (in MPEG-4 and Core Audio) | Symphonia | ffmpeg, bit by bit |
//! | Ogg Vorbis, MP3 (also in WAV), AAC in MPEG-4 and ADTS, Matroska | Symphonia | ffmpeg, 50 dB and more |
//! | G.729 (`.g729`) | an installed ffmpeg | bcg729, 20 dB |
//! | iLBC (with its header or as Asterisk writes it), AMR, AMR-WB | an installed ffmpeg | PJSIP 30 dB, opencore 30 dB and 20 dB |
//! | Speex in Ogg | an installed ffmpeg | libspeex, 50 dB |
//! | G.723.1 (also in WAV) | an installed ffmpeg | what was encoded, 8 dB |
//! | MSN Siren in WAV, Windows Media Audio, whatever else is in a known container | an installed ffmpeg | itself |
//!
//! The last ones take a child process ([`Limits::ffmpeg`]); without one, and for what nothing decodes (Siren 7 and 14 without
//! a container, LPC-10), it is [`Error::Unsupported`] that says why. Each line is a row of `tests/every_codec.rs`.
//!
//! ```no_run
//! use std::path::Path;
//!
//! let mut kept = std::fs::File::create_new("kept.mp3")?;
//! let source = Path::new("out-102-101.wav");
//! let done = audio::transcode(source, "out-102-101.wav", &mut kept, &Default::default(), &Default::default())?;
//! let again = audio::measure(Path::new("kept.mp3"), "kept.mp3")?;
//! assert_eq!(done.samples_per_channel, again.samples_per_channel);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod adpcm;
mod aiff;
mod au;
mod caf;
mod channels;
mod convert;
mod decode;
mod decoders;
mod digest;
mod encode;
mod error;
mod foreign;
mod format;
mod g711;
mod g722;
mod g726;
mod gsm;
mod limits;
mod mpeg;
mod ogg_head;
mod pcap;
mod peaks;
mod probe;
mod quality;
mod raw;
mod resample;
mod riff;
mod tags;
mod transcode;
mod w64;

#[cfg(test)]
mod tests;

pub use channels::{join_legs, split_legs};
pub use convert::{Converted, convert};
pub use decode::Media;
pub use decoders::{Ffmpeg, UnknownFfmpeg};
pub use digest::Digest;
pub use error::Error;
pub use format::{BitrateMode, Channels, Codec, Container, EncodeSettings, Format};
pub use limits::{Limit, Limits};
pub use peaks::BUCKETS as PEAK_BUCKETS;
pub use probe::{Probe, probe};
pub use quality::{ChannelQuality, Quality};
pub use tags::Tags;
pub use transcode::{Measured, Transcoded, measure, measure_within, transcode, transcode_within};
