//! Layouts: what a path in a spool means. A layout is data, namely patterns with named groups; reading a path is one
//! plain function of the path, the core server's zone and the time.
//!
//! Nothing is lost by a path that no pattern knows: its recording is called after its base name, and belongs to the
//! PBX that the first folder names.

mod fields;
mod pattern;

#[cfg(test)]
mod tests;

use std::path::Path;

use archive::{Direction, Instant, Leg};
use jiff::tz::TimeZone;
use regex::Regex;

use fields::Fields;

/// `<pbx>/YYYY/MM/DD/<direction>-<callee>-<caller>-YYYYMMDD-HHMMSS-<uniqueid>[-in|-out].<ext>`, read from the right:
/// the callee may contain dashes, and so may the system name before the uniqueid. FreePBX's names are the same.
const CALL: &str = r"^(?:.*/)?(?P<direction>[^-/]+)-(?P<callee>[^/]*)-(?P<caller>[^-/]*)-(?P<date>[0-9]{8})-(?P<time>[0-9]{6})-(?P<uniqueid>(?:[^/]*-)?[0-9]+\.[0-9]+)(?:-(?P<leg>in|out))?\.[^./]+$";
/// A bare uniqueid: `MixMonitor(${UNIQUEID}.wav)`.
const UNIQUEID: &str = r"^(?:.*/)?(?P<uniqueid>(?:[^/]*-)?[0-9]{9,10}\.[0-9]+)(?:-(?P<leg>in|out))?\.[^./0-9][^./]*$";
/// Any other name of a separate leg, as `Monitor()` and MixMonitor's options `r` and `t` make them.
const SEPARATE_LEG: &str = r"^(?:.*/)?(?P<uniqueid>[^/]+)-(?P<leg>in|out)\.[^./]+$";
/// `<domain>/archive/YYYY/Mon/DD/<uuid>.<ext>`; the month is an English abbreviation.
const FUSIONPBX: &str = r"^(?:.*/)?(?P<pbx>[^/]+)/archive/(?P<year>[0-9]{4})/(?P<month>[A-Za-z]{3,9})/(?P<day>[0-9]{1,2})/(?P<uniqueid>[^/]+)\.[^./]+$";

struct Preset {
    name: &'static str,
    patterns: &'static [&'static str],
    /// What the names of files that are not recordings begin with.
    foreign: &'static [&'static str],
}

const PRESETS: [Preset; 3] = [
    Preset { name: "asterisk", patterns: &[CALL, UNIQUEID, SEPARATE_LEG], foreign: &[] },
    Preset { name: "freepbx", patterns: &[CALL, UNIQUEID], foreign: &[] },
    Preset { name: "fusionpbx", patterns: &[FUSIONPBX], foreign: &["call_screen."] },
];

/// Last extensions of what is being written, or belongs to a recording without being one.
const TEMPORARY: [&str; 9] = ["tmp", "temp", "part", "partial", "filepart", "lock", "swp", "meta", "discard"];

/// What a path says of its recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Meaning {
    pub(crate) pbx_token: String,
    pub(crate) call_ref: String,
    pub(crate) leg: Leg,
    pub(crate) direction: Direction,
    pub(crate) caller: String,
    pub(crate) callee: String,
    pub(crate) started_at: Option<Instant>,
}

/// A layout, ready to read paths.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    patterns: Vec<Regex>,
    foreign: &'static [&'static str],
}

/// Looks whether there is such a layout and, for a custom one, whether its pattern can be worked with.
///
/// # Errors
/// What is wrong and what to write instead.
pub fn check_layout(layout: &str, pattern: Option<&str>) -> Result<(), String> {
    Layout::new(layout, pattern).map(|_| ())
}

impl Layout {
    /// The layout of that name; `pattern` is a custom one's.
    ///
    /// # Errors
    /// As [`check_layout`].
    pub(crate) fn new(layout: &str, pattern: Option<&str>) -> Result<Self, String> {
        if layout == "custom" {
            let pattern = pattern.ok_or("a custom layout needs a pattern")?;
            return Ok(Self { patterns: vec![pattern::compile(pattern)?], foreign: &[] });
        }
        let preset = PRESETS.iter().find(|preset| preset.name == layout).ok_or_else(|| {
            let known: Vec<_> = PRESETS.iter().map(|preset| preset.name).collect();
            format!("layout \"{layout}\" is not one of {}, custom", known.join(", "))
        })?;
        if pattern.is_some() {
            return Err(format!("only a custom layout has a pattern, not \"{layout}\""));
        }
        let compile = |pattern: &&str| Regex::new(pattern).expect("the presets are tested");
        Ok(Self { patterns: preset.patterns.iter().map(compile).collect(), foreign: preset.foreign })
    }

    /// Can the file of that name be a recording? Hidden and temporary files are none, nor what the layout excludes.
    pub(crate) fn is_recording(&self, name: &str) -> bool {
        let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
        !name.starts_with('.')
            && !name.ends_with('~')
            && !extension.is_some_and(|extension| TEMPORARY.contains(&extension.as_str()))
            && !self.foreign.iter().any(|prefix| name.starts_with(prefix))
    }

    /// What `path`, relative to the spool, says. Its times are in `zone`.
    ///
    /// A path that says the day but not the time means the end of that day or, while it lasts, `now`: so that nothing
    /// counts as older than it is.
    pub(crate) fn read(&self, path: &Path, zone: &TimeZone, now: Instant) -> Meaning {
        let text = path.to_string_lossy();
        let found = self.patterns.iter().find_map(|pattern| Some((pattern, pattern.captures(&text)?)));
        let Some((pattern, captures)) = found else {
            return Meaning {
                pbx_token: fields::clean(first_folder(&text)),
                call_ref: fields::clean(base_name(&text)),
                leg: Leg::Mixed,
                direction: Direction::Unknown,
                caller: String::new(),
                callee: String::new(),
                started_at: None,
            };
        };
        let fields = Fields::new(&captures);
        let names_pbx = pattern.capture_names().flatten().any(|name| name == "pbx");
        let (caller, call_ref) = (fields.text("caller"), fields.text("uniqueid"));
        Meaning {
            pbx_token: if names_pbx { fields.text("pbx") } else { fields::clean(first_folder(&text)) },
            leg: fields.leg(),
            direction: fields.direction(&caller),
            callee: fields.text("callee"),
            started_at: fields.started_at(zone, now),
            call_ref: if call_ref.is_empty() { fields::clean(base_name(&text)) } else { call_ref },
            caller,
        }
    }
}

/// The first folder of the path, which names the PBX; none where the path begins with a date.
fn first_folder(path: &str) -> &str {
    let digits = |part: Option<&&str>, count| part.is_some_and(|part| part.len() == count && is_digits(part));
    let folders: Vec<&str> = path.split('/').collect();
    let folders = &folders[..folders.len() - 1];
    let dated = digits(folders.first(), 4) && digits(folders.get(1), 2);
    if dated { "" } else { folders.first().unwrap_or(&"") }
}

/// The file's name without its extension. A uniqueid's counter is no extension.
fn base_name(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    match name.rsplit_once('.') {
        Some((base, extension)) if !base.is_empty() && !is_digits(extension) => base,
        _ => name,
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
