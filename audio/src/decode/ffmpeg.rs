//! The last resort: an installed ffmpeg as a child process, of which nothing is expected and much is limited.
//!
//! It gets the recording as its standard input (no name, so that neither its messages nor the list of processes tell
//! one), is told what that is, and writes the samples as `.au` to a pipe. It has no environment, writes no file, has
//! so much memory and so much time, and is ended with its whole process group when it is no longer read.

use std::fs::File;
use std::io::{Error as IoError, ErrorKind, Read, Result as IoResult, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Resource, Rlimit, Signal, kill_process_group, pidfd_open, prlimit};

use super::BlockSource;
use crate::au;
use crate::decoders::Ffmpeg;
use crate::error::Error;
use crate::foreign::Foreign;
use crate::limits::Limits;

/// Bytes read at a time.
const READ_BYTES: usize = 32 * 1024;
/// As much of its messages is kept.
const SAID_BYTES: usize = 1_024;
/// What it may open: of the codecs of a hostile file, no others are tried.
const CODECS: &str = "aac,aac_fixed,alac,amrnb,amrwb,g723_1,g729,ilbc,mp2,mp2float,mp3,mp3float,msnsiren,opus,libopus,\
    siren,speex,libspeex,truespeech,vorbis,wmalossless,wmapro,wmav1,wmav2,wmavoice,adpcm_ima_qt,adpcm_ima_wav,adpcm_ms,\
    g722,g726,g726le,gsm,gsm_ms,pcm_alaw,pcm_mulaw,pcm_s16be,pcm_s16le,pcm_s24be,pcm_s24le,pcm_f32be,pcm_f32le,flac";

/// Samples out of an ffmpeg.
pub(crate) struct FfmpegSource {
    running: Running,
    what: String,
    sample_rate: u32,
    channels: u16,
    buffer: Vec<u8>,
    /// Bytes of a sample of which the rest has not come.
    carried: usize,
    any_good: bool,
    truncated: bool,
    ended: bool,
}

impl FfmpegSource {
    /// Starts it on `file`, of which `foreign` says what it is.
    pub(crate) fn open(file: File, foreign: &Foreign, limits: &Limits) -> Result<Self, Error> {
        let what = &foreign.what;
        let Ffmpeg::At(program) = &limits.ffmpeg else {
            let why = limits.ffmpeg.absence().unwrap_or_default();
            return Err(Error::unsupported(format!("{what}: {why}")));
        };
        let mut running = Running::start(program, file, foreign, limits).map_err(|error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::PermissionDenied => {
                Error::unsupported(format!("{what}: the ffmpeg that is configured cannot be started ({error})"))
            }
            _ => error.into(),
        })?;
        let head = match au::read(&mut running, u64::MAX) {
            Ok(head) => head,
            Err(Error::Empty) => return Err(running.end()?.blame(what)),
            Err(other) => return Err(other),
        };
        // Between the header and the samples there may be a remark.
        std::io::copy(&mut (&mut running).take(head.data_start - 24), &mut std::io::sink())?;
        Ok(Self {
            running,
            what: what.clone(),
            sample_rate: head.sample_rate,
            channels: head.channels,
            buffer: vec![0; READ_BYTES],
            carried: 0,
            any_good: false,
            truncated: false,
            ended: false,
        })
    }

    pub(crate) fn spec(&self) -> (u32, u16) {
        (self.sample_rate, self.channels)
    }

    fn finish(&mut self) -> Result<(), Error> {
        self.ended = true;
        let outcome = self.running.end()?;
        self.truncated |= self.carried > 0 || !outcome.is_clean();
        if !self.any_good && self.truncated {
            return Err(outcome.blame(&self.what));
        }
        Ok(())
    }
}

impl BlockSource for FfmpegSource {
    fn next_block(&mut self, block: &mut Vec<i16>) -> Result<(), Error> {
        block.clear();
        let frame = 2 * usize::from(self.channels);
        while block.is_empty() && !self.ended {
            let read = self.running.read(&mut self.buffer[self.carried..])?;
            if read == 0 {
                return self.finish();
            }
            let filled = self.carried + read;
            let whole = filled - filled % frame;
            block.extend(self.buffer[..whole].as_chunks().0.iter().map(|&two| i16::from_be_bytes(two)));
            self.buffer.copy_within(whole..filled, 0);
            self.carried = filled - whole;
            self.any_good |= !block.is_empty();
        }
        Ok(())
    }

