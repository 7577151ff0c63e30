//! What objects there are: all of them, page by page, in bounded memory; and
//! the sizes of those that rows tell of.

use std::{collections::HashMap, sync::Arc};

use clipkeep_core::{id::ClipKey, time::Timestamp};
use futures_util::{StreamExt, TryStreamExt, stream, stream::BoxStream};
use serde::Deserialize;
use url::Url;

use super::{
    ObjectKey, Place, Result, StaleUpload, Store, StoreError,
    ask::{UNUSABLE, unavailable},
    key::INLINE,
    s3::S3,
};

const DOING: &str = "listing the objects of";

/// An object as a listing tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name, without the store's prefix. Perhaps no clip's key.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// When it was last written.
    pub modified: Timestamp,
}

/// What an upload was begun for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meant {
    Clip(ClipKey),
    /// An output that came as data.
    Inline,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    #[serde(default)]
    is_truncated: bool,
    #[serde(default, rename = "Contents")]
    objects: Vec<Object>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Object {
    key: String,
    size: u64,
    last_modified: String,
}

impl Store {
    /// All objects of this store, batch by batch: a bucket's by name, a
    /// folder's in no order. Without what is still being staged.
    pub fn list(&self) -> BoxStream<'static, Result<Vec<Listed>>> {
        match &self.0 {
            Place::Folder(folder) => folder.list_in(""),
            Place::S3(s3) => Arc::clone(s3).list_objects("", String::new()),
        }
    }

    /// The outputs that came as data and wait, by their own names. There are few.
    pub async fn inlines(&self) -> Result<Vec<Listed>> {
        let mut listed = match &self.0 {
            Place::Folder(folder) => folder.list_inlines().await?,
            Place::S3(s3) => Arc::clone(s3).list_objects(INLINE, String::new()).try_concat().await?,
        };
        for object in &mut listed {
            object.name = object.name.trim_start_matches(INLINE).to_owned();
        }
        Ok(listed)
    }

    /// The sizes of these clips' objects; those that are not there, or that a
    /// bucket's listing does not show yet, are left out. `keys` are in order.
    pub async fn sizes(&self, keys: &[ClipKey]) -> Result<HashMap<ClipKey, u64>> {
        match &self.0 {
            Place::Folder(_) => self.heads(keys).await,
            Place::S3(s3) => sizes_by_listing(s3, keys).await,
        }
    }

    /// All uploads under this store's prefix that were begun and not ended,
    /// page by page.
    pub fn stale(&self) -> BoxStream<'static, Result<Vec<StaleUpload>>> {
        match &self.0 {
            Place::Folder(folder) => {
                let folder = Arc::clone(folder);
                stream::once(async move { folder.list_stale().await }).boxed()
            }
            Place::S3(s3) => Arc::clone(s3).stale(),
        }
    }

    /// What an upload would have become; none if it is not ours.
    pub fn meant(&self, upload: &StaleUpload) -> Option<Meant> {
        let prefix = match &self.0 {
            Place::Folder(_) => String::new(),
            Place::S3(s3) => s3.prefix().listing(),
        };
        let name = upload.key.strip_prefix(&prefix)?;
        if name.starts_with(INLINE) {
            return Some(Meant::Inline);
        }
        name.parse().ok().map(Meant::Clip)
    }

    /// Ends one upload that was begun and never ended.
    pub async fn abort_upload(&self, upload: &StaleUpload) -> Result<()> {
        let unusable = |e| StoreError::Setup { why: format!("an upload's name cannot be used: {e}") };
        let key = ObjectKey::listed(&upload.key).map_err(unusable)?;
        match &self.0 {
            Place::Folder(folder) => folder.abort_one(&key, &upload.upload_id).await,
            Place::S3(s3) => s3.abort_one(&key, &upload.upload_id).await,
        }
    }

    async fn heads(&self, keys: &[ClipKey]) -> Result<HashMap<ClipKey, u64>> {
        let mut sizes = HashMap::with_capacity(keys.len());
        for key in keys {
            if let Some(object) = self.head(key).await? {
                sizes.insert(key.clone(), object.size);
            }
        }
        Ok(sizes)
    }
}

