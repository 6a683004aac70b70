//! What a pool of workers is for.

use std::sync::atomic::AtomicUsize;
use std::sync::{Barrier, mpsc};

use super::*;

fn workers(config: &Config) -> Arc<Workers> {
    Arc::new(Workers::new(config))
}

fn of(workers: usize) -> Config {
    Config { workers, shutdown_grace: Duration::ZERO, ..Config::default() }
}

async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), work).await.expect("in time")
}

/// Blocks its thread until its limits are told to end.
fn until_told(limits: &Limits) {
    while !limits.stop.load(Ordering::Relaxed) {
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn no_more_recordings_are_transcoded_at_a_time_than_there_are_workers() {
    let workers = workers(&of(3));
    let (at_work, all_three) = (Arc::new(AtomicUsize::new(0)), Arc::new(Barrier::new(3)));
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..9 {
        let (workers, at_work, all_three) = (Arc::clone(&workers), Arc::clone(&at_work), Arc::clone(&all_three));
        running.spawn(async move {
            let work = move |_: &Limits| {
                let others = at_work.fetch_add(1, Ordering::SeqCst);
                // And not fewer: nobody passes before three are here.
                all_three.wait();
                at_work.fetch_sub(1, Ordering::SeqCst);
                others
            };
            workers.run(&CancellationToken::new(), work).await.unwrap()
        });
    }
    let others = in_time(running.join_all()).await;
    assert!(others.iter().all(|&others| others < 3), "{others:?}");
}

#[tokio::test]
async fn work_waits_while_every_worker_is_busy() {
    let (workers, stop) = (workers(&of(1)), CancellationToken::new());
    let (finish, finished) = mpsc::channel();
    let order = std::sync::Mutex::new(Vec::new());
    let first = async {
        workers.run(&stop, move |_| finished.recv().unwrap()).await.unwrap();
        order.lock().unwrap().push("first");
    };
    let second = async {
        workers.run(&stop, |_| ()).await.unwrap();
        order.lock().unwrap().push("second");
    };
    let release = async {
        assert_eq!(workers.places.available_permits(), 0);
        finish.send(()).unwrap();
    };
    in_time(async { tokio::join!(biased; first, second, release) }).await;
    assert_eq!(*order.lock().unwrap(), ["first", "second"]);
}

#[tokio::test]
async fn a_panic_in_one_recording_harms_no_other() {
    let (workers, stop) = (workers(&of(1)), CancellationToken::new());
    for _ in 0..3 {
        assert_eq!(in_time(workers.run(&stop, |_| panic!("as a decoder may"))).await, Err::<(), _>(GivenUp::Panicked));
    }
    assert_eq!(in_time(workers.run(&stop, |_| 7)).await, Ok(7));
}

#[tokio::test]
async fn fault_31_work_that_does_not_come_back_is_given_up_and_its_thread_still_counts() {
    let config = Config { transcode_timeout: Duration::from_millis(5), ..of(1) };
    let (workers, stop) = (workers(&config), CancellationToken::new());
    let (finish, finished) = mpsc::channel::<()>();
    let stuck = in_time(workers.run(&stop, move |_| finished.recv())).await;
    assert_eq!(stuck.unwrap_err(), GivenUp::Stuck);
    assert_eq!(workers.places.available_permits(), 0);
    drop(finish);
    drop(in_time(workers.places.acquire()).await.unwrap());
}

#[tokio::test]
async fn each_recording_has_its_own_time() {
    let config =
        Config { transcode_timeout: Duration::from_secs(60), longest_recording: Duration::from_secs(7), ..of(1) };
    let (workers, stop) = (workers(&config), CancellationToken::new());
    let mut deadlines = Vec::new();
    for _ in 0..2 {
        let limits = workers.run(&stop, Limits::clone).await.unwrap();
        assert_eq!(limits.longest, Duration::from_secs(7));
        deadlines.push(limits.deadline.unwrap());
    }
    assert!(deadlines[0] > Instant::now() && deadlines[1] > deadlines[0]);
}

#[tokio::test]
async fn what_is_in_work_ends_and_what_waits_never_begins_once_all_is_told_to_stop() {
    let (workers, stop) = (workers(&of(1)), CancellationToken::new());
    let stops = async { stop.cancel() };
    let (worked, waited, ()) =
        in_time(async { tokio::join!(biased; workers.run(&stop, until_told), workers.run(&stop, |_| ()), stops) })
            .await;
    assert_eq!((worked, waited), (Ok(()), Err(GivenUp::Stopped)));
}

#[tokio::test]
async fn work_that_nobody_waits_for_ends() {
    let (workers, stop) = (workers(&of(1)), CancellationToken::new());
    let gone = in_time(async {
        tokio::select! {
            biased;
            _ = workers.run(&stop, until_told) => false,
            () = tokio::task::yield_now() => true,
        }
    });
    assert!(gone.await);
    drop(in_time(workers.places.acquire()).await.unwrap());
}
