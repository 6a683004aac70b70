//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// The recording storage and media archive beside a multi-tenant PBX platform.
#[derive(Debug, Parser)]
#[command(name = "fonoteca", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Where the configuration is.
#[derive(Debug, Args)]
pub(crate) struct ConfigFile {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = "/etc/fonoteca/fonoteca.toml", env = "FONOTECA_CONFIG")]
    pub(crate) config: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Shows everything at work, on embedded defaults and with real sample recordings
    Demo {
        /// Where the demo keeps its files
        #[arg(long, default_value = "demo-data")]
        dir: PathBuf,
        /// Where HTTP listens
        #[arg(long, default_value = "127.0.0.1:8080")]
        http: SocketAddr,
        /// Where FTP listens
        #[arg(long, default_value = "127.0.0.1:2121")]
        ftp: SocketAddr,
    },
    /// Runs the archive until it is told to stop
    Serve {
        #[command(flatten)]
        config: ConfigFile,
        /// Only these parts
        #[arg(long, value_delimiter = ',')]
        only: Vec<Part>,
    },
    /// Declares resellers, tiers, tenants, PBXs, core servers, users and FTP accounts; again changes nothing
    Apply {
        #[command(flatten)]
        config: ConfigFile,
        /// The declaration (TOML)
        file: PathBuf,
        /// Says what would change, and changes nothing
        #[arg(long)]
        dry_run: bool,
        /// Which recordings changed days and quotas are for; without it such a change is shown and refused
        #[arg(long = "for", value_name = "WHICH")]
        reach: Option<Reach>,
    },
    /// Collects what waits on the core servers, then ends
    Collect {
        #[command(flatten)]
        config: ConfigFile,
        /// Ends when nothing waits any more
        #[arg(long, required = true)]
        once: bool,
        /// Only from this one
        #[arg(long, value_name = "NAME")]
        core_server: Option<String>,
    },
    /// Takes out what is due by days or quota, and purges what has been out for its grace period
    Rotate {
        #[command(flatten)]
        config: ConfigFile,
        /// One run, then ends
        #[arg(long, required_unless_present_any = ["confirm", "accept_clock", "confirm_restore"])]
        once: bool,
        /// Prints exactly what would go and why, and takes nothing out
        #[arg(long, requires = "once")]
        dry_run: bool,
        /// Confirms, after a look at the preview, that recordings older than this core server's enrolment come under
        /// the rules
        #[arg(long, value_name = "CORE_SERVER", conflicts_with = "once")]
        confirm: Option<String>,
        /// Says that the clock is right, after rotation has refused to go by it
        #[arg(long, conflicts_with_all = ["once", "confirm"])]
        accept_clock: bool,
        /// Says that what was restored is as it should be, so that rotation goes on
        #[arg(long, conflicts_with_all = ["once", "confirm", "accept_clock"])]
        confirm_restore: bool,
        /// For scripts
        #[arg(long)]
        json: bool,
    },
    /// Compares the catalogue with the stores; exit code 1 when they disagree
    Verify {
        #[command(flatten)]
        config: ConfigFile,
        /// Reads every byte and compares its hash
        #[arg(long)]
        deep: bool,
        /// Goes on where an earlier one that was cut off had come to
        #[arg(long, requires = "deep")]
        resume: bool,
        /// For scripts
        #[arg(long)]
        json: bool,
    },
    /// Backs the catalogue up into a store, or lists the backups that there are
    Backup {
        #[command(flatten)]
        config: ConfigFile,
        /// Lists the backups, newest first, and makes none
        #[arg(long)]
        list: bool,
        /// For scripts
        #[arg(long)]
        json: bool,
    },
    /// Brings a lost catalogue back into an empty database: the newest backup, the journal, the objects since
    Restore {
        #[command(flatten)]
        config: ConfigFile,
        /// This backup, not the newest
        #[arg(long, value_name = "BACKUP")]
        backup: Option<String>,
        /// The backups of this catalogue, not of the one that the stores' markers name
        #[arg(long, value_name = "CATALOGUE")]
        catalogue: Option<String>,
        /// For scripts
        #[arg(long)]
        json: bool,
    },
    /// As restore, where no backup is left: from the journal and the objects alone
    Rebuild {
        #[command(flatten)]
        config: ConfigFile,
        /// What is left of this catalogue, not of the one that the stores' markers name
        #[arg(long, value_name = "CATALOGUE")]
        catalogue: Option<String>,
        /// For scripts
        #[arg(long)]
        json: bool,
    },
    /// Lists the stores, what is in them, and what waits to be copied; exit code 1 when one does not answer
    Stores {
        #[command(flatten)]
        config: ConfigFile,
        /// For scripts
        #[arg(long)]
        json: bool,
        #[command(subcommand)]
        command: Option<StoresCommand>,
    },
    /// Lists what is quarantined, or gives one source another try
    Retry {
        #[command(flatten)]
        config: ConfigFile,
        /// The source; without it, what is quarantined is listed
        source: Option<String>,
    },
    /// Sets a legal hold
    Hold {
        #[command(flatten)]
        config: ConfigFile,
        /// The code of the tenant whose recordings it holds
        #[arg(long)]
        tenant: String,
        /// The name of the matter
        #[arg(long)]
        matter: String,
        /// Only this recording
        #[arg(long)]
        recording: Option<String>,
        /// Only this PBX, by code
        #[arg(long)]
        pbx: Option<String>,
        /// Only calls from or to this number
        #[arg(long)]
        number: Option<String>,
        /// Only calls begun at or after (RFC 3339)
        #[arg(long)]
        from: Option<String>,
        /// Only calls begun before (RFC 3339)
        #[arg(long)]
        until: Option<String>,
    },
    /// Releases a legal hold
    Release {
        #[command(flatten)]
        config: ConfigFile,
        /// The hold
        hold: String,
    },
    /// Brings an expired recording back while it is in its grace period
    Undelete {
        #[command(flatten)]
        config: ConfigFile,
        /// The recording
        recording: String,
    },
    /// Looks after the audit
    Audit {
        #[command(flatten)]
        config: ConfigFile,
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// Opens everything that the configuration names, says what is wrong with it, and ends
    CheckConfig {
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Brings the catalogue's schema up to date, or moves the catalogue to another database, and ends
    Migrate {
        #[command(flatten)]
        config: ConfigFile,
        /// Moves this catalogue, on which nothing may be at work: sqlite:PATH or postgres://…
        #[arg(long, value_name = "URL", requires = "to")]
        from: Option<String>,
        /// Into this empty database; then point the configuration at it
        #[arg(long, value_name = "URL", requires = "from")]
        to: Option<String>,
    },
    /// Says which version this is
    Version,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StoresCommand {
    /// Says that a store is gone for good: what was in it is copied again from other copies; its name is free for the
    /// store that replaces it
    Lost {
        /// The store
        name: String,
        /// Does it; without this, it only says what would be lost
        #[arg(long)]
        confirm: bool,
    },
    /// Enters the store that is configured under a lost one's name, in its place
    Replace {
        /// The name
        name: String,
    },
    /// Says that a store that was declared lost is there again
    Found {
        /// The name by which the lost store is listed
        name: String,
        /// The name by which it is configured now
        #[arg(long = "as", value_name = "NAME")]
        new_name: String,
    },
    /// Lists the recordings of which no sound copy is left
    LostRecordings,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Follows the audit's chain from its beginning; exit code 1 when it is broken
    Verify,
    /// Lists who did what, newest first
    List {
        /// Only what concerns this tenant, by code
        #[arg(long, conflicts_with = "pbx")]
        tenant: Option<String>,
        /// Only what concerns this PBX, by code
        #[arg(long)]
        pbx: Option<String>,
        /// At most so many rows
        #[arg(long, default_value_t = 100)]
        limit: u32,
        /// For scripts
        #[arg(long)]
        json: bool,
    },
}

/// Which recordings a change of days and quotas is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Reach {
    /// Those archived from now on; the others are kept as long as they were to be
    New,
    /// All of them
    Existing,
}

/// What `serve` is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Brings recordings in.
    Collector,
    /// Takes out what is due.
    Rotation,
    /// The FTP door.
    Ftp,
    /// The HTTP door.
    Http,
}

impl Part {
    pub(crate) const ALL: [Self; 4] = [Self::Collector, Self::Rotation, Self::Ftp, Self::Http];

    /// What `--only` calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Collector => "collector",
            Self::Rotation => "rotation",
            Self::Ftp => "ftp",
            Self::Http => "http",
        }
    }
}