/// One walk through the listing from the first key to the last, whatever else
/// lies between.
async fn sizes_by_listing(s3: &Arc<S3>, keys: &[ClipKey]) -> Result<HashMap<ClipKey, u64>> {
    let (Some(first), Some(last)) = (keys.first(), keys.last()) else { return Ok(HashMap::new()) };
    let mut sizes: HashMap<ClipKey, Option<u64>> = keys.iter().map(|key| (key.clone(), None)).collect();
    // A name without its last letter comes just before it.
    let before = &first.as_str()[..first.as_str().len() - 1];
    let mut pages = Arc::clone(s3).list_objects("", before.to_owned());
    while let Some(page) = pages.try_next().await? {
        for object in &page {
            let wanted = object.name.parse::<ClipKey>().ok();
            if let Some(size) = wanted.and_then(|key| sizes.get_mut(&key)) {
                *size = Some(object.size);
            }
        }
        if page.last().is_some_and(|object| object.name.as_str() >= last.as_str()) {
            break;
        }
    }
    Ok(sizes.into_iter().filter_map(|(key, size)| Some((key, size?))).collect())
}

impl S3 {
    /// The objects whose names begin with `start` and come after `after`, page by
    /// page.
    pub(super) fn list_objects(
        self: Arc<Self>,
        start: &'static str,
        after: String,
    ) -> BoxStream<'static, Result<Vec<Listed>>> {
        let next = move |(s3, after): (Arc<Self>, Option<String>)| async move {
            let Some(after) = after else { return Ok(None) };
            let (page, next) = s3.list_objects_page(start, &after).await?;
            Ok(Some((page, (s3, next))))
        };
        stream::try_unfold((self, Some(after)), next).boxed()
    }

    async fn list_objects_page(&self, start: &str, after: &str) -> Result<(Vec<Listed>, Option<String>)> {
        let (prefix, named) = (self.prefix.listing(), self.prefix.named());
        let unusable = || unavailable(DOING, &named, UNUSABLE);
        let mut url = Url::parse(&self.bucket_url).map_err(|_| unusable())?;
        // Names are escaped: not all of them can stand in XML.
        url.query_pairs_mut()
            .append_pair("list-type", "2")
            .append_pair("encoding-type", "url")
            .append_pair("prefix", &format!("{prefix}{start}"));
        if !after.is_empty() {
            url.query_pairs_mut().append_pair("start-after", &format!("{prefix}{after}"));
        }
        let page: Page = self.ask(DOING, &url, &named).await?;
        let (mut listed, mut last) = (Vec::with_capacity(page.objects.len()), None);
        for object in page.objects {
            let name = unescaped(&object.key);
            let name = name.strip_prefix(&prefix).ok_or_else(unusable)?.to_owned();
            let modified = object.last_modified.parse().map_err(|_| unusable())?;
            last = Some(name.clone());
            // The doctor's, and what lies beside us.
            if !start.is_empty() || !name.starts_with('.') {
                listed.push(Listed { name, size: object.size, modified });
            }
        }
        // A server that does not move on would keep us here for ever.
        let next = last.filter(|last| page.is_truncated && last.as_str() > after);
        Ok((listed, next))
    }
}

/// A name without its escapes, as `encoding-type=url` makes them.
fn unescaped(text: &str) -> String {
    let pair = format!("name={}", text.replace('&', "%26"));
    url::form_urlencoded::parse(pair.as_bytes()).next().map(|(_, name)| name.into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_out_of_a_listing_as_they_are() {
        for (escaped, name) in [("a~b.mp4", "a~b.mp4"), ("a%7Eb%2Bc", "a~b+c"), ("x+y/z&%26%01", "x y/z&&\u{1}")] {
            assert_eq!(unescaped(escaped), name);
        }
    }
}
