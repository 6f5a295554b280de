//! Cells as a picture. Bars are drawn as areas and not as letters, so that they look the same whatever fonts a reader has.

use std::fmt::Write as _;

use super::ansi::{Cell, Colour, Style};

/// Hundredths of a pixel: width and height of a cell.
const WIDE: usize = 843;
const HIGH: usize = 1800;
/// Around it all.
const EDGE: usize = 1200;
/// From the top of a cell to the line that letters stand on.
const BASE: usize = 1350;

/// The colours of a terminal.
pub(super) struct Theme {
    /// In the file's name.
    pub(super) name: &'static str,
    ground: &'static str,
    ink: &'static str,
    frame: &'static str,
    sixteen: [&'static str; 16],
}

/// Light and dark.
pub(super) const THEMES: [Theme; 2] = [
    Theme {
        name: "light",
        ground: "#ffffff",
        ink: "#1f2328",
        frame: "#d0d7de",
        sixteen: [
            "#24292f", "#cf222e", "#116329", "#7d4e00", "#0969da", "#8250df", "#1b7c83", "#6e7781", "#57606a", "#a40e26",
            "#1a7f37", "#633c01", "#218bff", "#a475f9", "#3192aa", "#8c959f",
        ],
    },
    Theme {
        name: "dark",
        ground: "#0d1117",
        ink: "#e6edf3",
        frame: "#30363d",
        sixteen: [
            "#484f58", "#ff7b72", "#3fb950", "#d29922", "#58a6ff", "#bc8cff", "#39c5cf", "#b1bac4", "#6e7681", "#ffa198",
            "#56d364", "#e3b341", "#79c0ff", "#d2a8ff", "#56d4dd", "#ffffff",
        ],
    },
];

/// The picture of a screen.
pub(super) fn draw(rows: &[Vec<Cell>], columns: u16, lines: u16, theme: &Theme, about: &str) -> String {
    let (wide, high) = (usize::from(columns) * WIDE + 2 * EDGE, usize::from(lines) * HIGH + 2 * EDGE);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {w} {h}\" width=\"{w}\" height=\"{h}\" font-size=\"14\" \
         font-family=\"'DejaVu Sans Mono', Menlo, Consolas, monospace\">\n<title>{}</title>\n\
         <rect x=\".5\" y=\".5\" width=\"{}\" height=\"{}\" rx=\"8\" fill=\"{}\" stroke=\"{}\"/>\n",
        escaped(about),
        pixels(wide - 100),
        pixels(high - 100),
        theme.ground,
        theme.frame,
        w = pixels(wide),
        h = pixels(high),
    );
    for (at, row) in rows.iter().enumerate() {
        let top = EDGE + at * HIGH;
        for (start, run) in runs(row) {
            draw_run(&mut svg, (EDGE + start * WIDE, top), run, theme);
        }
    }
    svg + "</svg>\n"
}

/// Neighbours of one style and of one kind: letters, or the same part of a bar.
fn runs(row: &[Cell]) -> impl Iterator<Item = (usize, &[Cell])> {
    let alike = |a: &Cell, b: &Cell| a.style == b.style && (a.letter == b.letter || !(is_drawn(a.letter) || is_drawn(b.letter)));
    let mut start = 0;
    row.chunk_by(alike).map(move |run| {
        let at = start;
        start += run.len();
        (at, run)
    })
}

fn draw_run(svg: &mut String, (x, y): (usize, usize), run: &[Cell], theme: &Theme) {
    let (letter, style, wide) = (run[0].letter, run[0].style, run.len() * WIDE);
    let (mut ink, mut ground) = (theme.colour(style.ink, theme.ink), theme.colour(style.ground, theme.ground));
    if style.reversed {
        std::mem::swap(&mut ink, &mut ground);
    }
    if ground != theme.ground {
        area(svg, (x, y, wide, HIGH), &ground, 100);
    }
    let shade = if style.faint { 60 } else { 100 };
    match letter {
        ' ' if run.iter().all(|cell| cell.letter == ' ') => {}
        '█' => area(svg, (x, y, wide, HIGH), &ink, shade),
        '░' => area(svg, (x, y, wide, HIGH), &ink, shade / 4),
        '▒' => area(svg, (x, y, wide, HIGH), &ink, shade / 2),
        '▓' => area(svg, (x, y, wide, HIGH), &ink, shade * 3 / 4),
        '▉'..='▏' => {
            let eighths = usize::try_from(u32::from('▏') - u32::from(letter) + 1).unwrap_or(1);
            (0..run.len()).for_each(|at| area(svg, (x + at * WIDE, y, WIDE * eighths / 8, HIGH), &ink, shade));
        }
        '▁'..='▇' => {
            let high = HIGH * usize::try_from(u32::from(letter) - 0x2580).unwrap_or(1) / 8;
            (0..run.len()).for_each(|at| area(svg, (x + at * WIDE, y + HIGH - high, WIDE, high), &ink, shade));
        }
        '■' | '□' | '▣' => (0..run.len()).for_each(|at| square(svg, letter, (x + at * WIDE, y), &ink, shade)),
        _ => words(svg, (x, y), run, &ink, style, shade),
    }
}

