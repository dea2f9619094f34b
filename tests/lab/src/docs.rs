//! The documentation as tests read it: its pages, command blocks, headings and links.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// A fenced block of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Path of the page from the root of the repository, such as `docs/install.md`.
    pub page: String,
    /// Text of the nearest heading above it.
    pub heading: String,
    /// Line of the page, from 1.
    pub line: usize,
    /// Language of the block, such as `sh`.
    pub language: String,
    /// The text of the block.
    pub text: String,
}

impl Block {
    /// Returns whether the block holds commands.
    pub fn is_commands(&self) -> bool {
        self.language == "sh"
    }

    /// Returns the commands of the block: lines without comments, continued lines joined.
    pub fn commands(&self) -> Vec<String> {
        let joined = self.text.replace("\\\n", " ");
        joined.lines().map(without_comment).filter(|line| !line.is_empty()).collect()
    }
}

/// A link of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Line of the page, from 1.
    pub line: usize,
    /// Its target as written.
    pub target: String,
}

/// A page, parsed.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Path from the root of the repository.
    pub path: String,
    /// Its text.
    pub text: String,
    /// Texts of its headings, in order.
    pub headings: Vec<String>,
    /// Its fenced blocks.
    pub blocks: Vec<Block>,
    /// Its links and pictures.
    pub links: Vec<Link>,
}

/// Returns the root of the repository.
pub fn root() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    folder.ancestors().nth(2).unwrap_or(folder).to_path_buf()
}

/// Returns every page: the Markdown files of the root and those below `docs/`.
///
/// # Errors
/// A folder or a page that cannot be read.
pub fn pages() -> anyhow::Result<Vec<Page>> {
    let mut found = Vec::new();
    markdown(&root(), Path::new(""), false, &mut found)?;
    markdown(&root(), Path::new("docs"), true, &mut found)?;
    found.sort();
    found.iter().map(|path| page(path)).collect()
}

/// Reads and parses one page.
///
/// # Errors
/// A page that cannot be read.
pub fn page(path: &str) -> anyhow::Result<Page> {
    let text = std::fs::read_to_string(root().join(path)).with_context(|| path.to_owned())?;
    Ok(parse(path, text))
}

/// Returns the commands of all `sh` blocks under a heading, as they are written there.
///
/// A test that calls this with the literal page and heading claims the block: see `tests/docs.rs`.
///
/// # Errors
/// A page that cannot be read, or no block under the heading.
pub fn commands(path: &str, heading: &str) -> anyhow::Result<Vec<String>> {
    let page = page(path)?;
    let blocks = page.blocks.iter().filter(|block| block.is_commands() && block.heading == heading);
    let commands: Vec<String> = blocks.flat_map(Block::commands).collect();
    ensure!(!commands.is_empty(), "{path} has no command block under the heading {heading:?}");
    Ok(commands)
}

/// Returns the first block in a language under a heading.
///
/// # Errors
/// A page that cannot be read, or no such block.
pub fn block(path: &str, heading: &str, language: &str) -> anyhow::Result<String> {
    let blocks = page(path)?.blocks.into_iter();
    let mut fitting = blocks.filter(|block| block.heading == heading && block.language == language);
    let block =
        fitting.next().with_context(|| format!("{path} has no {language} block under {heading:?}"))?;
    Ok(block.text)
}

/// Returns the anchors of a page, in the way of GitHub and mdBook: a repeated one gets a number.
pub fn anchors(page: &Page) -> Vec<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut anchors = Vec::new();
    for heading in &page.headings {
        let anchor = anchor(heading);
        let count = seen.entry(anchor.clone()).or_default();
        anchors.push(if *count == 0 { anchor } else { format!("{anchor}-{count}") });
        *count += 1;
    }
    anchors
}

fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter_map(|sign| match sign {
        '-' | '_' => Some(sign),
        sign if sign.is_whitespace() => Some('-'),
        sign if sign.is_alphanumeric() => Some(sign),
        _ => None,
    });
    kept.flat_map(char::to_lowercase).collect()
}

fn without_comment(line: &str) -> String {
    let line = line.trim();
    let end = line.match_indices('#').find(|(at, _)| {
        line.get(..*at).is_some_and(|before| before.is_empty() || before.ends_with(char::is_whitespace))
    });
    line.get(..end.map_or(line.len(), |(at, _)| at)).unwrap_or(line).trim().to_owned()
}

fn markdown(root: &Path, folder: &Path, deep: bool, found: &mut Vec<String>) -> anyhow::Result<()> {
    let full = root.join(folder);
    for entry in std::fs::read_dir(&full).with_context(|| full.display().to_string())? {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            if deep {
                markdown(root, &path, true, found)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path.display().to_string());
        }
    }
    Ok(())
}

fn parse(path: &str, text: String) -> Page {
    let mut page = Page { path: path.to_owned(), ..Page::default() };
    let line = |at: usize| text.get(..at).map_or(1, |before| before.matches('\n').count() + 1);
    let (mut heading, mut block): (Option<String>, Option<Block>) = (None, None);
    for (event, range) in Parser::new_ext(&text, Options::ENABLE_TABLES).into_offset_iter() {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::End(TagEnd::Heading(_)) => page.headings.extend(heading.take()),
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(language))) => {
                block = Some(Block {
                    page: page.path.clone(),
                    heading: page.headings.last().cloned().unwrap_or_default(),
                    line: line(range.start),
                    language: language.to_string(),
                    text: String::new(),
                });
            }
            Event::End(TagEnd::CodeBlock) => page.blocks.extend(block.take()),
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                page.links.push(Link { line: line(range.start), target: dest_url.to_string() });
            }
            Event::Text(part) | Event::Code(part) => {
                if let Some(block) = &mut block {
                    block.text.push_str(&part);
                } else if let Some(heading) = &mut heading {
                    heading.push_str(&part);
                }
            }
            _ => {}
        }
    }
    page.text = text;
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# A `title`: [b](c.md)\n\ntext [x](y.md#z)\n\n## Two words\n\n- item\n\n  ```sh\n  # why\n  a --b   # comment\n  \
                        kubectl x#y \\\n    z\n  ```\n\n```console\n$ no\n```\n\n## Two words\n";

    #[test]
    fn a_page_is_read_by_headings_blocks_and_links() {
        let page = parse("docs/a.md", PAGE.to_owned());
        assert_eq!(page.headings, ["A title: b", "Two words", "Two words"]);
        assert_eq!(anchors(&page), ["a-title-b", "two-words", "two-words-1"]);
        assert_eq!(
            page.links.iter().map(|link| link.target.as_str()).collect::<Vec<_>>(),
            ["c.md", "y.md#z"]
        );
        assert_eq!(
            page.blocks.iter().map(|block| block.language.as_str()).collect::<Vec<_>>(),
            ["sh", "console"]
        );
        assert_eq!((page.blocks[0].heading.as_str(), page.blocks[0].line), ("Two words", 9));
        assert_eq!(page.blocks[0].commands(), ["a --b", "kubectl x#y    z"]);
    }
}
