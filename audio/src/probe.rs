//! What a file is: by its content first, by its extension where it has no header.

use std::io::{Read, Seek, SeekFrom};

use crate::decode::inspect;
use crate::error::Error;
use crate::foreign::{self, Foreign};
use crate::format::{Codec, Container};
use crate::{aiff, au, caf, mpeg, ogg_head, pcap, raw, riff, w64};

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
#[derive(Debug, Clone)]
pub(crate) struct Located {
    pub(crate) probe: Probe,
    pub(crate) start: u64,
    pub(crate) len: u64,
    /// Bytes of one block of the codecs that have blocks.
    pub(crate) block_align: u16,
    /// Samples per channel, where the container counts what a last block is filled up with apart.
    pub(crate) frames: Option<u64>,
    /// Only an ffmpeg decodes it; then of the probe no more than the container is known.
    pub(crate) foreign: Option<Foreign>,
}

impl Located {
    fn new(probe: Probe, start: u64, len: u64) -> Self {
        Self { probe, start, len, block_align: 0, frames: None, foreign: None }
    }

    fn foreign(container: Container, foreign: Foreign, len: u64) -> Self {
        let probe = plain(container, foreign.codec(), 0, 0);
        Self { foreign: Some(foreign), ..Self::new(probe, 0, len) }
    }
}

/// Finds out what `reader` holds; `name` is a file name or path, of which the extension counts, and may carry the
/// layout of headerless PCM as parameters: `a.raw;rate=16000;channels=2`.
///
/// # Errors
/// [`Error::Empty`], [`Error::NotAudio`], [`Error::Unsupported`] (also where an ffmpeg would decode it),
/// [`Error::Damaged`] (the header contradicts itself) or [`Error::Io`].
pub fn probe<R: Read + Seek + Send + Sync>(reader: &mut R, name: &str) -> Result<Probe, Error> {
    let located = locate(reader, name)?;
    match located.foreign {
        Some(foreign) => Err(Error::unsupported(foreign.what)),
        None => Ok(located.probe),
    }
}

pub(crate) fn locate<R: Read + Seek + Send + Sync>(reader: &mut R, name: &str) -> Result<Located, Error> {
    let file_len = reader.seek(SeekFrom::End(0))?;
    if file_len == 0 {
        return Err(Error::Empty);
    }
    let head = read_at(reader, 0, 512)?;
    reader.seek(SeekFrom::Start(0))?;
    if let Some(container) = signature(&head) {
        return contained(reader, container, &head, file_len).or_else(|error| {
            let Error::Unsupported { what } = error else { return Err(error) };
            let foreign = Foreign::inside(container, what.clone()).ok_or(Error::Unsupported { what })?;
            let mut located = Located::foreign(container, foreign, file_len);
            if container == Container::Wav {
                (located.probe.stale_header, located.probe.truncated) = riff::is_stale(reader, file_len)?;
            }
            Ok(located)
        });
    }
    if let Some(skip) = mpeg::id3v2_len(&head) {
        return after_id3(reader, skip, file_len);
    }
    headerless(reader, &head, name, file_len)
}

fn plain(container: Container, codec: Codec, sample_rate: u32, channels: u16) -> Probe {
    Probe { container, codec, sample_rate, channels, stale_header: false, truncated: false }
}

/// Signatures of four bytes and more: a headerless file does not begin with one by chance.
fn signature(head: &[u8]) -> Option<Container> {
    const SIGNATURES: [(usize, &[u8], Container); 12] = [
        (8, b"WAVE", Container::Wav),
        (0, &w64::RIFF, Container::W64),
        (0, b".snd", Container::Au),
        (8, b"AIFF", Container::Aiff),
        (8, b"AIFC", Container::Aiff),
        (0, b"caff", Container::Caf),
        (4, b"ftyp", Container::Mp4),
        (0, b"\x1a\x45\xdf\xa3", Container::Matroska),
        (0, b"OggS", Container::Ogg),
        (0, b"fLaC", Container::Flac),
        (0, b"#!AMR", Container::Amr),
        (0, b"#!iLBC", Container::Ilbc),
    ];
    // The header of an ASF file is an object of which the name is a GUID.
    if head.starts_with(b"\x30\x26\xb2\x75\x8e\x66\xcf\x11") {
        return Some(Container::Asf);
    }
    if pcap::is_capture(head) {
        return Some(Container::Pcap);
    }
    let named = |&&(at, magic, _): &&(usize, &[u8], Container)| head.get(at..at + magic.len()) == Some(magic);
    let container = SIGNATURES.iter().find(named).map(|&(_, _, container)| container)?;
    match container {
        Container::Wav => [b"RIFF", b"RF64", b"BW64"].iter().any(|riff| head.starts_with(*riff)).then_some(container),
        Container::Aiff => head.starts_with(b"FORM").then_some(container),
        _ => Some(container),
    }
}

