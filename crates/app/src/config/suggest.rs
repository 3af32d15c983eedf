//! What was probably meant by a key nobody knows.

/// Most edits between a typo and what was meant.
const MAX_EDITS: usize = 3;

/// The parser's message; where it lists the keys there are, with the nearest one suggested.
pub(super) fn improved(message: &str) -> String {
    let Some(rest) = message.strip_prefix("unknown field `") else {
        return message.to_owned();
    };
    let Some((unknown, known)) = rest.split_once('`') else { return message.to_owned() };
    let known: Vec<_> = known.split('`').skip(1).step_by(2).collect();
    let nearest = known
        .iter()
        .map(|name| (edits(unknown, name), *name))
        .min()
        .filter(|(distance, _)| *distance <= MAX_EDITS);
    match nearest {
        Some((_, name)) => format!("unknown key `{unknown}`; did you mean `{name}`?"),
        None => format!("unknown key `{unknown}`; the keys here are {}", known.join(", ")),
    }
}

/// Insertions, deletions and substitutions from one text to the other (Levenshtein).
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (index, a) in from.chars().enumerate() {
        let mut diagonal = index;
        let mut left = index + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (cell, b) in row.iter_mut().skip(1).zip(&to) {
            let best = (diagonal + usize::from(a != *b)).min(*cell + 1).min(left + 1);
            diagonal = *cell;
            *cell = best;
            left = best;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_edits() {
        for (from, to, distance) in
            [("", "abc", 3), ("lisen", "listen", 1), ("kitten", "sitting", 3), ("a", "a", 0)]
        {
            assert_eq!(edits(from, to), distance);
        }
    }

    #[test]
    fn a_far_off_key_gets_the_list_instead() {
        let told = improved("unknown field `zzzzzzzz`, expected one of `level`, `format`");
        assert_eq!(told, "unknown key `zzzzzzzz`; the keys here are level, format");
        assert_eq!(improved("something else"), "something else");
    }
}
