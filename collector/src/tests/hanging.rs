//! A core server whose file server does not answer: neither an error nor an end, for as long as it lasts.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::rig::{Rig, wav};

const HOUR: Duration = Duration::from_secs(3600);

/// A directory in which every look hangs, until this is dropped: a file system in user space without its user space.
struct Hanging {
    directory: PathBuf,
    /// What would have to answer; when it is closed, everybody who waits is let go.
    _unanswered: File,
}

impl Hanging {
    fn mount(directory: &Path) -> Self {
        fs::create_dir(directory).unwrap();
        let unanswered = File::options().read(true).write(true).open("/dev/fuse").expect("a kernel with FUSE");
        let mut command = Command::new("mount");
        command.args(["-i", "-t", "fuse", "-o", "fd=0,rootmode=40000,user_id=0,group_id=0", "hanging"]).arg(directory);
        let mounted = command.stdin(unanswered.try_clone().unwrap()).status().unwrap();
        assert!(mounted.success(), "a file server that hangs is a mount, and only root may mount: run as root");
        Self { directory: directory.to_owned(), _unanswered: unanswered }
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.directory).status();
    }
}

#[tokio::test]
async fn fault_16_a_core_server_that_hangs_keeps_no_other_waiting_nor_a_stop_and_is_collected_when_it_is_back() {
    let rig = Rig::start().await;
    let spool = rig.t.directory.path().join("hanging");
    let hanging = Hanging::mount(&spool);
    rig.add_core_server("hanging", &spool, "asterisk").await;
    let wait_for = async |count: usize| {
        let archived = async {
            while rig.recordings().await.len() < count {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), archived).await.expect("in time");
    };
    let (collector, stop) = (rig.collector(), CancellationToken::new());
    tokio::join!(collector.run(stop.clone()), async {
        for n in 1..=3 {
            rig.put_into(&rig.spool, &format!("acme/1795246782.{n}.wav"), &wav(1, 300 + n), HOUR);
            wait_for(n as usize).await;
        }
        stop.cancel();
    });
    let (collector, stop) = (rig.collector(), CancellationToken::new());
    tokio::join!(collector.run(stop.clone()), async {
        rig.put_into(&rig.spool, "acme/1795246782.4.wav", &wav(1, 304), HOUR);
        wait_for(4).await;
        drop(hanging);
        rig.put_into(&spool, "acme/1795246782.5.wav", &wav(1, 305), HOUR);
        wait_for(5).await;
        stop.cancel();
    });
    rig.finish().await;
}
