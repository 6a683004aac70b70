//! The configuration: one TOML file. Each crate owns its section and checks it; an unknown key is refused, with the
//! nearest one that is known.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use archive::StoreConfig;
use serde::Deserialize;

use crate::WrongUse;

/// What `fonoteca.toml` holds.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Where this instance keeps what is its own: the SQLite catalogue, the landing zone, made certificates.
    pub(crate) data_dir: PathBuf,
    /// How long what is under way when the service is told to stop may take to finish.
    #[serde(default = "a_minute", deserialize_with = "archive::units::duration")]
    pub(crate) shutdown_timeout: Duration,
    /// The catalogue.
    #[serde(default)]
    pub(crate) database: Database,
    /// The audit.
    #[serde(default)]
    pub(crate) audit: Audit,
    /// The stores; the first takes what no tier directs elsewhere.
    pub(crate) stores: Vec<Store>,
    /// Logging.
    #[serde(default)]
    pub(crate) log: Log,
    /// The HTTP door.
    #[serde(default)]
    pub(crate) http: api::Config,
    /// The FTP door.
    #[serde(default)]
    pub(crate) ftp: ftp::Config,
    /// Bringing recordings in.
    #[serde(default)]
    pub(crate) collector: collector::Config,
    /// Taking out what is due.
    #[serde(default)]
    pub(crate) rotation: rotation::Config,
    /// Reading everything again.
    #[serde(default)]
    pub(crate) scrub: rotation::ScrubConfig,
    /// Backups of the catalogue.
    #[serde(default)]
    pub(crate) backup: rotation::BackupConfig,
}

/// The catalogue.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Database {
    /// `sqlite:PATH` or `postgres://…`; without it, `catalogue.db` in `data_dir`. `env:NAME` and `file:PATH` say where
    /// it stands.
    pub(crate) url: Option<String>,
    /// Connections to it; of SQLite, the readers beside the one writer.
    pub(crate) connections: Option<u32>,
}

/// The audit.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Audit {
    /// How long its rows, and the reports of runs, are kept.
    #[serde(deserialize_with = "archive::units::duration")]
    pub(crate) keep: Duration,
}

impl Default for Audit {
    fn default() -> Self {
        Self { keep: Duration::from_secs(10 * 365 * 86_400) }
    }
}

fn a_minute() -> Duration {
    Duration::from_secs(60)
}

/// A store: its name, its address, and everything else, which the archive reads and checks.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Store {
    /// What tiers name it by.
    pub(crate) name: String,
    /// A directory, or `s3://bucket/prefix`.
    pub(crate) url: String,
    #[serde(flatten)]
    options: BTreeMap<String, Plain>,
}

/// A value as text; a flag and a number need no quotes.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum Plain {
    Text(String),
    Flag(bool),
    Number(i64),
}

/// Secrets may be among them.
impl std::fmt::Debug for Plain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Plain")
    }
}

impl From<&Store> for StoreConfig {
    fn from(store: &Store) -> Self {
        let options = store.options.iter().map(|(key, value)| {
            let value = match value {
                Plain::Text(text) => text.clone(),
                Plain::Flag(flag) => flag.to_string(),
                Plain::Number(number) => number.to_string(),
            };
            (key.clone(), value)
        });
        Self { name: store.name.clone(), url: store.url.clone(), options: options.collect() }
    }
}

/// Logging, to standard error.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Log {
    /// `text` or `json`.
    pub(crate) format: LogFormat,
    /// What is logged: such as `info` or `warn,collector=debug`. `RUST_LOG` overrides it.
    pub(crate) filter: String,
}

/// What Fonoteca itself says; of its libraries only what is wrong.
const OWN_WORDS: &str = "warn,fonoteca=info,archive=info,audio=info,collector=info,rotation=info,ftp=info,api=info";

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, filter: OWN_WORDS.to_owned() }
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    Text,
    Json,
}

impl Config {
    /// Reads and checks a file.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| WrongUse::because(format!("cannot read {}: {error}", path.display())))?;
        Self::parse(&text).map_err(|what| WrongUse::because(format!("{}: {what}", path.display())))
    }

    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let config: Self = toml::from_str(text).map_err(|error| explain(&error, text))?;
        for store in config.store_configs() {
            store.check().map_err(|what| format!("[[stores]] {what}"))?;
        }
        if config.database.connections.is_some_and(|connections| !(2..=1000).contains(&connections)) {
            return Err("[database] connections: choose from 2 to 1000".to_owned());
        }
        if config.audit.keep < Duration::from_secs(30 * 86_400) {
            return Err("[audit] keep is too short to look into anything: make it \"30 days\" or more".to_owned());
        }
        config.http.validate().map_err(|what| format!("[http] {what}"))?;
        config.ftp.validate().map_err(|what| format!("[ftp] {what}"))?;
        config.collector.validate().map_err(|what| format!("[collector] {what}"))?;
        config.rotation.validate().map_err(|what| format!("[rotation] {what}"))?;
        config.scrub.validate().map_err(|what| format!("[scrub] {what}"))?;
        config.backup.validate().map_err(|what| format!("[backup] {what}"))?;
        if let Some(store) = &config.backup.store
            && !config.stores.iter().any(|it| &it.name == store)
        {
            return Err(format!("[backup] store: there is no store \"{store}\" in [[stores]]"));
        }
        Ok(config)
    }

    /// The catalogue's URL.
    pub(crate) fn database_url(&self) -> anyhow::Result<String> {
        match &self.database.url {
            Some(url) => archive::look_up(url).map_err(WrongUse::because),
            None => Ok(format!("sqlite:{}", self.data_dir.join("catalogue.db").display())),
        }
    }

    /// The stores.
    pub(crate) fn store_configs(&self) -> Vec<StoreConfig> {
        self.stores.iter().map(StoreConfig::from).collect()
    }
}

