//! The limit: the codec libraries in a loop, from memory to memory, with the settings that we give them. Of FLAC it is the
//! library that there is (flacenc); ours is written here.

use std::path::Path;

use audio::Format;
use flacenc::bitsink::ByteSink;
use flacenc::component::{BitRepr, StreamInfo};
use flacenc::error::Verify;
use flacenc::source::{Fill, FrameBuf};
use mp3lame_encoder::{
    Bitrate, BuildError, Builder, FlushGap, Mode, MonoPcm, Quality, VbrMode, max_required_buffer_size,
};

use crate::Outcome;
use crate::cpu::{Cost, own_seconds};
use crate::speech;

/// Encodes the samples of one file; reading them is not counted.
pub(crate) fn encode(source: &Path, format: Format) -> Outcome<Cost> {
    let samples = speech::samples(source)?;
    let before = own_seconds()?;
    let bytes = match format {
        Format::Mp3 => mp3(&samples)?,
        Format::Opus => opus(&samples)?,
        Format::Flac => flac(&samples)?,
        Format::Wav => 0,
    };
    Ok(Cost { cpu_seconds: own_seconds()? - before, bytes: bytes as u64 })
}

fn lame() -> Result<mp3lame_encoder::Encoder, BuildError> {
    Builder::new()
        .ok_or(BuildError::NoMem)?
        .with_num_channels(1)?
        .with_sample_rate(8_000)?
        .with_output_sample_rate(std::num::NonZeroU32::new(8_000))?
        .with_mode(Mode::Mono)?
        .with_brate(Bitrate::Kbps32)?
        .with_vbr_mode(VbrMode::Off)?
        .with_quality(Quality::Good)?
        .with_to_write_vbr_tag(false)?
        .build()
}

fn mp3(samples: &[i16]) -> Outcome<usize> {
    let mut lame = lame().map_err(|error| error.to_string())?;
    let (mut bytes, mut total) = (Vec::new(), 0);
    for chunk in samples.chunks(4_608) {
        bytes.clear();
        bytes.reserve(max_required_buffer_size(chunk.len()));
        total += lame.encode_to_vec(MonoPcm(chunk), &mut bytes).map_err(|error| error.to_string())?;
    }
    bytes.clear();
    bytes.reserve(max_required_buffer_size(0));
    Ok(total + lame.flush_to_vec::<FlushGap>(&mut bytes).map_err(|error| error.to_string())?)
}

fn opus(samples: &[i16]) -> Outcome<usize> {
    let mut encoder = opus::Encoder::new(8_000, opus::Channels::Mono, opus::Application::Voip)?;
    encoder.set_bitrate(opus::Bitrate::Bits(24_000))?;
    encoder.set_complexity(5)?;
    let (mut packet, mut total) = ([0; 1_275], 0);
    for frame in samples.chunks_exact(160) {
        total += encoder.encode(frame, &mut packet)?;
    }
    Ok(total)
}

fn flac(samples: &[i16]) -> Outcome<usize> {
    const BLOCK: usize = 4_096;
    let config = flacenc::config::Encoder::default().into_verified().map_err(|(_, error)| error)?;
    let info = StreamInfo::new(8_000, 1, 16)?;
    let mut buffer = FrameBuf::with_size(1, BLOCK)?;
    let (mut wide, mut total) = (Vec::with_capacity(BLOCK), 0);
    for (number, block) in samples.chunks(BLOCK).enumerate() {
        wide.clear();
        wide.extend(block.iter().map(|&sample| i32::from(sample)));
        buffer.fill_interleaved(&wide)?;
        let mut bytes = ByteSink::new();
        flacenc::encode_fixed_size_frame(&config, &buffer, number, &info)?.write(&mut bytes)?;
        total += bytes.as_slice().len();
    }
    Ok(total)
}
