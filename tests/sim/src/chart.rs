//! One picture: what a rule costs healthy releases against what it lets through of bad ones.

use std::fmt::Write;

/// A rule's name, its mean false rollback in percent, and what it lets through of the failures of bad
/// releases in percent.
pub type Point = (&'static str, f64, f64);

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 460.0;
const LEFT: f64 = 70.0;
const BOTTOM: f64 = 400.0;
const TOP: f64 = 40.0;

/// The picture as SVG. Both axes are in percent; across, logarithmic from 0.01 to 100.
pub fn draw(points: &[Point]) -> String {
    let across =
        |percent: f64| LEFT + (percent.max(0.01).log10() + 2.0) / 4.0 * (WIDTH - LEFT - 90.0);
    let up = |percent: f64| BOTTOM - percent / 100.0 * (BOTTOM - TOP);
    let mut svg = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' font-family='sans-serif' font-size='13'>\n<rect width='100%' height='100%' fill='white'/>\n<text x='{LEFT}' y='22' font-size='15'>Healthy releases rolled back, and failures of bad ones let through</text>\n"
    );
    for (value, label) in [
        (0.01, "0.01 % or less"),
        (0.1, "0.1 %"),
        (1.0, "1 %"),
        (10.0, "10 %"),
        (100.0, "100 %"),
    ] {
        let x = across(value);
        let _ = writeln!(
            svg,
            "<line x1='{x:.1}' y1='{TOP}' x2='{x:.1}' y2='{BOTTOM}' stroke='#ddd'/><text x='{x:.1}' y='418' text-anchor='middle'>{label}</text>"
        );
    }
    for value in [0.0, 25.0, 50.0, 75.0, 100.0] {
        let y = up(value);
        let _ = writeln!(
            svg,
            "<line x1='{LEFT}' y1='{y:.1}' x2='{:.1}' y2='{y:.1}' stroke='#ddd'/><text x='62' y='{:.1}' text-anchor='end'>{value} %</text>",
            across(100.0),
            y + 4.0
        );
    }
    let _ = writeln!(
        svg,
        "<text x='{LEFT}' y='445'>across: healthy releases rolled back (mean over cells); up: failed requests let through, of those without any rule (mean over bad cells)</text>"
    );
    for (i, (name, false_percent, through_percent)) in points.iter().enumerate() {
        let (x, y) = (across(*false_percent), up(*through_percent));
        let colour = if i == 0 { "#0a7d33" } else { "#555" };
        let _ = writeln!(
            svg,
            "<circle cx='{x:.1}' cy='{y:.1}' r='6' fill='{colour}'/><text x='{:.1}' y='{:.1}' fill='{colour}'>{name}</text>",
            x + 9.0,
            y + 4.0
        );
    }
    svg.push_str("</svg>\n");
    svg
}
