//! Loss by rate, as a picture.

use anyhow::{Context as _, Result};
use plotters::prelude::*;

use super::results::Curve;

const SIZE: (u32, u32) = (900, 420);

/// The curves of one length of frames, as SVG: the share that is lost over the rate that was sent.
pub fn draw(curves: &[&Curve]) -> Result<String> {
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
    lines(&area, curves).context("cannot draw the loss")?;
    drop(area);
    Ok(svg)
}

fn lines(area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>, curves: &[&Curve]) -> Result<()> {
    area.fill(&WHITE)?;
    let points = curves.iter().flat_map(|curve| &curve.points);
    let most = points.map(|point| point.offered / 1e6).fold(f64::MIN_POSITIVE, f64::max);
    let size = curves.first().map_or(0, |curve| curve.size);
    let mut chart = ChartBuilder::on(area)
        .caption(format!("frames of {size} bytes: lost, in percent"), ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(56)
        .build_cartesian_2d(0.0..most * 1.02, 0.0..100.0)?;
    let digits = if most < 1.0 { 3 } else { 1 };
    chart
        .configure_mesh()
        .x_desc("sent, in millions a second")
        .x_label_formatter(&|rate| format!("{rate:.digits$}"))
        .y_label_formatter(&|loss| format!("{loss:.0}"))
        .label_style(("sans-serif", 13))
        .draw()?;
    for (number, curve) in curves.iter().enumerate() {
        let colour = Palette99::pick(number).to_rgba();
        let line = curve.points.iter().map(|point| (point.offered / 1e6, point.loss() * 100.0));
        chart
            .draw_series(LineSeries::new(line, colour.stroke_width(2)).point_size(3))?
            .label(&curve.switch)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], colour.stroke_width(2)));
    }
    chart.configure_series_labels().position(SeriesLabelPosition::UpperLeft).border_style(BLACK).draw()?;
    area.present()?;
    Ok(())
}
