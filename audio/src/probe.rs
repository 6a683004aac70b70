//! What a file is: by its content first, by its extension where it has no header.

use std::io::{Read, Seek, SeekFrom};

use crate::decode::inspect;
use crate::error::Error;
use crate::format::{Codec, Container};
use crate::{au, mpeg, ogg_head, pcap, raw, riff};

/// What a file is, found without decoding it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// What its bytes are packed in.
    pub container: Container,
    /// How the samples are coded.
    pub codec: Codec,
    /// Samples per second of one channel.
    pub sample_rate: u32,
    /// Channels, 1 for mono.
    pub channels: u16,
    /// The header's sizes are not those of the file: it is being written, or its recorder was killed.
    pub stale_header: bool,
    /// The header promises more than the file has. Only decoding finds the other ways of being cut short.
    pub truncated: bool,
}

impl Probe {
    /// Container and codec in one word, such as `wav/gsm_ms`.
    pub fn source_format(&self) -> String {
        format!("{}/{}", self.container, self.codec)
    }
}

/// A probe, and where in the file the audio lies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Located {
    pub(crate) probe: Probe,
    pub(crate) start: u64,
    pub(crate) len: u64,
    /// Bytes of one block of the codecs that have blocks.
    pub(crate) block_align: u16,
    /// Samples per channel, where the container counts what a last block is filled up with apart.
    pub(crate) frames: Option<u64>,
}

impl Located {
    fn new(probe: Probe, start: u64, len: u64) -> Self {
        Self { probe, start, len, block_align: 0, frames: None }
    }
}

/// Finds out what `reader` holds; `name` is a file name or path, of which the extension counts, and may carry the
/// layout of headerless PCM as parameters: `a.raw;rate=16000;channels=2`.
///
/// # Errors
/// [`Error::Empty`], [`Error::NotAudio`], [`Error::Unsupported`], [`Error::Damaged`] (the header contradicts itself)
/// or [`Error::Io`].
pub fn probe<R: Read + Seek + Send + Sync>(reader: &mut R, name: &str) -> Result<Probe, Error> {
    locate(reader, name).map(|located| located.probe)
}

pub(crate) fn locate<R: Read + Seek + Send + Sync>(reader: &mut R, name: &str) -> Result<Located, Error> {
    let file_len = reader.seek(SeekFrom::End(0))?;
    if file_len == 0 {
        return Err(Error::Empty);
    }
    let head = read_at(reader, 0, 512)?;
    reader.seek(SeekFrom::Start(0))?;
    if let Some(located) = by_content(reader, &head, file_len)? {
        return Ok(located);
    }
    if let Some(layout) = raw::layout(name) {
        let probe = plain(Container::Raw, layout.codec, layout.sample_rate, layout.channels);
        return Ok(Located::new(probe, 0, file_len));
    }
    if raw::extension(name) == "aac" && head[0] == 0xff && head.get(1).is_some_and(|byte| byte & 0xf6 == 0xf0) {
        let found = inspect(reader, file_len, Container::Adts)?;
        let probe = plain(Container::Adts, found.codec, found.sample_rate, found.channels);
        return Ok(Located::new(probe, 0, file_len));
    }
    if let Some(what) = raw::unsupported(name) {
        return Err(Error::unsupported(what));
    }
    mp3_without_tag(reader, &head, name, file_len)
}

fn plain(container: Container, codec: Codec, sample_rate: u32, channels: u16) -> Probe {
    Probe { container, codec, sample_rate, channels, stale_header: false, truncated: false }
}

/// Signatures of four bytes and more: a headerless file does not begin with one by chance.
fn by_content<R: Read + Seek + Send + Sync>(
    reader: &mut R,
    head: &[u8],
    file_len: u64,
) -> Result<Option<Located>, Error> {
    let whole = |probe| Some(Located::new(probe, 0, file_len));
    if head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WAVE") {
        let wav = riff::walk(reader, file_len)?;
        let probe = Probe {
            stale_header: wav.stale_header,
            truncated: wav.truncated,
            ..plain(Container::Wav, wav.codec, wav.sample_rate, wav.channels)
        };
        let located = Located::new(probe, wav.data_start, wav.data_len);
        return Ok(Some(Located { block_align: wav.block_align, frames: wav.frames, ..located }));
    }
    if head.starts_with(b".snd") {
        let au = au::read(reader, file_len)?;
        let probe = Probe {
            stale_header: au.truncated,
            truncated: au.truncated,
            ..plain(Container::Au, au.codec, au.sample_rate, au.channels)
        };
        return Ok(Some(Located::new(probe, au.data_start, au.data_len)));
    }
    if pcap::is_capture(head) {
        reader.seek(SeekFrom::Start(0))?;
        let survey = pcap::survey(std::io::BufReader::with_capacity(64 * 1024, reader))?;
        let probe = plain(Container::Pcap, survey.codec, survey.sample_rate, 2);
        return Ok(whole(Probe { truncated: survey.truncated, ..probe }));
    }
    if let Some(container) = boxed(head) {
        let found = inspect(reader, file_len, container)?;
        return Ok(whole(plain(container, found.codec, found.sample_rate, found.channels)));
    }
    if head.starts_with(b"OggS") {
        let ogg = ogg_head::read(head)?;
        return Ok(whole(plain(Container::Ogg, ogg.codec, ogg.sample_rate, ogg.channels)));
    }
    if head.starts_with(b"fLaC") {
        let (rate, channels) = ogg_head::flac_stream_info(head.get(8..).unwrap_or_default())?;
        return Ok(whole(plain(Container::Flac, Codec::Flac, rate, channels)));
    }
    if let Some(skip) = mpeg::id3v2_len(head) {
        return after_id3(reader, skip, file_len).map(Some);
    }
    if let Some(what) = foreign(head) {
        return Err(Error::unsupported(what));
    }
    Ok(None)
}