/// Reads the header of a container.
fn contained<R: Read + Seek + Send + Sync>(
    reader: &mut R,
    container: Container,
    head: &[u8],
    file_len: u64,
) -> Result<Located, Error> {
    let whole = |codec, rate, channels| Located::new(plain(container, codec, rate, channels), 0, file_len);
    Ok(match container {
        Container::Wav | Container::W64 => {
            let walk =
                if container == Container::Wav { riff::walk(reader, file_len) } else { w64::walk(reader, file_len) };
            let wav = walk?;
            let plain = plain(container, wav.codec, wav.sample_rate, wav.channels);
            let probe = Probe { stale_header: wav.stale_header, truncated: wav.truncated, ..plain };
            let located = Located::new(probe, wav.data_start, wav.data_len);
            Located { block_align: wav.block_align, frames: wav.frames, ..located }
        }
        Container::Au => {
            let au = au::read(reader, file_len)?;
            let plain = plain(container, au.codec, au.sample_rate, au.channels);
            let probe = Probe { stale_header: au.truncated, truncated: au.truncated, ..plain };
            Located::new(probe, au.data_start, au.data_len)
        }
        Container::Aiff => {
            let aiff = aiff::walk(reader, file_len)?;
            let plain = plain(container, aiff.codec, aiff.sample_rate, aiff.channels);
            let probe = Probe { stale_header: aiff.stale_header, truncated: aiff.truncated, ..plain };
            Located::new(probe, aiff.data_start, aiff.data_len)
        }
        Container::Pcap => {
            let survey = pcap::survey(std::io::BufReader::with_capacity(64 * 1024, reader))?;
            let mut located = whole(survey.codec, survey.sample_rate, 2);
            located.probe.truncated = survey.truncated;
            located
        }
        Container::Ogg => {
            let ogg = ogg_head::read(head)?;
            whole(ogg.codec, ogg.sample_rate, ogg.channels)
        }
        Container::Flac => {
            let (rate, channels) = ogg_head::flac_stream_info(head.get(8..).unwrap_or_default())?;
            whole(Codec::Flac, rate, channels)
        }
        Container::Amr if head.starts_with(b"#!AMR-WB") => return Err(Error::unsupported("AMR-WB")),
        Container::Amr => return Err(Error::unsupported("AMR")),
        Container::Ilbc => return Err(Error::unsupported("iLBC")),
        Container::Asf => return Err(Error::unsupported("Windows Media Audio")),
        Container::Caf => {
            let Some(caf) = caf::walk(reader, file_len)? else {
                let found = inspect(reader, file_len, container)?;
                return Ok(whole(found.codec, found.sample_rate, found.channels));
            };
            let plain = plain(container, caf.codec, caf.sample_rate, caf.channels);
            let probe = Probe { stale_header: caf.stale_header, truncated: caf.truncated, ..plain };
            Located::new(probe, caf.data_start, caf.data_len)
        }
        Container::Mp4 | Container::Adts | Container::Matroska | Container::Mp3 | Container::Raw => {
            let found = inspect(reader, file_len, container)?;
            whole(found.codec, found.sample_rate, found.channels)
        }
    })
}

/// What has no signature: the extension says what it is.
fn headerless<R: Read + Seek + Send + Sync>(
    reader: &mut R,
    head: &[u8],
    name: &str,
    file_len: u64,
) -> Result<Located, Error> {
    let extension = raw::extension(name);
    if let Some(layout) = raw::layout(name) {
        let probe = plain(Container::Raw, layout.codec, layout.sample_rate, layout.channels);
        return Ok(Located::new(probe, 0, file_len));
    }
    if let Some((foreign, frame_bytes)) = foreign::headerless(&extension) {
        let mut located = Located::foreign(Container::Raw, foreign, file_len);
        located.probe.truncated = !file_len.is_multiple_of(frame_bytes);
        return Ok(located);
    }
    if extension == "aac" && head[0] == 0xff && head.get(1).is_some_and(|byte| byte & 0xf6 == 0xf0) {
        return contained(reader, Container::Adts, head, file_len);
    }
    if let Some(what) = raw::unsupported(name) {
        return Err(Error::unsupported(what));
    }
    mp3_without_tag(reader, head, name, file_len)
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

fn read_at<R: Read + Seek>(reader: &mut R, at: u64, len: u64) -> Result<Vec<u8>, Error> {
    reader.seek(SeekFrom::Start(at))?;
    let mut bytes = Vec::with_capacity(len as usize);
    reader.take(len).read_to_end(&mut bytes)?;
    Ok(bytes)
}
