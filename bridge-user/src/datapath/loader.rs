//! What a loader does before it can load.

use std::thread;

use aya::EbpfLoader;

/// aya's loader, which reads all types of the kernel and tries out what it can: a tenth of a start, so it is done beside other work.
pub struct Loader(thread::JoinHandle<EbpfLoader<'static>>);

impl Loader {
    /// Begins. Whoever does without it after all just lets go of it.
    pub fn prepare() -> Self {
        Self(thread::spawn(|| {
            let loader = EbpfLoader::new();
            // Asked once in the life of a process.
            aya::features();
            loader
        }))
    }

    pub(super) fn ready(self) -> EbpfLoader<'static> {
        self.0.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}
