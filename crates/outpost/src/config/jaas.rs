//! The syntax of a JAAS file: text to sections, modules and options, each with the line where it stands.
//!
//! Knows no module and no option. Read as Java's `ConfigFile` reads it: `//`, `/* */` and a lone `/` open a comment;
//! a value that is more than a plain word stands in double quotes. Two differences: a quote must be closed on its
//! line, where Java closes it silently; and `${property}` is complained of, for there are no such properties here.

use std::iter::Peekable;
use std::str::Chars;

/// What one program logs in with: `Name { … };`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Section {
    /// Line on which it begins, counted from 1.
    pub(super) line: usize,
    /// Its name.
    pub(super) name: String,
    /// Its modules, in their order.
    pub(super) modules: Vec<Module>,
}

/// One way to log in: `class required option=value …;`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Module {
    /// Line on which it begins, counted from 1.
    pub(super) line: usize,
    /// Name of a Java class.
    pub(super) class: String,
    /// What it is told, in the order of the text. Of two with the same name the later one counts.
    pub(super) options: Vec<ModuleOption>,
}

/// `name=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ModuleOption {
    /// Line on which it begins, counted from 1.
    pub(super) line: usize,
    /// Its name.
    pub(super) name: String,
    /// Its value without quotes; may be a secret.
    pub(super) value: String,
}

/// What breaks the syntax. Never shows a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SyntaxError {
    /// Line on which it was found, counted from 1.
    pub(super) line: usize,
    /// What is wrong, and what to do.
    pub(super) text: String,
}

/// Every section of `text`, and what is wrong with the others.
pub(super) fn parse(text: &str) -> (Vec<Section>, Vec<SyntaxError>) {
    let mut parser = Parser::new(text);
    let (mut sections, mut errors) = (Vec::<Section>::new(), Vec::new());
    while parser.next.token != Token::End {
        match parser.section() {
            Ok(section) if sections.iter().any(|other| other.name == section.name) => {
                errors.push(SyntaxError {
                    line: section.line,
                    text: format!(
                        "section {} stands here again; keep one of them",
                        section.name
                    ),
                });
            }
            Ok(section) => sections.push(section),
            Err(error) => {
                errors.push(error);
                parser.skip_section();
            }
        }
    }
    (sections, errors)
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Quoted(String),
    Symbol(char),
    /// A quote that is not closed on its line.
    Open,
    End,
}

struct Placed {
    line: usize,
    token: Token,
}

struct Parser<'t> {
    tokens: Tokens<'t>,
    next: Placed,
}

impl<'t> Parser<'t> {
    fn new(text: &'t str) -> Parser<'t> {
        let mut tokens = Tokens {
            rest: text.chars().peekable(),
            line: 1,
        };
        let next = tokens.take();
        Parser { tokens, next }
    }

    fn advance(&mut self) -> Placed {
        let next = self.tokens.take();
        std::mem::replace(&mut self.next, next)
    }

    fn section(&mut self) -> Result<Section, SyntaxError> {
        let line = self.next.line;
        let name = self.text("the name of a section")?;
        self.symbol('{')?;
        let mut modules = Vec::new();
        while self.next.token != Token::Symbol('}') {
            modules.push(self.module()?);
        }
        self.symbol('}')?;
        self.symbol(';')?;
        Ok(Section {
            line,
            name,
            modules,
        })
    }

    fn module(&mut self) -> Result<Module, SyntaxError> {
        let line = self.next.line;
        let class = self.text("the class of a login module, or }")?;
        let flag = self.text("required, requisite, sufficient or optional")?;
        if !["required", "requisite", "sufficient", "optional"]
            .contains(&flag.to_ascii_lowercase().as_str())
        {
            let text =
                format!("behind {class} must stand required, requisite, sufficient or optional");
            return Err(SyntaxError { line, text });
        }
        let mut options = Vec::new();
        while self.next.token != Token::Symbol(';') {
            options.push(self.option()?);
        }
        self.symbol(';')?;
        Ok(Module {
            line,
            class,
            options,
        })
    }

    fn option(&mut self) -> Result<ModuleOption, SyntaxError> {
        let line = self.next.line;
        let name = self.text("an option, or a semicolon behind the last one")?;
        self.symbol('=')?;
        let value = self.text("the value of an option; put it into double quotes")?;
        match expanded(&value) {
            Some(value) => Ok(ModuleOption { line, name, value }),
            None => {
                let text = format!(
                    "the value of {name} has ${{…}} in it, and there are no Java properties here; write it out"
                );
                Err(SyntaxError { line, text })
            }
        }
    }

    /// A word or a text in quotes.
    fn text(&mut self, expected: &str) -> Result<String, SyntaxError> {
        match &mut self.next.token {
            Token::Word(text) | Token::Quoted(text) => {
                let text = std::mem::take(text);
                self.advance();
                Ok(text)
            }
            _ => Err(self.unexpected(expected)),
        }
    }

    fn symbol(&mut self, symbol: char) -> Result<(), SyntaxError> {
        if self.next.token != Token::Symbol(symbol) {
            return Err(self.unexpected(&symbol.to_string()));
        }
        self.advance();
        Ok(())
    }

    fn unexpected(&self, expected: &str) -> SyntaxError {
        let found = match &self.next.token {
            // It may be part of a secret.
            Token::Word(_) | Token::Quoted(_) => "another word".to_owned(),
            Token::Symbol(symbol) => format!("{symbol}"),
            Token::Open => "a quote that is not closed on its line".to_owned(),
            Token::End => "the end of the file".to_owned(),
        };
        SyntaxError {
            line: self.next.line,
            text: format!("expected {expected}, found {found}"),
        }
    }

    /// Goes on behind the section that is being read.
    fn skip_section(&mut self) {
        loop {
            match self.advance().token {
                Token::End => return,
                Token::Symbol('}') => break,
                _ => {}
            }
        }
        if self.next.token == Token::Symbol(';') {
            self.advance();
        }
    }
}

/// The value with `${/}` written out; `None` if it has another property of Java in it.
fn expanded(value: &str) -> Option<String> {
    let value = value.replace("${/}", "/");
    let begin = value.find("${");
    let is_property = begin.is_some_and(|at| value[at..].contains('}'));
    (!is_property).then_some(value)
}

/// The tokens of Java's `StreamTokenizer`, as `ConfigFile` sets it up.
struct Tokens<'t> {
    rest: Peekable<Chars<'t>>,
    line: usize,
}

