//! The object that says whose store it is: the catalogue's id, under a name that
//! no clip can have.

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use serde::{Deserialize, Serialize};

use super::{Result, Store, StoreError};

/// A marker is a line of text. What is longer is none.
const LONGEST: u64 = 1024;

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
    /// Reads the marker.
    pub async fn marker(&self) -> Result<Marker> {
        let key = self.prefix().marker();
        let Some(meta) = self.head_object(&key).await? else { return Ok(Marker::None) };
        if meta.size > LONGEST {
            return Ok(Marker::Unreadable);
        }
        let text: Vec<Bytes> = match self.read_object(&key, 0..meta.size).await {
            Ok(chunks) => chunks.try_collect().await?,
            Err(StoreError::NotFound { .. }) => return Ok(Marker::None),
            Err(error) => return Err(error),
        };
        let text = serde_json::from_slice::<Text>(&text.concat());
        Ok(text.map_or(Marker::Unreadable, |text| Marker::Of(text.catalog)))
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
