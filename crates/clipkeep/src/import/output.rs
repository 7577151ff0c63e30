//! The files that an import writes: they appear whole, or not at all.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde_json::{json, value::to_raw_value};

use super::{
    ImportError, Rejects,
    json::{Members, members},
    output_paths::with,
    table::{Original, Shape},
};
use crate::atomic_file::AtomicFile;

pub(super) fn csv_line(delimiter: u8, fields: &[&[u8]]) -> Vec<u8> {
    let mut writer = csv::WriterBuilder::new();
    if delimiter == b'\t' && fields.iter().any(|field| field.contains(&b'\\')) {
        // Outside of quotes it would be one of psql's when it is read again.
        writer.quote_style(csv::QuoteStyle::Always);
    }
    let mut writer = writer.delimiter(delimiter).flexible(true).from_writer(Vec::new());
    // Writing into a Vec cannot fail.
    let _ = writer.write_record(fields);
    writer.into_inner().unwrap_or_default()
}

/// The lines that were refused: each as it stood, with its number and why.
pub(super) struct RejectsFile {
    path: PathBuf,
    shape: Shape,
    draft: Option<AtomicFile>,
}

impl RejectsFile {
    /// The file for a table of this shape.
    pub(super) fn of(rejects: &Rejects, shape: &Shape) -> Self {
        let [csv, jsonl] = Rejects::ENDINGS;
        let path = match rejects {
            Rejects::At(path) => path.clone(),
            Rejects::Beside(path) => with(path, if matches!(shape, Shape::Json) { jsonl } else { csv }),
        };
        Self { path, shape: shape.clone(), draft: None }
    }

    pub(super) fn add(&mut self, line: u64, reason: &str, original: &Original) -> Result<(), ImportError> {
        let written = self.try_add(line, reason, original);
        written.map_err(|source| ImportError::Write { path: self.path.clone(), source })
    }

    fn try_add(&mut self, line: u64, reason: &str, original: &Original) -> io::Result<()> {
        let draft = match &mut self.draft {
            Some(draft) => draft,
            none => {
                let mut draft = AtomicFile::create(&self.path)?;
                draft.write(&header(&self.shape))?;
                none.insert(draft)
            }
        };
        draft.write(&rejected(&self.shape, line, reason, original))
    }

    /// Gives the file its name; if no line was refused, there is no file, and
    /// an earlier run's is removed. Answers whether there is one.
    pub(super) fn finish(self) -> Result<Option<PathBuf>, ImportError> {
        let Self { path, draft, .. } = self;
        let done = match draft {
            Some(draft) => draft.finish().map(|()| true),
            None => match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(false),
            },
        };
        match done {
            Ok(there) => Ok(there.then_some(path)),
            Err(source) => Err(ImportError::Write { path, source }),
        }
    }
}

impl Rejects {
    /// What a table's rejects are called after it, by their form.
    pub(super) const ENDINGS: [&str; 2] = [".rejects.csv", ".rejects.jsonl"];
}

/// The columns that an earlier run's rejects brought along.
const OWN: [&str; 2] = ["line", "reason"];

fn kept<'a>(header: &'a [String], unknown: &'a [usize]) -> impl Fn(usize) -> bool + 'a {
    move |at| !(unknown.contains(&at) && header.get(at).is_some_and(|name| OWN.contains(&name.as_str())))
}

fn header(shape: &Shape) -> Vec<u8> {
    let Shape::Csv { header, delimiter, unknown } = shape else { return Vec::new() };
    let kept = kept(header, unknown);
    let names = header.iter().enumerate().filter(|(at, _)| kept(*at)).map(|(_, name)| name.as_bytes());
    csv_line(*delimiter, &OWN.map(str::as_bytes).into_iter().chain(names).collect::<Vec<_>>())
}

fn rejected(shape: &Shape, line: u64, reason: &str, original: &Original) -> Vec<u8> {
    let number = line.to_string();
    match (shape, original) {
        (Shape::Csv { header, delimiter, unknown }, original) => {
            let kept = kept(header, unknown);
            let mut fields = vec![number.as_bytes(), reason.as_bytes()];
            if let Original::Csv(record) = original {
                fields.extend(record.iter().enumerate().filter(|(at, _)| kept(*at)).map(|(_, field)| field));
            }
            csv_line(*delimiter, &fields)
        }
        (Shape::Json, Original::Json(bytes)) => {
            let record: Members = members(bytes).unwrap_or_else(|_| as_text(bytes));
            json_line(line, reason, record)
        }
        (Shape::Json, _) => json_line(line, reason, Members::new()),
    }
}

