//! Characters that are in a text by accident: those that do not show, and those that look like another one.

use std::ops::Range;

use super::code::Code;
use super::content::Content;
use super::patch::Edit;
use crate::api::legacy::data_key;

/// The most edits for the signs of one text. What is beyond is only described.
const MAX_EDITS: usize = 1_024;

/// The way a character is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// A space of another kind.
    Space,
    /// A character without width, or one that only controls the display.
    Invisible,
    /// A line break of another kind.
    Break,
    /// A hyphen or a dash of another kind.
    Dash,
    /// The full-width form of an ASCII character.
    Wide,
}

/// Returns the class of a character that is replaced or removed.
fn class(c: char) -> Option<Class> {
    Some(match c {
        '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => {
            Class::Space
        }
        '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => Class::Break,
        '\t' | '\n' | '\r' => return None,
        '\u{ad}'
        | '\u{34f}'
        | '\u{61c}'
        | '\u{115f}'
        | '\u{1160}'
        | '\u{17b4}'
        | '\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e01ef}' => Class::Invisible,
        c if c.is_control() => Class::Invisible,
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}' => Class::Dash,
        '\u{ff0e}'
        | '\u{ff0f}'
        | '\u{ff3f}'
        | '\u{3002}'
        | '\u{ff10}'..='\u{ff19}'
        | '\u{ff21}'..='\u{ff3a}'
        | '\u{ff41}'..='\u{ff5a}' => Class::Wide,
        _ => return None,
    })
}

/// Returns the name of a character that is not the plain one that it looks like, or that does not show.
fn name(c: char) -> &'static str {
    match c {
        '\0' => "null character",
        '\u{8}' => "backspace",
        '\u{b}' => "line tabulation",
        '\u{c}' => "form feed",
        '\u{1b}' => "escape character",
        '\u{7f}' => "delete character",
        '\u{85}' => "next line character",
        '\u{a0}' => "no-break space",
        '\u{ad}' => "soft hyphen",
        '\u{34f}' => "combining grapheme joiner",
        '\u{61c}' => "Arabic letter mark",
        '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' => "Hangul filler",
        '\u{1680}' => "Ogham space mark",
        '\u{180e}' => "Mongolian vowel separator",
        '\u{2000}' => "en quad",
        '\u{2001}' => "em quad",
        '\u{2002}' => "en space",
        '\u{2003}' => "em space",
        '\u{2004}' => "three-per-em space",
        '\u{2005}' => "four-per-em space",
        '\u{2006}' => "six-per-em space",
        '\u{2007}' => "figure space",
        '\u{2008}' => "punctuation space",
        '\u{2009}' => "thin space",
        '\u{200a}' => "hair space",
        '\u{200b}' => "zero-width space",
        '\u{200c}' => "zero-width non-joiner",
        '\u{200d}' => "zero-width joiner",
        '\u{200e}' => "left-to-right mark",
        '\u{200f}' => "right-to-left mark",
        '\u{2010}' => "hyphen",
        '\u{2011}' => "non-breaking hyphen",
        '\u{2012}' => "figure dash",
        '\u{2013}' => "en dash",
        '\u{2014}' => "em dash",
        '\u{2015}' => "horizontal bar",
        '\u{2018}' => "left single quotation mark",
        '\u{2019}' => "right single quotation mark",
        '\u{201c}' => "left double quotation mark",
        '\u{201d}' => "right double quotation mark",
        '\u{2028}' => "line separator",
        '\u{2029}' => "paragraph separator",
        '\u{202a}' => "left-to-right embedding",
        '\u{202b}' => "right-to-left embedding",
        '\u{202c}' => "pop directional formatting",
        '\u{202d}' => "left-to-right override",
        '\u{202e}' => "right-to-left override",
        '\u{202f}' => "narrow no-break space",
        '\u{205f}' => "medium mathematical space",
        '\u{2060}' => "word joiner",
        '\u{2061}' => "function application",
        '\u{2062}' => "invisible times",
        '\u{2063}' => "invisible separator",
        '\u{2064}' => "invisible plus",
        '\u{2066}' => "left-to-right isolate",
        '\u{2067}' => "right-to-left isolate",
        '\u{2068}' => "first strong isolate",
        '\u{2069}' => "pop directional isolate",
        '\u{2212}' => "minus sign",
        '\u{3000}' => "ideographic space",
        '\u{3001}' => "ideographic comma",
        '\u{3002}' => "ideographic full stop",
        '\u{300c}' => "left corner bracket",
        '\u{300d}' => "right corner bracket",
        '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}' => "variation selector",
        '\u{fe58}' => "small em dash",
        '\u{fe63}' => "small hyphen-minus",
        '\u{feff}' => "byte order mark",
        '\u{ff02}' => "full-width quotation mark",
        '\u{ff07}' => "full-width apostrophe",
        '\u{ff0c}' => "full-width comma",
        '\u{ff0d}' => "full-width hyphen-minus",
        '\u{ff0e}' => "full-width full stop",
        '\u{ff0f}' => "full-width slash",
        '\u{ff1a}' => "full-width colon",
        '\u{ff0a}' => "full-width asterisk",
        '\u{ff3f}' => "full-width low line",
        '\u{ff5c}' => "full-width vertical line",
        '\u{ff10}'..='\u{ff19}' => "full-width digit",
        '\u{ff21}'..='\u{ff3a}' | '\u{ff41}'..='\u{ff5a}' => "full-width letter",
        '\u{e0000}'..='\u{e007f}' => "tag character",
        c if c.is_control() => "control character",
        _ => "invisible character",
    }
}

