//! "did you mean": the nearest known word by edit distance. Pure text in, text out.

/// Most candidates compared for one suggestion, so that a large file of mistakes stays cheap.
const MAX_CANDIDATES: usize = 2000;
/// Longest word a suggestion is sought for, in characters.
const MAX_WORD_CHARS: usize = 64;

/// The nearest candidate, if it is near enough to be what was meant.
pub(crate) fn nearest<'c>(
    word: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    let word: Vec<char> =
        word.chars().take(MAX_WORD_CHARS + 1).map(|c| c.to_ascii_lowercase()).collect();
    if word.is_empty() || word.len() > MAX_WORD_CHARS {
        return None;
    }
    let limit = (word.len() / 3).clamp(1, 4);
    candidates
        .into_iter()
        .take(MAX_CANDIDATES)
        .filter(|candidate| candidate.len().abs_diff(word.len()) <= limit)
        .map(|candidate| (distance(&word, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The suggestion as a sentence.
pub(crate) fn did_you_mean<'c>(
    word: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<String> {
    nearest(word, candidates).map(|found| format!("did you mean `{found}`?"))
}

/// Optimal string alignment distance: insertions, deletions, replacements and swaps of neighbours.
fn distance(word: &[char], candidate: &str) -> usize {
    let candidate: Vec<char> = candidate.chars().map(|c| c.to_ascii_lowercase()).collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=candidate.len()).collect();
    let mut left_of_word: Option<char> = None;
    for (row, &w) in word.iter().enumerate() {
        let mut current = Vec::with_capacity(candidate.len() + 1);
        let mut left = row + 1;
        current.push(left);
        let mut left_of_candidate: Option<char> = None;
        for (column, &c) in candidate.iter().enumerate() {
            let cell = |line: &[usize], at: usize| line.get(at).copied().unwrap_or(usize::MAX / 2);
            let mut best = (cell(&last, column) + usize::from(w != c))
                .min(cell(&last, column + 1) + 1)
                .min(left + 1);
            if left_of_word == Some(c) && left_of_candidate == Some(w) {
                best = best.min(cell(&before, column.wrapping_sub(1)) + 1);
            }
            current.push(best);
            left = best;
            left_of_candidate = Some(c);
        }
        before = std::mem::replace(&mut last, current);
        left_of_word = Some(w);
    }
    last.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_suggested() {
        let words = ["environment", "labels", "ssh", "production"];
        assert_eq!(nearest("enviroment", words), Some("environment"));
        assert_eq!(nearest("label", words), Some("labels"));
        assert_eq!(nearest("shs", words), Some("ssh"));
        assert_eq!(nearest("Production", words), Some("production"));
    }

    #[test]
    fn nothing_is_suggested_when_nothing_is_near() {
        assert_eq!(nearest("banana", ["environment", "ssh"]), None);
        assert_eq!(nearest("", ["a"]), None);
        assert_eq!(nearest(&"x".repeat(10_000), ["x"]), None);
    }
}
