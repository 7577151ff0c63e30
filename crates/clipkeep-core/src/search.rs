//! The words of a prompt, by which its clips are found. Both databases index
//! what stands here and nothing else, so both find the same.

use std::{collections::BTreeSet, fmt, str::FromStr};

use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};
use unicode_normalization::UnicodeNormalization;

/// Longer words are cut, in prompts and in what is looked for alike.
const LONGEST: usize = 64;
/// More different words of a prompt are not looked at.
const MOST: usize = 2000;
/// A search asks for no more words.
const MOST_SOUGHT: usize = 32;

/// Words that must all occur in a prompt, in any order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words(BTreeSet<String>);

/// Why words cannot be looked for. The text is fit for a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WordsError {
    /// Nothing but punctuation.
    #[error("must hold a letter or a digit")]
    None,
    /// More than anybody means.
    #[error("must be at most {MOST_SOUGHT} words")]
    Many,
}

impl Words {
    /// Whether all of them occur in `prompt`.
    pub fn occur_in(&self, prompt: &str) -> bool {
        let prompt = of_prompt(prompt);
        self.0.iter().all(|word| prompt.contains(word))
    }

    /// The words, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl FromStr for Words {
    type Err = WordsError;

    fn from_str(text: &str) -> Result<Self, WordsError> {
        let words = of_prompt(text);
        match words.len() {
            0 => Err(WordsError::None),
            1..=MOST_SOUGHT => Ok(Self(words)),
            _ => Err(WordsError::Many),
        }
    }
}

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.iter().collect::<Vec<_>>().join(" "))
    }
}

/// The different words of a prompt: runs of letters and digits (Unicode),
/// lower-cased, after NFKC. Scripts that write without spaces count each sign
/// as a word. No stemming, no stop words.
pub fn of_prompt(prompt: &str) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    let mut word = String::new();
    let mut end = |word: &mut String| {
        if !word.is_empty() && words.len() < MOST {
            words.insert(std::mem::take(word));
        }
        word.clear();
    };
    for letter in prompt.nfkc().flat_map(char::to_lowercase) {
        if is_sign(letter) {
            end(&mut word);
            word.push(letter);
            end(&mut word);
        } else if letter.is_alphanumeric() || is_mark(letter) && !word.is_empty() {
            if word.len() + letter.len_utf8() <= LONGEST {
                word.push(letter);
            }
        } else {
            end(&mut word);
        }
    }
    end(&mut word);
    words
}

/// Han, Hiragana and Katakana.
fn is_sign(letter: char) -> bool {
    matches!(letter, '\u{3041}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}'
        | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
        && letter.is_alphanumeric()
}

/// Combining marks, which belong to the letter before them.
fn is_mark(letter: char) -> bool {
    unicode_normalization::char::is_combining_mark(letter)
}

/// What stands among a clip's words for its tenant: no word holds `_`.
pub fn of_tenant(tenant: &str) -> String {
    format!("_t{}", short(tenant))
}

/// What stands among a clip's words for its model.
pub fn of_model(model: &str) -> String {
    format!("_m{}", short(model))
}

fn short(name: &str) -> String {
    HEXLOWER.encode(&digest(&SHA256, name.as_bytes()).as_ref()[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        of_prompt(text).into_iter().collect()
    }

    #[test]
    fn words_are_runs_of_letters_and_digits_in_lower_case() {
        assert_eq!(words("A red-FOX, 4K!  fox's\tden"), ["4k", "a", "den", "fox", "red", "s"]);
        assert_eq!(words("ÉTÉ e\u{301}te\u{301} Straße ﬁn ＡＢ"), ["ab", "fin", "straße", "été"]);
        assert_eq!(words("_x__y \"quoted\" a*"), ["a", "quoted", "x", "y"]);
        assert!(words(" … !?_ \u{301}").is_empty());
    }

    #[test]
    fn scripts_without_spaces_are_found_sign_by_sign() {
        assert_eq!(words("赤い狐 fox"), ["fox", "い", "狐", "赤"]);
        assert!("狐".parse::<Words>().unwrap().occur_in("走る赤い狐"));
    }

    #[test]
    fn what_is_too_long_is_cut_alike_on_both_sides() {
        let long = "x".repeat(500);
        assert!(long.parse::<Words>().unwrap().occur_in(&long));
        assert_eq!(words(&long)[0].len(), LONGEST);
        let many: String = (0..5000).map(|n| format!("w{n} ")).collect();
        assert_eq!(words(&many).len(), MOST);
    }

    #[test]
    fn all_words_must_occur() {
        let both: Words = "Fox RED".parse().unwrap();
        assert!(both.occur_in("the red, red fox") && !both.occur_in("the red foxes"));
        assert_eq!(both.to_string(), "fox red");
        assert_eq!("?!".parse::<Words>(), Err(WordsError::None));
        let many: String = (0..33).map(|n| format!("w{n} ")).collect();
        assert_eq!(many.parse::<Words>(), Err(WordsError::Many));
    }

    #[test]
    fn names_cannot_be_mistaken_for_words() {
        assert!(words(&of_tenant("acme")).iter().all(|word| !word.contains('_')));
        assert_ne!(of_tenant("a"), of_model("a"));
    }
}
