//! From a file to blocks of samples: which decoder reads what.

use std::fs::File;
use std::path::Path;

use crate::digest::{self, Reading};
use crate::error::Error;
use crate::foreign::Foreign;
use crate::format::{Codec, Container};
use crate::limits::{Limited, Limits};
use crate::probe::{self, Located, Probe};

mod bytes;
mod ffmpeg;
mod inspect;
mod matroska;
mod opus;
mod packets;
mod rtp;
mod window;

pub(crate) use inspect::inspect;
pub use window::Media;
use window::Window;

/// A decoder that hands out one block after the other.
pub(crate) trait BlockSource {
    /// Replaces `block` by the next samples, interleaved; leaves it empty at the end.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the file has bytes of audio but none of them can be decoded, [`Error::Io`].
    fn next_block(&mut self, block: &mut Vec<i16>) -> Result<(), Error>;

    /// Whether it ended before its time, or lost something on the way; final after the last block.
    fn truncated(&self) -> bool;

    /// How many frames there are in all, where the file tells; known after the first block, and right unless the file is
    /// damaged.
    fn frames(&self) -> Option<u64> {
        None
    }
}

/// What is decoded, and by what.
pub(crate) type Decoding = (Probe, Box<dyn BlockSource>);

/// An opened recording.
pub(crate) struct Opened {
    pub(crate) probe: Probe,
    pub(crate) source: Box<dyn BlockSource>,
    /// Knows, when all is decoded, what was read.
    pub(crate) reading: Reading,
}

/// Opens the file at `path` to decode it within `limits`; see [`crate::probe()`] for `name_hint`.
pub(crate) fn open(path: &Path, name_hint: &str, limits: &Limits) -> Result<Opened, Error> {
    let (file, reading) = digest::open(path, limits)?;
    let whole = file.whole()?;
    let opened = decoder(Box::new(file), Some(whole), name_hint, limits);
    // First: what a decoder makes of a read that was refused is not what the file is.
    limits.check()?;
    let (probe, source) = limited(opened?, limits);
    Ok(Opened { probe, source, reading })
}

/// Opens what looks like a file, and is not hashed. No other program can be given it.
pub(crate) fn open_media(media: Box<dyn Media>, name_hint: &str) -> Result<Decoding, Error> {
    let limits = Limits::default();
    decoder(media, None, name_hint, &limits).map(|decoding| limited(decoding, &limits))
}

fn limited((probe, source): Decoding, limits: &Limits) -> Decoding {
    (probe, Box::new(Limited::new(source, limits.clone(), probe.sample_rate, probe.channels)))
}

/// `whole`: the same as a file, for a decoder that is another program.
fn decoder(mut file: Box<dyn Media>, whole: Option<File>, name_hint: &str, limits: &Limits) -> Result<Decoding, Error> {
    let mut located = probe::locate(&mut file, name_hint)?;
    if let Some(foreign) = &located.foreign {
        // ffmpeg does not complain of an Ogg file that is cut between two pages.
        located.probe.truncated |= located.probe.container == Container::Ogg && !packets::ogg_stream_ends(&mut file)?;
        return foreign_decoder(whole, located.probe, foreign, limits);
    }
    match native_decoder(file, &located) {
        // The container is known, what is in it turned out not to be.
        Err(Error::Unsupported { what }) => match Foreign::inside(located.probe.container, what.clone()) {
            Some(foreign) => foreign_decoder(whole, located.probe, &foreign, limits),
            None => Err(Error::Unsupported { what }),
        },
        opened => opened,
    }
}

fn foreign_decoder(
    file: Option<File>,
    mut probe: Probe,
    foreign: &Foreign,
    limits: &Limits,
) -> Result<Decoding, Error> {
    let file = file.ok_or_else(|| Error::unsupported(format!("{} for a stream", foreign.what)))?;
    let source = ffmpeg::FfmpegSource::open(file, foreign, limits)?;
    (probe.sample_rate, probe.channels) = source.spec();
    probe.codec = foreign.codec();
    Ok((probe, Box::new(source)))
}

fn native_decoder(file: Box<dyn Media>, located: &Located) -> Result<Decoding, Error> {
    let mut probe = located.probe;
    let window = Window::new(file, located.start, located.len)?;
    let source: Box<dyn BlockSource> = match (probe.container, probe.codec) {
        (Container::Pcap, _) => Box::new(rtp::RtpSource::open(window, probe.sample_rate)?),
        (Container::Ogg, Codec::Opus) => Box::new(opus::OpusSource::open(window)?),
        (Container::Matroska, Codec::Opus) => Box::new(matroska::OpusSource::open(window)?),
        (_, Codec::Vorbis | Codec::Mp3 | Codec::Flac | Codec::Aac | Codec::Alac) => {
            let packets = packets::PacketSource::open(window, probe.container, probe.codec)?;
            (probe.sample_rate, probe.channels) = packets.spec();
            probe.stale_header |= packets.stale_header();
            Box::new(packets)
        }
        _ => Box::new(bytes::ByteSource::new(window, located)),
    };
    Ok((probe, source))
}
