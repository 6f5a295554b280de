//! The badge of a pod, a picture for pages that show pictures only: how far its images are, in a word and a number. The sentence is its title.
//! It holds no style and no script, and names nothing that the asker did not name; the widget that tells more is a part of [`super::page`].

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, HeaderValue, Uri, header},
    response::Response,
    routing::get,
};
use lifecycle::board::PodStatus;

use super::{
    Problem, Site,
    pods::{self, PodPath, asked_for},
};
use crate::{
    rollouts::{Slowest, Stage},
    snapshot::Snapshot,
};

/// What stands at the left.
const LABEL: &str = "images";
/// Width of [`LABEL`], pixels.
const LABEL_WIDTH: usize = 42;
/// Space left and right of a text, pixels.
const SPACE: usize = 7;
/// Width of a sign, with the space behind it.
const SIGN: usize = 15;

/// What a badge says: a sign, a colour that white can be read on, a text, and the sentence.
struct Badge {
    sign: &'static str,
    colour: &'static str,
    text: String,
    title: String,
}

/// The badge's path; it is read by those who may read pods.
pub(super) fn router() -> Router<Site> {
    Router::new().route("/embed/pod/{namespace}/{pod}/badge.svg", get(badge))
}

async fn badge(State(site): State<Site>, path: PodPath, uri: Uri, headers: HeaderMap) -> Result<Response, Problem> {
    let key = asked_for(path, &uri)?;
    let draw = move |snapshot: &Snapshot| {
        let badge = snapshot.pod(&key).map_or_else(Badge::unknown, |pod| Badge::of(pod, snapshot));
        Ok(badge.svg().into_bytes())
    };
    let mut response = site.answer(headers, draw).await?;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("image/svg+xml"));
    Ok(response)
}

impl Badge {
    /// Of a pod that waits for nothing, as far as is known.
    fn unknown() -> Self {
        let title = "This pod waits for no image and did not lately, as far as is known.".to_owned();
        Self { sign: "M1 5.5h8", colour: "#5d5d59", text: "unknown".to_owned(), title }
    }

    fn of(pod: &PodStatus, snapshot: &Snapshot) -> Self {
        let Slowest { stage, pull, .. } = Slowest::of(pod, snapshot);
        let percent = pull.and_then(|id| snapshot.row(id)).and_then(|row| row.status().percent);
        let (sign, colour) = match stage {
            Stage::Ready => ("M1 6l3 3 5-7", "#00694c"),
            Stage::Pulling => ("M5 1v8M1.5 5.5L5 9l3.5-3.5", "#0063a3"),
            Stage::Queued => ("M5 1a4.5 4.5 0 1 0 .01 0M5 3v2.6l2 1.2", "#5d5d59"),
            Stage::Failed => ("M1.5 2l7 7M8.5 2l-7 7", "#b23c00"),
        };
        let text = match (stage, percent) {
            (Stage::Pulling, Some(percent)) => format!("pulling, {} %", percent.floor().min(99.0)),
            _ => stage.word().to_owned(),
        };
        Self { sign, colour, text, title: pods::summary(pod, snapshot) }
    }

    fn svg(&self) -> String {
        let Self { sign, colour, text, title } = self;
        let (title, letters) = (escaped(title), text.chars().map(width_of).sum::<usize>());
        let left = LABEL_WIDTH + 2 * SPACE;
        let right = SIGN + letters + 2 * SPACE;
        let (width, at) = (left + right, left + SPACE);
        format!(
            r##"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="20" role="img" aria-label="{title}"><title>{title}</title><clipPath id="a"><rect width="{width}" height="20" rx="4"/></clipPath><g clip-path="url(#a)"><rect width="{left}" height="20" fill="#363634"/><rect x="{left}" width="{right}" height="20" fill="{colour}"/></g><path d="{sign}" transform="translate({at} 5)" fill="none" stroke="#fff" stroke-width="1.6" stroke-linecap="round" stroke-linejoin="round"/><g fill="#fff" font-family="Verdana,DejaVu Sans,Geneva,sans-serif" font-size="11"><text x="{SPACE}" y="14" textLength="{LABEL_WIDTH}">{LABEL}</text><text x="{word}" y="14" textLength="{letters}">{text}</text></g></svg>"##,
            word = at + SIGN,
        )
    }
}

/// About how wide a letter is in the fonts that are asked for, pixels; the text is fitted to what comes of it.
const fn width_of(letter: char) -> usize {
    match letter {
        'i' | 'l' | 'f' | ',' | ' ' => 4,
        'r' | 't' => 5,
        'w' => 9,
        '%' => 12,
        _ => 7,
    }
}

/// A text as it may stand in XML; what XML has no place for is left out.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            letter
                if letter.is_control()
                    || matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffe}' | '\u{ffff}') =>
            {
                escaped.push('\u{fffd}');
            }
            letter => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_stays_text_in_a_badge() {
        let title = "</title><script>a & \"b\"</script>\u{202e}\u{7}".to_owned();
        let svg = Badge { title, ..Badge::unknown() }.svg();
        let safe = "&lt;/title&gt;&lt;script&gt;a &amp; &quot;b&quot;&lt;/script&gt;\u{fffd}\u{fffd}";
        assert_eq!(svg.matches(safe).count(), 2, "{svg}");
        assert!(!svg.contains("<script"));
    }
}