fn json_line(line: u64, reason: &str, mut record: Members) -> Vec<u8> {
    for (name, value) in [("line", json!(line)), ("reason", json!(reason))] {
        if let Ok(raw) = to_raw_value(&value) {
            record.insert(name.to_owned(), raw);
        }
    }
    let mut text = serde_json::to_vec(&record).unwrap_or_default();
    text.push(b'\n');
    text
}

/// A record that is no object goes along as text.
fn as_text(bytes: &[u8]) -> Members {
    let text = to_raw_value(&String::from_utf8_lossy(bytes).trim());
    text.into_iter().map(|raw| ("record".to_owned(), raw)).collect()
}

/// Whether a file of this name is to hold JSON lines.
pub(super) fn is_json(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    ["json", "jsonl", "ndjson"].iter().any(|known| ending.eq_ignore_ascii_case(known))
}

/// Old URL → final URL, for the team's own database.
pub(super) struct Map {
    draft: AtomicFile,
    is_json: bool,
}

impl Map {
    pub(super) fn create(path: &Path) -> Result<Self, ImportError> {
        let is_json = is_json(path);
        let failed = |source| ImportError::Write { path: path.to_owned(), source };
        let mut draft = AtomicFile::create(path).map_err(failed)?;
        if !is_json {
            draft.write(b"url,final_url\n").map_err(failed)?;
        }
        Ok(Self { draft, is_json })
    }

    /// Adds a stored clip.
    pub(super) fn add(&mut self, url: &str, final_url: &str) -> Result<(), ImportError> {
        let line = if self.is_json {
            format!("{}\n", json!({"url": url, "final_url": final_url})).into_bytes()
        } else {
            csv_line(b',', &[url.as_bytes(), final_url.as_bytes()])
        };
        self.draft.write(&line).map_err(|source| ImportError::Write { path: self.draft.path.clone(), source })
    }

    /// Gives the file its name.
    pub(super) fn finish(self) -> Result<(), ImportError> {
        let path = self.draft.path.clone();
        self.draft.finish().map_err(|source| ImportError::Write { path, source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn csv_shape(names: &[&str]) -> Shape {
        let header: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let unknown = (0..header.len()).filter(|at| header[*at] != "url").collect();
        Shape::Csv { header, delimiter: b';', unknown }
    }

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_rejected_record_stands_as_it_was_behind_its_number_and_reason() {
        let shape = csv_shape(&["url", "note"]);
        assert_eq!(text(header(&shape)), "line;reason;url;note\n");
        let record = Original::Csv(csv::ByteRecord::from(vec!["x", "a \"b\";\nc", "one too many"]));
        let line = rejected(&shape, 7, "has 3 fields", &record);
        assert_eq!(text(line), "7;has 3 fields;x;\"a \"\"b\"\";\nc\";one too many\n");
        assert_eq!(text(rejected(&shape, 8, "is too long", &Original::None)), "8;is too long\n");
    }

    #[test]
    fn rejects_of_rejects_do_not_grow() {
        let shape = csv_shape(&["line", "reason", "url"]);
        assert_eq!(text(header(&shape)), "line;reason;url\n");
        let record = Original::Csv(csv::ByteRecord::from(vec!["2", "old", "x"]));
        assert_eq!(text(rejected(&shape, 3, "new", &record)), "3;new;x\n");
        let record = Original::Json(br#"{"url": "x", "line": 2, "reason": "old", "n": 1.10}"#.to_vec());
        let line = text(rejected(&Shape::Json, 3, "new", &record));
        assert_eq!(line, "{\"line\":3,\"n\":1.10,\"reason\":\"new\",\"url\":\"x\"}\n");
        let line = text(rejected(&Shape::Json, 3, "new", &Original::Json(b"{oops".to_vec())));
        assert_eq!(line, "{\"line\":3,\"reason\":\"new\",\"record\":\"{oops\"}\n");
    }

    #[test]
    fn files_appear_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("map.csv");
        let mut map = Map::create(&path).unwrap();
        map.add("https://a.example/x,y", "https://b.example/z").unwrap();
        drop(map);
        assert_eq!(folder.path().read_dir().unwrap().count(), 0);
        let mut map = Map::create(&path).unwrap();
        map.add("https://a.example/x,y", "https://b.example/z").unwrap();
        map.finish().unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            "url,final_url\n\"https://a.example/x,y\",https://b.example/z\n"
        );
        let none = RejectsFile::of(&Rejects::At(path.clone()), &Shape::Json);
        assert_eq!(none.finish().unwrap(), None);
        assert_eq!(folder.path().read_dir().unwrap().count(), 0, "no rejects, no file");
    }
}