/// Whether a letter is drawn as an area.
const fn is_drawn(letter: char) -> bool {
    matches!(letter, '▁'..='▏' | '░' | '▒' | '▓' | '■' | '□' | '▣')
}

fn area(svg: &mut String, (x, y, wide, high): (usize, usize, usize, usize), colour: &str, shade: usize) {
    let shade = if shade < 100 { format!(" fill-opacity=\"{}\"", pixels(shade)) } else { String::new() };
    let (x, y, wide, high) = (pixels(x), pixels(y), pixels(wide), pixels(high));
    line(
        svg,
        &format!(
            "<rect x=\"{x}\" y=\"{y}\" width=\"{wide}\" height=\"{high}\" fill=\"{colour}\"{shade} shape-rendering=\"crispEdges\"/>"
        ),
    );
}

fn square(svg: &mut String, letter: char, (x, y): (usize, usize), colour: &str, shade: usize) {
    let side = WIDE - 200;
    let (x, y) = (x + 100, y + (HIGH - side) / 2);
    if letter == '■' {
        area(svg, (x, y, side, side), colour, shade);
        return;
    }
    let (left, top, wide) = (pixels(x + 50), pixels(y + 50), pixels(side - 100));
    line(svg, &format!("<rect x=\"{left}\" y=\"{top}\" width=\"{wide}\" height=\"{wide}\" fill=\"none\" stroke=\"{colour}\"/>"));
    if letter == '▣' {
        area(svg, (x + 200, y + 200, side - 400, side - 400), colour, shade);
    }
}

/// Letters, stretched onto their cells.
fn words(svg: &mut String, (x, y): (usize, usize), run: &[Cell], ink: &str, style: Style, shade: usize) {
    let text: String = run.iter().map(|cell| cell.letter).collect();
    let more = [
        (style.bold, " font-weight=\"bold\"".to_owned()),
        (style.underlined, " text-decoration=\"underline\"".to_owned()),
        (shade < 100, format!(" fill-opacity=\"{}\"", pixels(shade))),
    ];
    let more: String = more.into_iter().filter(|(is, _)| *is).map(|(_, text)| text).collect();
    line(
        svg,
        &format!(
            "<text x=\"{}\" y=\"{}\" textLength=\"{}\" lengthAdjust=\"spacingAndGlyphs\" xml:space=\"preserve\" fill=\"{ink}\"{more}>{}</text>",
            pixels(x),
            pixels(y + BASE),
            pixels(run.len() * WIDE),
            escaped(&text)
        ),
    );
}

impl Theme {
    fn colour(&self, colour: Colour, usual: &str) -> String {
        match colour {
            Colour::Usual => usual.to_owned(),
            Colour::Number(number @ 0..16) => self.sixteen[usize::from(number)].to_owned(),
            Colour::Number(number @ 16..232) => {
                let cube = number - 16;
                let part = |digit: u8| if digit == 0 { 0 } else { 55 + 40 * digit };
                hex(part(cube / 36), part(cube / 6 % 6), part(cube % 6))
            }
            Colour::Number(number) => {
                let grey = 8 + 10 * (number - 232);
                hex(grey, grey, grey)
            }
            Colour::Rgb(red, green, blue) => hex(red, green, blue),
        }
    }
}

fn hex(red: u8, green: u8, blue: u8) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// Hundredths as pixels, without needless zeros.
fn pixels(hundredths: usize) -> String {
    let text = format!("{}.{:02}", hundredths / 100, hundredths % 100);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Writing to a string never fails.
fn line(svg: &mut String, text: &str) {
    _ = writeln!(svg, "{text}");
}
