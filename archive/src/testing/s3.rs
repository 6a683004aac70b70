//! S3 for tests: a server in this process, and a proxy in front of any server that makes the faults that servers and
//! networks make.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use s3s::service::S3ServiceBuilder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::StoreConfig;

/// An S3 server that checks signatures, on buckets below a directory. Its key is `access`, with the secret `secret`; it
/// has the bucket `recordings`. Gone when dropped. Multipart uploads under our long keys are beyond it (it makes file
/// names of them): the server of another make takes those.
#[derive(Debug)]
pub struct S3Server {
    /// Where it listens.
    pub address: SocketAddr,
    _accepting: AbortOnDropHandle<()>,
}

impl S3Server {
    /// Starts one.
    pub async fn start(directory: &Path) -> Self {
        std::fs::create_dir_all(directory.join("recordings")).expect("make the bucket");
        let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(directory).expect("open the buckets"));
        builder.set_auth(s3s::auth::SimpleAuth::from_single("access", "secret"));
        let service = builder.build();
        let (listener, address) = listen().await;
        let accepting = async move {
            let connections = TaskTracker::new();
            while let Ok((stream, _)) = listener.accept().await {
                let service = service.clone();
                // Else each answer whose head and body are written apart waits 40 ms for the client's acknowledgement.
                let _ = stream.set_nodelay(true);
                connections.spawn(async move {
                    let stream = hyper_util::rt::TokioIo::new(stream);
                    let server = hyper_util::server::conn::auto::Builder::new(hyper_util::rt::TokioExecutor::new());
                    let _ = server.serve_connection(stream, service).await;
                });
            }
        };
        Self { address, _accepting: AbortOnDropHandle::new(TaskTracker::new().spawn(accepting)) }
    }
}

/// A store named `name` in the bucket `recordings` of the server (or proxy) there. It gives up soon: tests do not wait.
pub fn s3_store(name: &str, address: SocketAddr) -> StoreConfig {
    let endpoint = format!("http://{address}");
    let options = [
        ("endpoint", endpoint.as_str()),
        ("region", "us-east-1"),
        ("access_key_id", "access"),
        ("secret_access_key", "secret"),
        ("allow_http", "true"),
        ("stall_timeout", "2 s"),
        ("max_retries", "2"),
        ("retry_timeout", "5 s"),
    ];
    let options = options.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
    StoreConfig { name: name.to_owned(), url: "s3://recordings/archive".to_owned(), options }
}

/// What happens to a request instead of a proper answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// This status with this S3 code; the server never sees the request.
    Refuse(u16, &'static str),
    /// The connection ends; the server never sees the request.
    Reset,
    /// The server does what it is asked, and its answer never arrives.
    LoseAnswer,
    /// The server does not get it, and the answer is "200 OK" with this S3 code as an error in its body, as Complete
    /// does when it fails after its headers went out.
    FailInBody(&'static str),
    /// No answer ever comes.
    Stall,
}

/// Which requests a fault happens to, and how many more of them.
#[derive(Debug)]
struct Rule {
    method: &'static str,
    part: String,
    left: usize,
    fault: Fault,
}

#[derive(Debug, Default)]
struct Rules {
    rules: Vec<Rule>,
    seen: Vec<String>,
    heads: Vec<String>,
}

/// A proxy in front of an S3 server. Signatures stay good: it changes nothing that they cover.
#[derive(Debug)]
pub struct FaultProxy {
    /// Where it listens.
    pub address: SocketAddr,
    rules: Arc<Mutex<Rules>>,
    _accepting: AbortOnDropHandle<()>,
}

impl FaultProxy {
    /// Starts one in front of `server`.
    pub async fn start(server: SocketAddr) -> Self {
        let (listener, address) = listen().await;
        let rules = Arc::new(Mutex::new(Rules::default()));
        let of_connections = Arc::clone(&rules);
        let accepting = async move {
            // What stalls ends with the set, and the set with the proxy.
            let mut running = tokio::task::JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let _ = client.set_nodelay(true);
                running.spawn(pass_on(client, server, Arc::clone(&of_connections)));
                while running.try_join_next().is_some() {}
            }
        };
        Self { address, rules, _accepting: AbortOnDropHandle::new(TaskTracker::new().spawn(accepting)) }
    }

    /// The next `times` requests of this method (`""`: any) whose target contains `part` meet this fault.
    pub fn fail(&self, method: &'static str, part: &str, times: usize, fault: Fault) {
        let rule = Rule { method, part: part.to_owned(), left: times, fault };
        self.lock().rules.push(rule);
    }

    /// From now on every request meets this fault.
    pub fn fail_always(&self, fault: Fault) {
        self.fail("", "", usize::MAX, fault);
    }

    /// From now on no request meets any fault.
    pub fn mend(&self) {
        self.lock().rules.clear();
    }

    /// The heads of all requests so far, in lower case.
    pub fn take_heads(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().heads)
    }

    /// What was asked since this was asked last: `PUT /bucket/key?query`.
    pub fn take_seen(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().seen)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Rules> {
        self.rules.lock().expect("nobody panics while holding it")
    }
}

impl Rules {
    fn meet(&mut self, head: &str) -> Option<Fault> {
        self.heads.push(head.to_ascii_lowercase());
        let request_line = head.lines().next()?;
        let (method, rest) = request_line.split_once(' ')?;
        let target = rest.rsplit_once(' ').map_or(rest, |(target, _)| target);
        self.seen.push(format!("{method} {target}"));
        let mut rules = self.rules.iter_mut();
        let rule = rules
            .find(|it| it.left > 0 && (it.method.is_empty() || it.method == method) && target.contains(&it.part))?;
        rule.left -= 1;
        Some(rule.fault)
    }
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listen");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

/// One request of one connection; the next one comes by another connection.
async fn pass_on(mut client: TcpStream, server: SocketAddr, rules: Arc<Mutex<Rules>>) -> std::io::Result<()> {
    let Some((head, body)) = read_request(&mut client).await? else { return Ok(()) };
    let fault = rules.lock().expect("nobody panics while holding it").meet(&head);
    match fault {
        Some(Fault::Reset) => return Ok(()),
        Some(Fault::Stall) => {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            return Ok(());
        }
        Some(Fault::Refuse(status, code)) => return client.write_all(error_answer(status, code).as_bytes()).await,
        Some(Fault::FailInBody(code)) => return client.write_all(error_answer(200, code).as_bytes()).await,
        Some(Fault::LoseAnswer) | None => {}
    }
    let mut upstream = TcpStream::connect(server).await?;
    upstream.set_nodelay(true)?;
    // The answer ends where the connection does: nothing else needs to be understood.
    let head = head.replacen("\r\n", "\r\nconnection: close\r\n", 1);
    upstream.write_all(head.as_bytes()).await?;
    upstream.write_all(&body).await?;
    if fault == Some(Fault::LoseAnswer) {
        let mut answer = Vec::new();
        upstream.read_to_end(&mut answer).await?;
        return Ok(());
    }
    tokio::io::copy(&mut upstream, &mut client).await?;
    client.shutdown().await
}

async fn read_request(client: &mut TcpStream) -> std::io::Result<Option<(String, Vec<u8>)>> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if client.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let mut body = bytes.split_off(end);
    while body.len() < length.unwrap_or(0) {
        if client.read_buf(&mut body).await? == 0 {
            return Ok(None);
        }
    }
    Ok(Some((head, body)))
}

fn error_answer(status: u16, code: &str) -> String {
    let body = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code></Error>");
    let length = body.len();
    format!(
        "HTTP/1.1 {status} Test\r\ncontent-type: application/xml\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}
