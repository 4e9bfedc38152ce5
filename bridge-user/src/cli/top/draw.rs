//! The table on a terminal.

use ratatui::{
    Frame,
    layout::{Constraint, Layout},
    style::{Color, Modifier, Style},
    text::{Line, Text},
    widgets::{Cell, Row as TableRow, Table},
};

use super::rows::{HEADS, Row, Rows};

/// The one line of help.
const HELP: &str = "q quits   up and down scroll";

/// Columns from this one on are numbers.
const FIRST_NUMBER: usize = 3;

/// Draws title, table from its line `first` on, and help.
pub fn draw(frame: &mut Frame<'_>, rows: &Rows, first: usize) {
    let parts = [Constraint::Length(1), Constraint::Min(0), Constraint::Length(1)];
    let [title, table, help] = Layout::vertical(parts).areas(frame.area());
    frame.render_widget(Line::from(rows.title.as_str()).style(Modifier::BOLD), title);
    let cells = |row: &Row| TableRow::new(row.cells.iter().enumerate().map(cell)).style(style(row));
    let heads = TableRow::new(HEADS.iter().enumerate().map(cell)).style(Modifier::REVERSED);
    let lines = rows.ports.iter().skip(first).map(cells);
    frame.render_widget(Table::new(lines, widths(rows)).header(heads).column_spacing(2), table);
    frame.render_widget(Line::from(HELP).style(Modifier::DIM), help);
}

fn cell<T: AsRef<str>>((column, text): (usize, T)) -> Cell<'static> {
    let text = Text::from(text.as_ref().to_string());
    Cell::from(if column < FIRST_NUMBER { text } else { text.right_aligned() })
}

fn style(row: &Row) -> Style {
    match (row.down, row.losing) {
        (true, _) => Style::new().fg(Color::DarkGray),
        (false, true) => Style::new().fg(Color::Yellow),
        (false, false) => Style::new(),
    }
}

/// As wide as the widest text of each column, so that nothing moves while numbers change within it.
fn widths(rows: &Rows) -> Vec<Constraint> {
    let widest = |column: usize| {
        let cells = rows.ports.iter().map(|row| row.cells[column].chars().count());
        cells.chain([HEADS[column].len()]).max().unwrap_or(0)
    };
    (0..HEADS.len())
        .map(|column| Constraint::Length(u16::try_from(widest(column)).unwrap_or(u16::MAX)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::top::rows::tests::busy;
    use ratatui::{Terminal, backend::TestBackend};

    fn shown(width: u16, height: u16, first: usize) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, &busy(), first)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn the_table_fills_the_screen() {
        insta::assert_snapshot!(shown(100, 8, 0), @r#"
        "xbr xbr0   4 ports   3 of 65536 stations   ageing 300 s                                             "
        "port   state       hook  stations  rx packet/s  rx bit/s  tx packet/s  tx bit/s  drop/s             "
        "host   forwarding  -            0            0         0            0         0       0             "
        "eth0   forwarding  xdp          0            0         0            0         0       0             "
        "vm1    forwarding  tc           3        12.3k      120M            0         0       2             "
        "veth1  disabled    xdp          0            0         0            0         0       0             "
        "                                                                                                    "
        "q quits   up and down scroll                                                                        "
        "#);
    }

    #[test]
    fn a_small_screen_scrolls_and_a_tiny_one_does_not_panic() {
        assert!(!shown(100, 5, 2).contains("eth0"));
        for (width, height) in [(1, 0), (1, 1), (3, 2), (20, 3)] {
            shown(width, height, 7);
        }
    }
}
