//! The vocabulary: every attribute, event, span and metric that Pulltrace says, as one table.
//!
//! Code takes the constants, `docs/telemetry.md` is written from [`TABLE`], and dashboards and docs are checked against it, so a name
//! cannot drift. Own names stand under `pulltrace.`; the others are OpenTelemetry's semantic conventions (v1.42).

/// What a name is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Attribute of an OTLP resource.
    Resource,
    /// Attribute of a log record or span.
    Attribute,
    /// `event_name` of a log record.
    Event,
    /// Name of a span.
    Span,
    /// Prometheus metric of the collector: a value that goes up and down.
    Gauge,
    /// Prometheus metric of the collector: a value that only grows.
    Counter,
    /// Prometheus metric of the collector: a distribution.
    Histogram,
    /// OTLP metric of the agent: a value that goes up and down. On its `/metrics` under [`Entry::prometheus`].
    AgentGauge,
    /// OTLP metric of the agent: a value that only grows.
    AgentCounter,
    /// OTLP metric of the agent: a distribution.
    AgentHistogram,
    /// Prometheus metric of the agent's process, on its `/metrics` only; named by Prometheus' conventions.
    Process,
}

impl Kind {
    /// The word in the generated documentation.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resource => "resource attribute",
            Self::Attribute => "attribute",
            Self::Event => "event",
            Self::Span => "span",
            Self::Gauge | Self::AgentGauge => "gauge",
            Self::Counter | Self::AgentCounter => "counter",
            Self::Process => "process metric",
            Self::Histogram | Self::AgentHistogram => "histogram",
        }
    }
}

/// One row of the vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name as it stands on the wire or on `/metrics`.
    pub name: &'static str,
    /// What it names.
    pub kind: Kind,
    /// UCUM unit, or for attributes the type of the value; empty where neither applies.
    pub unit: &'static str,
    /// Labels that a metric may carry; all of bounded cardinality.
    pub labels: &'static [&'static str],
    /// One sentence for the operator.
    pub help: &'static str,
}

impl Entry {
    /// The row of a name.
    pub fn of(name: &str) -> Option<&'static Self> {
        TABLE.iter().find(|entry| entry.name == name)
    }

    /// The name on a `/metrics`: that of an OTLP metric follows from its name, kind and unit by OpenTelemetry's rules for Prometheus.
    pub fn prometheus(&self) -> String {
        let unit = match self.unit {
            "s" => "_seconds",
            "By" => "_bytes",
            "By/s" => "_bytes_per_second",
            "%" => "_percent",
            _ => "",
        };
        let name = self.name.replace('.', "_");
        match self.kind {
            Kind::AgentGauge | Kind::AgentHistogram => name + unit,
            Kind::AgentCounter => name + unit + "_total",
            Kind::Resource
            | Kind::Attribute
            | Kind::Event
            | Kind::Span
            | Kind::Gauge
            | Kind::Counter
            | Kind::Histogram
            | Kind::Process => name,
        }
    }
}

