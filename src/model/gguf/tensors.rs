//! The tensors that a header lists: how many weights they hold, and where they end.

use std::{collections::BTreeMap, io::Read};

use super::{bytes::Bytes, fault::Fault};

/// Most tensors. A header with more is refused.
pub(super) const GGUF_TENSORS_MAX: u64 = 65_536;
/// Most dimensions of one, as in ggml.
pub(super) const DIMENSIONS_MAX: u32 = 4;

/// The types of weights: number, name, weights in a block, bytes of a block.
const TYPES: [(u32, &str, u64, u64); 34] = [
    (0, "F32", 1, 4),
    (1, "F16", 1, 2),
    (2, "Q4_0", 32, 18),
    (3, "Q4_1", 32, 20),
    (6, "Q5_0", 32, 22),
    (7, "Q5_1", 32, 24),
    (8, "Q8_0", 32, 34),
    (9, "Q8_1", 32, 40),
    (10, "Q2_K", 256, 84),
    (11, "Q3_K", 256, 110),
    (12, "Q4_K", 256, 144),
    (13, "Q5_K", 256, 176),
    (14, "Q6_K", 256, 210),
    (15, "Q8_K", 256, 292),
    (16, "IQ2_XXS", 256, 66),
    (17, "IQ2_XS", 256, 74),
    (18, "IQ3_XXS", 256, 98),
    (19, "IQ1_S", 256, 50),
    (20, "IQ4_NL", 32, 18),
    (21, "IQ3_S", 256, 110),
    (22, "IQ2_S", 256, 82),
    (23, "IQ4_XS", 256, 136),
    (24, "I8", 1, 1),
    (25, "I16", 1, 2),
    (26, "I32", 1, 4),
    (27, "I64", 1, 8),
    (28, "F64", 1, 8),
    (29, "IQ1_M", 256, 56),
    (30, "BF16", 1, 2),
    (34, "TQ1_0", 256, 54),
    (35, "TQ2_0", 256, 66),
    (39, "MXFP4", 32, 17),
    (40, "NVFP4", 64, 36),
    (41, "Q1_0", 128, 18),
];

/// What the tensors of a file are together.
#[derive(Debug, Default)]
pub(super) struct Tensors {
    /// Weights in all.
    pub parameters: u64,
    /// Where the last one ends, from the beginning of their data.
    pub end: u64,
    /// Bytes by the name of their type.
    by_type: BTreeMap<&'static str, u64>,
}

impl Tensors {
    /// Reads so many.
    pub(super) fn read(bytes: &mut Bytes<impl Read>, count: u64) -> Result<Self, Fault> {
        if count > GGUF_TENSORS_MAX {
            return Err(Fault::Past { what: "tensors", max: GGUF_TENSORS_MAX });
        }
        let mut tensors = Tensors::default();
        (0..count).try_for_each(|_| tensors.take(bytes))?;
        Ok(tensors)
    }

    fn take(&mut self, bytes: &mut Bytes<impl Read>) -> Result<(), Fault> {
        const IMPOSSIBLE: Fault = Fault::Damaged("a tensor has an impossible size");
        bytes.skip_text()?;
        let dimensions = bytes.u32()?;
        if dimensions > DIMENSIONS_MAX {
            return Err(IMPOSSIBLE);
        }
        let mut weights = 1_u64;
        for _ in 0..dimensions {
            weights = weights.checked_mul(bytes.u64()?).ok_or(IMPOSSIBLE)?;
        }
        let (kind, offset) = (bytes.u32()?, bytes.u64()?);
        // Of a type newer than this list it is only known where it begins.
        let known = TYPES.iter().find(|(number, ..)| *number == kind);
        let size = known.map_or(Some(0), |(_, _, block, bytes)| weights.div_ceil(*block).checked_mul(*bytes));
        let size = size.ok_or(IMPOSSIBLE)?;
        let end = offset.checked_add(size).ok_or(IMPOSSIBLE)?;
        self.end = self.end.max(end);
        self.parameters = self.parameters.saturating_add(weights);
        if let Some((_, name, ..)) = known {
            let bytes = self.by_type.entry(name).or_default();
            *bytes = bytes.saturating_add(size);
        }
        Ok(())
    }

    /// The type of most of their bytes.
    pub(super) fn commonest(&self) -> Option<&'static str> {
        self.by_type.iter().max_by_key(|(_, bytes)| **bytes).map(|(name, _)| *name)
    }
}
