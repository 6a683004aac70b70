//! A recording converted while it is downloaded: one thread decodes and encodes, as fast as the connection takes what it
//! makes, and stops as soon as nobody takes it any more.
//!
//! What reads as the end of a conversion is its end: a store that fails, a source that is damaged or a thread that
//! panics breaks the download off.

use std::fmt;
use std::io::{Error as IoError, ErrorKind, Result as IoResult, Write};
use std::sync::{Arc, Mutex, OnceLock};

use archive::{AudioReader, Recording};
use audio::{EncodeSettings, Format, Tags};
use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::door::Door;
use crate::problem::Problem;
use crate::recording_reader::RecordingReader;

/// Blocks that are encoded ahead of the connection; each has some KiB.
const BLOCKS_AHEAD: usize = 4;

/// A conversion on its way, the first block in hand.
pub(crate) struct Conversion {
    pub(crate) first: Bytes,
    blocks: mpsc::Receiver<Step>,
    /// How many bytes it came to, once that is known.
    pub(crate) length: Arc<OnceLock<u64>>,
}

/// What the thread tells.
enum Step {
    Block(Bytes),
    Failed(audio::Error),
    Done,
}

/// Why a conversion that had begun broke off.
#[derive(Debug)]
pub(crate) struct BrokenOff(String);

impl fmt::Display for BrokenOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the conversion broke off: {}", self.0)
    }
}

impl std::error::Error for BrokenOff {}

impl Conversion {
    /// Begins to convert, and answers when the first block is there, so that what cannot be converted is an error and
    /// not a broken download.
    pub(crate) async fn start(door: &Door, audio: AudioReader, format: Format) -> Result<Self, Problem> {
        let place = door.conversions.take(audio.recording.tenant).ok_or_else(Problem::too_many_conversions)?;
        let (sender, mut blocks) = mpsc::channel(BLOCKS_AHEAD);
        let length = Arc::new(OnceLock::new());
        let failure = Arc::new(Mutex::new(None));
        let work = Work { audio, format, sender, length: Arc::clone(&length), failure: Arc::clone(&failure) };
        let runtime = Handle::current();
        door.downloads.spawn_blocking(move || {
            work.run(runtime);
            drop(place);
        });
        match blocks.recv().await {
            Some(Step::Block(first)) => Ok(Self { first, blocks, length }),
            Some(Step::Failed(error)) => Err(problem(format, error, &failure)),
            Some(Step::Done) | None => Err(Problem::internal()),
        }
    }

    /// The blocks after the first.
    pub(crate) fn rest(self) -> impl Stream<Item = Result<Bytes, BrokenOff>> + Send + 'static {
        stream::unfold(Some(self.blocks), |blocks| async move {
            let mut blocks = blocks?;
            match blocks.recv().await {
                Some(Step::Block(block)) => Some((Ok(block), Some(blocks))),
                Some(Step::Done) => None,
                Some(Step::Failed(error)) => Some((Err(BrokenOff(error.to_string())), None)),
                None => Some((Err(BrokenOff("its thread ended".to_owned())), None)),
            }
        })
    }
}

/// What the store said when it failed. Decoders take a failing store for a damaged file, so it is kept beside them.
pub(crate) type StoreFailure = Arc<Mutex<Option<archive::Error>>>;

fn problem(format: Format, error: audio::Error, failure: &StoreFailure) -> Problem {
    if let Some(error) = failure.lock().ok().and_then(|mut failure| failure.take()) {
        return error.into();
    }
    match error {
        audio::Error::Io(error) => {
            tracing::error!(%error, "failed to convert");
            Problem::internal()
        }
        error => Problem::not_convertible(format!(
            "this recording cannot be converted to {format}: {error}; without format it comes as it is kept"
        )),
    }
}

/// What the thread does.
struct Work {
    audio: AudioReader,
    format: Format,
    sender: mpsc::Sender<Step>,
    length: Arc<OnceLock<u64>>,
    failure: StoreFailure,
}

impl Work {
    fn run(self, runtime: Handle) {
        let recording = self.audio.recording.clone();
        let hint = hint(&recording);
        let settings = settings(self.format, &recording);
        let mut sink = Blocks { sender: self.sender.clone(), failure: Arc::clone(&self.failure), sent: 0 };
        let source = RecordingReader::new(self.audio, runtime, self.sender.clone(), self.failure);
        let converted = audio::convert(source, &hint, &mut sink, &settings, &tags(&recording));
        let end = match converted.and_then(|_| Ok(sink.check()?)) {
            Ok(()) => {
                self.length.get_or_init(|| sink.sent);
                Step::Done
            }
            Err(error) => Step::Failed(error),
        };
        // Nobody listens any more: then nobody wants to know.
        _ = self.sender.blocking_send(end);
    }
}

/// What is encoded, block by block, to the connection.
struct Blocks {
    sender: mpsc::Sender<Step>,
    failure: StoreFailure,
    sent: u64,
}

impl Blocks {
    fn check(&self) -> IoResult<()> {
        match self.failure.lock().is_ok_and(|failure| failure.is_none()) {
            true => Ok(()),
            false => Err(IoError::other("the recording cannot be read")),
        }
    }
}

impl Write for Blocks {
    fn write(&mut self, bytes: &[u8]) -> IoResult<usize> {
        self.check()?;
        let block = Step::Block(Bytes::copy_from_slice(bytes));
        self.sender.blocking_send(block).map_err(|_| ErrorKind::BrokenPipe)?;
        self.sent += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> IoResult<()> {
        Ok(())
    }
}

/// The format of what is kept, where it is one that can be asked for.
pub(crate) fn kept_format(recording: &Recording) -> Option<Format> {
    if !recording.kept_original {
        return recording.format.parse().ok();
    }
    // An extension says little of what came from elsewhere.
    match recording.source_format.as_str() {
        "mp3/mp3" => Some(Format::Mp3),
        "ogg/opus" => Some(Format::Opus),
        "flac/flac" => Some(Format::Flac),
        source if source.starts_with("wav/pcm_") => Some(Format::Wav),
        _ => None,
    }
}

/// The name under which the recording is saved in another format.
pub(crate) fn file_name(recording: &Recording, format: Format) -> String {
    let name = &recording.file_name;
    let stem = name.strip_suffix(&recording.format).and_then(|name| name.strip_suffix('.')).unwrap_or(name);
    format!("{stem}.{format}")
}

fn hint(recording: &Recording) -> String {
    let mut hint = format!("kept.{}", recording.format);
    // Only a headerless format needs to be told.
    if recording.sample_rate > 0 && recording.channels > 0 {
        hint.push_str(&format!(";rate={};channels={}", recording.sample_rate, recording.channels));
    }
    hint
}

fn settings(format: Format, recording: &Recording) -> EncodeSettings {
    let channels = u16::try_from(recording.channels).unwrap_or(u16::MAX);
    EncodeSettings::for_listening(format, recording.sample_rate, channels)
}

fn tags(recording: &Recording) -> Tags {
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let (caller, callee) = (given(&recording.caller), given(&recording.callee));
    Tags {
        title: given(&[caller.as_deref(), callee.as_deref()].map(Option::unwrap_or_default).join(" → "))
            .filter(|_| caller.is_some() || callee.is_some()),
        date: Some(recording.started_at.timestamp().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
        caller,
        callee,
        pbx: given(&recording.pbx_token),
        call_id: given(&recording.call_ref),
        recording_id: Some(recording.id.to_string()),
        source_sha256: Some(recording.source_sha256.to_string()),
    }
}