macro_rules! vocabulary {
    ($($const:ident = $kind:ident $name:literal $unit:literal [$($label:literal),*] $help:literal;)*) => {
        $(#[doc = $help] pub const $const: &str = $name;)*

        /// Every name, in the order of the documentation.
        pub const TABLE: &[Entry] = &[
            $(Entry { name: $name, kind: Kind::$kind, unit: $unit, labels: &[$($label),*], help: $help },)*
        ];
    };
}

vocabulary! {
    // resource
    SERVICE_NAME = Resource "service.name" "string" [] "Always `pulltrace` for what is said about pulls.";
    SERVICE_VERSION = Resource "service.version" "string" [] "Version of the agent.";
    SERVICE_INSTANCE_ID = Resource "service.instance.id" "string" [] "The node's uid: one agent speaks for one node.";
    NODE_NAME = Resource "k8s.node.name" "string" [] "Node on which the pull runs; the host's name outside Kubernetes.";
    NODE_UID = Resource "k8s.node.uid" "string" [] "The node's uid; the machine's id outside Kubernetes.";
    CLUSTER_NAME = Resource "k8s.cluster.name" "string" [] "Name of the cluster, if one was configured.";
    RUNTIME_NAME = Resource "container.runtime.name" "string" [] "Container runtime, `containerd`.";
    RUNTIME_VERSION = Resource "container.runtime.version" "string" [] "Version of the runtime as it says itself.";

    // log records
    EVENT_STARTED = Event "pulltrace.pull.started" "" [] "A pull was seen for the first time; carries its whole state.";
    EVENT_PROGRESS = Event "pulltrace.pull.progress" "" [] "The whole present state of a pull that changed; at most one a second.";
    EVENT_FINISHED = Event "pulltrace.pull.finished" "" [] "A pull ended; carries its whole state with the outcome.";
    EVENT_NODE = Event "pulltrace.node" "" [] "The agent and its runtime: sent on change, else every 30 s.";

    // spans
    SPAN_PULL = Span "pull image" "" [] "The whole pull, from its lease to its outcome; the root of the trace.";
    SPAN_RESOLVE = Span "resolve image" "" [] "From the lease to the manifest and config being here.";
    SPAN_DOWNLOAD = Span "download layer" "" [] "From opening a layer's download to its commit.";
    SPAN_UNPACK = Span "unpack layer" "" [] "From the start of unpacking a layer to its snapshot's commit.";
    SPAN_WAIT_LAYER = Span "wait for layer" "" [] "A stretch in which the pull waited for a layer that another one brings or unpacks.";
    SPAN_WAIT_SLOT = Span "wait for download slot" "" [] "A stretch in which all of containerd's download slots were used by others.";
    SPAN_WAIT_IMAGE = Span "wait for image" "" [] "A container's wait for this pull, from the kubelet's asking for the image to its being here or not to be had; added by the collector, one for each.";
    SPAN_STALL = Span "stalled download" "" [] "A stretch in which no byte came, though nothing on the node held it up.";

    // attributes of a pull
    PULL_SEQUENCE = Attribute "pulltrace.pull.sequence" "int" [] "Grows with every report of a pull; the highest one wins.";
    PULL_PHASE = Attribute "pulltrace.pull.phase" "string" [] "queued, resolving, downloading or unpacking; a finished pull keeps its last one.";
    PULL_OUTCOME = Attribute "pulltrace.pull.outcome" "string" [] "ready, failed, canceled or lost; absent while the pull runs.";
    PULL_STARTED_AT = Attribute "pulltrace.pull.started_at" "int, ns" [] "When the pull began, nanoseconds since the Unix epoch.";
    PULL_RESOLVED_AT = Attribute "pulltrace.pull.resolved_at" "int, ns" [] "When manifest and config were here.";
    PULL_ENDED_AT = Attribute "pulltrace.pull.ended_at" "int, ns" [] "When the pull ended.";
    PULL_CACHE = Attribute "pulltrace.pull.cache" "string" [] "none, partial or full: how much of the image was on the node.";
    PULL_TOTAL_KNOWN = Attribute "pulltrace.pull.total_known" "boolean" [] "Whether the manifest was read; else sizes are lower bounds.";
    PULL_BYTES_PER_SEC = Attribute "pulltrace.pull.rate" "int, By/s" [] "Bytes per second over the last seconds.";
    PULL_ETA = Attribute "pulltrace.pull.eta" "int, ns" [] "Estimated time to ready; absent while only a lower bound can be told.";
    PULL_ETA_LOW = Attribute "pulltrace.pull.eta_low" "int, ns" [] "Lower bound of the time to ready; without the other two: at least so long.";
    PULL_ETA_HIGH = Attribute "pulltrace.pull.eta_high" "int, ns" [] "Upper bound of the time to ready; between the two it lies four times in five.";
    PULL_WAIT = Attribute "pulltrace.pull.wait.kind" "string" [] "download_slot, layer_lock, stalled or retrying; absent while bytes move. containerd shows no observer that it retries, so its pulls never say retrying.";
    PULL_WAIT_SINCE = Attribute "pulltrace.pull.wait.since" "int, ns" [] "When the waiting began.";
    PULL_WAIT_HOLDER = Attribute "pulltrace.pull.wait.holder" "string" [] "Pull that holds the layer (its trace id).";
    PULL_WAIT_LAYER = Attribute "pulltrace.pull.wait.layer" "string" [] "Digest of the layer that is waited for.";
    WAITS_KIND = Attribute "pulltrace.waits.kind" "string[]" [] "Waits that are over, oldest first: download_slot, layer_lock, stalled or retrying.";
    WAITS_SINCE = Attribute "pulltrace.waits.since" "int[], ns" [] "When each of them began.";
    WAITS_UNTIL = Attribute "pulltrace.waits.until" "int[], ns" [] "When each of them was over.";
    WAITS_HOLDER = Attribute "pulltrace.waits.holder" "string[]" [] "Pull that held the layer; empty for other waits.";
    WAITS_LAYER = Attribute "pulltrace.waits.layer" "string[]" [] "Digest of the layer that was waited for; empty for other waits.";
    PULL_BYTES_FETCHED = Attribute "pulltrace.pull.bytes.fetched" "int, By" [] "Bytes that this pull fetched.";
    PULL_BYTES_CACHED = Attribute "pulltrace.pull.bytes.cached" "int, By" [] "Bytes that did not need to be fetched.";
    HOST_NETWORK_RATE = Attribute "pulltrace.host.network.rate" "int, By/s" [] "Bytes per second that the node's network cards received, for whomever.";
    HOST_NETWORK_LIMIT = Attribute "pulltrace.host.network.limit" "int, By/s" [] "Bytes per second that the links of these cards carry.";
    HOST_DISK_BUSY = Attribute "pulltrace.host.disk.busy" "int, %" [] "Share of time in which the disk below containerd's folder was busy.";
    HOST_IO_SOME = Attribute "pulltrace.host.io.some" "int, %" [] "Share of the last 10 s in which some task waited for disks (PSI).";
    HOST_IO_FULL = Attribute "pulltrace.host.io.full" "int, %" [] "Share of the last 10 s in which all tasks waited for disks (PSI).";
    HOST_MEMORY_SOME = Attribute "pulltrace.host.memory.some" "int, %" [] "Share of the last 10 s in which some task waited for memory (PSI).";
    HOST_MEMORY_FULL = Attribute "pulltrace.host.memory.full" "int, %" [] "Share of the last 10 s in which all tasks waited for memory (PSI).";
    HOST_CPU_SOME = Attribute "pulltrace.host.cpu.some" "int, %" [] "Share of the last 10 s in which some task waited for a processor (PSI).";
    IMAGE_SIZE = Attribute "pulltrace.image.size" "int, By" [] "Size of all layers as stored in the manifest (compressed).";
    IMAGE_NAME = Attribute "container.image.name" "string" [] "Best known reference of the image.";
    IMAGE_TAGS = Attribute "container.image.tags" "string[]" [] "The tag, where it is known.";
    IMAGE_DIGEST = Attribute "oci.manifest.digest" "string" [] "Digest that the name stands for: of the index or the manifest.";
    SERVER_ADDRESS = Attribute "server.address" "string" [] "Host of the registry.";
    SERVICE_PEER_NAME = Attribute "service.peer.name" "string" [] "Host of the registry, as service graphs want it.";
    ERROR_TYPE = Attribute "error.type" "string" [] "Error class; absent on success.";
    ERROR_MESSAGE = Attribute "error.message" "string" [] "Original text of the error, or what was observed.";
    CONTAINERD_NAMESPACE = Attribute "pulltrace.containerd.namespace" "string" [] "containerd's namespace: k8s.io, moby, default, ...";
    SNAPSHOTTER = Attribute "pulltrace.snapshotter.name" "string" [] "Snapshotter that unpacks the layers.";
    TIMING_SOURCE = Attribute "pulltrace.timing.source" "string" [] "event, record, poll or inferred: how exactly a time is known.";

    // attributes of the wait of a container
    NAMESPACE_NAME = Attribute "k8s.namespace.name" "string" [] "Namespace of the pod that waits.";
    POD_NAME = Attribute "k8s.pod.name" "string" [] "Name of the pod that waits.";
    POD_UID = Attribute "k8s.pod.uid" "string" [] "Uid of the pod that waits.";
    CONTAINER_NAME = Attribute "k8s.container.name" "string" [] "Its container that waits, of any kind, or its volume that is an image.";
    WORKLOAD_KIND = Attribute "pulltrace.workload.kind" "string" [] "Kind of who made the pod: Deployment, Job, ...; absent if nobody did.";
    WORKLOAD_NAME = Attribute "pulltrace.workload.name" "string" [] "Name of who made the pod.";

    // attributes of a layer's spans
    LAYER_COUNT = Attribute "pulltrace.layer.count" "int" [] "Layers of the image.";
    LAYER_CACHED_COUNT = Attribute "pulltrace.layer.cached_count" "int" [] "Layers that were not fetched by this pull.";
    LAYER_LAZY_COUNT = Attribute "pulltrace.layer.lazy_count" "int" [] "Layers that a lazy snapshotter mounted from afar; absent if none is.";
    LAYER_DIGEST = Attribute "pulltrace.layer.digest" "string" [] "Digest of the layer's blob.";
    LAYER_INDEX = Attribute "pulltrace.layer.index" "int" [] "Position in the manifest, base layer = 0.";
    LAYER_SIZE = Attribute "pulltrace.layer.size" "int, By" [] "Compressed size of the layer.";
    LAYER_MEDIA_TYPE = Attribute "pulltrace.layer.media_type" "string" [] "Media type from the manifest.";
    LAYER_BYTES = Attribute "pulltrace.layer.bytes_received" "int, By" [] "Compressed bytes that were fetched.";

    // the layers of a report, as parallel arrays of equal length
    LAYERS_DIGEST = Attribute "pulltrace.layers.digest" "string[]" [] "Digests, base layer first.";
    LAYERS_MEDIA_TYPE = Attribute "pulltrace.layers.media_type" "string[]" [] "Media types; empty while unknown.";
    LAYERS_SIZE = Attribute "pulltrace.layers.size" "int[], By" [] "Compressed sizes.";
    LAYERS_OFFSET = Attribute "pulltrace.layers.offset" "int[], By" [] "Bytes fetched so far.";
    LAYERS_STATE = Attribute "pulltrace.layers.state" "string[]" [] "queued, downloading, downloaded, unpacking, ready, cached or failed.";
    LAYERS_CACHED = Attribute "pulltrace.layers.cached" "boolean[]" [] "Whether the layer needed no fetching by this pull.";
    LAYERS_LAZY = Attribute "pulltrace.layers.lazy" "boolean[]" [] "Whether a lazy snapshotter mounted the layer from afar; absent if none is.";
    LAYERS_DOWNLOAD_START = Attribute "pulltrace.layers.download.start" "int[], ns" [] "When the download was opened; 0 = unknown.";
    LAYERS_DOWNLOAD_END = Attribute "pulltrace.layers.download.end" "int[], ns" [] "When the blob was committed; 0 = unknown.";
    LAYERS_DOWNLOAD_SOURCE = Attribute "pulltrace.layers.download.source" "string[]" [] "How exactly the download's times are known.";
    LAYERS_UNPACK_START = Attribute "pulltrace.layers.unpack.start" "int[], ns" [] "When unpacking began; 0 = unknown.";
    LAYERS_UNPACK_END = Attribute "pulltrace.layers.unpack.end" "int[], ns" [] "When the snapshot was committed; 0 = unknown.";
    LAYERS_UNPACK_SOURCE = Attribute "pulltrace.layers.unpack.source" "string[]" [] "How exactly the unpacking's times are known.";

    // attributes of the agent's heartbeat
    AGENT_VERSION = Attribute "pulltrace.agent.version" "string" [] "Version of the agent.";
    AGENT_REACHABLE = Attribute "pulltrace.agent.runtime_reachable" "boolean" [] "Whether the agent reaches its runtime.";
    AGENT_ACTIVE = Attribute "pulltrace.agent.active_pulls" "int" [] "Pulls that run on the node now.";
    AGENT_QUEUED = Attribute "pulltrace.node.queued_images" "string[]" [] "Images that the kubelet is about to pull and that wait for their turn, oldest first; absent if none do.";
    AGENT_DROPPED_PROGRESS = Attribute "pulltrace.agent.dropped.progress" "int" [] "Progress reports that could not be delivered and were dropped.";
    AGENT_DROPPED_OUTCOMES = Attribute "pulltrace.agent.dropped.outcomes" "int" [] "Outcomes that were dropped because memory was used up.";

    // what the agent measures
    AGENT_METRIC_PULLS = AgentHistogram "pulltrace.image.pull.duration" "s" ["pulltrace.pull.outcome", "server.address", "pulltrace.pull.cache", "error.type"] "Duration of pulls that ended on this node; their number is its count.";
    AGENT_METRIC_ACTIVE = AgentGauge "pulltrace.image.pull.active" "{pull}" [] "Pulls that run on this node now.";
    AGENT_METRIC_QUEUED = AgentGauge "pulltrace.image.pull.queued" "{image}" [] "Images that the kubelet is about to pull and that wait for their turn.";
    AGENT_METRIC_NETWORK = AgentGauge "pulltrace.host.network.receive" "By/s" [] "Bytes per second that the node's network cards received, for whomever; while pulls run.";
    AGENT_METRIC_NETWORK_LIMIT = AgentGauge "pulltrace.host.network.capacity" "By/s" [] "Bytes per second that the links of these cards carry; while pulls run.";
    AGENT_METRIC_DISK = AgentGauge "pulltrace.host.disk.utilization" "%" [] "Share of time in which the disk below containerd's folder was busy; while pulls run.";
    AGENT_METRIC_IO_PRESSURE = AgentGauge "pulltrace.host.io.pressure" "%" [] "Share of time in which some task waited for disks; while pulls run.";
    AGENT_METRIC_MEMORY_PRESSURE = AgentGauge "pulltrace.host.memory.pressure" "%" [] "Share of time in which all tasks waited for memory; while pulls run.";
    AGENT_METRIC_CPU_PRESSURE = AgentGauge "pulltrace.host.cpu.pressure" "%" [] "Share of time in which some task waited for a processor; while pulls run.";
    AGENT_METRIC_IO = AgentCounter "pulltrace.layer.download.io" "By" ["server.address", "pulltrace.layer.source"] "Compressed bytes of pulls that ended: from the registry, or from the node's cache.";
    AGENT_METRIC_DOWNLOAD = AgentHistogram "pulltrace.layer.download.duration" "s" ["server.address"] "Time from opening a layer's download to its commit.";
    AGENT_METRIC_UNPACK = AgentHistogram "pulltrace.layer.unpack.duration" "s" ["pulltrace.snapshotter.name"] "Time from the start of unpacking a layer to its snapshot's commit.";
    AGENT_METRIC_REACHABLE = AgentGauge "pulltrace.agent.runtime.reachable" "" [] "1 if every runtime of the node that was found answers the agent, else 0.";
    AGENT_METRIC_RECONNECTS = AgentCounter "pulltrace.agent.reconnects" "{reconnect}" [] "Connections to the runtime that were lost and are made anew.";
    AGENT_METRIC_SURVEYS = AgentHistogram "pulltrace.agent.survey.duration" "s" [] "Time that a complete look at the runtime took; how many there were is its count.";
    AGENT_METRIC_CALLS = AgentCounter "pulltrace.agent.runtime.calls" "{call}" ["rpc.method"] "Calls to the runtime.";
    AGENT_METRIC_CALL_ERRORS = AgentCounter "pulltrace.agent.runtime.errors" "{call}" ["rpc.method", "error.type"] "Calls that the runtime did not answer, or with an error.";
    AGENT_METRIC_EVENTS = AgentCounter "pulltrace.agent.events" "{event}" [] "Events of the runtime that say something about pulls.";
    AGENT_METRIC_EXPORTS = AgentCounter "pulltrace.agent.exports" "{request}" ["pulltrace.signal", "pulltrace.export.result"] "OTLP requests by what became of them: accepted, rejected (in part or whole), retried, or unsupported.";
    AGENT_METRIC_DROPPED = AgentCounter "pulltrace.agent.dropped" "{report}" ["pulltrace.report.kind"] "Reports that were given up: progress or outcome.";
    AGENT_METRIC_QUEUE = AgentGauge "pulltrace.agent.queue.size" "By" [] "Memory of reports that wait to be delivered.";
    PROCESS_CPU = Process "process_cpu_seconds_total" "s" [] "Processor time that the agent used.";
    PROCESS_MEMORY = Process "process_resident_memory_bytes" "By" [] "Memory that the agent occupies.";
    PROCESS_FDS = Process "process_open_fds" "{fd}" [] "Files and connections that the agent has open.";
    PROCESS_START = Process "process_start_time_seconds" "s" [] "When the agent was started, since the Unix epoch.";

    // attributes of these
    LAYER_SOURCE = Attribute "pulltrace.layer.source" "string" [] "registry or cache: where bytes came from.";
    RPC_METHOD = Attribute "rpc.method" "string" [] "Method of the runtime, `Leases/List`.";
    SIGNAL = Attribute "pulltrace.signal" "string" [] "logs, traces or metrics.";
    EXPORT_RESULT = Attribute "pulltrace.export.result" "string" [] "accepted, rejected, retried or unsupported.";
    REPORT_KIND = Attribute "pulltrace.report.kind" "string" [] "progress or outcome.";
    METRIC_OVERFLOW = Attribute "otel.metric.overflow" "boolean" [] "Stands instead of all labels on the series of those beyond the bound.";

    // the collector's /metrics
    METRIC_ACTIVE = Gauge "pulltrace_pulls_active" "{pull}" [] "Pulls that run now.";
    METRIC_IN_PHASE = Gauge "pulltrace_pulls_in_phase" "{pull}" ["phase"] "Pulls that run now, by phase.";
    METRIC_STALLED = Gauge "pulltrace_pulls_stalled" "{pull}" [] "Pulls of which no byte has arrived for too long.";
    METRIC_PODS_WAITING = Gauge "pulltrace_pods_waiting" "{pod}" [] "Pods that lack an image for which their kubelet has asked.";
    METRIC_POD_WAIT = Histogram "pulltrace_pod_image_wait_seconds" "s" [] "Time from a kubelet's first asking for a container's image until it was there; exemplars carry the trace id of the pull.";
    METRIC_QUEUE = Histogram "pulltrace_image_queue_seconds" "s" [] "Time from a kubelet's asking for an image until its runtime began to pull it; exemplars carry the trace id of the pull.";
    METRIC_ACTIVE_RATIO = Gauge "pulltrace_active_pull_progress_ratio" "1" ["node", "image", "phase"] "Share of what is to be fetched that is fetched, of the longest running pulls.";
    METRIC_ACTIVE_RATE = Gauge "pulltrace_active_pull_bytes_per_second" "By/s" ["node", "image", "phase"] "Speed of the longest running pulls.";
    METRIC_ACTIVE_ETA = Gauge "pulltrace_active_pull_eta_seconds" "s" ["node", "image", "phase"] "Estimated time to ready of the longest running pulls.";
    METRIC_ACTIVE_STALLED = Gauge "pulltrace_active_pull_stalled_timestamp_seconds" "s" ["node", "image", "phase"] "Since when no byte of a long running pull has come, by the node's clock; only of those that stall.";
    METRIC_NODE_ACTIVE = Gauge "pulltrace_node_pulls_active" "{pull}" ["node"] "Pulls that run on a node, of the nodes with the most.";
    METRIC_NODE_QUEUED = Gauge "pulltrace_node_images_queued" "{image}" ["node"] "Images that wait for their turn in the kubelet, of the nodes with the most.";
    METRIC_NODE_DISK = Gauge "pulltrace_node_disk_busy_ratio" "1" ["node"] "Share of time in which the disk below containerd's folder was busy, of the nodes with pulls where it is highest.";
    METRIC_NODE_IO = Gauge "pulltrace_node_io_pressure_ratio" "1" ["node"] "Share of time in which some task waited for disks (PSI), of the nodes with pulls where it is highest.";
    METRIC_NODE_DELAY = Gauge "pulltrace_node_report_delay_seconds" "s" ["node"] "Time from an observation until its report was here, of each node's last report, of the nodes where it is longest.";
    METRIC_AGENT_SILENT = Gauge "pulltrace_agent_last_seen_timestamp_seconds" "s" ["node"] "When an agent that is silent was heard last, of those that are silent for longest and whose nodes were not removed.";
    METRIC_WORKLOAD_SINCE = Gauge "pulltrace_workload_image_wait_timestamp_seconds" "s" ["namespace", "kind", "workload"] "Since when the pods of a workload wait for an image, of the workloads that wait for longest.";
    METRIC_WORKLOAD_ETA = Gauge "pulltrace_workload_image_eta_seconds" "s" ["namespace", "kind", "workload"] "Estimated time until the last image that the pods of such a workload wait for is there.";
    METRIC_HELD_UP = Gauge "pulltrace_pulls_held_up" "{pull}" ["by"] "Pulls that run now and are clearly held up: by the kubelet's queue, a wait within the runtime (download_slot, layer_lock, stalled, retrying), or the node itself (network, memory, disk).";
    METRIC_WORKLOAD_NODES = Gauge "pulltrace_workload_nodes" "{node}" ["namespace", "kind", "workload", "state"] "Nodes by how far the images of a workload are there (done, pulling, queued, failed): of the workloads that lack most, as many as are configured; the others together as `other`.";
    METRIC_PULLS = Counter "pulltrace_pulls_total" "{pull}" ["outcome", "registry", "cache"] "Pulls that ended.";
    METRIC_DURATION = Histogram "pulltrace_pull_duration_seconds" "s" ["outcome", "registry", "cache"] "Duration of pulls that ended; exemplars carry the trace id.";
    METRIC_PHASE_DURATION = Histogram "pulltrace_pull_phase_duration_seconds" "s" ["phase", "registry"] "Time that ended pulls spent in each phase; exemplars carry the trace id.";
    METRIC_SIZE_DURATION = Histogram "pulltrace_pull_size_duration_seconds" "s" ["size", "registry"] "Duration of pulls that fetched something and became ready, by how much that was: small (below 100 MB), medium (1 GB), large (10 GB) or huge.";
    METRIC_REPULLS = Counter "pulltrace_repulls_total" "{pull}" ["registry"] "Pulls that fetched an image again that the node had, as far as the collector remembers.";
    METRIC_BYTES = Counter "pulltrace_pull_bytes_total" "By" ["registry", "source"] "Compressed bytes of pulls that ended, fetched and cached.";
    METRIC_ERRORS = Counter "pulltrace_pull_errors_total" "{pull}" ["class", "registry"] "Pulls that failed, by error class.";
    METRIC_PULL_WAIT = Counter "pulltrace_pull_wait_seconds_total" "s" ["kind"] "Time that ended pulls waited within the runtime: for a download slot (download_slot), for a layer that another pull brings (layer_lock), or for bytes that did not come (stalled).";
    METRIC_THROUGHPUT = Histogram "pulltrace_pull_throughput_bytes_per_second" "By/s" ["registry"] "Bytes that an ended pull fetched, by the time that it downloaded; exemplars carry the trace id.";
    METRIC_AGENTS_IN_STATE = Gauge "pulltrace_agents_in_state" "{agent}" ["state"] "Agents that are known: watching, blind (heard, but without their runtime), or silent (not heard for three heartbeats).";
    METRIC_AGENTS = Gauge "pulltrace_agents_connected" "{agent}" [] "Agents heard of within three heartbeats.";
    METRIC_REPORTS = Counter "pulltrace_agent_reports_total" "{report}" [] "Reports about pulls and nodes that were understood.";
    METRIC_REPORT_DELAY = Histogram "pulltrace_agent_report_delay_seconds" "s" [] "Time from an observation on the node until its report was here, by the clocks of both.";
    METRIC_POD_WAITS = Counter "pulltrace_pod_waits_total" "{wait}" ["told_by"] "Waits of containers for images that are over, by who told of the pull: agent, kubelet or nobody.";
    METRIC_SSE_CLIENTS = Gauge "pulltrace_sse_clients_active" "{client}" [] "Clients that read the event stream now.";
    METRIC_SSE_OPENED = Counter "pulltrace_sse_opened_total" "{client}" ["start"] "Streams that began: new, resumed, or with an id that is unknown or too old.";
    METRIC_SSE_REFUSED = Counter "pulltrace_sse_refused_total" "{client}" ["reason"] "Readers that were not let in: too many in total or from one address, or too long a header.";
    METRIC_SSE_ENDED = Counter "pulltrace_sse_ended_total" "{client}" ["reason"] "Connections of readers that were ended: unread for too long, or so far behind that what left is forgotten.";
    METRIC_SSE_BUILT = Counter "pulltrace_sse_chunks_built_total" "{chunk}" [] "Pieces of streams that were written, each for all readers who need the same.";
    METRIC_SSE_SENT = Counter "pulltrace_sse_chunks_sent_total" "{chunk}" [] "Pieces of streams that readers took.";
    METRIC_SSE_BYTES = Counter "pulltrace_sse_sent_bytes_total" "By" [] "Bytes of streams that readers took, compressed where they are.";
    METRIC_RECEIVED = Counter "pulltrace_receiver_accepted_total" "{record}" [] "OTLP records, spans and data points that were accepted.";
    METRIC_REJECTED = Counter "pulltrace_receiver_rejected_total" "{record}" ["reason"] "OTLP records or whole requests that were refused.";
    METRIC_BOARD_PULLS = Gauge "pulltrace_board_pulls" "{pull}" [] "Pulls in memory, running and ended.";
    METRIC_BOARD_EVICTED = Counter "pulltrace_board_evicted_total" "{pull}" ["reason"] "Pulls that were forgotten: ttl, or capacity.";
    METRIC_BOARD_REFUSED = Counter "pulltrace_board_refused_total" "{report}" ["reason"] "Reports that changed nothing: stale, final, foreign (of another node's pull), capacity, or other_agent (a Go agent beside one of ours).";
    METRIC_BOARD_PODS_REFUSED = Counter "pulltrace_board_pods_refused_total" "{pod}" [] "Pods and their events for which there was no memory.";
    METRIC_FORWARD_ACCEPTED = Counter "pulltrace_forward_accepted_total" "{request}" ["sink"] "Requests that were to be forwarded: at every scrape the sum of those sent, queued and dropped.";
    METRIC_FORWARD_WAITING = Gauge "pulltrace_forward_queued" "{request}" ["sink"] "Requests that wait to be forwarded.";
    METRIC_FORWARD_QUEUED = Gauge "pulltrace_forward_queued_bytes" "By" ["sink"] "Bytes that wait to be forwarded.";
    METRIC_FORWARD_SENT = Counter "pulltrace_forward_sent_total" "{request}" ["sink"] "Requests that a sink accepted.";
    METRIC_FORWARD_PARTIAL = Counter "pulltrace_forward_partial_total" "{record}" ["sink"] "Records that a sink refused of requests that it accepted.";
    METRIC_FORWARD_DROPPED = Counter "pulltrace_forward_dropped_total" "{request}" ["sink", "reason"] "Requests that were not forwarded.";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_name_stands_once_in_the_table() {
        let names: BTreeSet<_> = TABLE.iter().map(|e| e.name).collect();
        assert_eq!(names.len(), TABLE.len());
    }

    #[test]
    fn every_row_explains_itself_in_a_sentence() {
        assert!(TABLE.iter().all(|e| e.help.ends_with('.') && e.help.len() > 10), "help ends with a full stop");
    }

    #[test]
    fn prometheus_names_follow_their_conventions() {
        for entry in TABLE {
            match entry.kind {
                Kind::Counter => assert!(entry.name.ends_with("_total"), "{}", entry.name),
                Kind::Histogram => {
                    let unit = if entry.unit == "By/s" { "_bytes_per_second" } else { "_seconds" };
                    assert!(entry.name.ends_with(unit) && ["s", "By/s"].contains(&entry.unit), "{}", entry.name);
                }
                Kind::Gauge => assert!(!entry.name.ends_with("_total"), "{}", entry.name),
                Kind::AgentGauge | Kind::AgentCounter => assert!(!entry.name.ends_with("total"), "{}", entry.name),
                Kind::AgentHistogram => assert!(entry.name.ends_with(".duration") && entry.unit == "s", "{}", entry.name),
                Kind::Process => assert!(entry.labels.is_empty(), "{}", entry.name),
                Kind::Resource | Kind::Attribute | Kind::Event | Kind::Span => assert!(entry.labels.is_empty(), "{}", entry.name),
            }
        }
    }

    #[test]
    fn what_the_agent_measures_has_a_name_on_metrics_too() {
        let name = |name| Entry::of(name).map(Entry::prometheus);
        assert_eq!(name(AGENT_METRIC_PULLS).as_deref(), Some("pulltrace_image_pull_duration_seconds"));
        assert_eq!(name(AGENT_METRIC_IO).as_deref(), Some("pulltrace_layer_download_io_bytes_total"));
        assert_eq!(name(AGENT_METRIC_ACTIVE).as_deref(), Some("pulltrace_image_pull_active"));
        assert_eq!(name(AGENT_METRIC_NETWORK).as_deref(), Some("pulltrace_host_network_receive_bytes_per_second"));
        assert_eq!(name(AGENT_METRIC_DISK).as_deref(), Some("pulltrace_host_disk_utilization_percent"));
        assert_eq!(name(PROCESS_CPU).as_deref(), Some("process_cpu_seconds_total"));
    }

    #[test]
    fn no_metric_is_labelled_with_what_has_no_bound() {
        // A few pulls, nodes and workloads, as many as are configured: their series end with what they speak of.
        let bounded = ["pulltrace_active_pull_", "pulltrace_node_", "pulltrace_workload_", METRIC_AGENT_SILENT];
        let unbounded = ["image", "digest", "pod", "pull", "node", "layer", "namespace", "workload"];
        let rest = TABLE.iter().filter(|entry| !bounded.iter().any(|begin| entry.name.starts_with(begin)));
        assert!(rest.flat_map(|e| e.labels).all(|label| !unbounded.contains(label)));
    }
}
