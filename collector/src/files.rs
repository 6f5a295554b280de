//! Settings in files that rotate while we run: looked at whenever they are needed, read when they are other files than before. What cannot be
//! read leaves in force what was read before. What they hold is never printed.

use std::{
    fmt,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use otlp::Stamp;

/// What some files mean, always as they are now.
pub(crate) struct Watched<T> {
    paths: Vec<PathBuf>,
    held: Mutex<(Vec<Option<Stamp>>, T)>,
}

impl<T: Clone> Watched<T> {
    /// Reads these files with `read`.
    ///
    /// # Errors
    /// When they cannot be used now.
    pub(crate) fn new<E>(paths: Vec<PathBuf>, read: impl FnOnce() -> Result<T, E>) -> Result<Self, E> {
        let stamps = stamps(&paths);
        let value = read()?;
        Ok(Self { paths, held: Mutex::new((stamps, value)) })
    }

    /// What they mean now; `read` is asked only when they are others than before.
    pub(crate) fn now<E: fmt::Display>(&self, read: impl FnOnce() -> Result<T, E>) -> T {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let stamps = stamps(&self.paths);
        if stamps != held.0 {
            held.0 = stamps;
            match read() {
                Ok(value) => {
                    tracing::info!(files = ?self.paths, "read again, because they changed");
                    held.1 = value;
                }
                Err(error) => tracing::error!(%error, "cannot be used; what was read before stays in force"),
            }
        }
        held.1.clone()
    }
}

impl<T> fmt::Debug for Watched<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").field("paths", &self.paths).finish_non_exhaustive()
    }
}

fn stamps(paths: &[PathBuf]) -> Vec<Option<Stamp>> {
    paths.iter().map(|path| otlp::stamp(path)).collect()
}
