//! Images and registries: who serves how fast, who refuses, what is fetched again and again, and what that costs.

use lifecycle::names;

use super::board::{Board, Row, Variable};
use super::panel::Panel;
use super::query::{Counter, Histogram, Series, counter, histogram};
use super::table::Column;
use super::{shared, traceql};

const WINDOW: &str = "$__rate_interval";
const REGISTRY: &str = "registry";

/// The dashboard.
pub(super) fn board() -> Board {
    let registry =
        Variable::Label { name: REGISTRY, label: "Registry", of: counter(names::METRIC_PULLS).labelled(REGISTRY), many: true };
    let image = Variable::Text { name: "image", label: "Image contains", value: "" };
    let price = Variable::Text { name: "price", label: "Price of a GB", value: "0.09" };
    Board {
        uid: shared::REGISTRY,
        title: "Pulltrace / Images and registries",
        description: "Which registry is slow or refuses, what is fetched and from where, what was there already, and what it costs.",
        from: "now-6h",
        variables: vec![
            Variable::PROMETHEUS,
            Variable::TEMPO,
            Variable::LOKI,
            shared::cluster(),
            registry,
            image,
            price,
            shared::UI,
        ],
        annotations: vec![shared::outcomes()],
        rows: vec![speed(), refusals(), bytes(), images()],
    }
}

fn count(name: &str) -> Series<Counter> {
    counter(name).matching(REGISTRY, "$registry")
}

fn spread(name: &str) -> Series<Histogram> {
    histogram(name).matching(REGISTRY, "$registry")
}

fn speed() -> Row {
    let throughput = || spread(names::METRIC_THROUGHPUT);
    let usual = Panel::lines(
        "How fast does each registry serve?",
        "Bytes that a pull fetched by the time that it downloaded: half of the pulls were faster. The dots lead to traces.",
        "Bps",
    )
    .and_traces(throughput().quantile(0.5, &[REGISTRY]), "p50 {{registry}}")
    .empty(shared::NO_PULL_ENDED);
    let slowest = Panel::lines(
        "How slow are the slow ones?",
        "One pull in ten was slower than this. Far below the usual speed some nodes are far away, or the registry throttles.",
        "Bps",
    )
    .and_traces(throughput().quantile(0.1, &[REGISTRY]), "p10 {{registry}}")
    .empty(shared::NO_PULL_ENDED);
    let duration =
        Panel::lines("How long do pulls take, by registry?", "One pull in twenty took longer. The dots lead to traces.", "s")
            .and_traces(spread(names::METRIC_DURATION).with("outcome", "ready").quantile(0.95, &[REGISTRY]), "p95 {{registry}}")
            .empty(shared::NO_PULL_ENDED)
            .size(8, 8);
    let warm = Panel::lines(
        "What does a warm node save?",
        "Half of the pulls took longer: with none, some or all of the image on the node already.",
        "s",
    )
    .and_traces(spread(names::METRIC_DURATION).with("outcome", "ready").quantile(0.5, &["cache"]), "p50 cached: {{cache}}")
    .empty(shared::NO_PULL_ENDED)
    .size(8, 8);
    let size = Panel::lines(
        "How long do pulls take, by size?",
        "By what was fetched: small is below 100 MB, medium below 1 GB, large below 10 GB, huge more. One pull in twenty took longer.",
        "s",
    )
    .and(spread(names::METRIC_SIZE_DURATION).quantile(0.95, &["size"]), "p95 {{size}}")
    .empty(shared::NO_PULL_ENDED)
    .size(8, 8);
    Row { title: "Which registry is slow?", panels: vec![usual, slowest, duration, warm, size] }
}

