//! What the containers hold that only their demuxer can tell: MPEG-4, ADTS, Matroska, Core Audio.

use std::io::{Read, Result as IoResult, Seek, SeekFrom};

use symphonia::core::codecs::audio::well_known::{
    CODEC_ID_AAC, CODEC_ID_ALAC, CODEC_ID_FLAC, CODEC_ID_MP3, CODEC_ID_OPUS, CODEC_ID_VORBIS,
};
use symphonia::core::formats::TrackType;
use symphonia::core::io::MediaSource;

use super::packets::{contain, demuxer};
use crate::error::Error;
use crate::format::{Codec, Container};
use crate::ogg_head::OpusHead;

/// The first audio track of a container.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inspected {
    pub(crate) codec: Codec,
    pub(crate) sample_rate: u32,
    pub(crate) channels: u16,
}

/// Opens the container in `reader`, which is `len` bytes long.
pub(crate) fn inspect<R: Read + Seek + Send + Sync>(
    reader: &mut R,
    len: u64,
    container: Container,
) -> Result<Inspected, Error> {
    reader.seek(SeekFrom::Start(0))?;
    contain(move || unguarded(Box::new(Borrowed { reader, len }), container))
        .unwrap_or_else(|| Err(Error::damaged("the headers cannot be read")))
}

fn unguarded(source: Box<dyn MediaSource + '_>, container: Container) -> Result<Inspected, Error> {
    let reader = demuxer(source, container, Codec::Aac)?;
    let track = reader.default_track(TrackType::Audio).ok_or(Error::Empty)?;
    let parameters = track.codec_params.as_ref().and_then(|parameters| parameters.audio());
    let parameters = parameters.ok_or_else(|| Error::damaged("no audio track"))?;
    let codec = match parameters.codec {
        CODEC_ID_AAC => Codec::Aac,
        CODEC_ID_ALAC => Codec::Alac,
        CODEC_ID_FLAC => Codec::Flac,
        CODEC_ID_MP3 => Codec::Mp3,
        CODEC_ID_OPUS => Codec::Opus,
        CODEC_ID_VORBIS => Codec::Vorbis,
        _ => return Err(Error::unsupported(format!("this codec in {container}"))),
    };
    if codec == Codec::Opus {
        let head = parameters.extra_data.as_deref().and_then(OpusHead::parse);
        let head = head.ok_or_else(|| Error::unsupported("Opus of more than two channels"))?;
        return Ok(Inspected { codec, sample_rate: head.sample_rate, channels: head.channels });
    }
    let channels = parameters.channels.as_ref().and_then(|channels| u16::try_from(channels.count()).ok());
    match (parameters.sample_rate, channels) {
        (Some(sample_rate @ 1..), Some(channels @ 1..)) => Ok(Inspected { codec, sample_rate, channels }),
        _ => Err(Error::damaged("no sample rate or channels")),
    }
}

/// A reader that the demuxer gives back.
struct Borrowed<'a, R> {
    reader: &'a mut R,
    len: u64,
}

impl<R: Read> Read for Borrowed<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> IoResult<usize> {
        self.reader.read(buffer)
    }
}

impl<R: Seek> Seek for Borrowed<'_, R> {
    fn seek(&mut self, to: SeekFrom) -> IoResult<u64> {
        self.reader.seek(to)
    }
}

impl<R: Read + Seek + Send + Sync> MediaSource for Borrowed<'_, R> {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        Some(self.len)
    }
}