    fn truncated(&self) -> bool {
        self.truncated
    }
}

/// The process, and what it says.
struct Running {
    child: Child,
    stdout: ChildStdout,
    stderr: Option<ChildStderr>,
    /// Writes to it what does not begin as it would expect.
    feeder: Option<JoinHandle<IoResult<()>>>,
    said: Vec<u8>,
    /// How long it may still be waited for, and what else may end it.
    left: Duration,
    limits: Limits,
    out_of_time: bool,
    reaped: Option<ExitStatus>,
}

/// How it ended.
struct Outcome {
    status: ExitStatus,
    out_of_time: bool,
    said: String,
}

impl Running {
    fn start(program: &Path, mut file: File, foreign: &Foreign, limits: &Limits) -> IoResult<Self> {
        let fed = !foreign.head.is_empty();
        let mut command = Command::new(program);
        command.args(["-nostdin", "-v", "error", "-threads", "1", "-max_alloc", "268435456"]);
        command.args(["-protocol_whitelist", "file,pipe", "-format_whitelist", foreign.demuxer]);
        command.args(["-codec_whitelist", CODECS, "-f", foreign.demuxer]);
        // Of a pipe it could read no container with its table at the end: it opens what it was given.
        command.args(["-i", if fed { "pipe:0" } else { "file:/proc/self/fd/0" }]);
        // All the audio there is, into a format that takes one stream: what has several is not decoded in part.
        command.args(["-map", "0:a", "-vn", "-sn", "-dn", "-map_metadata", "-1"]);
        command.args(["-fflags", "+bitexact", "-c:a", "pcm_s16be", "-f", "au", "pipe:1"]);
        file.seek(SeekFrom::Start(0))?;
        let mut file = Some(file);
        command.stdin(file.take_if(|_| !fed).map_or_else(Stdio::piped, Stdio::from));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.env_clear().current_dir("/").process_group(0).spawn()?;
        let stdout = child.stdout.take().expect("it is piped");
        let stderr = child.stderr.take();
        let stdin = child.stdin.take();
        let mut running = Self {
            child,
            stdout,
            stderr,
            feeder: None,
            said: Vec::new(),
            left: limits.ffmpeg_time,
            limits: limits.clone(),
            out_of_time: false,
            reaped: None,
        };
        // From here on it is ended by being dropped.
        running.limit(limits)?;
        if let (Some(mut file), Some(mut stdin)) = (file, stdin) {
            let head = foreign.head;
            let feed = move || {
                stdin.write_all(head)?;
                std::io::copy(&mut file, &mut stdin).map(|_| ())
            };
            running.feeder = Some(std::thread::Builder::new().name("feed ffmpeg".to_owned()).spawn(feed)?);
        }
        Ok(running)
    }

    /// No more memory and time than is granted, and no files.
    fn limit(&self, limits: &Limits) -> IoResult<()> {
        let granted = [
            (Resource::As, limits.ffmpeg_memory_bytes),
            // It is ended by the clock before; this is for the case that we are gone.
            (Resource::Cpu, limits.ffmpeg_time.as_secs() + 5),
            (Resource::Fsize, 0),
            (Resource::Core, 0),
        ];
        for (resource, limit) in granted {
            prlimit(self.pid(), resource, Rlimit { current: Some(limit), maximum: Some(limit) })?;
        }
        Ok(())
    }

