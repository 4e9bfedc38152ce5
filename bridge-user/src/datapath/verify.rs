//! Having the kernel verify the programs, which is most of a start: as many at once as there are CPUs. The verifier holds no lock for who has
//! CAP_BPF (`bpf_check`).

use std::{
    num::NonZeroUsize,
    sync::{Mutex, PoisonError},
    thread,
};

use aya::{
    Ebpf,
    programs::{Program, ProgramError},
};
use bridge_common::maps::programs;

use super::error::{Error, Result, words};

/// All of them. What takes longest comes first, so that nobody waits for it at the end.
const ORDER: [&str; 9] = [
    programs::PORT,
    programs::WIRE,
    programs::XDP,
    programs::HOST,
    programs::FLOODING,
    programs::SPREADING,
    programs::NEIGHBOURS,
    programs::XMIT,
    programs::PROBE,
];

/// Loads every program, or gives the error of one of those that the kernel refuses.
pub(super) fn all(ebpf: &mut Ebpf) -> Result<()> {
    let known = |name: &str| ORDER.iter().position(|known| *known == name);
    let mut work: Vec<_> =
        ebpf.programs_mut().filter_map(|(name, program)| Some((known(name)?, program))).collect();
    // The last is taken first.
    work.sort_by_key(|(place, _)| std::cmp::Reverse(*place));
    let workers = thread::available_parallelism().map_or(1, NonZeroUsize::get).min(work.len());
    let work = Mutex::new(work);
    let next = || work.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let verify = || {
        while let Some((place, program)) = next() {
            load(program).map_err(|error| (place, error))?;
        }
        Ok(())
    };
    let outcomes: Vec<std::result::Result<(), (usize, ProgramError)>> = thread::scope(|scope| {
        let others: Vec<_> = (1..workers).map(|_| scope.spawn(verify)).collect();
        let own = verify();
        let joined = others.into_iter().map(|other| match other.join() {
            Ok(outcome) => outcome,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        std::iter::once(own).chain(joined).collect()
    });
    let failed = outcomes.into_iter().filter_map(std::result::Result::err).min_by_key(|(place, _)| *place);
    match failed {
        None => Ok(()),
        Some((place, error)) => {
            let program = ORDER.get(place).copied().unwrap_or_default();
            Err(Error::Verify { program, reason: words(&error) })
        }
    }
}

fn load(program: &mut Program) -> std::result::Result<(), ProgramError> {
    match program {
        Program::SchedClassifier(program) => program.load(),
        Program::Xdp(program) => program.load(),
        Program::RawTracePoint(program) => program.load(),
        // Whoever attaches it finds that it is not what it should be.
        _ => Ok(()),
    }
}
