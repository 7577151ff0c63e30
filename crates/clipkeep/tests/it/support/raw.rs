//! A store as somebody else sees it: to make by hand what goes wrong there.

use std::{fs, path::PathBuf};

use bytes::Bytes;
use object_store::{
    ObjectStoreExt, PutPayload,
    aws::{AmazonS3, AmazonS3Builder},
    multipart::MultipartStore,
    path::Path,
};

use super::garage::{ACCESS_KEY, BUCKET, Place, SECRET_KEY};

pub(crate) enum Raw {
    Folder(PathBuf),
    Bucket(AmazonS3, Place),
}

impl Raw {
    pub(crate) fn bucket(place: &Place) -> Self {
        let client = AmazonS3Builder::new()
            .with_bucket_name(BUCKET)
            .with_endpoint(&place.endpoint)
            .with_allow_http(true)
            .with_region("garage")
            .with_access_key_id(ACCESS_KEY)
            .with_secret_access_key(SECRET_KEY)
            .build()
            .unwrap();
        Self::Bucket(client, place.clone())
    }

    fn path(place: &Place, name: &str) -> Path {
        Path::from(format!("{}/{name}", place.prefix))
    }

    pub(crate) async fn put(&self, name: &str, bytes: impl Into<Bytes>) {
        let bytes = bytes.into();
        match self {
            Self::Folder(root) => {
                // A new file, as another program would make it.
                let new = root.join(format!(".new-{name}"));
                fs::write(&new, bytes).unwrap();
                fs::rename(new, root.join(name)).unwrap();
            }
            Self::Bucket(client, place) => {
                client.put(&Self::path(place, name), PutPayload::from(bytes)).await.unwrap();
            }
        }
    }

    pub(crate) async fn get(&self, name: &str) -> Option<Bytes> {
        match self {
            Self::Folder(root) => fs::read(root.join(name)).ok().map(Bytes::from),
            Self::Bucket(client, place) => {
                let got = client.get(&Self::path(place, name)).await.ok()?;
                Some(got.bytes().await.unwrap())
            }
        }
    }

    pub(crate) async fn delete(&self, name: &str) {
        match self {
            Self::Folder(root) => fs::remove_file(root.join(name)).unwrap(),
            Self::Bucket(client, place) => client.delete(&Self::path(place, name)).await.unwrap(),
        }
    }

    /// Begins an upload, and never ends it.
    pub(crate) async fn begin(&self, name: &str) {
        match self {
            Self::Folder(root) => fs::write(root.join(".staging").join(format!("{name},0123")), "half").unwrap(),
            Self::Bucket(client, place) => {
                let path = Self::path(place, name);
                let id = client.create_multipart(&path).await.unwrap();
                client.put_part(&path, &id, 0, PutPayload::from_static(b"half")).await.unwrap();
            }
        }
    }

    /// Flips one byte.
    pub(crate) async fn corrupt(&self, name: &str) {
        let mut bytes = self.get(name).await.unwrap().to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        self.put(name, bytes).await;
    }
}
