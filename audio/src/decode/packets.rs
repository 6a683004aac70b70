//! Vorbis, MP3, FLAC, AAC, Apple Lossless: demuxed and decoded by Symphonia.
//!
//! The demuxer is chosen by us and never probed for: Symphonia's probe takes headerless audio for MPEG.

use std::panic::{AssertUnwindSafe, catch_unwind};

use std::io::{Read, Seek, SeekFrom};
use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error as PacketError;
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream};
use symphonia::default::formats::{AdtsReader, CafReader, FlacReader, IsoMp4Reader, MkvReader, MpaReader, OggReader};

use super::BlockSource;
use super::window::Window;
use crate::error::Error;
use crate::format::{Codec, Container};

/// Decodes packet by packet.
pub(crate) struct PacketSource {
    reader: Box<dyn FormatReader>,
    decoder: Box<dyn AudioDecoder>,
    track: u32,
    sample_rate: u32,
    channels: u16,
    /// Frames that the container promises, where it promises any.
    promised: Option<u64>,
    /// Bytes of the file that have not been in a packet: tables may list more packets than there is room for.
    bytes_left: u64,
    /// Frames of the longest packet that the codec has.
    longest_packet: u64,
    decoded: u64,
    any_good: bool,
    truncated: bool,
    stale_header: bool,
    ended: bool,
}

impl PacketSource {
    pub(crate) fn open(mut window: Window, container: Container, codec: Codec) -> Result<Self, Error> {
        let truncated = container == Container::Ogg && !ogg_stream_ends(&mut window)?;
        contain(move || Self::open_unguarded(window, container, codec, truncated))
            .unwrap_or_else(|| Err(Error::damaged("the headers cannot be read")))
    }

    fn open_unguarded(window: Window, container: Container, codec: Codec, truncated: bool) -> Result<Self, Error> {
        let bytes_left = window.len();
        let reader = demuxer(Box::new(window), container, codec)?;
        let track = reader.default_track(TrackType::Audio).ok_or_else(|| Error::damaged("no audio track"))?;
        let others = has_other_audio(&*reader, track.id);
        let parameters = track.codec_params.as_ref().and_then(|parameters| parameters.audio());
        let parameters = parameters.ok_or_else(|| Error::damaged("no audio track"))?;
        let (Some(sample_rate), Some(channels)) = (parameters.sample_rate, parameters.channels.as_ref()) else {
            return Err(Error::damaged("no sample rate or channels"));
        };
        let channels = u16::try_from(channels.count()).unwrap_or(0);
        if sample_rate == 0 || channels == 0 {
            return Err(Error::damaged(format!("{channels} channels at {sample_rate} Hz")));
        }
        // Only an MP3 with a LAME tag knows its exact end; the length of any other is a guess from its bit rate.
        let guessed = codec == Codec::Mp3 && track.delay.is_none();
        let stale_header = codec == Codec::Mp3 && track.num_frames == Some(0);
        let options = AudioDecoderOptions::default().gapless(!guessed && !stale_header);
        let decoder =
            symphonia::default::get_codecs().make_audio_decoder(parameters, &options).map_err(header_error)?;
        Ok(Self {
            track: track.id,
            sample_rate,
            channels,
            // Only MP3 and FLAC promise samples; FLAC writes 0 for "unknown".
            promised: track.num_frames.filter(|&frames| {
                frames > 0 && !guessed && matches!(container, Container::Mp3 | Container::Flac | Container::Wav)
            }),
            reader,
            decoder,
            bytes_left,
            longest_packet: match codec {
                // That of the streamable subset at the rates of speech (RFC 9639 §7).
                Codec::Flac => 4_608,
                Codec::Vorbis => 8_192,
                _ => 2_048,
            },
            decoded: 0,
            any_good: false,
            truncated: truncated || others,
            stale_header,
            ended: false,
        })
    }

    pub(crate) fn spec(&self) -> (u32, u16) {
        (self.sample_rate, self.channels)
    }

    pub(crate) fn stale_header(&self) -> bool {
        self.stale_header
    }
}

impl Steps for PacketSource {
    fn step(&mut self, block: &mut Vec<i16>) -> Result<bool, Error> {
        let packet = match self.reader.next_packet() {
            Ok(Some(packet)) => packet,
            Ok(None) => return Ok(false),
            Err(PacketError::IoError(error)) if is_disk_error(&error) => return Err(error.into()),
            // Cut in the middle of a packet, or unreadable from here on.
            Err(_) => {
                self.truncated = true;
                return Ok(false);
            }
        };
        let Some(bytes_left) = self.bytes_left.checked_sub(packet.data.len().max(1) as u64) else {
            self.truncated = true;
            return Ok(false);
        };
        self.bytes_left = bytes_left;
        if packet.track_id != self.track {
            return Ok(true);
        }
        match self.decoder.decode(&packet) {
            Ok(buffer) => {
                let spec = buffer.spec();
                if (spec.rate(), spec.channels().count()) != (self.sample_rate, usize::from(self.channels)) {
                    // The rate changed midway: what follows is not the same recording.
                    self.truncated = true;
                    return Ok(false);
                }
                buffer.copy_to_vec_interleaved(block);
                self.any_good = true;
            }
            Err(PacketError::IoError(error)) if is_disk_error(&error) => return Err(error.into()),
            Err(_) => {
                // Silence in its place keeps the time of what follows.
                self.truncated = true;
                let frames = packet.dur.get().min(self.longest_packet);
                block.clear();
                block.resize(frames as usize * usize::from(self.channels), 0);
            }
        }
        self.decoded += (block.len() / usize::from(self.channels)) as u64;
        Ok(true)
    }