fn refusals() -> Row {
    let errors = || count(names::METRIC_ERRORS);
    let of = |title, description, class: &str| {
        Panel::stat(title, description, "short", errors().with("class", class).increase("$__range").sum().or_zero())
            .empty(shared::NO_COLLECTOR)
            .size(6, 4)
    };
    let limited = of(
        "How often were we throttled?",
        "Pulls that failed because the registry said: too many requests (429).",
        "rate_limited",
    );
    let login =
        of("How often was a login missing?", "Pulls that the registry refused for want of a login (401).", "unauthorized");
    let unavailable =
        of("How often was a registry away?", "Pulls that failed because the registry was out of order.", "registry_unavailable");
    let missing =
        of("How often was there no such image?", "Pulls of an image or tag that the registry does not have (404).", "not_found");
    let all = Panel::bars("What do registries refuse?", "Failed pulls by registry and class.", "short")
        .and(errors().increase(WINDOW).sum_by(&[REGISTRY, "class"]), "{{registry}}: {{class}}")
        .empty("No pull failed.");
    let failed = count(names::METRIC_PULLS).with("outcome", "failed").rate().sum_by(&[REGISTRY]);
    let ratio = Panel::lines("Which share of pulls fails?", "Failed pulls of all that ended, by registry.", "percentunit")
        .and(failed.per(count(names::METRIC_PULLS).rate().sum_by(&[REGISTRY])), "{{registry}}")
        .empty(shared::NO_PULL_ENDED)
        .limit(1.0);
    let bad = &[(1.0, "orange"), (20.0, "red")];
    Row {
        title: "Which registry refuses?",
        panels: vec![limited.steps(bad), login.steps(bad), unavailable.steps(bad), missing.steps(bad), all, ratio],
    }
}

fn bytes() -> Row {
    let io = || count(names::METRIC_BYTES);
    let fetched = || io().with("source", "fetched");
    let sources = Panel::stacked(
        "What was fetched, what was there?",
        "Compressed bytes of pulls that ended, by where they came from.",
        "Bps",
    )
    .and(io().rate().sum_by(&["source"]), "{{source}}")
    .empty(shared::NO_PULL_ENDED)
    .size(8, 8);
    let registries =
        Panel::ranking("Who serves most?", "Compressed bytes fetched from each registry in the time shown.", "bytes")
            .and(fetched().increase("$__range").sum_by(&[REGISTRY]).top(10), "{{registry}}")
            .empty(shared::NO_PULL_ENDED)
            .size(8, 8);
    let cost = Panel::stat(
        "What would that cost?",
        "Bytes fetched in the time shown at the price given above, for whoever pays for traffic.",
        "currencyUSD",
        fetched().increase("$__range").sum().priced("price", 1e9),
    )
    .empty(shared::NO_PULL_ENDED)
    .size(12, 4);
    let again = Panel::stat(
        "How often was an image fetched again?",
        "Pulls that fetched what their node had shortly before: the image was removed in between, and the disk may be too small.",
        "short",
        count(names::METRIC_REPULLS).increase("$__range").sum(),
    )
    .empty(shared::NO_PULL_ENDED)
    .steps(&[(1.0, "yellow"), (20.0, "orange")])
    .size(12, 4);
    let churn =
        Panel::bars("What is fetched again?", "Pulls that fetched what their node had shortly before, by registry.", "short")
            .and(count(names::METRIC_REPULLS).increase(WINDOW).sum_by(&[REGISTRY]), "{{registry}}")
            .empty(shared::NO_PULL_ENDED)
            .size(8, 8);
    Row { title: "What is moved, and what does it cost?", panels: vec![sources, registries, churn, cost, again] }
}

fn images() -> Row {
    let search = traceql::spans(names::SPAN_PULL)
        .only(names::IMAGE_NAME, "=~ \".*${image:raw}.*\"")
        .only(names::SERVICE_PEER_NAME, "=~ \"${registry:pipe}\"");
    let table = shared::pulls_found(
        "Which pulls of this image took longest?",
        "Pulls as Tempo has them: fetched and cached bytes, node, error. A click on a trace shows its layers.",
        search,
    );
    let layers = Panel::table(
        "Which layers are slow?",
        "Downloads of single layers that took longer than five seconds.",
        vec![
            Column::label("time", "Began").unit("dateTimeAsLocal").width(170),
            Column::label(names::LAYER_DIGEST, "Layer"),
            Column::label(names::SERVER_ADDRESS, "Registry").width(200),
            Column::label(names::LAYER_SIZE, "Size").unit("bytes").width(100),
            Column::label("duration", "Took").unit("ns").width(100),
            Column::trace().width(140).leads("This pull", shared::link_to(shared::PULL, "traceID")),
        ],
    )
    .found(
        traceql::spans(names::SPAN_DOWNLOAD)
            .only(names::SERVICE_PEER_NAME, "=~ \"${registry:pipe}\"")
            .longer_than("5s")
            .showing(&[names::LAYER_DIGEST, names::SERVER_ADDRESS, names::LAYER_SIZE]),
    )
    .sorted("Took")
    .empty("No layer took longer than five seconds.");
    Row { title: "Which images and layers?", panels: vec![table, layers] }
}