/// Returns a character's name with its article and its number.
fn named(c: char) -> String {
    let name = name(c);
    let article = if name.starts_with(['a', 'e', 'i', 'o', 'u', 'A', 'O']) { "an" } else { "a" };
    format!("{article} {name} (U+{:04X})", u32::from(c))
}

/// Returns a part of a sentence with the names of the signs of a text that look like plain ones, or nothing.
pub(super) fn since(text: &str) -> String {
    lookalikes(text).map(|named| format!(", since it has {named}")).unwrap_or_default()
}

/// Returns the names of the signs that look like plain ones: quotes, commas, colons and the like. `None`: the text
/// has none of them.
pub(super) fn lookalikes(text: &str) -> Option<String> {
    let mut found: Vec<char> = Vec::new();
    for c in text.chars().filter(|c| is_lookalike(*c)) {
        if !found.contains(&c) && found.len() < 3 {
            found.push(c);
        }
    }
    let names: Vec<String> = found.into_iter().map(named).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

fn is_lookalike(c: char) -> bool {
    matches!(
        c,
        '\u{2018}'
            | '\u{2019}'
            | '\u{201c}'
            | '\u{201d}'
            | '\u{3001}'
            | '\u{300c}'
            | '\u{300d}'
            | '\u{ff02}'
            | '\u{ff07}'
            | '\u{ff0a}'
            | '\u{ff0c}'
            | '\u{ff1a}'
            | '\u{ff5c}'
    ) || matches!(class(c), Some(Class::Space | Class::Invisible | Class::Dash | Class::Wide))
}

/// The text that the signs are in, as far as their meaning depends on it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signs {
    /// YAML, in which a separator of lines is a line break.
    Yaml,
    /// A list of names, or another text of one line.
    Line,
    /// A text for people, in which only what does not show is reported.
    Prose,
    /// A manifest, whose values are read again by themselves: what does not show, and the keys of `data`.
    Manifest,
}

/// The signs of one kind in one line.
pub(crate) struct FoundSign {
    pub(crate) code: Code,
    /// The first of them.
    pub(crate) span: Range<usize>,
    pub(crate) message: String,
    /// What to write instead. Empty: there are too many.
    pub(crate) edits: Vec<Edit>,
}

/// The signs of a text, and all changes that replace or remove them.
#[derive(Default)]
pub(crate) struct FoundSigns {
    pub(crate) found: Vec<FoundSign>,
    pub(crate) edits: Vec<Edit>,
    proposed: usize,
}

/// Finds the signs of a text outside its comments. A byte order mark at its beginning is left alone.
pub(crate) fn find(text: &str, signs: Signs) -> FoundSigns {
    let mut all = FoundSigns::default();
    if text.is_ascii() && !text.bytes().any(|byte| byte.is_ascii_control() && !b"\t\n\r".contains(&byte)) {
        return all;
    }
    for line in Content::lines(text) {
        all.line(text, &line, signs);
    }
    all
}