impl Tokens<'_> {
    fn take(&mut self) -> Placed {
        self.skip_blanks();
        let line = self.line;
        let token = match self.rest.next() {
            None => Token::End,
            Some('"') => self.quoted(),
            Some(c) if begins_word(c) => {
                let mut word = String::from(c);
                while let Some(c) = self.rest.next_if(|&c| continues_word(c)) {
                    word.push(c);
                }
                Token::Word(word)
            }
            Some(c) => Token::Symbol(c),
        };
        Placed { line, token }
    }

    /// Blanks and comments.
    fn skip_blanks(&mut self) {
        while let Some(&c) = self.rest.peek() {
            match c {
                '/' => self.skip_comment(),
                '\0'..=' ' => {
                    self.rest.next();
                    self.line += usize::from(c == '\n');
                }
                _ => return,
            }
        }
    }

    fn skip_comment(&mut self) {
        self.rest.next();
        if self.rest.next_if_eq(&'*').is_none() {
            while self.rest.next_if(|&c| c != '\n').is_some() {}
            return;
        }
        let mut last = ' ';
        for c in self.rest.by_ref() {
            self.line += usize::from(c == '\n');
            if (last, c) == ('*', '/') {
                return;
            }
            last = c;
        }
    }

    fn quoted(&mut self) -> Token {
        let mut text = String::new();
        loop {
            match self.rest.next_if(|&c| c != '\n' && c != '\r') {
                None => return Token::Open,
                Some('"') => return Token::Quoted(text),
                Some('\\') => match self.escaped() {
                    Some(c) => text.push(c),
                    None => return Token::Open,
                },
                Some(c) => text.push(c),
            }
        }
    }

    fn escaped(&mut self) -> Option<char> {
        let c = self.rest.next_if(|&c| c != '\n' && c != '\r')?;
        Some(match c {
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            '0'..='7' => self.octal(c),
            other => other,
        })
    }

    /// Up to three digits, of which three only below 0400.
    fn octal(&mut self, first: char) -> char {
        let digits_max = if first <= '3' { 3 } else { 2 };
        let mut code = u32::from(first) - u32::from('0');
        for _ in 1..digits_max {
            let Some(digit) = self.rest.next_if(|c| ('0'..='7').contains(c)) else {
                break;
            };
            code = code * 8 + u32::from(digit) - u32::from('0');
        }
        char::from_u32(code).unwrap_or('\0')
    }
}

fn begins_word(c: char) -> bool {
    c.is_ascii_alphabetic() || matches!(c, '_' | '$' | '*') || c >= '\u{a0}'
}

