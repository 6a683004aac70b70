//! Stores that lie within one another: each would take the other's objects for its own.

use std::path::Path;

use super::StoreConfig;
use crate::error::{Error, Result};

/// Each store has a place of its own, that no other's lies within.
///
/// # Errors
/// The two that have not, in one line.
pub(crate) fn refuse_nested(configs: &[StoreConfig]) -> Result<()> {
    for (n, one) in configs.iter().enumerate() {
        for (inner, outer) in configs[..n].iter().flat_map(|other| [(one, other), (other, one)]) {
            if is_within(inner, outer) {
                let (inner, outer) = (&inner.name, &outer.name);
                return Err(Error::Invalid(format!(
                    "store \"{inner}\" lies within store \"{outer}\": give each a directory or a prefix of its own"
                )));
            }
        }
    }
    Ok(())
}

fn is_within(inner: &StoreConfig, outer: &StoreConfig) -> bool {
    match (inner.directory(), outer.directory()) {
        (Some(inner), Some(outer)) => real(&inner).starts_with(real(&outer)),
        // The same name is another bucket on another server.
        (None, None) => endpoint(inner) == endpoint(outer) && Path::new(&inner.url).starts_with(Path::new(&outer.url)),
        _ => false,
    }
}

/// Where the directory is, or will be: as much of it as there is already, without links.
fn real(directory: &Path) -> std::path::PathBuf {
    let absolute = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
    for there in absolute.ancestors() {
        if let (Ok(real), Ok(rest)) = (there.canonicalize(), absolute.strip_prefix(there)) {
            return if rest.as_os_str().is_empty() { real } else { real.join(rest) };
        }
    }
    absolute
}

fn endpoint(config: &StoreConfig) -> Option<String> {
    let (_, endpoint) = config.options.iter().find(|(key, _)| key == "endpoint")?;
    Some(endpoint.trim_end_matches('/').to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(name: &str, url: &str, endpoint: &str) -> StoreConfig {
        let options = vec![("endpoint".to_owned(), endpoint.to_owned())];
        StoreConfig { name: name.to_owned(), url: url.to_owned(), options }
    }

    #[test]
    fn a_store_within_another_is_refused() {
        let (one, other) = ("https://one.example", "https://other.example");
        for (inner, outer) in [
            ("s3://rec/cold", "s3://rec"),
            ("s3://rec/cold/", "s3://rec/"),
            ("s3://rec", "s3://rec/"),
            ("/srv/fonoteca/cold", "/srv/fonoteca"),
            ("file:///srv/fonoteca/cold", "/srv/./fonoteca/"),
            ("/srv/fonoteca", "file:///srv/fonoteca"),
        ] {
            let (inner, outer) = (store("inner", inner, one), store("outer", outer, "https://ONE.example/"));
            for both in [[inner.clone(), outer.clone()], [outer, inner]] {
                let complaint = refuse_nested(&both).unwrap_err().to_string();
                assert!(complaint.contains("lies within store") && !complaint.contains('\n'), "{complaint}");
            }
        }
        for (first, second) in [
            (store("a", "s3://rec/cold", one), store("b", "s3://rec", other)),
            (store("a", "s3://rec/cold", one), store("b", "s3://rec/colder", one)),
            (store("a", "s3://rec", one), store("b", "s3://recordings", one)),
            (store("a", "/srv/hot", one), store("b", "/srv/cold", one)),
            (store("a", "/srv/hot", one), store("b", "s3://srv/hot/in", one)),
        ] {
            refuse_nested(&[first, second]).unwrap();
        }
    }

    #[test]
    fn a_link_into_another_store_is_seen_through() {
        let directory = tempfile::tempdir().unwrap();
        let (outer, link) = (directory.path().join("outer"), directory.path().join("link"));
        std::fs::create_dir(&outer).unwrap();
        std::os::unix::fs::symlink(&outer, &link).unwrap();
        let [outer, inner] = [outer, link.join("cold")].map(|path| store("any", &path.display().to_string(), ""));
        assert!(refuse_nested(&[outer, inner]).is_err());
    }
}
