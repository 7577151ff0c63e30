//! Where an import writes: over none of its own files, and where that is
//! possible at all. Told before anything is read.

use std::{
    ffi::OsString,
    fs::{self, File, Metadata},
    io,
    os::{fd::AsFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
};

use super::{ImportError, Outputs, Rejects};
use crate::atomic_file::{AtomicFile, part};

/// Which file a path means.
#[derive(PartialEq, Eq)]
enum Identity {
    /// One that is there: device and inode.
    There(u64, u64),
    /// One that is not there yet.
    New(PathBuf),
}

impl Outputs {
    /// Looks whether all of them can be written, and none is the table that is
    /// read (`None`: standard input) or another of them.
    ///
    /// # Errors
    /// If not.
    pub fn ready(&self, table: Option<&Path>) -> Result<(), ImportError> {
        // A table that is not there is told of when it is opened.
        let found = table.map_or_else(standard_input, fs::metadata).ok();
        let mut taken: Vec<_> = found.map(|meta| ("the table", Identity::there(&meta))).into_iter().collect();
        for (name, path) in self.named() {
            for own in [part(&path), path.clone()] {
                let identity = Identity::of(&own).map_err(|source| self.unwritable(path.clone(), source))?;
                if let Some((other, _)) = taken.iter().find(|(_, known)| *known == identity) {
                    let problem = format!("{name} ({}) is the same file as {other}", own.display());
                    return Err(ImportError::Places { problem });
                }
                taken.push((name, identity));
            }
        }
        self.named().iter().try_for_each(|(_, path)| {
            AtomicFile::create(path).map(drop).map_err(|source| self.unwritable(path.clone(), source))
        })
    }

    /// Who did not name the file of rejects is told how to.
    fn unwritable(&self, path: PathBuf, source: io::Error) -> ImportError {
        match &self.rejects {
            Rejects::Beside(table) if Rejects::ENDINGS.iter().any(|ending| with(table, ending) == path) => {
                let problem = format!("the bad lines' file {} cannot be written ({source})", path.display());
                ImportError::Places { problem: format!("{problem}; hint: --rejects PATH names another") }
            }
            _ => ImportError::Write { path, source },
        }
    }

    /// Each with what the user calls it.
    fn named(&self) -> Vec<(&'static str, PathBuf)> {
        let rejects = match &self.rejects {
            Rejects::At(path) => vec![path.clone()],
            Rejects::Beside(table) => Rejects::ENDINGS.map(|ending| with(table, ending)).into(),
        };
        let rejects = rejects.into_iter().map(|path| ("--rejects", path));
        let named = [("--map", &self.map), ("--report", &self.report)];
        rejects.chain(named.into_iter().filter_map(|(name, path)| Some((name, path.clone()?)))).collect()
    }
}

impl Identity {
    fn there(meta: &Metadata) -> Self {
        Self::There(meta.dev(), meta.ino())
    }

    fn of(path: &Path) -> io::Result<Self> {
        match fs::metadata(path) {
            Ok(meta) if meta.is_file() => Ok(Self::there(&meta)),
            Ok(_) => Err(io::Error::other("there is something that is no regular file")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let name = path.file_name().ok_or_else(|| io::Error::other("is no file's name"))?;
                let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
                Ok(Self::New(fs::canonicalize(folder)?.join(name)))
            }
            Err(error) => Err(error),
        }
    }
}

fn standard_input() -> io::Result<Metadata> {
    File::from(io::stdin().as_fd().try_clone_to_owned()?).metadata()
}

/// A path with something behind its name.
pub(super) fn with(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_files_of_an_import_are_one() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let (table, link) = (at("urls.csv"), at("link.csv"));
        fs::write(&table, "url\n").unwrap();
        std::os::unix::fs::symlink(&table, &link).unwrap();
        fs::hard_link(&table, at("hard.csv")).unwrap();
        fs::write(at("map.csv.part"), "url\n").unwrap();
        let up = at("x/../new.csv");
        fs::create_dir(at("x")).unwrap();
        let beside = Rejects::Beside(table.clone());
        let rejects = |name: &str| Rejects::At(at(name));
        let table_file = at("map.csv.part");
        for (table, rejects, map, report) in [
            (&table, beside.clone(), Some(table.clone()), None),
            (&table, beside.clone(), Some(link.clone()), None),
            (&table, beside.clone(), None, Some(at("hard.csv"))),
            (&link, rejects("urls.csv"), None, None),
            (&table, rejects("new.csv"), Some(up), None),
            (&table, beside.clone(), Some(at("new.csv")), Some(at("new.csv"))),
            (&table, beside.clone(), Some(at("new.csv")), Some(at("new.csv.part"))),
            (&table, beside.clone(), Some(at("urls.csv.rejects.csv")), None),
            // What is written at first is a file of its own as well.
            (&table_file, beside.clone(), Some(at("map.csv")), None),
        ] {
            let outputs = Outputs { rejects, map, report };
            let refused = outputs.ready(Some(table));
            let error = refused.err().unwrap_or_else(|| panic!("{outputs:?}")).to_string();
            assert!(error.contains("is the same file as"), "{error}");
        }
        let good = Outputs { rejects: beside, map: Some(at("map2.csv")), report: Some(at("report.csv")) };
        good.ready(Some(&table)).unwrap();
        assert_eq!(fs::read_to_string(&table).unwrap(), "url\n");
        assert_eq!(folder.path().read_dir().unwrap().count(), 5, "nothing is left behind");
    }

    #[test]
    fn what_cannot_be_written_is_told_first() {
        let folder = tempfile::tempdir().unwrap();
        let rejects = || Rejects::At(folder.path().join("rejects.csv"));
        for path in [folder.path().join("no/such/folder.csv"), folder.path().to_owned(), "/dev/null".into(), "/".into()]
        {
            for (map, report) in [(Some(path.clone()), None), (None, Some(path.clone()))] {
                let outputs = Outputs { rejects: rejects(), map, report };
                let error = outputs.ready(None).unwrap_err().to_string();
                assert_eq!(error, format!("writing {}", path.display()));
            }
        }
        let unnamed = Rejects::Beside(folder.path().join("no/urls.csv"));
        let error = Outputs { rejects: unnamed, map: None, report: None }.ready(None).unwrap_err().to_string();
        assert!(
            error.contains("no/urls.csv.rejects.csv cannot be written (") && error.contains("--rejects"),
            "{error}"
        );
    }
}
