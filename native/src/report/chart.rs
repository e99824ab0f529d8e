//! Charts as SVG inside the page. What plotters draws in black takes the colour of the page's text, so that a chart
//! reads in light and dark.

use std::error::Error;
use std::ops::Range;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;

use crate::measure::Bin;

/// Size in pixels; the page scales it down where there is less room.
const SIZE: (u32, u32) = (460, 280);

/// Colours that can be told from each other on white and on black, also by those who do not tell red from green.
pub(super) const COLOURS: [(RGBColor, &str); 3] = [
    (RGBColor(0x2f, 0x7f, 0xc1), "#2F7FC1"),
    (RGBColor(0xd9, 0x7b, 0x1f), "#D97B1F"),
    (RGBColor(0x2a, 0x9d, 0x6f), "#2A9D6F"),
];

/// One curve.
pub(super) struct Series<'a> {
    /// What it shows.
    pub(super) name: &'a str,
    /// `(x, y)`, x rising.
    pub(super) points: &'a [(f64, f64)],
    /// Which of the colours.
    pub(super) colour: usize,
}

/// How values on the vertical axis are written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    /// As they are, from 0.
    Plain,
    /// Shares as percentages, from 0 to 1.
    Share,
    /// With an exponent, from 0.
    Exponent,
}

/// Curves over optimizer steps; nothing where no curve has a point.
pub(super) fn curves(series: &[Series<'_>], scale: Scale) -> Result<Option<String>> {
    // What a log should not say is not drawn: an axis has to end somewhere.
    let drawn = |&&(x, y): &&(f64, f64)| [x, y].iter().all(|v| v.is_finite() && v.abs() < 1e12);
    let points = || series.iter().flat_map(|series| series.points).filter(drawn);
    let last = points().map(|p| p.0).fold(0.0, f64::max);
    let top = points().map(|p| p.1).fold(0.0, f64::max);
    if points().next().is_none() {
        return Ok(None);
    }
    let top = match scale {
        Scale::Share => 1.0,
        _ if top > 0.0 => 1.05 * top,
        _ => 1.0,
    };
    draw(0.0..last.max(1.0), 0.0..top, "step", &|value| format!("{value:.0}"), scale, |chart| {
        for series in series {
            let style = COLOURS[series.colour % COLOURS.len()].0.stroke_width(2);
            chart.draw_series(LineSeries::new(series.points.iter().filter(drawn).copied(), style))?;
            // A curve of a single epoch would not be seen.
            if series.points.len() <= 40 {
                let dot = |&point: &(f64, f64)| Circle::new(point, 3, style.filled());
                chart.draw_series(series.points.iter().filter(drawn).map(dot))?;
            }
        }
        Ok(())
    })
    .map(Some)
}

/// Accuracy over confidence, bin by bin, and the line where they are equal.
pub(super) fn reliability(bins: &[Bin], colour: usize) -> Result<String> {
    let width = 1.0 / bins.len().max(1) as f64;
    let percent = |value: f64| format!("{:.0} %", 100.0 * value);
    draw(0.0..1.0, 0.0..1.0, "confidence", &percent, Scale::Share, |chart| {
        let bars = bins.iter().enumerate().filter(|(_, bin)| bin.photos > 0).map(|(m, bin)| {
            let (left, right) = (m as f64 * width, (m + 1) as f64 * width);
            Rectangle::new(
                [(left + 0.08 * width, 0.0), (right - 0.08 * width, bin.accuracy)],
                COLOURS[colour].0.filled(),
            )
        });
        chart.draw_series(bars)?;
        chart.draw_series(LineSeries::new([(0.0, 0.0), (1.0, 1.0)], BLACK.stroke_width(1)))?;
        Ok(())
    })
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<
    'b,
    SVGBackend<'a>,
    Cartesian2d<plotters::coord::types::RangedCoordf64, plotters::coord::types::RangedCoordf64>,
>;
type Drawn = Result<(), Box<dyn Error>>;

/// Axes, a light grid, and what `content` draws between them.
fn draw(
    x: Range<f64>,
    y: Range<f64>,
    x_name: &str,
    x_label: &dyn Fn(f64) -> String,
    scale: Scale,
    content: impl FnOnce(&mut Chart<'_, '_>) -> Drawn,
) -> Result<String> {
    let mut svg = String::new();
    let drawn = || -> Drawn {
        let area: Area<'_> = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let mut builder = ChartBuilder::on(&area);
        builder.margin(8).margin_right(18).x_label_area_size(38).y_label_area_size(56);
        let mut chart = builder.build_cartesian_2d(x, y)?;
        let label = |value: f64| match scale {
            Scale::Plain => format!("{value:.1}"),
            Scale::Share => format!("{:.0} %", 100.0 * value),
            Scale::Exponent if value == 0.0 => "0".into(),
            Scale::Exponent => format!("{value:.1e}"),
        };
        let text = ("sans-serif", 13).into_font();
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(BLACK.mix(0.15))
            .axis_style(BLACK.mix(0.5))
            .x_labels(6)
            .y_labels(6)
            .x_desc(x_name)
            .x_label_formatter(&|value: &f64| x_label(*value))
            .y_label_formatter(&|value: &f64| label(*value))
            .label_style(text.clone())
            .axis_desc_style(text)
            .draw()?;
        content(&mut chart)?;
        area.present()?;
        Ok(())
    };
    drawn().map_err(|error| anyhow!("a chart cannot be drawn: {error}"))?;
    Ok(svg.replace("#000000", "currentColor"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_is_drawn_in_its_colour_and_the_rest_in_the_colour_of_text() {
        let points = [(1.0, 2.0), (2.0, 1.0)];
        let svg = curves(&[Series { name: "loss", points: &points, colour: 1 }], Scale::Plain).unwrap().unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{svg}");
        assert!(svg.contains(COLOURS[1].1) && svg.contains("currentColor") && !svg.contains("#000000"), "{svg}");
        assert_eq!(curves(&[Series { name: "none", points: &[], colour: 0 }], Scale::Plain).unwrap(), None);
    }

    #[test]
    fn only_bins_with_photos_have_bars() {
        let bin = |photos, accuracy| Bin { photos, confidence: 0.5, accuracy };
        let svg = reliability(&[bin(0, 0.0), bin(4, 0.5), bin(2, 1.0)], 0).unwrap();
        assert_eq!(svg.matches(&format!("fill=\"{}\"", COLOURS[0].1)).count(), 2, "{svg}");
    }
}
