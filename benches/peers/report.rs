//! Tables: one for each measurement with everything that was seen, and one at the end for the README.

use crate::measure::Sample;
use crate::servers::Kind;
use crate::what::{Figure, Terms};

/// All samples that one server gave for one measurement, or why there are none.
pub struct Row {
    pub kind: Kind,
    pub samples: Vec<Sample>,
    pub trouble: Option<String>,
}

/// One finished measurement.
pub struct Table {
    pub terms: Terms,
    pub rows: Vec<Row>,
}

impl Table {
    /// Medians, extremes, CPU time and how longshore compares.
    pub fn print(&self) {
        let terms = &self.terms;
        let better = if terms.scale == Figure::Rate { "more is better" } else { "less is better" };
        let rounds = self.rows.iter().map(|row| row.samples.len()).max().unwrap_or_default();
        println!("\n{} in {} ({better}; median of {rounds})", terms.title, terms.unit);
        println!("  {:<10} {:>10}   {:>19}   {:>12}   longshore is", "", terms.unit, "min - max", terms.cpu.0);
        for row in &self.rows {
            let Some(middle) = self.median_of(row.kind) else {
                println!("  {:<10} {}", row.kind.name(), row.trouble.as_deref().unwrap_or("no samples"));
                continue;
            };
            let mut values: Vec<f64> = row.samples.iter().map(|sample| sample.figure).collect();
            values.sort_by(f64::total_cmp);
            let range = format!("{} - {}", number(values[0]), number(values[values.len() - 1]));
            let cpu = median(row.samples.iter().filter_map(|sample| sample.cpu).collect());
            let cpu = cpu.map_or_else(|| "-".to_owned(), |cpu| format!("{cpu:.3}"));
            let ratio = self.ratio(row.kind).map_or_else(String::new, |ratio| format!("{ratio:.2} x as good"));
            let trouble = row.trouble.as_ref().map_or_else(String::new, |trouble| format!(" (then: {trouble})"));
            println!("  {:<10} {:>10}   {range:>19}   {cpu:>12}   {ratio}{trouble}", row.kind.name(), number(middle));
        }
    }

    fn median_of(&self, kind: Kind) -> Option<f64> {
        let row = self.rows.iter().find(|row| row.kind == kind)?;
        median(row.samples.iter().map(|sample| sample.figure).collect())
    }

    /// longshore against a peer; `None` for longshore itself or where one of them has no value.
    fn ratio(&self, kind: Kind) -> Option<f64> {
        let ours = self.median_of(Kind::Longshore).filter(|_| kind != Kind::Longshore)?;
        Some(self.terms.ratio(ours, self.median_of(kind)?))
    }
}

/// All medians in one Markdown table, ready for the README.
pub fn print_summary(tables: &[Table], kinds: &[Kind]) {
    if tables.is_empty() || kinds.is_empty() {
        return;
    }
    println!("\nMedians; in brackets how many times as good longshore is.\n");
    print!("| |");
    kinds.iter().for_each(|kind| print!(" {} |", kind.name()));
    println!("\n|---|{}", "---:|".repeat(kinds.len()));
    for table in tables {
        print!("| {}, {} |", table.terms.title, table.terms.unit);
        for &kind in kinds {
            let ratio = table.ratio(kind).map_or_else(String::new, |ratio| format!(" ({ratio:.2})"));
            print!(" {}{ratio} |", table.median_of(kind).map_or_else(|| "-".to_owned(), number));
        }
        println!();
    }
}

/// The middle value, or the mean of the two in the middle.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = values[(values.len() - 1) / 2];
    Some(f64::midpoint(lower, upper))
}

/// Three digits or more, thousands set apart.
fn number(value: f64) -> String {
    if value < 100.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
