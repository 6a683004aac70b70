//! What a machine runs out of beside disk: files and sockets, and room for the log.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::harness::{Engine, Fonoteca, PASSWORD, PATIENCE, Running, now, token};

const WAV: &str = "asterisk-22/monitor/acme/2026/11/21/out-102-101-20261121-073942-1795246782.0.wav";
const GSM: &str = "asterisk-22/monitor/acme/2026/11/21/out-105-104-20261121-073943-1795246783.4.gsm";
/// As many as a service needs at rest, and some for its clients.
const DESCRIPTORS: u32 = 160;

/// A client's connection, on which lines are said and answered.
struct Connection(BufReader<TcpStream>);

impl Connection {
    fn open(url: &str) -> Self {
        let stream = TcpStream::connect(url.split_once("//").unwrap().1).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(BufReader::new(stream))
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("an answer in time");
        line
    }

    /// An FTP command and its reply.
    fn say(&mut self, command: &str) -> String {
        self.0.get_mut().write_all(format!("{command}\r\n").as_bytes()).unwrap();
        self.line()
    }

    /// An FTP session, logged in.
    fn log_in(service: &Running, account: &str) -> Self {
        let mut session = Self::open(&service.ftp);
        assert!(session.line().starts_with("220"));
        assert!(session.say(&format!("USER {account}")).starts_with("331"));
        assert!(session.say(&format!("PASS {PASSWORD}")).starts_with("230"));
        session
    }

    /// An HTTP request of one that stays; answers the status line.
    fn get(&mut self, path: &str) -> String {
        let head = format!("GET {path} HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {}\r\n\r\n", token("operator"));
        self.0.get_mut().write_all(head.as_bytes()).unwrap();
        let (status, mut length) = (self.line(), 0);
        loop {
            let line = self.line().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        self.0.read_exact(&mut vec![0; length]).unwrap();
        status
    }
}

#[tokio::test]
async fn fault_06_without_a_descriptor_left_the_doors_wait_whoever_is_in_goes_on_and_it_recovers_by_itself() {
    let fonoteca = Fonoteca::new(Engine::Sqlite);
    fonoteca.record("acme", WAV, now() - 3600, 1);
    let service = fonoteca.serve_with_descriptors(DESCRIPTORS);
    service.wait_for_recordings("operator", 1).await;
    let (mut listener, mut mirror) = (Connection::open(&service.http), Connection::log_in(&service, "acme"));
    assert!(listener.get("/api/v1/recordings?limit=1").contains(" 200 "));

    // More than there is room for, and fewer than the kernel lets wait: the rest is in its queue.
    let crowd: Vec<TcpStream> =
        (0..DESCRIPTORS).map(|_| TcpStream::connect(service.http.split_once("//").unwrap().1).unwrap()).collect();
    // Clients of the other door come until one is not let in.
    let (mut mirrors, deadline) = (Vec::new(), Instant::now() + PATIENCE);
    while service.count_logged("cannot accept an FTP connection") == 0 {
        assert!(Instant::now() < deadline, "it takes whoever comes");
        mirrors.push(TcpStream::connect(service.ftp.split_once("//").unwrap().1).unwrap());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    let (begun, worked) = (Instant::now(), service.processor_time());
    let mut complaints = 0;
    while begun.elapsed() < Duration::from_secs(3) {
        assert!(mirror.say("NOOP").starts_with("200"), "who is in goes on");
        assert!(listener.get("/api/v1/recordings?limit=1").contains(" 200 "), "who is in goes on");
        complaints += service.count_logged("cannot accept an FTP connection");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (took, worked) = (begun.elapsed(), service.processor_time() - worked);
    assert!(complaints as u128 <= took.as_millis() / 200 + 1, "{complaints} attempts in {took:?}");
    assert!(worked < took * 3 / 4, "it was busy for {worked:?} of {took:?}");
    crate::harness::tell(&format!("no descriptor left for {took:?}: busy for {worked:?}, {complaints} attempts"));

    drop((crowd, mirrors));
    fonoteca.record("acme", GSM, now() - 3600, 2);
    service.wait_for_recordings("operator", 2).await;
    assert!(Connection::log_in(&service, "acme").say("NOOP").starts_with("200"));
    service.stop();
    fonoteca.finish();
}

#[tokio::test]
async fn fault_36_a_log_that_takes_nothing_stops_no_recording() {
    let fonoteca = Fonoteca::new(Engine::Sqlite);
    let mut service = fonoteca.serve_unheard();
    for n in 0..2 {
        fonoteca.record("acme", [WAV, GSM][n], now() - 3600, n as u32);
    }
    let deadline = Instant::now() + PATIENCE;
    while fonoteca.stored_objects().len() < 2 {
        assert_eq!(service.try_wait().unwrap(), None, "it ended");
        assert!(Instant::now() < deadline, "nothing is archived");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    std::process::Command::new("kill").args(["-TERM", &service.id().to_string()]).status().unwrap();
    assert!(service.wait().unwrap().success(), "it ends as it should");
    assert!(fonoteca.run_ok(&["collect", "--once"]).contains("0 archived"), "both are archived");
    fonoteca.finish();
}
