//! The kernel's packet generator.

use std::{
    fs, io,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};

use super::{
    interrupted,
    stream::{Sent, Stream, complaint, devices, sent},
};
use crate::bench::Refusal;

/// Of the thread, since /proc/net is that of the process.
const FOLDER: &str = "/proc/thread-self/net/pktgen";

/// What pktgen says where the driver cannot send one frame twice: older kernels show their own ENOTSUPP, which was never meant to be seen.
const UNSUPPORTED: [i32; 2] = [libc::EOPNOTSUPP, 524];

/// How long its threads may take to stop. A driver that was given a burst finishes it.
const STOP: Duration = Duration::from_secs(10);

fn path(name: &str) -> PathBuf {
    PathBuf::from(FOLDER).join(name)
}

/// Refuses where there is none, or where it is somebody else's.
pub fn check(cpus: &[usize]) -> Result<(), Refusal> {
    if fs::metadata(path("pgctrl")).is_err() {
        return Err(Refusal::NoPktgen);
    }
    for cpu in cpus {
        let thread = format!("kpktgend_{cpu}");
        let text = fs::read_to_string(path(&thread)).map_err(|_| Refusal::NoCpu(*cpu))?;
        let there = devices(&text);
        if !there.is_empty() {
            return Err(Refusal::Busy { thread, devices: there.join(", ") });
        }
    }
    Ok(())
}

/// The CPUs that it has threads for.
pub fn cpus() -> Vec<usize> {
    let names = fs::read_dir(FOLDER).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let mut cpus: Vec<usize> =
        names.filter_map(|name| name.to_str()?.strip_prefix("kpktgend_")?.parse().ok()).collect();
    cpus.sort_unstable();
    cpus
}

/// Streams that are set up. They are taken away when this goes.
pub struct Generator {
    streams: Vec<Stream>,
}

impl Generator {
    /// Sets streams up. Where the driver cannot send one frame twice and nobody asked for it, each is made anew.
    pub fn set_up(mut streams: Vec<Stream>, asked: bool) -> Result<Generator> {
        if streams.iter().any(|stream| stream.clone > 0 || stream.burst > 1) {
            match try_set_up(streams.clone()) {
                Err(error) if is_unsupported(&error) && !asked => {
                    let device = &streams[0].device;
                    println!("{device} cannot send a frame twice: each is made anew, which is slower");
                    streams.iter_mut().for_each(|stream| (stream.clone, stream.burst) = (0, 1));
                }
                Err(error) if is_unsupported(&error) => {
                    let why = format!(
                        "{} cannot send a frame twice, so --clone is 0 and --burst 1",
                        streams[0].device
                    );
                    return Err(Refusal::Option(why).into());
                }
                done => return done,
            }
        }
        try_set_up(streams)
    }

    /// Sends for so long, at `rate` frames a second of all streams together or as fast as it goes.
    pub fn send(&self, rate: Option<f64>, time: Duration) -> Result<Vec<Sent>> {
        for stream in &self.streams {
            tell(&stream.name(), &stream.pace(rate, self.streams.len()))?;
        }
        thread::scope(|scope| {
            // The write returns when all threads have stopped.
            let all = scope.spawn(|| fs::write(path("pgctrl"), "start"));
            let end = Instant::now() + time;
            while Instant::now() < end && !all.is_finished() && !interrupted() {
                thread::sleep(Duration::from_millis(20).min(end.saturating_duration_since(Instant::now())));
            }
            stop(|| all.is_finished())?;
            let done = all.join().map_err(|_| anyhow::anyhow!("the thread that starts pktgen panicked"))?;
            done.context("pktgen does not start")
        })?;
        self.streams.iter().map(|stream| report(&stream.name())).collect()
    }
}

impl Drop for Generator {
    fn drop(&mut self) {
        for stream in &self.streams {
            // All of ours: the thread had none before.
            if let Err(error) = fs::write(path(&format!("kpktgend_{}", stream.cpu)), "rem_device_all") {
                eprintln!("pktgen keeps {}: {error}", stream.name());
            }
        }
    }
}

fn try_set_up(streams: Vec<Stream>) -> Result<Generator> {
    // From here on dropping it cleans up.
    let generator = Generator { streams };
    for stream in &generator.streams {
        tell(&format!("kpktgend_{}", stream.cpu), &format!("add_device {}", stream.name()))?;
        for words in stream.commands() {
            tell(&stream.name(), &words)?;
        }
    }
    Ok(generator)
}

fn is_unsupported(error: &anyhow::Error) -> bool {
    let os = |error: &io::Error| error.raw_os_error().is_some_and(|code| UNSUPPORTED.contains(&code));
    error.downcast_ref::<io::Error>().is_some_and(os)
}

fn tell(name: &str, words: &str) -> Result<()> {
    fs::write(path(name), words).with_context(|| format!("pktgen refuses `{words}` for {name}"))?;
    let text = fs::read_to_string(path(name)).with_context(|| format!("pktgen's {name} has gone"))?;
    match complaint(&text) {
        Some(complaint) => bail!("pktgen says of `{words}` for {name}: {complaint}"),
        None => Ok(()),
    }
}

/// Says it until it is heard: a thread that has not begun yet does not notice.
fn stop(stopped: impl Fn() -> bool) -> Result<()> {
    let end = Instant::now() + STOP;
    while !stopped() {
        ensure!(Instant::now() < end, "pktgen does not stop");
        fs::write(path("pgctrl"), "stop").context("pktgen does not stop")?;
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

fn report(name: &str) -> Result<Sent> {
    let text = fs::read_to_string(path(name)).with_context(|| format!("pktgen's {name} has gone"))?;
    sent(&text).with_context(|| format!("pktgen says of {name} what nobody understands:\n{text}"))
}
