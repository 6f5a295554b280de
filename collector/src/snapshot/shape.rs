//! What of a pull is a number that moves all the time, and what is its shape, which changes a few times in its life. Readers of the dense
//! stream get the shape when it changed and otherwise the numbers alone; every filter but free text looks at shapes only.
//!
//! Numbers are bytes, rate, estimate, finished layers and the sentence that words them; also what else the node did, which is told with
//! the next shape.

use lifecycle::board::status::{LayerStatus, PullStatus};

/// Whether two states of one pull differ in their numbers at most. Of its layers only which they are belongs to its shape.
pub(super) fn is_same(a: &PullStatus, b: &PullStatus) -> bool {
    // Everything is named, so that a new field must be sorted to one side or the other.
    let PullStatus {
        id,
        node_name,
        cluster,
        runtime,
        containerd_namespace,
        image_ref,
        image_digest,
        registry,
        phase,
        outcome,
        wait,
        summary: _,
        total_bytes,
        total_known,
        downloaded_bytes: _,
        cached_bytes,
        size_bytes,
        bytes_per_sec: _,
        eta_seconds: _,
        eta_low_seconds: _,
        eta_high_seconds: _,
        percent: _,
        layer_count,
        layers_done: _,
        layers_cached,
        layers_lazy,
        started_at,
        updated_at: _,
        completed_at,
        error,
        error_class,
        error_hint,
        attempt,
        next_retry_at,
        pods,
        stalled_since,
        stale,
        host: _,
        past: _,
        layers,
    } = a;
    // While the total is a lower bound it moves like the bytes.
    let sizes = !total_known || (*total_bytes == b.total_bytes && *size_bytes == b.size_bytes);
    let count = |layers: &Option<Vec<LayerStatus>>| layers.as_ref().map_or(0, Vec::len);
    let same_layers = count(layers) == count(&b.layers)
        && layers.iter().flatten().zip(b.layers.iter().flatten()).all(|(one, other)| one.digest == other.digest);
    sizes
        && same_layers
        && (id, node_name, cluster, runtime, containerd_namespace)
            == (&b.id, &b.node_name, &b.cluster, &b.runtime, &b.containerd_namespace)
        && (image_ref, image_digest, registry) == (&b.image_ref, &b.image_digest, &b.registry)
        && (phase, outcome, wait, total_known, cached_bytes) == (&b.phase, &b.outcome, &b.wait, &b.total_known, &b.cached_bytes)
        && (layer_count, layers_cached, layers_lazy) == (&b.layer_count, &b.layers_cached, &b.layers_lazy)
        && (started_at, completed_at, stalled_since, stale) == (&b.started_at, &b.completed_at, &b.stalled_since, &b.stale)
        && (error, error_class, error_hint) == (&b.error, &b.error_class, &b.error_hint)
        && (attempt, next_retry_at, pods) == (&b.attempt, &b.next_retry_at, &b.pods)
}

/// Whether two states of one layer differ in their bytes at most.
pub(super) fn is_same_layer(a: &LayerStatus, b: &LayerStatus) -> bool {
    let LayerStatus {
        pull_id,
        digest,
        media_type,
        state,
        total_bytes,
        total_known,
        downloaded_bytes: _,
        percent: _,
        started_at,
        completed_at,
        unpack_started_at,
        unpack_completed_at,
        download_source: _,
        unpack_source: _,
    } = a;
    (pull_id, digest, media_type, state) == (&b.pull_id, &b.digest, &b.media_type, &b.state)
        && (total_bytes, total_known) == (&b.total_bytes, &b.total_known)
        && (started_at, completed_at) == (&b.started_at, &b.completed_at)
        && (unpack_started_at, unpack_completed_at) == (&b.unpack_started_at, &b.unpack_completed_at)
}
