//! What the fuzz targets hold the readers to, held to on their seeds.

#[path = "../fuzz/promises.rs"]
mod held;

use crate::acr::root;

/// The seeds of a target. What fuzzing found besides has a hash for its name, and is not kept.
fn seeds(target: &str) -> Vec<String> {
    let folder = root().join("tests/fuzz/corpus").join(target);
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let named = files.filter(|path| path.file_name().unwrap().len() < 40);
    named.map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

#[test]
fn seeds_and_their_beginnings_keep_what_is_promised_of_any_text() {
    for (target, hold) in
        [("convert", held::convert as fn(&str)), ("addon", held::addon), ("lint", held::lint)]
    {
        let seeds = seeds(target);
        assert!(seeds.len() >= 2, "{target}: {}", seeds.len());
        for seed in &seeds {
            hold(seed);
            seed.char_indices().step_by(5).for_each(|(end, _)| hold(&seed[..end]));
        }
    }
}
