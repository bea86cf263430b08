//! Plots as SVG, drawn by hand: bars for one figure a peer, marks along a line for latencies.

use std::fmt::Write;

use crate::measure::PERCENTILES;
use crate::report::{is_bound, is_ours, size_name};
use crate::results::{Row, format};
use crate::workloads::{Shown, Unit};

const WIDTH: f64 = 900.0;
const LEFT: f64 = 240.0;
const RIGHT: f64 = 116.0;
const TOP: f64 = 88.0;
const BAR: f64 = 24.0;
/// Between the panels of two sizes, with room for the axis and the next title.
const GAP: f64 = 64.0;

const OURS: &str = "#c2410c";
const PEER: &str = "#64809c";
const BOUND: &str = "#b9c2cc";

/// One panel a size of records.
pub fn draw(shown: &Shown, tables: &[(usize, Vec<Row>)]) -> String {
    let panels: Vec<_> = tables
        .iter()
        .map(|(size, rows)| {
            let rows: Vec<_> = rows.iter().filter(|row| row.value(shown.metric).is_some()).collect();
            (*size, rows)
        })
        .filter(|(_, rows)| !rows.is_empty())
        .collect();
    let height = TOP
        + panels
            .iter()
            .map(|(_, rows)| rows.len() as f64 * BAR + GAP)
            .sum::<f64>();
    let mut svg = Svg(String::new());
    svg.open(height);
    svg.text(24.0, 30.0, "start", "title", shown.title);
    svg.legend(shown);
    let mut y = TOP;
    for (size, rows) in panels {
        svg.panel(shown, size, &rows, y);
        y += rows.len() as f64 * BAR + GAP;
    }
    svg.0.push_str("</svg>\n");
    svg.0
}

struct Svg(String);

impl Svg {
    fn add(&mut self, element: std::fmt::Arguments) {
        let _ = self.0.write_fmt(element);
        self.0.push('\n');
    }