impl FoundSigns {
    fn line(&mut self, text: &str, line: &Content, signs: Signs) {
        let content = &text[line.start..line.content_end];
        let mut kinds: Vec<(char, Range<usize>, Vec<Edit>)> = Vec::new();
        let mut run: Option<(char, Range<usize>, String)> = None;
        let mut lead = true;
        let key = if signs == Signs::Manifest { key_end(content) } else { content.len() } + line.start;
        for (at, c) in content.char_indices().map(|(at, c)| (line.start + at, c)) {
            let class = class(c).filter(|class| {
                (at > 0 || c != '\u{feff}')
                    && (signs != Signs::Prose && at < key || !matches!(class, Class::Dash | Class::Wide))
                    && !joins_letters(text, at, c)
                    && (*class != Class::Wide || is_beside_plain(text, at, c))
            });
            lead &= c == ' ' || c == '\t' || matches!(class, Some(Class::Space | Class::Invisible));
            let Some(class) = class else { continue };
            let end = at + c.len_utf8();
            let rest = &text[end..line.content_end];
            let written = match class {
                Class::Space if c == '\u{3000}' && lead => "  ".to_owned(),
                Class::Space => " ".to_owned(),
                Class::Invisible => String::new(),
                Class::Break if matches!(signs, Signs::Yaml | Signs::Manifest) && begins_line(rest) => {
                    "\n".to_owned()
                }
                Class::Break => String::new(),
                Class::Dash => "-".to_owned(),
                Class::Wide => narrow(c).to_string(),
            };
            match &mut run {
                Some((of, span, text)) if *of == c && span.end == at => {
                    span.end = end;
                    text.push_str(&written);
                }
                _ => {
                    run.take().into_iter().for_each(|run| sort_in(&mut kinds, run));
                    run = Some((c, at..end, written));
                }
            }
        }
        run.into_iter().for_each(|run| sort_in(&mut kinds, run));
        for (c, span, mut edits) in kinds {
            self.edits.extend(edits.iter().cloned());
            self.proposed += edits.len();
            if self.proposed > MAX_EDITS {
                edits.clear();
            }
            self.found.push(FoundSign { code: code(c), span, message: message(c), edits });
        }
    }
}

/// Adds a run of one character to its kind.
fn sort_in(kinds: &mut Vec<(char, Range<usize>, Vec<Edit>)>, (c, span, text): (char, Range<usize>, String)) {
    let edit = Edit { span: span.clone(), text };
    match kinds
        .iter_mut()
        .find(|(of, ..)| *of == c || class(*of) == Some(Class::Wide) && class(c) == class(*of))
    {
        Some((.., edits)) => edits.push(edit),
        None => kinds.push((c, span, vec![edit])),
    }
}

/// Returns whether a joiner is between two letters that are not ASCII: some scripts and pictures need it.
fn joins_letters(text: &str, at: usize, c: char) -> bool {
    let foreign = |c: Option<char>| c.is_some_and(|c| !c.is_ascii() && class(c).is_none());
    matches!(c, '\u{200c}' | '\u{200d}' | '\u{fe0e}' | '\u{fe0f}')
        && foreign(text[..at].chars().next_back())
        && (c >= '\u{fe00}' || foreign(text[at + c.len_utf8()..].chars().next()))
}

/// Returns whether a full-width letter or sign is part of a plain word. Chinese text has some of its own.
fn is_beside_plain(text: &str, at: usize, c: char) -> bool {
    let word = |c: Option<char>| {
        c.is_some_and(|c| c.is_ascii_graphic() || class(c) == Some(Class::Wide) && c != '\u{3002}')
    };
    let (before, after) = (text[..at].chars().next_back(), text[at + c.len_utf8()..].chars().next());
    if c == '\u{3002}' { word(before) && word(after) } else { word(before) || word(after) }
}

/// Returns whether a text is what a line of YAML begins with, after its spaces.
fn begins_line(rest: &str) -> bool {
    let body = rest.trim_start_matches([' ', '-']);
    let key = body.split(':').next().filter(|key| key.len() < body.len());
    body.len() < rest.len()
        && key
            .is_some_and(|key| !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'))
}

/// Returns the end of a known key of `data` at the beginning of a line, however its dashes are written.
fn key_end(content: &str) -> usize {
    let Some(colon) = content.find([':', '：']).filter(|colon| *colon < 200) else { return 0 };
    let plain = |c| if class(c) == Some(Class::Dash) { '-' } else { narrow(c) };
    let key: String = content[..colon].chars().map(plain).collect();
    let known = data_key(key.trim_matches([' ', '"', '\'', ','])).is_some();
    if known { colon } else { 0 }
}

/// Returns the ASCII character of a full-width one.
fn narrow(c: char) -> char {
    match u32::from(c) {
        0x3002 => '.',
        wide @ 0xff01..=0xff5e => char::from_u32(wide - 0xfee0).unwrap_or(c),
        _ => c,
    }
}

fn code(c: char) -> Code {
    match class(c) {
        Some(Class::Wide) => Code::FullWidth,
        Some(Class::Dash) if c != '\u{ff0d}' => Code::Lookalike,
        Some(Class::Dash) => Code::FullWidth,
        Some(Class::Space) if c == '\u{3000}' => Code::FullWidth,
        _ => Code::InvisibleCharacter,
    }
}

fn message(c: char) -> String {
    let named = named(c);
    match class(c) {
        Some(Class::Space) => format!("{named} is used as a space: write a plain space"),
        Some(Class::Break) => format!("{named} is in the line: write a plain line break, or delete it"),
        Some(Class::Dash) => format!("{named} is used for the plain sign: write -"),
        Some(Class::Wide) => format!("{named} is used for the plain one: write {}", narrow(c)),
        _ => format!("{named} is in the text and does not show: delete it"),
    }
}
