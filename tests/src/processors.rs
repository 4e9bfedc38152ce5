//! Where threads and processes run. A scheduler that moves them about is most of the noise of a machine with few processors.

use std::fs;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// The calling thread, in the words of the kernel.
const ME: Pid = Pid::from_raw(0);

/// The numbers of the processors that this thread may use, in order.
#[track_caller]
pub fn processors() -> Vec<usize> {
    let set = sched_getaffinity(ME).expect("sched_getaffinity");
    (0..CpuSet::count()).filter(|number| set.is_set(*number).unwrap_or(false)).collect()
}

/// Does something on one processor, as do the threads and processes that it starts, for as long as they live.
#[track_caller]
pub fn on_processor<T>(processor: usize, work: impl FnOnce() -> T) -> T {
    let before = sched_getaffinity(ME).expect("sched_getaffinity");
    sched_setaffinity(ME, &only(processor)).expect("sched_setaffinity");
    let done = work();
    sched_setaffinity(ME, &before).expect("sched_setaffinity");
    done
}

/// Keeps a running process, with all of its threads, on one processor.
#[track_caller]
pub fn keep_on_processor(pid: u32, processor: usize) {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("a process that lives");
    for task in tasks {
        let task = task.expect("a task").file_name().to_string_lossy().parse().expect("its number");
        // One that has ended meanwhile runs nowhere.
        let _ = sched_setaffinity(Pid::from_raw(task), &only(processor));
    }
}

#[track_caller]
fn only(processor: usize) -> CpuSet {
    let mut set = CpuSet::new();
    set.set(processor).expect("the number of a processor");
    set
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_and_what_it_starts_stay_and_then_are_free_again() {
        let before = processors();
        let last = *before.last().unwrap();
        let inside = on_processor(last, || std::thread::spawn(processors).join().unwrap());
        assert_eq!(inside, [last]);
        assert_eq!(processors(), before);
    }

    #[test]
    fn a_process_stays() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let last = *processors().last().unwrap();
        keep_on_processor(child.id(), last);
        let set = sched_getaffinity(Pid::from_raw(child.id() as i32)).unwrap();
        assert!((0..CpuSet::count()).all(|number| set.is_set(number).unwrap() == (number == last)));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