    fn open(&mut self, height: f64) {
        self.add(format_args!(
            r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" font-family="system-ui, 'Segoe UI', Helvetica, Arial, 'DejaVu Sans', sans-serif" font-size="12.5">
<style>.title {{ font-size: 18px; font-weight: 600 }} .size {{ font-weight: 600; fill: #334155 }} .ours {{ font-weight: 600; fill: {OURS} }} .peer {{ fill: #1e293b }} .bound {{ fill: #7b8794; font-style: italic }} .axis {{ font-size: 11px; fill: #7b8794 }}</style>
<rect width="{WIDTH}" height="{height}" rx="8" fill="#ffffff"/>"##
        ));
    }

    fn text(&mut self, x: f64, y: f64, anchor: &str, class: &str, text: &str) {
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        self.add(format_args!(
            r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" class="{class}">{text}</text>"#
        ));
    }

    fn line(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64), colour: &str, width: f64) {
        self.add(format_args!(
            r#"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" stroke="{colour}" stroke-width="{width}"/>"#
        ));
    }

    fn legend(&mut self, shown: &Shown) {
        let text = match shown.unit {
            Unit::RecordsPerSecond => "records a second, more is better",
            Unit::Nanoseconds => "p50, p99, p99.9, p99.99 from left to right; less is better",
            Unit::Milliseconds => "time, less is better",
            Unit::Bytes => "bytes, less is better",
        };
        self.text(24.0, 49.0, "start", "axis", text);
    }

    fn panel(&mut self, shown: &Shown, size: usize, rows: &[&Row], top: f64) {
        let scale = Scale::of(shown, rows);
        let bottom = top + rows.len() as f64 * BAR;
        let note = if scale.logarithmic {
            "records, logarithmic scale"
        } else {
            "records"
        };
        self.text(24.0, top - 8.0, "start", "size", &format!("{} {note}", size_name(size)));
        for tick in scale.ticks() {
            let x = scale.x(tick);
            self.line((x, top), (x, bottom + 4.0), "#e6eaef", 1.0);
            self.text(x, bottom + 18.0, "middle", "axis", &short(shown.unit, tick));
        }
        for (number, row) in rows.iter().enumerate() {
            let middle = top + (number as f64 + 0.5) * BAR;
            let (class, colour) = match () {
                () if is_ours(&row.peer) => ("ours", OURS),
                () if is_bound(&row.peer) => ("bound", BOUND),
                () => ("peer", PEER),
            };
            self.text(LEFT - 10.0, middle + 4.5, "end", class, &row.peer);
            if shown.unit == Unit::Nanoseconds {
                self.marks(row, &scale, middle, (class, colour));
            } else {
                self.bar(shown, row, &scale, middle, (class, colour));
            }
        }
        self.line((LEFT, top), (LEFT, bottom), "#94a3b8", 1.0);
    }

    fn bar(&mut self, shown: &Shown, row: &Row, scale: &Scale, middle: f64, (class, colour): (&str, &str)) {
        let Some(value) = row.value(shown.metric) else { return };
        let (x, y) = (scale.x(value), middle - BAR * 0.34);
        let (width, height) = ((x - LEFT).max(1.0), BAR * 0.68);
        self.add(format_args!(
            r#"<rect x="{LEFT}" y="{y:.1}" width="{width:.1}" height="{height:.1}" rx="2" fill="{colour}"/>"#
        ));
        let (least, most) = (scale.x(row.least), scale.x(row.most));
        if most - least > 3.0 {
            self.line((least, middle), (most, middle), "#0f172a", 1.2);
            for end in [least, most] {
                self.line((end, middle - 3.5), (end, middle + 3.5), "#0f172a", 1.2);
            }
        }
        self.text(
            most.max(x) + 7.0,
            middle + 4.5,
            "start",
            class,
            &format(shown.unit, value),
        );
    }

    fn marks(&mut self, row: &Row, scale: &Scale, middle: f64, (class, colour): (&str, &str)) {
        let values: Vec<_> = PERCENTILES.iter().filter_map(|(name, _)| row.value(name)).collect();
        let (Some(first), Some(last)) = (values.first(), values.last()) else {
            return;
        };
        self.line((scale.x(*first), middle), (scale.x(*last), middle), colour, 2.0);
        for (number, value) in values.iter().enumerate() {
            let (x, radius) = (scale.x(*value), 6.0 - number as f64);
            let fill = if number == 0 { colour } else { "#ffffff" };
            self.add(format_args!(
                r#"<circle cx="{x:.1}" cy="{middle:.1}" r="{radius}" fill="{fill}" stroke="{colour}" stroke-width="2"/>"#
            ));
        }
        let text = format(Unit::Nanoseconds, *first);
        self.text(
            scale.x(*last) + 10.0,
            middle + 4.5,
            "start",
            class,
            &format!("p50 {text}"),
        );
    }
}

struct Scale {
    low: f64,
    high: f64,
    logarithmic: bool,
}

/// A linear scale would make the smallest bar shorter than about a twentieth of the largest.
const LOGARITHMIC_FROM: f64 = 20.0;

impl Scale {
    fn of(shown: &Shown, rows: &[&Row]) -> Self {
        let figures: Vec<_> = if shown.unit == Unit::Nanoseconds {
            let of_row = |row: &&Row| {
                PERCENTILES
                    .iter()
                    .filter_map(|(name, _)| row.value(name))
                    .collect::<Vec<_>>()
            };
            rows.iter().flat_map(of_row).collect()
        } else {
            rows.iter().flat_map(|row| [row.least, row.most]).collect()
        };
        let low = figures.iter().copied().fold(f64::INFINITY, f64::min).max(1e-3);
        let high = figures.iter().copied().fold(0.0, f64::max).max(low);
        let logarithmic = high / low > LOGARITHMIC_FROM;
        if logarithmic {
            // Whole decades, and some length for the shortest bar.
            Self {
                low: 10_f64.powf((low / 1.5).log10().floor()),
                high,
                logarithmic,
            }
        } else {
            Self {
                low: 0.0,
                high,
                logarithmic,
            }
        }
    }

    fn x(&self, value: f64) -> f64 {
        let part = if self.logarithmic {
            (value.max(self.low) / self.low).log10() / (self.high / self.low).log10()
        } else {
            value / self.high
        };
        LEFT + part.clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT)
    }

    fn ticks(&self) -> Vec<f64> {
        if self.logarithmic {
            let decades = (0..).map(|power| self.low * 10_f64.powi(power));
            return decades.take_while(|tick| *tick <= self.high * 1.001).collect();
        }
        let rough = self.high / 5.0;
        let decade = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .map(|factor| factor * decade)
            .into_iter()
            .find(|step| *step >= rough);
        let step = step.unwrap_or(rough);
        (0..)
            .map(|number| f64::from(number) * step)
            .take_while(|tick| *tick <= self.high)
            .collect()
    }
}

/// Without digits that a round figure does not need.
fn short(unit: Unit, value: f64) -> String {
    let text = format(unit, value);
    let (number, unit) = text.split_once(' ').unwrap_or((&text, ""));
    let number = if number.contains('.') {
        number.trim_end_matches('0').trim_end_matches('.')
    } else {
        number
    };
    format!("{number} {unit}")
}
