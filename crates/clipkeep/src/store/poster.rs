//! Posters: small objects beside the clips, written over as often as need be.

use bytes::Bytes;
use clipkeep_core::id::ClipKey;
use futures_util::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use object_store::{Attribute, Attributes};

use super::{Listed, Place, Result, Store, key::POSTERS};

/// A poster is never larger: what is, is none of ours.
const MAX_POSTER: u64 = 1024 * 1024;
const ENDING: &str = ".jpg";

impl Store {
    /// Puts a clip's poster there, durably, in place of what may be there.
    pub async fn put_poster(&self, key: &ClipKey, jpeg: &Bytes) -> Result<()> {
        let object = self.prefix().poster(key);
        match &self.0 {
            Place::Folder(folder) => folder.write_over(&object, jpeg.clone()).await,
            Place::S3(s3) => {
                let attributes: Attributes = [(Attribute::ContentType, "image/jpeg")].into_iter().collect();
                s3.put_over(&object, jpeg, &attributes).await
            }
        }
    }

    /// A clip's poster, if it is there.
    pub async fn poster(&self, key: &ClipKey) -> Result<Option<Bytes>> {
        let object = self.prefix().poster(key);
        match &self.0 {
            Place::Folder(folder) => folder.small(&object, MAX_POSTER).await,
            Place::S3(s3) => s3.small(&object, MAX_POSTER).await,
        }
    }

    /// Removes a clip's poster. That it was not there is fine.
    pub async fn delete_poster(&self, key: &ClipKey) -> Result<()> {
        self.delete_object(&self.prefix().poster(key)).await
    }

    /// All posters by their clips, batch by batch.
    pub fn posters(&self) -> BoxStream<'static, Result<Vec<(ClipKey, Listed)>>> {
        let pages = match &self.0 {
            Place::Folder(folder) => folder.list_in(POSTERS),
            Place::S3(s3) => std::sync::Arc::clone(s3).list_objects(POSTERS, String::new()),
        };
        let of_clip = |object: Listed| {
            let name = object.name.strip_prefix(POSTERS).unwrap_or(&object.name).strip_suffix(ENDING)?;
            Some((name.parse().ok()?, object))
        };
        pages.map_ok(move |page| page.into_iter().filter_map(of_clip).collect()).boxed()
    }
}