/// Java takes digits, points and hyphens in front for the beginning of a number.
fn continues_word(c: char) -> bool {
    begins_word(c) || c.is_ascii_digit() || matches!(c, '.' | '-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Sections in one line each, then errors.
    fn shown(text: &str) -> String {
        let (sections, errors) = parse(text);
        let mut shown = String::new();
        for section in sections {
            shown += &format!("{}:{}", section.line, section.name);
            for module in section.modules {
                shown += &format!(" {}:{}", module.line, module.class);
                for option in module.options {
                    shown += &format!(" {}:{}={:?}", option.line, option.name, option.value);
                }
            }
            shown += "\n";
        }
        for error in errors {
            shown += &format!("{}: {}\n", error.line, error.text);
        }
        shown
    }

    #[test]
    fn a_file_as_the_guide_of_zookeeper_shows_it_is_read() {
        let text = "/* users\n of ours */\nServer {\n  \
            org.apache.zookeeper.server.auth.DigestLoginModule required\n  \
            user_super=\"adminsecret\" // the boss\n  user_bob=\"bob;secret}\";\n};\n\n\
            QuorumLearner {\n org.apache.zookeeper.server.auth.DigestLoginModule REQUIRED\n \
            username=learner\n password=\"a \\\"b\\\\ \\101\\t\";\n};\n";
        assert_eq!(
            shown(text),
            "3:Server 4:org.apache.zookeeper.server.auth.DigestLoginModule \
             5:user_super=\"adminsecret\" 6:user_bob=\"bob;secret}\"\n\
             9:QuorumLearner 10:org.apache.zookeeper.server.auth.DigestLoginModule \
             11:username=\"learner\" 12:password=\"a \\\"b\\\\ A\\t\"\n"
        );
    }

    #[test]
    fn several_modules_none_at_all_and_comments_everywhere_are_read() {
        for (text, expected) in [
            ("", ""),
            ("// nothing", ""),
            ("/* nothing", ""),
            ("/ nothing", ""),
            ("A{};", "1:A\n"),
            (
                "A{a.B optional;c.D/**/sufficient x=\"\";};\r\nB{};",
                "1:A 1:a.B 1:c.D 1:x=\"\"\n2:B\n",
            ),
            (
                "\"A b\"{a.B required x-y=$1 é=\"é\" p=\"a${/}b${c\";};",
                "1:A b 1:a.B 1:x-y=\"$1\" 1:é=\"é\" 1:p=\"a/b${c\"\n",
            ),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn mistakes_are_named_by_line_and_spoil_no_other_section() {
        for (text, complaint) in [
            ("A", "1: expected {, found the end of the file"),
            (
                "A {\n\n",
                "3: expected the class of a login module, or }, found the end",
            ),
            (
                "A { a.B required x=y }",
                "1: expected an option, or a semicolon behind the last one, found }",
            ),
            (
                "A { a.B required x y; };",
                "1: expected =, found another word",
            ),
            ("A { a.B x=y; };", "1: behind a.B must stand required"),
            (
                "A { a.B required\n x=1234; };",
                "2: expected the value of an option; put it into double quotes, found 1",
            ),
            (
                "A { a.B required x='y'; };",
                "1: expected the value of an option; put it into double quotes, found '",
            ),
            (
                "A { a.B required\nx=\"y\n; };",
                "2: expected the value of an option; put it into double quotes, found a quote",
            ),
            (
                "A { a.B required x=\"${user.home}/y\"; };",
                "1: the value of x has ${…} in it",
            ),
            ("A { a.B required }", "1: expected an option"),
            ("A { } B { };", "1: expected ;, found another word"),
            ("A {};\nA {};", "2: section A stands here again"),
        ] {
            let shown = shown(text);
            let found = shown.lines().any(|line| line.starts_with(complaint));
            assert!(found, "{text}\n{shown}");
        }
        assert_eq!(
            shown("A { a.B required x=\"p}w\" y };\nB {};")
                .lines()
                .next(),
            Some("2:B")
        );
    }

    #[test]
    fn no_complaint_shows_a_secret() {
        for text in [
            "A { a.B required password=hunter-two hunter-two; };",
            "A { a.B required password=\"hunter-two\" \"hunter-two\"; };",
            "A { password \"hunter-two\"; };",
            "A { a.B required password=\"${hunter-two}\"; };",
            "A { a.B required password \"hunter-two\"; };",
            "A { a.B required password=\"hunter-two ; };",
        ] {
            let (sections, errors) = parse(text);
            assert_eq!((sections, errors.len()), (vec![], 1), "{text}");
            assert!(!errors[0].text.contains("hunter"), "{}", errors[0].text);
        }
    }

    proptest! {
        #[test]
        fn no_text_brings_the_reader_down(text in "[A-Za-z{}=;\"/*\\\\$ \n0-9]{0,200}|\\PC{0,100}") {
            let (sections, errors) = parse(&text);
            prop_assert!(sections.len() + errors.len() <= text.len());
        }
    }
}
