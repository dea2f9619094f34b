//! The source map of a scalar: the place of each character of its value in the file.
//!
//! The parser gives the value and the bytes of the whole scalar. The mapper walks both side by side, led by the
//! value: it finds the right places or none.

use std::ops::Range;

use crate::api::legacy::Style;

/// The place of each byte of a value, and the depth of a block's lines.
pub(super) struct SourceMap {
    pub(super) places: Vec<(usize, usize)>,
    pub(super) indent: usize,
}

impl SourceMap {
    /// Maps a value to its bytes. `None`: its places cannot be found.
    pub(super) fn of(text: &str, value: &str, style: Style, whole: &Range<usize>) -> Option<Self> {
        let mapper =
            Mapper { text, at: whole.start, end: whole.end, places: Vec::with_capacity(value.len()) };
        match style {
            Style::Literal | Style::Folded => mapper.block(value, style == Style::Folded),
            Style::Plain | Style::Wrapped => mapper.flow(value, None),
            Style::Quoted | Style::Escaped => {
                let quote = mapper.rest().chars().next();
                mapper.flow(value, quote)
            }
            Style::Block | Style::Flow | Style::Alias | Style::Encoded | Style::Expression => None,
        }
    }
}

struct Mapper<'a> {
    text: &'a str,
    at: usize,
    end: usize,
    places: Vec<(usize, usize)>,
}

