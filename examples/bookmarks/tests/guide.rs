//! The guide `docs/adding-an-app.md` is true: its titled blocks are the files of this folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn the_guide_shows_every_file_as_it_is() {
    let app = Path::new(env!("CARGO_MANIFEST_DIR"));
    let guide = fs::read_to_string(app.join("../../docs/adding-an-app.md")).expect("the guide is there");
    let mut files = BTreeMap::new();
    collect(app, app, &mut files);
    // This file is about the guide; the app does without.
    files.remove(Path::new("tests/guide.rs"));

    let shown = titled_blocks(&guide);
    assert_eq!(shown.keys().collect::<Vec<_>>(), files.keys().collect::<Vec<_>>());
    for (path, text) in &shown {
        assert_eq!(text, &files[path], "{} in the guide and in the folder", path.display());
    }
}

/// The blocks that begin with ```` ```language title=PATH ````, by their paths.
fn titled_blocks(markdown: &str) -> BTreeMap<PathBuf, String> {
    let mut blocks = BTreeMap::new();
    let mut lines = markdown.lines();
    while let Some(line) = lines.next() {
        let Some((_, path)) = line.strip_prefix("```").and_then(|info| info.split_once(" title=")) else {
            continue;
        };
        let text = lines
            .by_ref()
            .take_while(|line| *line != "```")
            .fold(String::new(), |text, line| text + line + "\n");
        assert!(blocks.insert(path.into(), text).is_none(), "{path} is shown twice");
    }
    blocks
}

fn collect(root: &Path, folder: &Path, files: &mut BTreeMap<PathBuf, String>) {
    for entry in fs::read_dir(folder).expect("the folder can be listed") {
        let path = entry.expect("the folder can be listed").path();
        if path.is_dir() {
            collect(root, &path, files);
        } else {
            let name = path.strip_prefix(root).expect("it is in the folder").to_owned();
            files.insert(name, fs::read_to_string(&path).expect("it is text"));
        }
    }
}
