//! Where clips are for good.

use clipkeep_core::{
    config::{Config, UrlTemplate},
    expected,
    generation::Generation,
    id::ClipKey,
    input::Input,
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

    /// The final URLs of the clips that a generation is going to have, as far as
    /// its input tells; there is one at least.
    pub fn expected(&self, generation: &Generation) -> Vec<String> {
        let input = generation.facts.input.as_ref().map(Input::value);
        expected::keys(&generation.request_id, input.as_ref()).iter().map(|key| self.of(key)).collect()
    }
}