/// One line that says what is wrong, where, and what was probably meant.
pub(crate) fn explain(error: &toml::de::Error, text: &str) -> String {
    let line = error.span().map_or_else(String::new, |span| {
        let before = text.get(..span.start).unwrap_or_default();
        format!("line {}: ", before.matches('\n').count() + 1)
    });
    let message = error.message();
    let nearest = archive::nearest_key(message);
    format!("{line}{}", nearest.unwrap_or_else(|| message.replace('\n', " ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = "data_dir = \"/tmp/x\"\nstores = [{ name = \"disk\", url = \"/tmp/y\" }]\n";

    #[test]
    fn the_example_configuration_parses() {
        let example = include_str!("../deploy/fonoteca.example.toml");
        let config = Config::parse(example).unwrap();
        assert_eq!(config.stores[0].name, "disk");
        // What the example shows commented out must be as right as the rest.
        let everything: String = example
            .lines()
            .map(|line| line.strip_prefix("#: ").unwrap_or(line))
            .fold(String::new(), |text, line| text + line + "\n");
        Config::parse(&everything).unwrap();
    }

    #[test]
    fn the_example_configuration_shows_every_key() {
        let example = include_str!("../deploy/fonoteca.example.toml");
        for key in archive::store_keys() {
            assert!(example.contains(&format!("\n#: {key} = ")), "[[stores]] {key} is not in the example");
        }
        for section in ["database", "audit", "log", "http", "ftp", "collector", "rotation", "scrub", "backup"] {
            let unknown = format!("{LEAST}[{section}]\nno_such_key = 1\n");
            let error = toml::from_str::<Config>(&unknown).unwrap_err();
            // serde names every key that it expected.
            let keys: Vec<&str> = error.message().split('`').skip(3).step_by(2).collect();
            assert!(!keys.is_empty(), "{error}");
            for key in keys {
                assert!(example.contains(&format!("\n#: {key} = ")), "[{section}] {key} is not in the example");
            }
        }
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_known_one() {
        for (addition, complaint) in [
            ("data_dirr = \"x\"", "unknown key \"data_dirr\": did you mean \"data_dir\"?"),
            ("[htpp]", "did you mean \"http\"?"),
            ("[ftp]\nlisten_adress = \"x\"", "unknown key \"listen_adress\": did you mean \"listen\"?"),
            ("[collector]\nscan_intervall = \"5 s\"", "did you mean \"scan_interval\"?"),
            ("[rotation]\nmin_agee = \"5 s\"", "did you mean \"min_age\"?"),
        ] {
            let complaint_made = Config::parse(&format!("{LEAST}{addition}\n")).unwrap_err();
            assert!(complaint_made.contains(complaint), "{complaint_made}");
            assert!(complaint_made.starts_with("line "), "{complaint_made}");
        }
    }

    #[test]
    fn a_stores_unknown_key_and_wrong_value_are_refused_by_name() {
        for (addition, complaint) in [
            ("regoin = \"x\"", "[[stores]] store \"bucket\": unknown key \"regoin\": did you mean \"region\"?"),
            ("path_style = \"perhaps\"", "store \"bucket\": path_style: "),
            ("low_space = \"5 %\"", "low_space is for directories"),
            ("max_retries = -1", "store \"bucket\": max_retries: "),
        ] {
            let text = format!("data_dir = \"/x\"\n[[stores]]\nname = \"bucket\"\nurl = \"s3://x\"\n{addition}\n");
            let complaint_made = Config::parse(&text).unwrap_err();
            assert!(complaint_made.contains(complaint), "{complaint_made}");
        }
        let text =
            "data_dir = \"/x\"\n[[stores]]\nname = \"b\"\nurl = \"s3://x\"\nallow_http = true\nmax_retries = 2\n";
        assert_eq!(Config::parse(text).unwrap().store_configs()[0].options.len(), 2);
    }

    #[test]
    fn a_wrong_value_names_its_section_and_line() {
        for addition in [
            "[audit]\nkeep = \"1 h\"",
            "[database]\nconnections = 0",
            "[rotation]\ngrace = \"5 min\"",
            "[rotation]\nschedule = \"whenever\"",
            "[http]\nlisten = 5",
        ] {
            let complaint = Config::parse(&format!("{LEAST}{addition}\n")).unwrap_err();
            assert!(
                ["rotation", "line", "[audit] keep", "[database] connections"].iter().any(|it| complaint.contains(it)),
                "{complaint}"
            );
        }
    }
}
