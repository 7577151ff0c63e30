//! The object that says whose store it is: the catalogue's id, under a name that
//! no clip can have.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use object_store::{GetOptions, ObjectStore as _};
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

use super::{
    ObjectKey, Place, Result, Store, StoreError,
    error::{from_client, from_disk},
    s3::S3,
};

/// A marker is a line of text. What is longer is none.
const MAX_MARKER: u64 = 1024;

#[derive(Serialize, Deserialize)]
struct Text {
    catalog: String,
}

/// Whose store it is, as it says itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Marker {
    /// It does not say.
    None,
    /// It says something that nobody can read: a write was cut short.
    Unreadable,
    /// The catalogue with this id.
    Of(String),
}

impl Store {
    /// Reads the marker, in one request: a bucket that is not there says so to a
    /// `GET` alone.
    pub async fn marker(&self) -> Result<Marker> {
        let key = self.prefix().marker();
        let text = match &self.0 {
            Place::Folder(folder) => {
                let path = folder.path(&key);
                let read = spawn_blocking(move || read_start(&path)).await;
                read.map_err(io::Error::other).flatten().map_err(|error| from_disk("reading", &key, &error))?
            }
            Place::S3(s3) => read_small(s3, &key).await?,
        };
        let text = text.map(|text| serde_json::from_slice::<Text>(&text));
        Ok(text.map_or(Marker::None, |text| text.map_or(Marker::Unreadable, |text| Marker::Of(text.catalog))))
    }

    /// Writes the marker, where there is none.
    pub async fn mark(&self, catalog: &str) -> Result<()> {
        let text = serde_json::to_vec(&Text { catalog: catalog.to_owned() });
        let text = text.expect("a text is JSON");
        self.write_small(&self.prefix().marker(), &text.into()).await
    }

    /// Removes the marker.
    pub async fn unmark(&self) -> Result<()> {
        self.delete_object(&self.prefix().marker()).await
    }
}

/// A file's beginning, if it is there: more than a marker may have.
fn read_start(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut text = Vec::new();
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?.take(MAX_MARKER + 1).read_to_end(&mut text)?,
    };
    Ok(Some(text))
}

/// A small object, if it is there; of one that is larger, nothing.
async fn read_small(s3: &S3, key: &ObjectKey) -> Result<Option<Vec<u8>>> {
    let failed = |error| from_client("reading", key, &error);
    match s3.client.get_opts(key.path(), GetOptions::default()).await {
        Ok(got) if got.meta.size > MAX_MARKER => Ok(Some(Vec::new())),
        Ok(got) => Ok(Some(got.bytes().await.map_err(failed)?.to_vec())),
        Err(error) => match failed(error) {
            StoreError::NotFound { .. } => Ok(None),
            error => Err(error),
        },
    }
}
