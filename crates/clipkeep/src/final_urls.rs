//! Where clips and their posters are for good.

use clipkeep_core::{
    config::{BaseUrl, Config, UrlTemplate},
    expected,
    generation::Generation,
    id::ClipKey,
    input::Input,
    link::LinkTarget,
};

/// Where clips are for good: the template of the configuration, filled in.
#[derive(Clone, Debug)]
pub struct FinalUrls {
    clips: UrlTemplate,
    /// Posters are served by nodes, wherever clips are.
    public_url: BaseUrl,
}

impl FinalUrls {
    /// The URLs that `config` makes.
    pub fn new(config: &Config) -> Self {
        Self { clips: config.final_url_template.clone(), public_url: config.public_url.clone() }
    }

    /// The final URL of `key`.
    pub fn of(&self, key: &ClipKey) -> String {
        self.clips.fill(key)
    }

    /// The URL of its poster.
    pub fn poster(&self, key: &ClipKey) -> String {
        format!("{}{}", self.public_url, LinkTarget::Poster.path(key))
    }

    /// What a cache may hold of `key`, here or at a CDN.
    pub fn cached(&self, key: &ClipKey) -> Vec<String> {
        let of_ours = |target: LinkTarget| format!("{}{}", self.public_url, target.path(key));
        let mut urls = vec![self.of(key), of_ours(LinkTarget::Clip), of_ours(LinkTarget::Poster)];
        urls.dedup();
        urls
    }

    /// The final URLs of the clips that a generation is going to have, as far as
    /// its input tells; there is one at least.
    pub fn expected(&self, generation: &Generation) -> Vec<String> {
        let input = generation.facts.input.as_ref().map(Input::value);
        expected::keys(&generation.request_id, input.as_ref()).iter().map(|key| self.of(key)).collect()
    }
}

#[cfg(test)]
mod tests {
    use clipkeep_core::config::Layers;

    use super::*;

    #[test]
    fn all_that_a_cache_may_hold_is_named_once() {
        let cached = |template: &[(&str, &str)]| {
            let flags = [("public_url", "https://clips.example.com")].iter().chain(template);
            let flags = flags.map(|(name, value)| (*name, (*value).to_owned()));
            let config = Config::from_layers(Layers::new().with_flags(flags)).unwrap();
            FinalUrls::new(&config).cached(&"a.mp4".parse().unwrap())
        };
        let ours = ["https://clips.example.com/v/a.mp4", "https://clips.example.com/p/a.mp4.jpg"];
        assert_eq!(cached(&[]), ours);
        let theirs = cached(&[("final_url_template", "https://cdn.example.com/{key}")]);
        assert_eq!(theirs, ["https://cdn.example.com/a.mp4", ours[0], ours[1]]);
    }
}
