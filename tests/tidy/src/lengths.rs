//! A reader's measure: files, functions and lines.

use crate::{Finding, Source, masking};

const MAX_FILE_LINES: usize = 500;
const MAX_FUNCTION_LINES: usize = 70;
/// "Under 120".
const MAX_LINE_CHARACTERS: usize = 119;
/// How a manifest begins that a program has written; sentences of schemas are on one line there.
const GENERATED: &str = "# Generated from ";

pub(crate) fn files(source: &Source<'_>) -> Vec<Finding> {
    let lines = source.text.lines().count();
    let over = matches!(source.extension(), "rs" | "py" | "go") && lines > MAX_FILE_LINES;
    let what = format!("{lines} lines: a file has at most {MAX_FILE_LINES}; give each subject its own");
    over.then(|| source.finding(lines, what)).into_iter().collect()
}

pub(crate) fn lines(source: &Source<'_>) -> Vec<Finding> {
    let measured = matches!(source.extension(), "rs" | "py" | "go" | "toml" | "yaml" | "sh")
        || source.path == "Makefile"
        || source.path == ".ci/run";
    let generated = source.extension() == "yaml" && source.text.starts_with(GENERATED);
    let over = |line: &&str| measured && !generated && line.chars().count() > MAX_LINE_CHARACTERS;
    let numbered = source.text.lines().enumerate().filter(|(_, line)| over(line));
    let what = |line: &str| format!("{} characters: a line has fewer than 120", line.chars().count());
    numbered.map(|(number, line)| source.finding(number + 1, what(line))).collect()
}

pub(crate) fn functions(source: &Source<'_>) -> Vec<Finding> {
    let functions = match source.extension() {
        "rs" => rust_functions(&masking::rust(source.text)),
        "py" => python_functions(&masking::python(source.text)),
        _ => Vec::new(),
    };
    let what = |lines: usize| format!("a function of {lines} lines: it has at most {MAX_FUNCTION_LINES}");
    functions
        .into_iter()
        .filter(|(_, lines)| *lines > MAX_FUNCTION_LINES)
        .map(|(line, lines)| source.finding(line, what(lines)))
        .collect()
}

/// Line (from 1) and length of each.
fn rust_functions(masked: &str) -> Vec<(usize, usize)> {
    let named = |place: usize| {
        let before = masked[..place].chars().next_back();
        let after = masked[place + 3..].chars().next();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
            && after.is_some_and(|c| c.is_alphabetic() || c == '_')
    };
    let starts = masked.match_indices("fn ").map(|(place, _)| place).filter(|place| named(*place));
    starts
        .map(|start| {
            let end = masking::end_of_item(masked, start);
            (1 + masked[..start].matches('\n').count(), 1 + masked[start..end].matches('\n').count())
        })
        .collect()
}

fn python_functions(masked: &str) -> Vec<(usize, usize)> {
    let lines: Vec<&str> = masked.lines().collect();
    let starts = lines.iter().enumerate().filter(|(_, line)| {
        let line = line.trim_start();
        line.starts_with("def ") || line.starts_with("async def ")
    });
    starts.map(|(start, _)| (start + 1, python_function(&lines[start..]))).collect()
}

/// Up to the last line before one that stands no further in than its own first, brackets aside.
fn python_function(lines: &[&str]) -> usize {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let own = lines.first().map_or(0, |line| indent(line));
    let (mut depth, mut last) = (0_i32, 0);
    for (number, line) in lines.iter().enumerate() {
        let blank = line.trim().is_empty();
        if number > 0 && depth == 0 && !blank && indent(line) <= own {
            break;
        }
        if !blank {
            last = number;
        }
        for character in line.chars() {
            match character {
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' => depth -= 1,
                _ => {}
            }
        }
    }
    last + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn long_files_are_found() {
        assert_eq!(samples::lines(files, "a.py", &"\n".repeat(501)), [501]);
        assert!(samples::lines(files, "a.rs", &"\n".repeat(500)).is_empty());
        assert!(samples::lines(files, "a.md", &"\n".repeat(501)).is_empty());
    }

    #[test]
    fn long_lines_are_found() {
        let text = format!("ok\n{}\n{}\n", "ä".repeat(119), "ä".repeat(120));
        assert_eq!(samples::lines(lines, "a.rs", &text), [3]);
        assert_eq!(samples::lines(lines, "Makefile", &text), [3]);
        assert!(samples::lines(lines, "docs/a.md", &text).is_empty());
        assert_eq!(samples::lines(lines, "a.yaml", &text), [3]);
        assert!(samples::lines(lines, "a.yaml", &format!("# Generated from b\n{text}")).is_empty());
    }

    #[test]
    fn long_functions_are_found() {
        let rust = |body: usize| {
            format!(
                "mod a {{\n    pub fn f<T>(t: [u8; 2])\n    where\n        T: X,\n    {{\n{}    }}\n}}\nfn g();\n",
                "        x; // }\n".repeat(body)
            )
        };
        assert!(samples::lines(functions, "a.rs", &rust(65)).is_empty());
        assert_eq!(samples::lines(functions, "a.rs", &rust(66)), [2]);
        let python = |body: usize| {
            let text = "'''\n    def x\n'''\nclass A:\n  def f(\n    a,\n  ):\n";
            format!("{text}{}\n\n  def g():\n    pass\n", "    x = '''\n'''\n".repeat(body / 2))
        };
        assert!(samples::lines(functions, "a.py", &python(66)).is_empty());
        assert_eq!(samples::lines(functions, "a.py", &python(70)), [5]);
    }
}
