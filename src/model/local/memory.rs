//! How large a context fits into memory.

/// Tokens of one conversation, where nobody said how many and the model has as many.
pub(super) const CONTEXT_DEFAULT: u32 = 8_192;
/// A context is not halved further, so that a conversation with tools has room.
pub(super) const CONTEXT_MIN: u32 = 2_048;
/// Memory for earlier conversations, in MiB; at most a quarter of what is free.
const CACHE_RAM_DEFAULT: u64 = 512;
/// The smallest context that is worth naming to somebody whose memory is too small.
const CONTEXT_WORTH: u32 = 512;
const MIB: u64 = 1 << 20;

/// What is wanted of a model.
pub(super) struct Wanted<'a> {
    /// What sentences call it.
    pub file: &'a str,
    /// Tokens of one conversation, if somebody said so.
    pub context: Option<u32>,
    /// Tokens that it was made for; 0: unknown.
    pub trained: u32,
    /// The memory that it takes with a context of so many tokens and a cache of so many bytes.
    pub needs: &'a dyn Fn(u32, u64) -> u64,
    /// Its memory is another one, of which nothing is known.
    pub gpu: bool,
}

/// What fits.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fit {
    /// Tokens of one conversation.
    pub context: u32,
    pub cache_mib: u64,
    /// What is less than it was to be, as a sentence.
    pub note: Option<String>,
}

/// The largest context that fits, by halves; why none does is a sentence.
pub(super) fn fit(wanted: &Wanted, free: u64) -> Result<Fit, String> {
    let file = wanted.file;
    let trained = if wanted.trained == 0 { CONTEXT_DEFAULT } else { wanted.trained };
    let first = wanted.context.unwrap_or(CONTEXT_DEFAULT.min(trained));
    let cache_mib = (free / 4 / MIB).min(CACHE_RAM_DEFAULT);
    let needs = |context: u32| (wanted.needs)(context, cache_mib * MIB);
    let fits = |context: u32| needs(context) <= free;
    if wanted.gpu {
        let note = (!fits(first)).then(|| {
            format!(
                "{file} needs about {} with a context of {first} tokens, and {} are free beside the GPU's",
                gb(needs(first)),
                gb(free)
            )
        });
        return Ok(Fit { context: first, cache_mib, note });
    }
    let halved = std::iter::successors(Some(first), |context| Some(context / 2).filter(|half| *half >= CONTEXT_MIN));
    if let Some(context) = halved.clone().find(|context| fits(*context)) {
        let note = (context < first)
            .then(|| format!("its context is {context} tokens instead of {first}: {} of memory are free", gb(free)));
        return Ok(Fit { context, cache_mib, note });
    }
    let least = halved.last().unwrap_or(first);
    let smaller = std::iter::successors(Some(least / 2), |context| Some(context / 2));
    let smaller = smaller.take_while(|context| *context >= CONTEXT_WORTH).find(|context| fits(*context));
    let instead = smaller.map_or_else(String::new, |context| format!("--gguf-context {context} or "));
    Err(format!(
        "{file} needs about {} with a context of {least} tokens, and {} are free: try {instead}a smaller file",
        gb(needs(least)),
        gb(free)
    ))
}

/// What is said when a context that fits by these numbers does not.
pub(super) fn too_large(wanted: &Wanted, context: u32, free: u64) -> String {
    let needs = (wanted.needs)(context, 0);
    let smaller = if context > CONTEXT_MIN { format!("--gguf-context {} or ", context / 2) } else { String::new() };
    let file = wanted.file;
    format!(
        "{file} needs about {} with a context of {context} tokens, and {} are free: try {smaller}a smaller file",
        gb(needs),
        gb(free)
    )
}

/// Bytes, for people.
pub(super) fn gb(bytes: u64) -> String {
    format!("{:.1} GB", bytes as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GB: u64 = 1_000_000_000;

    /// A file of 1 GB, of which a token takes 100 kB.
    fn needs(context: u32, cache: u64) -> u64 {
        GB + u64::from(context) * 100_000 + cache
    }

    fn of(context: Option<u32>, trained: u32, free: u64) -> Result<Fit, String> {
        fit(&Wanted { file: "m.gguf", context, trained, needs: &needs, gpu: false }, free)
    }

    fn context(context: Option<u32>, trained: u32, free: u64) -> u32 {
        of(context, trained, free).unwrap().context
    }

    #[test]
    fn without_a_word_the_context_is_the_models_own_and_at_most_the_default() {
        assert_eq!(context(None, 0, 99 * GB), CONTEXT_DEFAULT);
        assert_eq!(
            [4_096, CONTEXT_DEFAULT, 131_072].map(|trained| context(None, trained, 99 * GB)),
            [4_096, 8_192, 8_192]
        );
        assert_eq!(context(Some(32_768), 131_072, 99 * GB), 32_768);
        assert_eq!(of(None, 0, 99 * GB).unwrap().note, None);
    }

    #[test]
    fn a_context_is_halved_down_to_context_min_until_it_fits_which_is_said() {
        let cache = |free: u64| (free / 4 / MIB).min(CACHE_RAM_DEFAULT) * MIB;
        // The least memory in which that context fits.
        let least =
            |context: u32| (GB..).step_by(1_000_000).find(|free| needs(context, cache(*free)) <= *free).unwrap();
        let fit = of(None, 0, least(8_192) - 1_000_000).unwrap();
        assert_eq!(fit.context, 4_096);
        assert!(fit.note.unwrap().starts_with("its context is 4096 tokens instead of 8192: 2."));
        assert_eq!(context(None, 0, least(8_192)), 8_192);
        assert_eq!(context(None, 0, least(CONTEXT_MIN)), CONTEXT_MIN);
        let refused = of(None, 0, least(CONTEXT_MIN) - 1_000_000).unwrap_err();
        let said = "m.gguf needs about 1.6 GB with a context of 2048 tokens, and 1.6 GB are free: try --gguf-context 1024 or a smaller file";
        assert_eq!(refused, said);
        assert_eq!(context(Some(1_024), 0, least(1_024)), 1_024, "less than the least is somebody's own wish");
        assert!(of(None, 0, GB).unwrap_err().ends_with("1.0 GB are free: try a smaller file"));
    }

    #[test]
    fn the_cache_is_at_most_a_quarter_of_what_is_free() {
        assert_eq!(of(None, 0, 99 * GB).unwrap().cache_mib, CACHE_RAM_DEFAULT);
        assert_eq!(of(None, 0, 1_600 * MIB).unwrap().cache_mib, 400);
    }

    #[test]
    fn a_gpu_has_memory_of_its_own() {
        let wanted = Wanted { file: "m.gguf", context: None, trained: 0, needs: &needs, gpu: true };
        let tight = fit(&wanted, GB).unwrap();
        assert_eq!(tight.context, CONTEXT_DEFAULT);
        assert!(tight.note.unwrap().ends_with("and 1.0 GB are free beside the GPU's"));
        assert_eq!(fit(&wanted, 99 * GB).unwrap().note, None);
    }
}