    fn pid(&self) -> Option<Pid> {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// Waits until it has written something, or the end of what it writes; `false` if its time is up.
    fn wait_for_output(&mut self) -> IoResult<bool> {
        loop {
            let mut events = vec![PollFd::new(&self.stdout, PollFlags::IN)];
            events.extend(self.stderr.as_ref().map(|stderr| PollFd::new(stderr, PollFlags::IN)));
            if poll_within(&mut events, &mut self.left, &self.limits)? == 0 {
                return Ok(false);
            }
            let written = !events[0].revents().is_empty();
            let says = events.get(1).is_some_and(|event| !event.revents().is_empty());
            drop(events);
            if says {
                self.listen()?;
            }
            if written {
                return Ok(true);
            }
        }
    }

    /// Takes what it has just said; what is too much is not kept.
    fn listen(&mut self) -> IoResult<()> {
        let Some(stderr) = &mut self.stderr else { return Ok(()) };
        let mut words = [0; 1_024];
        let read = stderr.read(&mut words)?;
        if read == 0 {
            self.stderr = None;
        }
        let room = SAID_BYTES - self.said.len();
        self.said.extend_from_slice(&words[..read.min(room)]);
        Ok(())
    }

    /// Waits for its end, and ends it if it does not come.
    fn end(&mut self) -> IoResult<Outcome> {
        while let (Some(stderr), false) = (&self.stderr, self.out_of_time) {
            let mut events = [PollFd::new(stderr, PollFlags::IN)];
            match poll_within(&mut events, &mut self.left, &self.limits)? {
                0 => self.out_of_time = true,
                _ => self.listen()?,
            }
        }
        if let (Some(pid), false, None) = (self.pid(), self.out_of_time, self.reaped) {
            let handle = pidfd_open(pid, PidfdFlags::empty())?;
            let mut events = [PollFd::from_borrowed_fd(handle.as_fd(), PollFlags::IN)];
            self.out_of_time = poll_within(&mut events, &mut self.left, &self.limits)? == 0;
        }
        if self.out_of_time {
            self.kill();
        }
        let status = self.reap()?;
        if let Some(feeder) = self.feeder.take() {
            let fed = feeder.join().unwrap_or_else(|_| Err(IoError::other("the recording could not be handed on")));
            // It may have read enough.
            fed.or_else(|error| if error.kind() == ErrorKind::BrokenPipe { Ok(()) } else { Err(error) })?;
        }
        let said = String::from_utf8_lossy(&self.said).into_owned();
        Ok(Outcome { status, out_of_time: self.out_of_time, said })
    }

    fn reap(&mut self) -> IoResult<ExitStatus> {
        let status = self.child.wait()?;
        self.reaped = Some(status);
        Ok(status)
    }

    /// Ends it and whatever it has started; it is still to be reaped.
    fn kill(&mut self) {
        if let (Some(pid), None) = (self.pid(), self.reaped) {
            // It may have gone by itself.
            let _gone = kill_process_group(pid, Signal::KILL);
        }
    }
}

impl Read for Running {
    fn read(&mut self, buffer: &mut [u8]) -> IoResult<usize> {
        if self.out_of_time || !self.wait_for_output()? {
            self.out_of_time = true;
            return Ok(0);
        }
        self.stdout.read(buffer)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.reaped.is_none() {
            self.kill();
            let _status = self.reap();
        }
        if let Some(feeder) = self.feeder.take() {
            let _fed = feeder.join();
        }
    }
}

impl Outcome {
    /// Whether it decoded everything and complained of nothing.
    fn is_clean(&self) -> bool {
        self.status.success() && !self.out_of_time && self.said.trim().is_empty()
    }

    /// Why there is no audio.
    fn blame(&self, what: &str) -> Error {
        const LACKS: [&str; 3] = ["Unknown input format", "Unknown decoder", "not found for input stream"];
        if self.out_of_time {
            return Error::damaged(format!("{what}: ffmpeg took too long"));
        }
        if LACKS.iter().any(|lack| self.said.contains(lack)) {
            return Error::unsupported(format!("{what}: the ffmpeg that is installed has no decoder of it"));
        }
        let line = self.said.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        let line: String = line.chars().filter(|letter| !letter.is_control()).take(160).collect();
        match (line.is_empty(), self.status.success()) {
            (true, true) => Error::Empty,
            (true, false) => Error::damaged(format!("{what}: ffmpeg ended with {}", self.status)),
            _ => Error::damaged(format!("{what}: ffmpeg says {line:?}")),
        }
    }
}

/// Waits for an event no longer than `left`, from which it takes the time that it took; 0 when that is used up. Whether
/// the pass may go on is looked at every now and then.
fn poll_within(events: &mut [PollFd<'_>], left: &mut Duration, limits: &Limits) -> IoResult<usize> {
    const NOW_AND_THEN: Duration = Duration::from_millis(100);
    loop {
        limits.check_io()?;
        let (began, wait) = (Instant::now(), NOW_AND_THEN.min(*left));
        let timeout = Timespec { tv_sec: wait.as_secs().cast_signed(), tv_nsec: wait.subsec_nanos().into() };
        let ready = poll(events, Some(&timeout));
        *left = left.saturating_sub(began.elapsed());
        match ready {
            Err(rustix::io::Errno::INTR) => {}
            Ok(0) if !left.is_zero() => {}
            Ok(ready) => return Ok(ready),
            Err(error) => return Err(error.into()),
        }
    }
}
