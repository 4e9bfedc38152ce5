//! Ratios as a picture: a bar for each median, a whisker from the lowest to the highest round.

use anyhow::{Context as _, Result};
use plotters::prelude::*;

use super::Report;

/// Of a bar with its gaps, in pixels.
const BAR: u32 = 26;
const WIDTH: u32 = 900;
/// Beside the bars: their names.
const NAMES: u32 = 260;
/// Above and below the bars: title and scale.
const FRAME: u32 = 110;

/// One bar.
struct Bar {
    name: String,
    subject: String,
    middle: f64,
    low: f64,
    high: f64,
}

/// A chart, as SVG, of how many times as good each subject is as `to`; none if nothing was measured beside it.
pub fn ratios(report: &Report, to: &str) -> Result<Option<String>> {
    let bars = bars(report, to);
    if bars.is_empty() {
        return Ok(None);
    }
    let mut svg = String::new();
    let height = FRAME + BAR * bars.len() as u32;
    let area = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
    draw(&area, &bars, to).with_context(|| format!("cannot draw the ratios to {to}"))?;
    drop(area);
    Ok(Some(svg))
}

fn bars(report: &Report, to: &str) -> Vec<Bar> {
    let mut bars = Vec::new();
    for row in &report.rows {
        for (subject, _) in row.figures.iter().filter(|(subject, _)| subject != to) {
            if let Some((middle, low, high)) = row.times_as_good(subject, to) {
                let name = format!("{}  {subject}", row.work);
                bars.push(Bar { name, subject: subject.clone(), middle, low, high });
            }
        }
    }
    bars
}

fn draw(area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>, bars: &[Bar], to: &str) -> Result<()> {
    area.fill(&WHITE)?;
    let most = bars.iter().map(|bar| bar.high).fold(1.0, f64::max) * 1.08;
    // Rows are numbered from below, and read from above.
    let row = |number: usize| (bars.len() - 1 - number) as i32;
    let mut chart = ChartBuilder::on(area)
        .caption(format!("how many times as good as {to}: median, lowest, highest"), ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(NAMES)
        .build_cartesian_2d(0.0..most, (0..bars.len() as i32 - 1).into_segmented())?;
    let name = |at: &SegmentValue<i32>| match at {
        SegmentValue::CenterOf(number) | SegmentValue::Exact(number) => {
            let bar = usize::try_from(*number).ok().and_then(|number| bars.iter().rev().nth(number));
            bar.map(|bar| bar.name.clone()).unwrap_or_default()
        }
        SegmentValue::Last => String::new(),
    };
    chart
        .configure_mesh()
        .disable_y_mesh()
        .y_labels(bars.len())
        .y_label_formatter(&name)
        .x_label_formatter(&|ratio| format!("{ratio:.1}"))
        .label_style(("sans-serif", 13))
        .draw()?;
    chart.draw_series(bars.iter().enumerate().map(|(number, bar)| {
        let corners =
            [(0.0, SegmentValue::Exact(row(number))), (bar.middle, SegmentValue::Exact(row(number) + 1))];
        let mut shape = Rectangle::new(corners, colour(&bar.subject).filled());
        shape.set_margin(5, 5, 0, 0);
        shape
    }))?;
    chart.draw_series(bars.iter().enumerate().map(|(number, bar)| {
        let at = SegmentValue::CenterOf(row(number));
        PathElement::new(vec![(bar.low, at.clone()), (bar.high, at)], BLACK.stroke_width(2))
    }))?;
    // As good as the other: what is short of this line is slower.
    let ends = [SegmentValue::Exact(0), SegmentValue::Last].map(|end| (1.0, end));
    chart.draw_series([PathElement::new(ends.to_vec(), BLACK.mix(0.6))])?;
    area.present()?;
    Ok(())
}

/// Each kind of subject has a colour of its own, whatever else is in the chart.
fn colour(subject: &str) -> RGBColor {
    match subject {
        "bridge" => RGBColor(150, 150, 150),
        "ceiling" => RGBColor(200, 170, 90),
        "ovs" => RGBColor(170, 110, 160),
        _ => RGBColor(70, 130, 180),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{Better, Row};

    fn report() -> Report {
        let figures = |bridge: f64, xbr: f64| {
            vec![("bridge".into(), vec![bridge; 3]), ("xbr".into(), vec![xbr, xbr * 2.0, xbr * 3.0])]
        };
        let row = |work: &str, better, bridge, xbr| Row {
            work: work.into(),
            unit: "units".into(),
            better,
            figures: figures(bridge, xbr),
        };
        let rows = vec![row("rate", Better::Higher, 1.0, 1.0), row("round trip", Better::Lower, 60.0, 10.0)];
        Report { rows, ..Report::default() }
    }

    /// Of the coloured bars, from above: where they end.
    fn ends(svg: &str) -> Vec<f64> {
        let attribute = |line: &str, name: &str| -> f64 {
            line.split(&format!(" {name}=\""))
                .nth(1)
                .and_then(|rest| rest.split('"').next())
                .unwrap()
                .parse()
                .unwrap()
        };
        let bars = svg.lines().filter(|line| line.contains("<rect") && line.contains("#4682B4"));
        bars.map(|line| attribute(line, "x") + attribute(line, "width")).collect()
    }

    #[test]
    fn a_bar_ends_where_its_median_is() {
        let svg = ratios(&report(), "bridge").unwrap().unwrap();
        assert!(svg.contains("rate  xbr") && svg.contains("round trip  xbr"), "{svg}");
        let ends = ends(&svg);
        let [rate, time] = ends[..] else { panic!("{svg}") };
        // Twice the rate, and three times as fast.
        let zero = f64::from(NAMES) + 12.0;
        assert!(((time - zero) / (rate - zero) - 1.5).abs() < 0.02, "{ends:?}");
    }

    #[test]
    fn nothing_to_compare_with_is_no_chart() {
        assert_eq!(ratios(&report(), "ceiling").unwrap(), None);
        assert_eq!(ratios(&Report::default(), "bridge").unwrap(), None);
    }
}
