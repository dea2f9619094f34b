//! The distance of two texts, for questions such as "is that meant".

/// Returns how many letters must be put in, left out, changed or swapped with their neighbour to make one text the other.
pub fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let cell = |row: &[usize], at: usize| row.get(at).copied().unwrap_or_default();
            let above = rows.last().map(Vec::as_slice).unwrap_or_default();
            let changed = cell(above, j) + usize::from(x != y);
            let mut least = changed.min(cell(above, j + 1) + 1).min(cell(&row, j) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            if let Some(before) = rows.get(i.wrapping_sub(1)).filter(|_| swapped) {
                least = least.min(cell(before, j - 1) + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows.last().and_then(|row| row.last()).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::distance;

    #[test]
    fn each_letter_counts_once_and_so_does_a_swap() {
        for (a, b, letters) in [
            ("", "", 0),
            ("", "abc", 3),
            ("cn-hangzhou", "cn-hangzhou", 0),
            ("cn-hangzou", "cn-hangzhou", 1),
            ("cn-hagnzhou", "cn-hangzhou", 1),
            ("ch-hangzhuo", "cn-hangzhou", 2),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!((distance(a, b), distance(b, a)), (letters, letters), "{a} {b}");
        }
    }
}
