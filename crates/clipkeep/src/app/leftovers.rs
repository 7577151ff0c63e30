//! What earlier runs of this node left on its disk.

use std::path::PathBuf;

/// Makes a folder whose files are nobody's any more.
pub(super) async fn clear(folder: PathBuf) -> std::io::Result<()> {
    let cleared = tokio::task::spawn_blocking(move || match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => std::fs::create_dir_all(folder),
    });
    cleared.await.map_err(std::io::Error::other)?
}