fn after_id3<R: Read + Seek>(reader: &mut R, skip: u64, file_len: u64) -> Result<Located, Error> {
    if skip >= file_len {
        return Err(Error::Empty);
    }
    let head = read_at(reader, skip, 4096)?;
    if head.starts_with(b"fLaC") {
        let (rate, channels) = ogg_head::flac_stream_info(head.get(8..).unwrap_or_default())?;
        let probe = plain(Container::Flac, Codec::Flac, rate, channels);
        return Ok(Located::new(probe, skip, file_len - skip));
    }
    // Some taggers leave zeros between the tag and the first frame.
    let frame = (0..head.len()).find_map(|at| Some((at, mpeg::frame_header(&head[at..])?)));
    let (at, frame) = frame.ok_or_else(|| Error::damaged("no MPEG frame after the ID3 tag"))?;
    let start = skip + at as u64;
    let probe = plain(Container::Mp3, Codec::Mp3, frame.sample_rate, frame.channels);
    Ok(Located::new(probe, start, file_len - start))
}

/// A bare MPEG frame has a signature of eleven bits, which noise has too: it takes the name, or two frames in a row.
fn mp3_without_tag<R: Read + Seek>(reader: &mut R, head: &[u8], name: &str, len: u64) -> Result<Located, Error> {
    let named = matches!(raw::extension(name).as_str(), "mp3" | "mpga" | "mpeg");
    let frame = mpeg::frame_header(head).ok_or(Error::NotAudio)?;
    if !named {
        let next = read_at(reader, frame.len as u64, 4)?;
        let alike = |next: &mpeg::FrameHeader| (next.sample_rate, next.channels) == (frame.sample_rate, frame.channels);
        mpeg::frame_header(&next).filter(alike).ok_or(Error::NotAudio)?;
    }
    let probe = plain(Container::Mp3, Codec::Mp3, frame.sample_rate, frame.channels);
    Ok(Located::new(probe, 0, len))
}

/// Containers that are opened to learn what is in them.
fn boxed(head: &[u8]) -> Option<Container> {
    if head.get(4..8) == Some(b"ftyp") {
        return Some(Container::Mp4);
    }
    head.starts_with(b"\x1a\x45\xdf\xa3").then_some(Container::Matroska)
}

/// Audio that is recognised in order to be kept as it came.
fn foreign(head: &[u8]) -> Option<&'static str> {
    const SIGNATURES: [(usize, &[u8], &str); 10] = [
        (0, b"RF64", "RF64"),
        (0, b"BW64", "BW64"),
        (0, b"riff\x2e\x91\xcf\x11", "Sony Wave64"),
        (0, b"FORM", "AIFF"),
        (0, b"caff", "Core Audio"),
        (0, b"#!AMR", "AMR"),
        (0, b"#!iLBC", "iLBC"),
        (0, b"\x30\x26\xb2\x75", "Windows Media Audio"),
        (0, b"\x0a\x0d\x0d\x0a", "a packet capture of the next generation"),
        (0, b"ADIF", "AAC"),
    ];
    SIGNATURES.iter().find(|(at, magic, _)| head.get(*at..at + magic.len()) == Some(*magic)).map(|(_, _, what)| *what)
}

fn read_at<R: Read + Seek>(reader: &mut R, at: u64, len: u64) -> Result<Vec<u8>, Error> {
    reader.seek(SeekFrom::Start(at))?;
    let mut bytes = Vec::with_capacity(len as usize);
    reader.take(len).read_to_end(&mut bytes)?;
    Ok(bytes)
}
