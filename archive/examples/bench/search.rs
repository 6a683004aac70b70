//! How long a page of a search takes, and how that grows with the archive.

use std::time::{Duration, Instant};

use archive::{Archive, Cursor, Direction, Pbx, Scope, Search};

use crate::place::{self, Engine, Place, StoreKind};
use crate::{Outcome, fill};

/// Searches of each kind.
const TIMES: usize = 300;
/// Recordings of a page.
const PAGE: u32 = 50;

/// Fills a catalogue of each of the engines in three steps and prints a table.
pub(crate) async fn report(recordings: i64, engines: &[Engine]) -> Outcome<()> {
    println!("| catalogue | recordings | search | p50 ms | p99 ms | worst ms |");
    println!("|---|---|---|---|---|---|");
    for &engine in engines {
        let directory = tempfile::tempdir()?;
        let database = engine.database(directory.path()).await?;
        let place = Place::new(StoreKind::Disk, directory.path()).await?;
        let (archive, pbxs) = place::open(&database, place.config.clone()).await?;
        let mut filled = 0;
        for size in [recordings / 100, recordings / 10, recordings] {
            fill::fill(engine, &database, &archive, &pbxs, filled, size).await?;
            filled = size;
            fill::analyse(engine, &database).await?;
            for kind in Kind::ALL {
                let mut took = measure(&archive, &pbxs, size, kind).await?;
                took.sort();
                let ms = |part: usize| took[(took.len() * part / 1000).min(took.len() - 1)].as_secs_f64() * 1e3;
                println!(
                    "| {} | {size} | {} | {:.2} | {:.2} | {:.2} |",
                    engine.name(),
                    kind.name(),
                    ms(500),
                    ms(990),
                    ms(1000)
                );
            }
        }
        archive.close().await?;
        place::drop_database(&database).await?;
    }
    Ok(())
}

/// What people look for.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Newest,
    NewestOfTenant,
    NewestOfPlatform,
    Day,
    Number,
    NumberOfTenant,
    DirectionAndDuration,
    DeepPage,
}

impl Kind {
    const ALL: [Self; 8] = [
        Self::Newest,
        Self::NewestOfTenant,
        Self::NewestOfPlatform,
        Self::Day,
        Self::Number,
        Self::NumberOfTenant,
        Self::DirectionAndDuration,
        Self::DeepPage,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Newest => "newest of a PBX",
            Self::NewestOfTenant => "newest of a tenant",
            Self::NewestOfPlatform => "newest of all",
            Self::Day => "a day of a PBX",
            Self::Number => "a number, in a PBX",
            Self::NumberOfTenant => "a number, in a tenant",
            Self::DirectionAndDuration => "direction and duration, in a PBX",
            Self::DeepPage => "a page in the middle of the largest PBX",
        }
    }
}

async fn measure(archive: &Archive, pbxs: &[Pbx], size: i64, kind: Kind) -> Outcome<Vec<Duration>> {
    let mut took = Vec::with_capacity(TIMES);
    for n in 0..TIMES {
        // The largest PBX is asked as often as its share of the recordings is.
        let pbx = &pbxs[if n % 10 == 0 { 0 } else { n * 3_571 % pbxs.len() }];
        let callee = format!("+4930{}", 1_000_000 + (n as i64 * 104_729 % size) * 7_919 % 9_000_000);
        let instant = |n: i64| archive::Instant::from_millis(fill::FIRST_MS + n * fill::EVERY_MS);
        let (mut scope, mut search, mut after) = (Scope::Pbx(pbx.id), Search::default(), None::<Cursor>);
        match kind {
            Kind::Newest => {}
            Kind::NewestOfTenant => scope = Scope::Tenant(pbx.tenant),
            Kind::NewestOfPlatform => scope = Scope::Platform,
            Kind::Day => {
                let day = size * (n as i64 % 50) / 50;
                (search.from, search.until) = (Some(instant(day)), Some(instant(day + 86_400_000 / fill::EVERY_MS)));
            }
            Kind::Number => search.number = Some(callee),
            Kind::NumberOfTenant => (scope, search.number) = (Scope::Tenant(pbx.tenant), Some(callee)),
            Kind::DirectionAndDuration => {
                (search.direction, search.min_duration_ms) = (Some(Direction::In), Some(590_000));
            }
            Kind::DeepPage => {
                scope = Scope::Pbx(pbxs[0].id);
                search.until = Some(instant(size * (n as i64 % 50) / 50 + 1));
                after = archive.search(scope, &search, None, PAGE).await?.next;
            }
        }
        let begun = Instant::now();
        archive.search(scope, &search, after, PAGE).await?;
        took.push(begun.elapsed());
    }
    Ok(took)
}
