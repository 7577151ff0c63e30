//! URLs that stand in a text among other signs: in lists, in Markdown, in HTML, in
//! words.

use super::address::trimmed;

const SCHEMES: [&str; 2] = ["https://", "http://"];

/// Several URLs with nothing but white space, commas and the like between them;
/// `None` if the text is not that. A URL may hold a comma: only one in front of
/// the next URL, or behind the last, ends it.
pub(super) fn listed(text: &str) -> Option<Vec<&str>> {
    let between = |c: char| c.is_whitespace() || matches!(c, ',' | ';' | '|');
    let text = trimmed(text);
    if !SCHEMES.iter().any(|scheme| text.starts_with(scheme)) {
        return None;
    }
    let mut starts: Vec<usize> =
        SCHEMES.iter().flat_map(|scheme| text.match_indices(scheme)).map(|(at, _)| at).collect();
    starts.sort_unstable();
    starts.retain(|&at| at == 0 || text[..at].ends_with(between));
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    let urls: Vec<&str> =
        starts.iter().zip(ends).map(|(&start, end)| text[start..end].trim_end_matches(between)).collect();
    let is_list = urls.len() > 1 && !urls.iter().any(|url| url.contains(char::is_whitespace));
    let is_one = urls.len() == 1 && urls[0].len() < text.len();
    (is_list || is_one).then_some(urls)
}

/// The files that a text shows: Markdown's `![…](URL)`, and the sources of HTML's
/// pictures and players. Each is passed over once, and not many are looked for.
pub(super) fn shown(text: &str) -> Vec<&str> {
    const MOST: usize = 4096;
    let (mut shown, mut at) = (Vec::new(), 0);
    for _ in 0..MOST {
        let Some(next) = text[at..].find(['!', '<']) else { break };
        let start = at + next;
        at = start + 1;
        let Some((url, close)) = opened(&text[start..]).map(|(len, close)| (start + len, close)) else { continue };
        let Some(len) = text[url..].find(close) else { break };
        shown.push(&text[url..url + len]);
        at = url + len;
    }
    shown
}

/// Where the URL begins of what is shown here, and which signs end it.
fn opened(text: &str) -> Option<(usize, &'static [char])> {
    const TAGS: [&str; 4] = ["<video", "<audio", "<source", "<img"];
    /// How far a URL may be from where it is opened.
    const NEAR: usize = 2048;
    let near = &text[..text.floor_char_boundary(NEAR)];
    let behind = |at: usize| near.len() - near[at..].trim_start().len();
    if near.starts_with("![") {
        let url = behind(near.find("](")? + 2);
        return Some((url + usize::from(near[url..].starts_with('<')), &[')', '>', ' ', '\n', '"']));
    }
    if !TAGS.iter().any(|tag| near.get(..tag.len()).is_some_and(|start| start.eq_ignore_ascii_case(tag))) {
        return None;
    }
    let tag = &near[..near.find('>').unwrap_or(near.len())];
    let at = tag.match_indices("src").map(|(at, _)| at + 3).find(|&at| tag[at..].trim_start().starts_with('='))?;
    let url = behind(behind(at) + 1);
    match near[url..].chars().next()? {
        '"' => Some((url + 1, &['"'])),
        '\'' => Some((url + 1, &['\''])),
        _ => Some((url, &[' ', '>', '\n', '\t'])),
    }
}

/// The URLs that a text speaks of, without the signs that end a sentence.
pub(super) fn mentioned(text: &str) -> Vec<&str> {
    let is_edge = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>' | '`' | '|' | '{' | '}');
    let mut found = Vec::new();
    for word in text.split(is_edge) {
        let start = SCHEMES.iter().filter_map(|scheme| word.find(scheme)).min();
        let url = start.map(|start| word[start..].trim_end_matches(['.', ',', ';', ':', '!', '?', ')', ']', '*']));
        found.extend(url);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d11_signs_between_urls_are_no_part_of_them() {
        let (one, two) = ("https://h/1.mp4?a=1,2", "http://h/2.mp4");
        for between in [" ", ", ", "; ", ",", ";", "\n", " | ", ",\n"] {
            assert_eq!(listed(&format!("{one}{between}{two}")), Some(vec![one, two]), "{between:?}");
        }
        assert_eq!(listed(&format!("{one},")), Some(vec![one]));
        assert_eq!(listed(&format!(" {one}; {two}; ")), Some(vec![one, two]));
        for other in [one, "https://h/a b.mp4", "see https://h/1.mp4, https://h/2.mp4", "", "https://h/p?u=https://x/a"]
        {
            assert_eq!(listed(other), None, "{other}");
        }
    }

    #[test]
    fn d10_what_a_text_shows_or_speaks_of_is_found() {
        let text = r#"Done! ![a cat](https://h/1.png) <video controls src="https://h/2.mp4"></video>
            ![](<https://h/3 x.png>) <IMG alt='x' src = 'https://h/4.png'/> <a href="https://h/5">x</a> !"#;
        assert_eq!(shown(text), ["https://h/1.png", "https://h/2.mp4", "https://h/3", "https://h/4.png"]);
        assert_eq!(shown("![ ![](a <video <img src 1 < 2 é"), ["a"]);
        assert_eq!(mentioned("at (https://h/a.mp4), or <http://h/b.mp4>. x"), ["https://h/a.mp4", "http://h/b.mp4"]);
    }
}
