//! What earlier runs of this node left on its disk.

use std::path::PathBuf;

use clipkeep_core::{generation::Clip, state::ClipState};

use crate::{catalog::Catalog, fill::local};

/// Makes a folder whose files are nobody's any more.
pub(super) async fn clear(folder: PathBuf) -> std::io::Result<()> {
    let cleared = tokio::task::spawn_blocking(move || match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => std::fs::create_dir_all(folder),
    });
    cleared.await.map_err(std::io::Error::other)?
}

/// Removes what earlier runs left in the spool, except copies that their clips'
/// next fill can go on with.
pub(super) async fn sweep_spool(catalog: &dyn Catalog, dir: PathBuf) -> anyhow::Result<()> {
    for (key, path, epoch) in local::kept_clips(dir).await? {
        let open = |clip: &Clip| matches!(clip.state, ClipState::Waiting | ClipState::Filling) && clip.epoch == epoch;
        let clip = catalog.clip(&key).await?.filter(|clip| *clip.first_key() == key);
        if !clip.as_ref().is_some_and(open) {
            local::remove(&path)?;
        }
    }
    Ok(())
}
