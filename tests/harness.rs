//! One Fonoteca for one test: its directory, its configuration, its commands, its running service, its clients.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use archive::testing::TestArchive;
use serde_json::Value as Json;

/// The program under test.
const FONOTECA: &str = env!("CARGO_BIN_EXE_fonoteca");
/// How long anything may take before the test gives up: far beyond what a loaded machine needs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// The password of every user and FTP account of the test platform.
pub(crate) const PASSWORD: &str = TestArchive::PASSWORD;
const PASSWORD_HASH: &str = TestArchive::PASSWORD_HASH;

/// Which database holds the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

/// Makes a test of `$name(engine)` on each engine.
macro_rules! on_both_engines {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {$(
            #[tokio::test]
            async fn $name() {
                super::$name($crate::harness::Engine::Sqlite).await;
            }
        )+}
        mod postgres {$(
            #[tokio::test]
            async fn $name() {
                super::$name($crate::harness::Engine::Postgres).await;
            }
        )+}
    };
}
pub(crate) use on_both_engines;

/// The bearer token of the test platform's user.
pub(crate) fn token(login: &str) -> String {
    TestArchive::token(login)
}

/// A recording of the corpus, by its path there.
pub(crate) fn fixture(path: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(path);
    assert!(path.is_file(), "{} is not there", path.display());
    path
}

/// How long the manifest says that the fixture lasts, in seconds.
pub(crate) fn manifest_seconds(fixture: &str) -> f64 {
    let manifest = include_str!("fixtures/MANIFEST.tsv");
    let row = manifest.lines().map(|line| line.split('\t').collect::<Vec<_>>()).find(|row| row[0] == fixture);
    row.unwrap_or_else(|| panic!("{fixture} is not in the manifest"))[8].parse().expect("a duration")
}

/// Asserts that the audio lasts as long as `seconds`, give or take 0.1 s, once decoded.
pub(crate) fn assert_lasts(file: &Path, seconds: f64) {
    let name = file.file_name().expect("a file name").to_string_lossy();
    let measured = audio::measure(file, &name).unwrap_or_else(|error| panic!("{name}: {error}"));
    let lasts = measured.samples_per_channel as f64 / f64::from(measured.sample_rate);
    assert!((lasts - seconds).abs() <= 0.1, "{name} lasts {lasts} s, not {seconds} s");
}

/// One Fonoteca, on a directory of its own.
pub(crate) struct Fonoteca {
    pub(crate) directory: tempfile::TempDir,
    engine: Engine,
    database: Option<String>,
}

impl Fonoteca {
    /// With the test platform: resellers `north` (tenants `acme`, `borealis`) and `south` (tenant `cobalt`), a PBX of
    /// each tenant's name, core server `core-1` with an Asterisk spool, users `operator`, `reseller` (north), `tenant`
    /// and `pbx` (acme), an FTP account of each PBX's name
    /// (and for acme a second one, `acme-2`).
    pub(crate) fn new(engine: Engine) -> Self {
        Self::start(engine, (engine == Engine::Postgres).then(new_postgres_database))
    }

    /// As [`Fonoteca::new`], on that PostgreSQL.
    pub(crate) fn on_database(url: &str) -> Self {
        Self::start(Engine::Postgres, Some(url.to_owned()))
    }

    fn start(engine: Engine, database: Option<String>) -> Self {
        let directory = tempfile::tempdir().expect("temporary directory");
        let fonoteca = Self { directory, engine, database };
        std::fs::create_dir_all(fonoteca.spool()).expect("make the spool");
        fonoteca.configure("");
        fonoteca.declare("");
        fonoteca.run_ok(&["apply", &fonoteca.path("platform.toml")]);
        fonoteca
    }

    /// The core server's spool.
    pub(crate) fn spool(&self) -> PathBuf {
        self.directory.path().join("spool")
    }

