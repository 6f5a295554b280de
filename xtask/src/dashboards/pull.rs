//! One pull, from Tempo alone: its trace as a waterfall, its layers and waits as tables, and who waited for it. Found by the trace's id, which
//! is the pull's id everywhere.

use lifecycle::names;

use super::board::{Board, Row, Variable};
use super::panel::Panel;
use super::shared;
use super::table::Column;
use super::traceql::{self, Search};

const ID: &str = "$traceID";
const CHOOSE: &str = "Choose a pull below, or give its id above.";
/// Most layers that a table shows: Tempo gives no more unless told otherwise (`max_spans_per_span_set`).
const LAYERS: u16 = 100;

/// The dashboard.
pub(super) fn board() -> Board {
    let id = Variable::Text { name: "traceID", label: "Pull", value: "" };
    Board {
        uid: shared::PULL,
        title: "Pulltrace / Single pull",
        description: "One pull: what it waited for, which layer was slow, and who waited for it. Its id is the trace's id.",
        from: "now-6h",
        variables: vec![Variable::PROMETHEUS, Variable::TEMPO, Variable::LOKI, shared::cluster(), id, shared::UI],
        annotations: Vec::new(),
        rows: vec![trace(), layers(), waits(), others()],
    }
}

/// Spans of this name in the chosen trace.
fn of_it(name: &str) -> Search {
    traceql::spans(name).of_trace(ID).at_most(1, LAYERS)
}

fn trace() -> Row {
    let words = format!(
        "**[Open it in the web UI]({})** · a pull that still runs has no trace yet: it is sent once, at the end.",
        shared::pull_in_ui("${traceID}")
    );
    let waterfall = Panel::trace(
        "Where did the time go?",
        "The pull as a waterfall: resolving, each layer's download and unpacking, and every wait.",
        traceql::trace(ID),
    );
    let facts = vec![
        Column::label(names::IMAGE_NAME, "Image"),
        Column::label(names::NODE_NAME, "Node").width(180).leads("The node", shared::link_to(shared::NODE, "node")),
        Column::label(names::PULL_OUTCOME, "Outcome").width(110),
        Column::label(names::ERROR_TYPE, "Error").width(140),
        Column::label(names::IMAGE_SIZE, "Size").unit("bytes").width(110),
        Column::label(names::PULL_BYTES_FETCHED, "Fetched").unit("bytes").width(110),
        Column::label(names::PULL_BYTES_CACHED, "Was there").unit("bytes").width(110),
        Column::label(names::LAYER_COUNT, "Layers").width(80),
        Column::label("duration", "Took").unit("ns").width(110),
    ];
    let shown = [
        names::IMAGE_NAME,
        names::NODE_NAME,
        names::PULL_OUTCOME,
        names::ERROR_TYPE,
        names::IMAGE_SIZE,
        names::PULL_BYTES_FETCHED,
        names::PULL_BYTES_CACHED,
        names::LAYER_COUNT,
    ];
    let summary = Panel::table("What was pulled?", "The whole pull in one row.", facts)
        .found(of_it(names::SPAN_PULL).showing(&shown))
        .size(24, 4)
        .empty(CHOOSE);
    let link = Panel::text("In the web UI", "Where the same pull is shown live.", &words).size(24, 2);
    Row { title: "The pull", panels: vec![link, summary, waterfall] }
}

fn layers() -> Row {
    let columns = |with_size: bool| {
        let mut columns = vec![Column::label(names::LAYER_INDEX, "#").width(50), Column::label(names::LAYER_DIGEST, "Layer")];
        if with_size {
            columns.push(Column::label(names::LAYER_SIZE, "Size").unit("bytes").width(100));
            columns.push(Column::label(names::LAYER_BYTES, "Fetched").unit("bytes").width(100));
        }
        columns.push(Column::label("duration", "Took").unit("ns").width(100));
        columns
    };
    let download = Panel::table("Which layer took longest to download?", "Every layer that was fetched.", columns(true))
        .found(of_it(names::SPAN_DOWNLOAD).showing(&[
            names::LAYER_INDEX,
            names::LAYER_DIGEST,
            names::LAYER_SIZE,
            names::LAYER_BYTES,
        ]))
        .sorted("Took")
        .size(14, 10)
        .empty("No layer was fetched by this pull, or none is chosen.");
    let unpack = Panel::table("Which layer took longest to unpack?", "Every layer that was unpacked.", columns(false))
        .found(of_it(names::SPAN_UNPACK).showing(&[names::LAYER_INDEX, names::LAYER_DIGEST]))
        .sorted("Took")
        .size(10, 10)
        .empty("No layer was unpacked by this pull, or none is chosen.");
    Row { title: "Its layers", panels: vec![download, unpack] }
}

fn waits() -> Row {
    let pods = vec![
        Column::label(names::NAMESPACE_NAME, "Namespace").width(140),
        Column::label(names::WORKLOAD_NAME, "Workload").width(180),
        Column::label(names::POD_NAME, "Pod"),
        Column::label(names::CONTAINER_NAME, "Container").width(140),
        Column::label("duration", "Waited").unit("ns").width(100),
    ];
    let shown = [names::NAMESPACE_NAME, names::WORKLOAD_NAME, names::POD_NAME, names::CONTAINER_NAME];
    let waited = Panel::table(
        "Who waited for it?",
        "Containers that waited for this pull, from the kubelet's asking to the image's being there.",
        pods,
    )
    .found(of_it(names::SPAN_WAIT_IMAGE).showing(&shown))
    .sorted("Waited")
    .size(24, 7)
    .empty("No container waited for this pull, or none is chosen.");
    let held = |title, description, span| {
        Panel::table(
            title,
            description,
            vec![
                Column::label("time", "Since").unit("dateTimeAsLocal").width(180),
                Column::label("duration", "Waited").unit("ns"),
            ],
        )
        .found(of_it(span))
        .sorted("Waited")
        .size(8, 5)
    };
    let slot = held(
        "Did it wait for a download slot?",
        "Stretches in which all of containerd's download slots were used by others.",
        names::SPAN_WAIT_SLOT,
    )
    .empty("It did not.");
    let stall = held(
        "Did its bytes stop coming?",
        "Stretches in which no byte came although nothing on the node held it up.",
        names::SPAN_STALL,
    )
    .empty("They did not.");
    let lock = held(
        "Did it wait for another pull?",
        "Stretches in which another pull brought or unpacked a layer of it.",
        names::SPAN_WAIT_LAYER,
    )
    .empty("It did not.");
    Row { title: "Its waits", panels: vec![waited, slot, stall, lock] }
}

fn others() -> Row {
    let slow = shared::pulls_found(
        "Which pulls were slow?",
        "Pulls that took longer than ten seconds. A click on a trace chooses it.",
        traceql::spans(names::SPAN_PULL).longer_than("10s"),
    );
    let failed = shared::pulls_found("Which pulls failed?", "Pulls that failed. A click on a trace chooses it.", {
        traceql::spans(names::SPAN_PULL).failed()
    });
    Row { title: "Choose a pull", panels: vec![slow, failed] }
}