impl Mapper<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..self.end).unwrap_or_default()
    }

    /// Returns the length of the line break here, 0 for none.
    fn line_break(&self) -> usize {
        let rest = self.rest();
        if rest.starts_with("\r\n") { 2 } else { usize::from(rest.starts_with(['\n', '\r'])) }
    }

    fn spaces(&self, most: usize) -> usize {
        self.rest().bytes().take(most).take_while(|b| *b == b' ').count()
    }

    /// Maps one character of the value to the next bytes.
    fn take(&mut self, c: char, length: usize) {
        let place = (self.at, self.at + length);
        self.places.extend(std::iter::repeat_n(place, c.len_utf8()));
        self.at += length;
    }

    fn block(mut self, value: &str, folded: bool) -> Option<SourceMap> {
        if value.is_empty() {
            return Some(SourceMap { places: self.places, indent: 0 });
        }
        // Empty lines at the beginning belong to the value; the parser's span begins at the first other line.
        let mut line = self.text.get(..self.at)?.rfind('\n').map_or(0, |at| at + 1);
        let empty = value.bytes().take_while(|b| *b == b'\n').count();
        let mut indent = self.at - line;
        if empty == value.len() {
            indent = self.spaces(usize::MAX);
        } else if self.line_break() == 0 {
            for _ in 0..empty {
                line = self.text.get(..line.checked_sub(1)?)?.rfind('\n').map_or(0, |at| at + 1);
            }
        } else {
            let first = self.rest().split('\n').find(|line| !line.trim().is_empty())?;
            let spaces = first.bytes().take_while(|b| *b == b' ').count();
            let kept = value.trim_start_matches('\n').bytes().take_while(|b| *b == b' ').count();
            indent = spaces.checked_sub(kept)?;
        }
        self.at = line;
        self.at += self.spaces(indent);
        for (i, c) in value.char_indices() {
            if self.line_break() == 0 {
                let here = self.rest().chars().next();
                if here != Some(c) {
                    // The last line of the file may lack its end.
                    return (here.is_none() && c == '\n' && i + 1 == value.len()).then(|| {
                        self.take(c, 0);
                        SourceMap { places: self.places, indent }
                    });
                }
                self.take(c, c.len_utf8());
                continue;
            }
            if folded && i > 0 {
                self.skip_folded_break(&value[i..], indent);
            }
            let length = self.line_break();
            if !(c == '\n' || (folded && c == ' ')) || length == 0 {
                return None;
            }
            self.take(c, length);
            self.at += self.spaces(indent);
        }
        Some(SourceMap { places: self.places, indent })
    }

    /// Skips the one of several breaks between two folded lines that the value does not have.
    fn skip_folded_break(&mut self, value: &str, indent: usize) {
        let wanted = value.bytes().take_while(|b| *b == b'\n').count();
        let start = self.at;
        let mut breaks = 0;
        while self.line_break() > 0 {
            breaks += 1;
            self.at += self.line_break();
            self.at += self.spaces(indent);
        }
        self.at = start;
        if wanted > 0 && breaks == wanted + 1 && value.len() > wanted {
            self.at += self.line_break();
            self.at += self.spaces(indent);
        }
    }

    fn flow(mut self, value: &str, quote: Option<char>) -> Option<SourceMap> {
        if let Some(quote) = quote {
            self.at += usize::from(self.rest().starts_with(quote));
            self.end = self.end.checked_sub(1)?;
        }
        let mut rest = value;
        while let Some(c) = rest.chars().next() {
            if let Some(breaks) = self.fold() {
                let (first, length) = *breaks.first()?;
                if breaks.len() == 1 {
                    rest = rest.strip_prefix(' ')?;
                    self.places.push((first, first + length));
                } else {
                    for (at, length) in breaks.iter().skip(1) {
                        rest = rest.strip_prefix('\n')?;
                        self.places.push((*at, at + length));
                    }
                }
                continue;
            }
            if quote == Some('"') && self.rest().starts_with('\\') {
                match self.escape()? {
                    (None, length) => self.at += length,
                    (Some(decoded), length) => {
                        rest = rest.strip_prefix(decoded)?;
                        self.take(decoded, length);
                    }
                }
                continue;
            }
            let doubled = quote == Some('\'') && self.rest().starts_with("''");
            if !self.rest().starts_with(c) {
                return None;
            }
            self.take(c, if doubled { 2 } else { c.len_utf8() });
            rest = &rest[c.len_utf8()..];
        }
        Some(SourceMap { places: self.places, indent: 0 })
    }

    /// Steps over a fold, if one begins here: spaces, line breaks and the next line's spaces. Returns the breaks.
    fn fold(&mut self) -> Option<Vec<(usize, usize)>> {
        let start = self.at;
        let mut breaks = Vec::new();
        loop {
            self.at += self.rest().bytes().take_while(|b| matches!(b, b' ' | b'\t')).count();
            let length = self.line_break();
            if length == 0 {
                break;
            }
            breaks.push((self.at, length));
            self.at += length;
        }
        if breaks.is_empty() {
            self.at = start;
            return None;
        }
        Some(breaks)
    }

    /// Returns the character of an escape, none for an escaped line break, and the escape's length.
    fn escape(&self) -> Option<(Option<char>, usize)> {
        let rest = self.rest();
        let kind = rest.chars().nth(1)?;
        let hex = |digits: usize| u32::from_str_radix(rest.get(2..2 + digits)?, 16).ok();
        let decoded = match kind {
            '0' => '\0',
            'a' => '\u{7}',
            'b' => '\u{8}',
            't' | '\t' => '\t',
            'n' => '\n',
            'v' => '\u{b}',
            'f' => '\u{c}',
            'r' => '\r',
            'e' => '\u{1b}',
            'N' => '\u{85}',
            '_' => '\u{a0}',
            'L' => '\u{2028}',
            'P' => '\u{2029}',
            'x' => return Some((char::from_u32(hex(2)?), 4)),
            'U' => return Some((char::from_u32(hex(8)?), 10)),
            'u' => {
                let unit = hex(4)?;
                if let Some(c) = char::from_u32(unit) {
                    return Some((Some(c), 6));
                }
                // JSON writes a character beyond the first 65,536 as two halves.
                let low = rest.get(6..12)?.strip_prefix("\\u")?;
                let pair = [u16::try_from(unit).ok()?, u16::from_str_radix(low, 16).ok()?];
                return Some((char::decode_utf16(pair).next()?.ok(), 12));
            }
            '\n' | '\r' => {
                let length = 1 + if rest[1..].starts_with("\r\n") { 2 } else { 1 };
                let spaces = rest[length..].bytes().take_while(|b| matches!(b, b' ' | b'\t')).count();
                return Some((None, length + spaces));
            }
            same @ (' ' | '"' | '/' | '\\') => same,
            _ => return None,
        };
        Some((Some(decoded), 1 + kind.len_utf8()))
    }
}
