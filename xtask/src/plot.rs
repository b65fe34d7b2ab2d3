//! Curves over a logarithmic axis, as plain SVG.

use std::fmt::Write as _;

/// One curve.
#[derive(Debug)]
pub(crate) struct Curve {
    pub(crate) name: String,
    /// Above 0 both, by rising x.
    pub(crate) points: Vec<(f64, f64)>,
}

const COLOURS: [&str; 5] = ["#1f6feb", "#d1242f", "#1a7f37", "#9a6700", "#8250df"];
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 360.0;
/// Where the axes are.
const LEFT: f64 = 70.0;
const RIGHT: f64 = WIDTH - 20.0;
const TOP: f64 = 48.0;
const BOTTOM: f64 = HEIGHT - 48.0;

/// The curves over powers of ten; y begins at 0, so that growth is not exaggerated.
pub(crate) fn plot(title: &str, across: &str, up: &str, curves: &[Curve]) -> String {
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let least = points().map(|point| point.0.log10()).fold(f64::INFINITY, f64::min).floor();
    let most = points().map(|point| point.0.log10()).fold(least + 1.0, f64::max).ceil();
    let highest = points().map(|point| point.1).fold(0.0, f64::max);
    let step = nice(highest / 4.0);
    let top = (highest / step).ceil().max(1.0) * step;
    let x = |value: f64| LEFT + (value.log10() - least) / (most - least) * (RIGHT - LEFT);
    let y = |value: f64| BOTTOM - value / top * (BOTTOM - TOP);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\" fill=\"#1f2328\">\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n\
         <text x=\"{LEFT}\" y=\"18\" font-size=\"14\" font-weight=\"bold\">{}</text>\n",
        text(title)
    );
    let _ = writeln!(svg, "<text x=\"{LEFT}\" y=\"36\">{}</text>", text(up));
    let _ = writeln!(
        svg,
        "<text x=\"{RIGHT}\" y=\"{}\" text-anchor=\"end\">{}</text>",
        HEIGHT - 10.0,
        text(across)
    );
    let mut level = 0.0;
    while level <= top + step / 2.0 {
        let at = y(level);
        let _ = writeln!(
            svg,
            "<path d=\"M{LEFT} {at:.1}H{RIGHT}\" stroke=\"#d0d7de\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 8.0,
            at + 4.0,
            number(level)
        );
        level += step;
    }
    let mut power = least;
    while power <= most {
        let at = x(10f64.powf(power));
        let _ = writeln!(
            svg,
            "<path d=\"M{at:.1} {BOTTOM}v5\" stroke=\"#1f2328\"/>\
             <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">10<tspan dy=\"-4\" font-size=\"9\">{power}</tspan></text>",
            BOTTOM + 18.0
        );
        power += 1.0;
    }
    for (place, curve) in curves.iter().enumerate() {
        let colour = COLOURS[place % COLOURS.len()];
        let path: Vec<String> =
            curve.points.iter().map(|point| format!("{:.1},{:.1}", x(point.0), y(point.1))).collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            path.join(" ")
        );
        for point in &curve.points {
            let _ = writeln!(
                svg,
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{colour}\"/>",
                x(point.0),
                y(point.1)
            );
        }
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"36\" text-anchor=\"end\" fill=\"{colour}\">{}</text>",
            RIGHT - 130.0 * (curves.len() - 1 - place) as f64,
            text(&curve.name)
        );
    }
    svg.push_str("</svg>\n");
    svg
}

/// 1, 2 or 5 times a power of ten, at least `least`.
fn nice(least: f64) -> f64 {
    if least <= 0.0 {
        return 1.0;
    }
    let power = 10f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|times| times * power).find(|step| *step >= least).unwrap_or(least)
}

fn number(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn text(plain: &str) -> String {
    plain.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_goes_from_the_left_to_the_right_and_from_the_bottom_up() {
        let curve = Curve { name: "a < b".to_owned(), points: vec![(10.0, 0.5), (1000.0, 1.0)] };
        let svg = plot("title", "x", "y", &[curve]);
        assert!(svg.contains("points=\"70.0,180.0 700.0,48.0\""), "{svg}");
        assert!(svg.contains("a &lt; b"));
    }

    #[test]
    fn steps_are_round() {
        assert_eq!([0.3, 1.0, 3.0, 70.0].map(nice), [0.5, 1.0, 5.0, 100.0]);
    }
}
