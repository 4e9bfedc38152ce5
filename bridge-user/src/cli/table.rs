//! Columns of text.

/// Rows with their columns aligned, two spaces apart. Columns of numbers go to the right.
pub fn render(heads: &[&str], rows: &[Vec<String>]) -> String {
    let heads = heads.iter().map(|head| head.to_string()).collect::<Vec<_>>();
    let all = || std::iter::once(&heads).chain(rows);
    let widths: Vec<usize> = (0..heads.len())
        .map(|column| all().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max())
        .map(|width| width.unwrap_or(0))
        .collect();
    let numeric: Vec<bool> = (0..heads.len())
        .map(|column| {
            let cells = || rows.iter().filter_map(|row| row.get(column));
            cells().count() > 0 && cells().all(|cell| is_number(cell))
        })
        .collect();
    let mut text = String::new();
    for row in all() {
        let mut line = String::new();
        for ((cell, width), numeric) in row.iter().zip(&widths).zip(&numeric) {
            let padding = " ".repeat(width - cell.chars().count());
            let (before, after) = if *numeric { (padding, String::new()) } else { (String::new(), padding) };
            line += &format!("{before}{cell}{after}  ");
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// Digits with an optional unit behind them, or a dash for none.
fn is_number(cell: &str) -> bool {
    let digits = cell.strip_suffix(|last| "kMGTPE".contains(last)).unwrap_or(cell);
    cell == "-" || (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'))
}

#[cfg(test)]
mod tests {
    #[test]
    fn columns_are_aligned() {
        let rows = [["host", "1", ""], ["vm1", "200", "tap"]];
        let rows = rows.map(|row| row.map(String::from).to_vec());
        insta::assert_snapshot!(super::render(&["port", "n", "flags"], &rows), @r"
        port    n  flags
        host    1
        vm1   200  tap
        ");
    }
}
