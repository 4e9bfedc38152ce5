//! What the verifier had to do with the programs, and what they take of its stack: for the lab, which bounds both.

use aya_obj::{Object, generated::bpf_insn};

use super::{
    Programs,
    error::{Error, Result, words},
    programs::OBJECT,
};

/// One program.
#[derive(Clone, Debug)]
pub struct Verified {
    /// Its name.
    pub name: String,
    /// Instructions that the verifier walked, its functions included; `None` where the kernel (before 5.16) does not say.
    pub instructions: Option<u32>,
}

/// One function of the programs, themselves included.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Its name.
    pub name: String,
    /// Bytes of stack, of the 512 that a chain of calls has together.
    pub stack: u32,
}

impl Programs {
    /// What the verifier walked of each program.
    pub fn verified(&self) -> Result<Vec<Verified>> {
        let mut all = Vec::new();
        for (name, program) in self.ebpf.programs() {
            let info = program.info().map_err(|error| Error::Object { reason: words(&error) })?;
            all.push(Verified { name: name.into(), instructions: info.verified_instruction_count() });
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }
}

/// The stack of each function, largest first.
pub fn frames() -> Result<Vec<Frame>> {
    let object = Object::parse(OBJECT).map_err(|error| Error::Object { reason: words(&error) })?;
    let mut all: Vec<_> = object
        .functions
        .values()
        .map(|function| Frame { name: function.name.clone(), stack: depth(&function.instructions) })
        .collect();
    all.sort_by_key(|frame| std::cmp::Reverse(frame.stack));
    Ok(all)
}

/// How far below the frame pointer it reaches: by an access, or by an address that it takes.
fn depth(instructions: &[bpf_insn]) -> u32 {
    const FRAME_POINTER: u8 = 10;
    /// `BPF_ALU64 | BPF_MOV | BPF_X` and `BPF_ALU64 | BPF_ADD | BPF_K`.
    const MOVE: u8 = 0xbf;
    const ADD: u8 = 0x07;
    let (mut lowest, mut copies) = (0, [false; 16]);
    for insn in instructions {
        let (to, from) = (insn.dst_reg(), insn.src_reg());
        let offset = match insn.code & 0x07 {
            // BPF_LDX goes by the source, BPF_ST and BPF_STX by the destination.
            1 if from == FRAME_POINTER => i32::from(insn.off),
            2 | 3 if to == FRAME_POINTER => i32::from(insn.off),
            _ if insn.code == ADD && copies[usize::from(to)] => insn.imm,
            _ => 0,
        };
        copies[usize::from(to)] = insn.code == MOVE && from == FRAME_POINTER;
        lowest = lowest.min(offset);
    }
    lowest.unsigned_abs()
}
