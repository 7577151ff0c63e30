//! The URLs under which a queue's reply says that it can be asked on.

/// Puts a gateway's own address in place of the queue's, in front of whatever
/// path stands behind it.
#[derive(Clone, Debug)]
pub struct FollowUrls {
    queues: Vec<String>,
    own: String,
}

impl FollowUrls {
    /// What is at one of `queues` shall be asked for at `own`. All are base
    /// URLs without a slash at their end.
    pub fn new(queues: impl IntoIterator<Item = String>, own: String) -> Self {
        Self { queues: queues.into_iter().collect(), own }
    }

    /// The URL to follow in place of `text`, if that leads to a queue.
    pub fn replace(&self, text: &str) -> Option<String> {
        let path = self.queues.iter().find_map(|queue| text.strip_prefix(queue.as_str()))?;
        path.starts_with('/').then(|| format!("{}{path}", self.own))
    }
}
