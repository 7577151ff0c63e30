//! Where clips are for good.

use clipkeep_core::{
    config::{Config, UrlTemplate},
    id::{ClipKey, RequestId},
};

/// Where clips are for good: the template of the configuration, filled in.
#[derive(Clone, Debug)]
pub struct FinalUrls(UrlTemplate);

impl FinalUrls {
    /// The URLs that `config` makes.
    pub fn new(config: &Config) -> Self {
        Self(config.final_url_template.clone())
    }

    /// The final URL of `key`.
    pub fn of(&self, key: &ClipKey) -> String {
        self.0.fill(key)
    }

    /// The final URL of a generation's first clip, should it be an MP4.
    pub fn expected(&self, request_id: &RequestId) -> String {
        self.of(&ClipKey::new(request_id, 0, "mp4"))
    }
}
