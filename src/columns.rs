//! Tables of plain text.

/// Rows of text with their cells one below the other.
pub(crate) fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    // One value may be very long; it alone shall push its neighbour to the right.
    const WIDEST: usize = 72;
    let width = |column: usize| {
        let widths = rows.iter().map(|row| row[column].chars().count());
        widths.filter(|width| *width <= WIDEST).max().unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        text += cells.collect::<Vec<_>>().join("  ").trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_one_long_cell_does_not_widen_them_all() {
        let rows = [["a", "1"], ["bcd", "2"], [&"x".repeat(73), "3"]].map(|row| row.map(str::to_owned));
        assert_eq!(columns(&rows), format!("a    1\nbcd  2\n{}  3\n", "x".repeat(73)));
    }
}
