//! Standard output and standard error, with the command's name as the user calls it.

use std::ffi::OsStr;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::LazyLock;

/// The command's name in all texts.
const NAME: &str = "kubectl acr";

/// The name by which this process was called, where it is another one: krew installs the plugin as `kubectl aliyun-acr`.
static CALLED: LazyLock<Option<String>> =
    LazyLock::new(|| called_as(&std::env::args_os().next()?).filter(|name| name != NAME));

/// Returns the command that kubectl runs this file for: `kubectl-aliyun_acr` is `kubectl aliyun-acr`; `None` for a name
/// that is not a plugin's.
fn called_as(program: &OsStr) -> Option<String> {
    let file = Path::new(program).file_stem()?.to_str()?;
    let words = file.strip_prefix("kubectl-").filter(|words| !words.is_empty())?;
    Some(format!("kubectl {}", words.replace('-', " ").replace('_', "-")))
}

/// Writes a line to standard error.
pub fn say(line: fmt::Arguments<'_>) {
    // A reader that has gone is not an error of its own.
    let _ = writeln!(stderr().lock(), "{line}");
}

/// Standard output or standard error.
pub struct Output<T>(T);

/// Returns standard output.
pub fn stdout() -> Output<io::Stdout> {
    Output(io::stdout())
}

/// Returns standard error.
pub fn stderr() -> Output<io::Stderr> {
    Output(io::stderr())
}

impl<T: IsTerminal> Output<T> {
    /// Returns whether it is a terminal.
    pub fn is_terminal(&self) -> bool {
        self.0.is_terminal()
    }
}

impl Output<io::Stdout> {
    /// Returns a writer. No other thread writes meanwhile.
    pub fn lock(&self) -> Renamed<io::StdoutLock<'static>> {
        Renamed::new(self.0.lock(), CALLED.as_deref())
    }
}

impl Output<io::Stderr> {
    /// Returns a writer. No other thread writes meanwhile.
    pub fn lock(&self) -> Renamed<io::StderrLock<'static>> {
        Renamed::new(self.0.lock(), CALLED.as_deref())
    }
}

/// A writer that puts another name in place of the command's, line by line.
pub struct Renamed<W: Write> {
    to: W,
    called: Option<&'static str>,
    line: Vec<u8>,
}

impl<W: Write> Renamed<W> {
    fn new(to: W, called: Option<&'static str>) -> Self {
        Self { to, called, line: Vec::new() }
    }

    fn write_line(&mut self) -> io::Result<()> {
        let line = std::mem::take(&mut self.line);
        match (self.called, std::str::from_utf8(&line)) {
            (Some(called), Ok(text)) => self.to.write_all(text.replace(NAME, called).as_bytes()),
            _ => self.to.write_all(&line),
        }
    }
}

impl<W: Write> Write for Renamed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.called.is_none() {
            return self.to.write(bytes);
        }
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(line);
            if line.ends_with(b"\n") {
                self.write_line()?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.write_line()?;
        self.to.flush()
    }
}

impl<W: Write> Drop for Renamed<W> {
    fn drop(&mut self) {
        let _ = self.write_line();
    }
}

#[cfg(test)]
mod tests {
    use super::{Renamed, called_as};
    use std::io::Write;

    #[test]
    fn the_command_is_called_by_its_file() {
        for (file, name) in [
            ("/usr/local/bin/kubectl-acr", Some("kubectl acr")),
            ("kubectl-aliyun_acr", Some("kubectl aliyun-acr")),
            ("kubectl-aliyun-acr", Some("kubectl aliyun acr")),
            ("kubectl-acr.exe", Some("kubectl acr")),
            ("acr", None),
            ("kubectl-", None),
            ("", None),
        ] {
            assert_eq!(called_as(file.as_ref()).as_deref(), name, "{file}");
        }
    }

    #[test]
    fn the_name_is_replaced_also_where_it_comes_in_parts() {
        let mut written = Vec::new();
        let mut out = Renamed::new(&mut written, Some("kubectl aliyun-acr"));
        out.write_all(b"run kubectl ").unwrap();
        out.write_all(b"acr check\n\xff kubectl acr\nkubectl acr").unwrap();
        drop(out);
        assert_eq!(written, b"run kubectl aliyun-acr check\n\xff kubectl acr\nkubectl aliyun-acr");
    }
}
