//! A namespace in a guest, as a participant of its own.

use super::{Job, Station, Vm};

/// A network namespace in a guest, made with `ip netns add`.
pub struct Inside<'a> {
    vm: &'a Vm,
    name: String,
}

impl<'a> Inside<'a> {
    /// The namespace of this name.
    pub fn of(vm: &'a Vm, name: &str) -> Self {
        Inside { vm, name: name.into() }
    }

    fn script(&self, script: &str) -> String {
        format!("/sbin/ip netns exec {} sh -c '{}'", self.name, script.replace('\'', "'\\''"))
    }
}

impl Station for Inside<'_> {
    fn title(&self) -> &str {
        &self.name
    }

    fn shell(&self, script: &str) -> anyhow::Result<String> {
        self.vm.shell(&self.script(script))
    }

    fn start(&self, script: &str) -> anyhow::Result<Box<dyn Job + '_>> {
        self.vm.start(&self.script(script))
    }
}
