//! One package from a Debian suite that this system does not follow, with the system's own sources untouched.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, anyhow, ensure};

use crate::progress::Step;

/// Where a package that follows rustc may be, the smallest index first.
const SUITES: [&str; 5] = ["trixie-backports", "forky-backports", "experimental", "forky", "sid"];

/// The keyring that signs those suites, on Debian.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Downloads version `release` (of any Debian revision) of `package` into `work` and returns the file.
pub fn download(step: &Step, work: &Path, package: &str, release: &str) -> Result<PathBuf> {
    let mut last = anyhow!("no suite to try");
    for suite in SUITES {
        let found = Suite::open(step, work, suite)
            .and_then(|suite| suite.download(step, &format!("{package}={release}*")));
        match found {
            Ok(file) => return Ok(file),
            Err(error) => last = error.context(format!("no {package} {release} in {suite}, nor before it")),
        }
    }
    Err(last)
}

/// One suite of the archive, with lists and packages in a directory of its own.
pub struct Suite {
    work: PathBuf,
}

impl Suite {
    /// Reads the suite's index. What `work` held is gone, so that only this suite answers.
    pub fn open(step: &Step, work: &Path, suite: &str) -> Result<Self> {
        let mirror = mirror(&system_sources()).context("no Debian mirror in this system's apt sources")?;
        let _ = fs::remove_dir_all(work);
        for dir in ["lists/partial", "cache/archives/partial", "files"] {
            let dir = work.join(dir);
            fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        }
        let signed_by =
            if Path::new(KEYRING).is_file() { format!("[signed-by={KEYRING}] ") } else { String::new() };
        fs::write(work.join("sources.list"), format!("deb {signed_by}{mirror} {suite} main\n"))
            .context("cannot write apt's sources")?;
        let suite = Self { work: work.to_owned() };
        step.run(suite.apt("apt-get").arg("update"))?;
        Ok(suite)
    }

    /// Downloads one package, given as apt-get takes it, and returns the file.
    pub fn download(&self, step: &Step, package: &str) -> Result<PathBuf> {
        let files = self.work.join("files");
        let known = debs(&files)?;
        step.run(self.apt("apt-get").arg("download").arg(package).current_dir(&files))?;
        let file = debs(&files)?.into_iter().find(|file| !known.contains(file));
        file.with_context(|| format!("apt-get download {package} left no package"))
    }

    /// The names of the packages that `package` depends on.
    pub fn depends(&self, package: &str) -> Result<Vec<String>> {
        let output =
            self.apt("apt-cache").args(["depends", package]).output().context("cannot run apt-cache")?;
        ensure!(output.status.success(), "apt-cache depends {package}: {}", output.status);
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(text.lines().filter_map(|line| Some(line.trim().strip_prefix("Depends: ")?.to_owned())).collect())
    }

    /// An apt program that sees this suite only.
    fn apt(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        // The user `_apt` cannot reach into our cache, and apt would warn about it.
        command.args(["-q", "-o", "APT::Sandbox::User=root", "-o", "Dir::Etc::sourceparts=-"]);
        for (key, file) in [
            ("Dir::Etc::sourcelist", "sources.list"),
            ("Dir::State::Lists", "lists"),
            ("Dir::Cache", "cache"),
        ] {
            command.arg("-o").arg(format!("{key}={}", self.work.join(file).display()));
        }
        command.env("LC_ALL", "C");
        command
    }
}

/// The packages in a directory.
fn debs(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    Ok(files.filter(|path| path.extension().is_some_and(|extension| extension == "deb")).collect())
}

/// The text of all of this system's apt sources, in either of their two formats.
fn system_sources() -> String {
    let parts = fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten();
    let mut files: Vec<PathBuf> = parts.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    files.insert(0, PathBuf::from("/etc/apt/sources.list"));
    let texts = files.iter().filter_map(|file| fs::read_to_string(file).ok());
    texts.collect::<Vec<_>>().join("\n")
}

/// The mirror of the Debian archive itself: third parties and the security archive have no such suites.
fn mirror(sources: &str) -> Option<String> {
    let words = sources.lines().flat_map(|line| {
        let uris = line.strip_prefix("URIs:").or_else(|| line.strip_prefix("deb "));
        uris.unwrap_or_default().split_whitespace()
    });
    // In the one-line format the options in brackets come before the address, and the suite after it.
    let mut addresses = words.filter(|word| word.contains("://"));
    addresses.find(|address| address.trim_end_matches('/').ends_with("/debian")).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::mirror;

    #[test]
    fn finds_the_mirror_in_deb822_sources() {
        let sources = "Types: deb\nURIs: https://other.invalid/debian-security\nSuites: x\n\n\
            Types: deb\n# URIs: http://old.invalid/debian\nURIs: http://mirror.invalid/debian/\n";
        assert_eq!(mirror(sources).as_deref(), Some("http://mirror.invalid/debian/"));
    }

    #[test]
    fn finds_the_mirror_in_one_line_sources() {
        let sources = "deb-src http://src.invalid/debian x main\n# deb http://old.invalid/debian x main\n\
            deb https://third.invalid/packages x main\n\
            deb [signed-by=/k.gpg arch=amd64] http://mirror.invalid/debian bookworm main\n";
        assert_eq!(mirror(sources).as_deref(), Some("http://mirror.invalid/debian"));
    }

    #[test]
    fn a_system_without_debian_has_no_mirror() {
        assert_eq!(mirror("deb http://archive.invalid/ubuntu noble main\n"), None);
    }
}