    /// A path in the test's directory, as text.
    pub(crate) fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().expect("UTF-8").to_owned()
    }

    /// Writes the configuration; `more` goes after it.
    pub(crate) fn configure(&self, more: &str) {
        let database = self.database.as_ref().map_or_else(String::new, |url| format!("[database]\nurl = \"{url}\"\n"));
        let text = format!(
            "data_dir = \"{data}\"\nstores = [{{ name = \"disk\", url = \"{store}\" }}]\n{database}\
             [http]\nlisten = \"127.0.0.1:0\"\noperations_listen = \"127.0.0.1:0\"\n\
             [ftp]\nlisten = \"127.0.0.1:0\"\ntls = \"optional\"\n\
             [collector]\nscan_interval = \"200 ms\"\nsettle = \"1 s\"\nworkers = 2\n{more}",
            data = self.path("data"),
            store = self.path("store"),
        );
        std::fs::write(self.path("fonoteca.toml"), text).expect("write the configuration");
    }

    /// Has the configuration name these stores, each a directory of its own; `disk` is the one in `store`.
    pub(crate) fn configure_stores(&self, names: &[&str]) {
        let store = |name: &&str| {
            let url = self.path(if *name == "disk" { "store" } else { name });
            format!("{{ name = \"{name}\", url = \"{url}\" }}")
        };
        self.configure_as_stores(&names.iter().map(store).collect::<Vec<_>>().join(", "));
    }

    /// Has the configuration name these stores, written as it writes them.
    fn configure_as_stores(&self, stores: &str) {
        self.configure("");
        let path = self.path("fonoteca.toml");
        let text = std::fs::read_to_string(&path).expect("read the configuration");
        let stores = format!("stores = [{stores}]");
        let line = |line: &str| if line.starts_with("stores = ") { stores.clone() } else { line.to_owned() };
        let text: Vec<String> = text.lines().map(line).collect();
        std::fs::write(path, text.join("\n") + "\n").expect("write the configuration");
    }

    /// Has the configuration name a new bucket of the tests' S3 server, and behind it the disk.
    pub(crate) fn configure_bucket(&self) {
        let server = std::env::var("FONOTECA_TEST_S3")
            .expect("FONOTECA_TEST_S3 is not set: run the tests by `make test`, which starts an S3 server for them");
        let parts: Vec<&str> = server.trim_start_matches("http://").split([':', '@', '/']).collect();
        let [key, secret, host, port, region] = parts[..] else { panic!("http://KEY:SECRET@HOST:PORT/REGION") };
        let bucket = format!("fonoteca-{}", archive::random_text(20).to_ascii_lowercase());
        let made = Command::new("curl")
            .args(["--silent", "--show-error", "--fail", "--request", "PUT", "--user", &format!("{key}:{secret}")])
            .args(["--aws-sigv4", &format!("aws:amz:{region}:s3"), &format!("http://{host}:{port}/{bucket}")])
            .output()
            .expect("run curl: `make setup` installs it");
        assert!(made.status.success(), "make a bucket: {}", String::from_utf8_lossy(&made.stderr));
        self.configure_as_stores(&format!(
            "{{ name = \"bucket\", url = \"s3://{bucket}/archive\", endpoint = \"http://{host}:{port}\", \
             region = \"{region}\", access_key_id = \"{key}\", secret_access_key = \"{secret}\", allow_http = true }}, \
             {{ name = \"disk\", url = \"{}\" }}",
            self.path("store")
        ));
    }

    /// Has every tenant's tier name these stores, and whatever `more` says.
    pub(crate) fn declare_tier(&self, stores: &[&str], more: &str) {
        self.declare(&format!(
            "[[tiers]]\ncode = \"month\"\nname = \"a year\"\ndays = 365\nformat = \"mp3\"\nstores = {stores:?}\n{more}\n"
        ));
        self.run_ok(&["apply", &self.path("platform.toml"), "--for", "existing"]);
    }

    /// Writes the platform; `more` goes after it.
    pub(crate) fn declare(&self, more: &str) {
        let user = |login: &str, role: &str, of: &str| {
            format!(
                "[[users]]\nlogin = \"{login}\"\nrole = \"{role}\"\n{of}\npassword_hash = \"{PASSWORD_HASH}\"\n\
                 token = \"{}\"\n",
                token(login)
            )
        };
        let mut text = String::from(
            "[[resellers]]\ncode = \"north\"\nname = \"North\"\n[[resellers]]\ncode = \"south\"\nname = \"South\"\n\
             [[tiers]]\ncode = \"month\"\nname = \"30 days\"\ndays = 30\nformat = \"mp3\"\nbitrate = 32000\n",
        );
        for (tenant, reseller) in [("acme", "north"), ("borealis", "north"), ("cobalt", "south")] {
            text += &format!(
                "[[tenants]]\ncode = \"{tenant}\"\nname = \"{tenant}\"\nreseller = \"{reseller}\"\ntier = \"month\"\n\
                 [[pbxs]]\ncode = \"{tenant}\"\nname = \"{tenant}\"\ntenant = \"{tenant}\"\n\
                 [[ftp_accounts]]\nlogin = \"{tenant}\"\npbx = \"{tenant}\"\npassword_hash = \"{PASSWORD_HASH}\"\n"
            );
        }
        text += &format!("[[ftp_accounts]]\nlogin = \"acme-2\"\npbx = \"acme\"\npassword_hash = \"{PASSWORD_HASH}\"\n");
        text += &user("operator", "operator", "");
        text += &user("reseller", "reseller", "of = \"north\"");
        text += &user("tenant", "tenant", "of = \"acme\"");
        text += &user("pbx", "pbx", "of = \"acme\"");
        text += &user("stranger", "tenant", "of = \"cobalt\"");
        text += &format!(
            "[[core_servers]]\nname = \"core-1\"\nspool = \"{}\"\nlayout = \"asterisk\"\n",
            self.path("spool")
        );
        std::fs::write(self.path("platform.toml"), text + more).expect("write the platform");
    }

    /// Puts a fixture into the spool as the PBX's recording of a call that began at `start` (seconds since 1970), and
    /// was written then.
    pub(crate) fn record(&self, pbx: &str, fixture_path: &str, start: i64, counter: u32) -> PathBuf {
        let extension = Path::new(fixture_path).extension().expect("an extension").to_str().expect("UTF-8");
        let at = jiff::Timestamp::from_second(start).expect("an instant").to_zoned(jiff::tz::TimeZone::UTC);
        let path = self.spool().join(format!(
            "{pbx}/{}/out-202-101-{}-{start}.{counter}.{extension}",
            at.strftime("%Y/%m/%d"),
            at.strftime("%Y%m%d-%H%M%S"),
        ));
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("make the folder");
        std::fs::copy(fixture(fixture_path), &path).expect("copy the fixture");
        let written = std::time::UNIX_EPOCH + Duration::from_secs(start.unsigned_abs());
        let file = std::fs::File::options().write(true).open(&path).expect("open the copy");
        file.set_modified(written).expect("say when it was written");
        path
    }

    /// Writes the configuration of another instance on the same catalogue and stores; `more` goes after it. It is found
    /// by [`Fonoteca::serve_as`].
    pub(crate) fn configure_another(&self, name: &str, more: &str) {
        let text = std::fs::read_to_string(self.path("fonoteca.toml")).expect("read the configuration");
        let text = text.replace(&format!("\"{}\"", self.path("data")), &format!("\"{}\"", self.path(name)));
        std::fs::write(self.path(&format!("{name}.toml")), text + more).expect("write the configuration");
    }

    /// Starts another instance's service, only these parts of it (all where none is named), and waits until it is at
    /// work.
    pub(crate) fn serve_as(&self, name: &str, only: &str) -> Running {
        let mut command = self.command(&["serve"]);
        command.env("FONOTECA_CONFIG", self.path(&format!("{name}.toml")));
        if !only.is_empty() {
            command.args(["--only", only]);
        }
        Running::start(command)
    }

    /// As [`Fonoteca::serve_as`], one that falls asleep at the named point.
    pub(crate) fn serve_until_asleep_at(&self, name: &str, only: &str, point: &str) -> Running {
        let mut command = self.command(&["serve", "--only", only]);
        command.env("FONOTECA_CONFIG", self.path(&format!("{name}.toml"))).env("FONOTECA_SLEEP_AT", point);
        let running = Running::start(command);
        running.wait_for_log(&format!("asleep at {point}"));
        running
    }

    /// As [`Fonoteca::serve_as`], one that dies at the named point.
    pub(crate) fn serve_until_killed_at(&self, name: &str, only: &str, point: &str) {
        let mut command = self.command(&["serve", "--only", only]);
        command.env("FONOTECA_CONFIG", self.path(&format!("{name}.toml"))).env("FONOTECA_CRASH_AT", point);
        let output = command.output().expect("run fonoteca");
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(log.contains(&format!("crashed at {point}")), "{log}");
    }

    /// Runs a statement on the PostgreSQL catalogue; answers what it gives, unadorned.
    pub(crate) fn psql(&self, sql: &str) -> String {
        let url = self.database.as_ref().expect("a catalogue in PostgreSQL");
        let output = Command::new("psql").args([url, "-qAt", "--command", sql]).output().expect("run psql");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
    }

    /// Where the PostgreSQL catalogue is from now on.
    pub(crate) fn use_database(&mut self, url: &str) {
        self.database = Some(url.to_owned());
        self.configure("");
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(FONOTECA);
        command.args(arguments).env("FONOTECA_CONFIG", self.path("fonoteca.toml")).env_remove("RUST_LOG");
        command
            .env_remove("FONOTECA_SLEEP_AT")
            .env_remove("FONOTECA_CRASH_AT")
            .env_remove("FONOTECA_CLOCK_AHEAD_MS")
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("run fonoteca")
    }

    /// Runs a command that must end well; answers what it printed.
    pub(crate) fn run_ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "fonoteca {arguments:?} failed:\n{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// Collects what waits, and confirms as the operator what of it is older than its core server's enrolment: the
    /// tests' calls begin before the test does.
    pub(crate) fn collect_and_confirm(&self) {
        self.run_ok(&["collect", "--once"]);
        self.run_ok(&["rotate", "--confirm", "core-1"]);
    }

    /// A command under a clock that is ahead.
    pub(crate) fn command_ahead(&self, ahead: Duration, arguments: &[&str]) -> Command {
        let mut command = self.command(arguments);
        command.env("FONOTECA_CLOCK_AHEAD_MS", ahead.as_millis().to_string());
        command
    }

    /// Runs a command under a clock that is ahead.
    pub(crate) fn run_ahead(&self, ahead: Duration, arguments: &[&str]) -> String {
        let output = self.run_ahead_to_end(ahead, arguments);
        assert!(output.status.success(), "fonoteca {arguments:?} failed:\n{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// As [`Fonoteca::run_ahead`], however it ends.
    pub(crate) fn run_ahead_to_end(&self, ahead: Duration, arguments: &[&str]) -> Output {
        self.command_ahead(ahead, arguments).output().expect("run fonoteca")
    }

    /// As [`Fonoteca::run_ahead`], as another instance.
    pub(crate) fn run_ahead_as(&self, name: &str, ahead: Duration, arguments: &[&str]) -> String {
        let mut command = self.command(arguments);
        command.env("FONOTECA_CONFIG", self.path(&format!("{name}.toml")));
        let output =
            command.env("FONOTECA_CLOCK_AHEAD_MS", ahead.as_millis().to_string()).output().expect("run fonoteca");
        assert!(output.status.success(), "fonoteca {arguments:?} failed:\n{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// Runs a command that is killed at the named point; answers whether it came by there.
    pub(crate) fn run_until_killed_at(&self, point: &str, ahead: Duration, arguments: &[&str]) -> bool {
        let mut command = self.command(arguments);
        command.env("FONOTECA_CRASH_AT", point).env("FONOTECA_CLOCK_AHEAD_MS", ahead.as_millis().to_string());
        let output = command.output().expect("run fonoteca");
        String::from_utf8_lossy(&output.stderr).contains(&format!("crashed at {point}"))
    }

    /// Starts the service and waits until its doors are open.
    pub(crate) fn serve(&self) -> Running {
        Running::start(self.command(&["serve"]))
    }

    /// As [`Fonoteca::serve`], with no more than so many files and sockets open at a time.
    pub(crate) fn serve_with_descriptors(&self, most: u32) -> Running {
        let mut command = self.command(&["serve"]);
        let limit = format!("--nofile={most}:{most}");
        let mut limited = Command::new("prlimit");
        limited.args([&limit, FONOTECA, "serve"]).stdin(Stdio::null());
        limited.envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
        for (key, _) in command.get_envs().filter(|(_, value)| value.is_none()) {
            limited.env_remove(key);
        }
        command = limited;
        Running::start(command)
    }

    /// Starts the service with a log that takes nothing, as on a full disk.
    pub(crate) fn serve_unheard(&self) -> Child {
        let full = std::fs::File::options().write(true).open("/dev/full").expect("open /dev/full");
        self.command(&["serve"]).stderr(full).stdout(Stdio::null()).spawn().expect("start fonoteca")
    }

    /// Every object in the store, as paths within it: neither its marker, nor what it keeps of the catalogue.
    pub(crate) fn stored_objects(&self) -> Vec<PathBuf> {
        let store = self.directory.path().join("store");
        files_under(&store)
            .into_iter()
            .filter(|path| path.file_name().is_none_or(|name| name != "fonoteca-store.txt"))
            .filter(|path| !path.starts_with(store.join("catalogue")))
            .collect()
    }

    /// Loses `data_dir`, and the catalogue wherever it is: what is left are the stores, the spools and the configuration.
    pub(crate) fn lose_the_machine(&mut self) {
        std::fs::remove_dir_all(self.path("data")).expect("remove data_dir");
        if let Some(lost) = &self.database {
            let text = std::fs::read_to_string(self.path("fonoteca.toml")).expect("read the configuration");
            let empty = new_postgres_database();
            std::fs::write(self.path("fonoteca.toml"), text.replace(lost.as_str(), &empty)).expect("configure it anew");
            self.database = Some(empty);
        }
    }

    /// The end of every test: catalogue and store agree, down to the last byte.
    pub(crate) fn finish(self) {
        let report = self.run_ok(&["verify", "--deep"]);
        assert!(report.contains(": 0 findings"), "{report}");
        assert!(self.run_ok(&["audit", "verify"]).contains("every one links"), "{:?}", self.engine);
    }
}

/// A running service; ends with the test.
pub(crate) struct Running {
    child: Child,
    pub(crate) http: String,
    pub(crate) operations: String,
    pub(crate) ftp: String,
    /// What it logs, line by line.
    log: mpsc::Receiver<String>,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("start fonoteca");
        let lines = BufReader::new(child.stderr.take().expect("its standard error")).lines();
        let (send, log) = mpsc::channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        let mut running = Self { child, http: String::new(), operations: String::new(), ftp: String::new(), log };
        let after = |line: &str, what: &str| line.split_once(what).map(|(_, rest)| rest.trim().to_owned());
        loop {
            let line = running.log.recv_timeout(PATIENCE).expect("the doors open");
            if let Some(address) = after(&line, "http listens on ") {
                running.http = format!("http://{address}");
            } else if let Some(address) = after(&line, "operations listens on ") {
                running.operations = format!("http://{address}");
            } else if let Some(address) = after(&line, "ftp listens on ") {
                running.ftp = format!("ftp://{address}");
            } else if line.contains("at work: ") {
                return running;
            }
        }
    }

    /// Waits for a log line that holds `text`.
    pub(crate) fn wait_for_log(&self, text: &str) {
        self.wait_for_one_of(&[text]);
    }

    /// Waits for a log line that holds one of the texts.
    pub(crate) fn wait_for_one_of(&self, texts: &[&str]) {
        let mut seen = Vec::new();
        loop {
            let line = self.log.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("none of {texts:?} was logged, but\n{}", seen.join("\n")));
            if texts.iter().any(|text| line.contains(text)) {
                return;
            }
            seen.push(line);
        }
    }

    /// Sends it a signal, such as `-STOP`.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().expect("send a signal").success());
    }

    /// How many of the lines that it has logged since it was asked last hold the text.
    pub(crate) fn count_logged(&self, text: &str) -> usize {
        self.log.try_iter().filter(|line| line.contains(text)).count()
    }

    /// How long it has kept a processor busy.
    pub(crate) fn processor_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("it runs");
        // Behind the name in brackets, the 12th and 13th are hundredths of seconds of its own and of the kernel for it.
        let (_, fields) = stat.rsplit_once(')').expect("a name in brackets");
        let ticks: u64 =
            fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().expect("ticks")).sum();
        Duration::from_millis(ticks * 10)
    }

    /// Waits until it has ended by itself, with that exit code; answers what it logged before that.
    pub(crate) fn wait_for_end(mut self, code: i32) -> String {
        let status = self.child.wait().expect("wait for fonoteca");
        // All of it: whoever reads it ends when it does.
        let log: Vec<String> = self.log.iter().collect();
        assert_eq!(status.code(), Some(code), "{}", log.join("\n"));
        log.join("\n")
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("kill fonoteca");
        self.child.wait().expect("wait for fonoteca");
    }

    /// SIGTERM, and then the wait until it has ended by itself.
    pub(crate) fn stop(self) {
        self.signal("-TERM");
        self.wait_for_end(0);
    }

    /// Asks the API as that user.
    pub(crate) async fn get(&self, login: &str, path: &str) -> reqwest::Response {
        let request = reqwest::Client::new().get(format!("{}{path}", self.http)).bearer_auth(token(login));
        request.timeout(PATIENCE).send().await.expect("an answer")
    }

    /// Asks the API for JSON as that user.
    pub(crate) async fn get_json(&self, login: &str, path: &str) -> Json {
        let answer = self.get(login, path).await;
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        answer.json().await.expect("JSON")
    }

    /// The recordings that the user sees, newest first.
    pub(crate) async fn recordings(&self, login: &str) -> Vec<Json> {
        let page = self.get_json(login, "/api/v1/recordings?limit=1000").await;
        page["items"].as_array().expect("items").clone()
    }

    /// Waits until the user sees `count` recordings.
    pub(crate) async fn wait_for_recordings(&self, login: &str, count: usize) -> Vec<Json> {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            let seen = self.recordings(login).await;
            if seen.len() == count {
                return seen;
            }
            assert!(std::time::Instant::now() < deadline, "{login} sees {} recordings, not {count}", seen.len());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What `curl` gets by FTP from a path, as the account; `more` are its further arguments.
    pub(crate) fn curl_ftp(&self, account: &str, path: &str, more: &[&str]) -> Output {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--insecure", "--user", &format!("{account}:{PASSWORD}")]);
        command.args(more).arg(format!("{}{path}", self.ftp));
        command.output().expect("run curl: `make setup` installs it")
    }

    /// Mirrors all that the account sees into a directory, by lftp over explicit TLS.
    pub(crate) fn lftp_mirror(&self, account: &str, into: &Path) {
        let script = format!(
            "set ssl:verify-certificate no; set ftp:ssl-force true; set ftp:ssl-protect-data true; set net:max-retries 2; \
             set net:timeout 20; mirror / {}; quit",
            into.display()
        );
        let output = Command::new("lftp")
            .args(["-u", &format!("{account},{PASSWORD}"), "-e", &script, &self.ftp])
            .output()
            .expect("run lftp: `make setup` installs it");
        assert!(output.status.success(), "lftp: {}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Tells whoever runs the tests, past the capture of passing tests' output.
pub(crate) fn tell(line: &str) {
    let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("    {line}\n").as_bytes());
}

/// Makes a WAV file of 8,000 samples a second last so many seconds, and as old as it was; answers what it is now.
pub(crate) fn lengthen(path: &Path, seconds: u32) -> Vec<u8> {
    let modified = std::fs::metadata(path).and_then(|metadata| metadata.modified()).expect("its time");
    let whole = std::fs::read(path).expect("read it");
    let (head, audio) = whole.split_at(44);
    let length = seconds * 16_000;
    let mut bytes = head.to_vec();
    bytes[4..8].copy_from_slice(&(length + 36).to_le_bytes());
    bytes[40..44].copy_from_slice(&length.to_le_bytes());
    bytes.extend(audio.iter().copied().cycle().take(length as usize));
    std::fs::write(path, &bytes).expect("write it");
    let file = std::fs::File::options().write(true).open(path).expect("open it");
    file.set_modified(modified).expect("say when it was written");
    bytes
}

/// Every file under a directory, sorted.
pub(crate) fn files_under(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().map_while(Result::ok) {
        let path = entry.path();
        if path.is_dir() { files.extend(files_under(&path)) } else { files.push(path) }
    }
    files.sort();
    files
}

/// Now, in seconds since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "the program under test runs by the machine's clock, and so does its test"
)]
pub(crate) fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// A new database on the test server; `make test` starts one and says where.
pub(crate) fn new_postgres_database() -> String {
    let server = std::env::var("FONOTECA_TEST_POSTGRES")
        .expect("FONOTECA_TEST_POSTGRES is not set: run the tests by `make test`, which starts a PostgreSQL for them");
    let name = format!("fonoteca_{}", archive::random_text(20).to_ascii_lowercase());
    let output = Command::new("psql")
        .args([&server, "--quiet", "--command", &format!("CREATE DATABASE {name}")])
        .output()
        .expect("run psql: `make setup` installs it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (base, _) = server.rsplit_once('/').expect("a URL with a database");
    format!("{base}/{name}")
}
