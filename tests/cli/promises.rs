//! The properties of the fuzz targets, checked on their seed files.

#[path = "../fuzz/promises.rs"]
mod held;

use crate::acr::root;

/// Returns the texts of a folder. Files added by fuzzing are named by a hash, and are not kept.
fn texts(folder: &str) -> Vec<String> {
    let files = std::fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let named = files.filter(|path| path.file_name().unwrap().len() < 40);
    named.map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

#[test]
fn seed_texts_and_their_prefixes_hold_the_properties() {
    for (folder, hold) in [
        ("tests/fuzz/corpus/convert", held::convert as fn(&str)),
        ("tests/fuzz/corpus/addon", held::addon),
        ("tests/fuzz/corpus/addon", held::lint),
        ("tests/fuzz/corpus/review", held::review),
        ("tests/fuzz/corpus/domains", held::domains),
        ("tests/fuzz/corpus/arns", held::arns),
        ("tests/fuzz/corpus/replies", held::replies),
        ("tests/cli/samples", held::lint),
        ("tests/cli/structured", held::lint),
    ] {
        let texts = texts(folder);
        assert!(texts.len() >= 2, "{folder}: {}", texts.len());
        for text in &texts {
            hold(text);
            text.char_indices().step_by(5).for_each(|(end, _)| hold(&text[..end]));
        }
    }
}
