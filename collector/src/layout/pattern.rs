//! A custom layout's pattern: which groups it may name, and which it needs.

use regex::Regex;

/// Every group that means something.
const GROUPS: [&str; 15] = [
    "pbx",
    "direction",
    "caller",
    "callee",
    "year",
    "month",
    "day",
    "hour",
    "minute",
    "second",
    "date",
    "time",
    "epoch",
    "uniqueid",
    "leg",
];

/// Groups that mean something only together with others.
const TOGETHER: [(&str, &[&str]); 6] = [
    ("year", &["month", "day"]),
    ("month", &["year", "day"]),
    ("day", &["year", "month"]),
    ("hour", &["minute"]),
    ("minute", &["hour"]),
    ("second", &["hour", "minute"]),
];

/// Compiles a custom pattern and looks at its groups.
pub(super) fn compile(pattern: &str) -> Result<Regex, String> {
    let regex = Regex::new(pattern).map_err(|error| format!("pattern: {error}"))?;
    let named: Vec<&str> = regex.capture_names().flatten().collect();
    let has = |group: &str| named.contains(&group);
    if let Some(unknown) = named.iter().find(|name| !GROUPS.contains(name)) {
        return Err(format!("pattern: group \"{unknown}\" is not one of {}", GROUPS.join(", ")));
    }
    if !has("pbx") {
        return Err("pattern: needs a group \"pbx\", as in (?P<pbx>[^/]+)/; where the whole core server is one PBX, \
                    write (?P<pbx>) and give it the alias \"\""
            .to_owned());
    }
    for (group, others) in TOGETHER {
        if let Some(absent) = others.iter().find(|other| has(group) && !has(other)) {
            return Err(format!("pattern: group \"{group}\" needs a group \"{absent}\" beside it"));
        }
    }
    if has("date") && has("year") {
        return Err("pattern: give \"date\" or \"year\", \"month\" and \"day\", not both".to_owned());
    }
    if has("time") && has("hour") {
        return Err("pattern: give \"time\" or \"hour\", \"minute\" and \"second\", not both".to_owned());
    }
    if (has("time") || has("hour")) && !has("date") && !has("year") {
        return Err("pattern: a time needs a date: \"date\", or \"year\", \"month\" and \"day\"".to_owned());
    }
    Ok(regex)
}