    fn note_truncated(&mut self) {
        self.truncated = true;
    }
}

impl BlockSource for PacketSource {
    fn next_block(&mut self, block: &mut Vec<i16>) -> Result<(), Error> {
        block.clear();
        while !self.ended && block.is_empty() {
            self.ended = !guarded_step(self, block)?;
        }
        if block.is_empty() {
            self.truncated |= self.promised.is_some_and(|promised| self.decoded < promised);
            if self.truncated && !self.any_good && self.decoded > 0 {
                return Err(Error::damaged("no packet can be decoded"));
            }
        }
        Ok(())
    }

    fn truncated(&self) -> bool {
        self.truncated
    }

    fn frames(&self) -> Option<u64> {
        self.promised
    }
}

/// What third-party code decodes packet by packet.
pub(super) trait Steps {
    /// One packet: `false` at the end of the stream.
    fn step(&mut self, block: &mut Vec<i16>) -> Result<bool, Error>;

    /// Something is missing.
    fn note_truncated(&mut self);
}

/// One step: where it panics the stream ends, and what follows there is missing.
pub(super) fn guarded_step(source: &mut impl Steps, block: &mut Vec<i16>) -> Result<bool, Error> {
    contain(|| source.step(block)).unwrap_or_else(|| {
        block.clear();
        source.note_truncated();
        Ok(false)
    })
}

/// The demuxer of a container, which only for bare frames depends on the codec.
pub(super) fn demuxer<'s>(
    source: Box<dyn MediaSource + 's>,
    container: Container,
    codec: Codec,
) -> Result<Box<dyn FormatReader + 's>, Error> {
    let stream = MediaSourceStream::new(source, Default::default());
    let options = FormatOptions::default();
    Ok(match (container, codec) {
        (Container::Ogg, _) => Box::new(OggReader::try_new(stream, options).map_err(header_error)?),
        (Container::Mp4, _) => Box::new(IsoMp4Reader::try_new(stream, options).map_err(header_error)?),
        (Container::Matroska, _) => Box::new(MkvReader::try_new(stream, options).map_err(header_error)?),
        (Container::Caf, _) => Box::new(CafReader::try_new(stream, options).map_err(header_error)?),
        (Container::Adts, _) => Box::new(AdtsReader::try_new(stream, options).map_err(header_error)?),
        (_, Codec::Flac) => Box::new(FlacReader::try_new(stream, options).map_err(header_error)?),
        _ => Box::new(MpaReader::try_new(stream, options).map_err(header_error)?),
    })
}

/// Runs third-party decoding of untrusted bytes: a panic in there is damage to one file, not to the process.
pub(super) fn contain<T>(run: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(run)).ok()
}

pub(super) fn is_disk_error(error: &std::io::Error) -> bool {
    // Symphonia reports ends and nonsense as I/O errors of these kinds; the operating system's have a code. It also has
    // one for a seek to where no file reaches, which is nonsense out of a header.
    error.raw_os_error().is_some() && error.kind() != std::io::ErrorKind::InvalidInput
}

pub(super) fn header_error(error: PacketError) -> Error {
    match error {
        PacketError::IoError(error) if is_disk_error(&error) => error.into(),
        PacketError::Unsupported(what) => Error::unsupported(what),
        other => Error::damaged(other.to_string()),
    }
}

/// Whether there is more audio in the container than the one track that is decoded: then the recording is not whole
/// without it.
pub(super) fn has_other_audio(reader: &dyn FormatReader, track: u32) -> bool {
    let is_audio = |parameters: &CodecParameters| parameters.audio().is_some();
    reader.tracks().iter().any(|other| other.id != track && other.codec_params.as_ref().is_some_and(is_audio))
}

/// Whether the last page of an Ogg file carries the end-of-stream flag (RFC 3533 §6).
pub(super) fn ogg_stream_ends(file: &mut (impl Read + Seek)) -> Result<bool, Error> {
    /// A page has at most 65,307 bytes.
    const TAIL: u64 = 65_536;
    let len = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(len.saturating_sub(TAIL)))?;
    let mut tail = Vec::with_capacity(TAIL as usize);
    file.by_ref().take(TAIL).read_to_end(&mut tail)?;
    file.seek(SeekFrom::Start(0))?;
    let last = tail.windows(4).rposition(|bytes| bytes == b"OggS");
    Ok(last.and_then(|at| tail.get(at + 5)).is_some_and(|flags| flags & 4 != 0))
}
