//! Snapshots of the one snapshotter: those being unpacked into and those committed.

use containerd_client::services::v1::snapshots::{
    Info, Kind, ListSnapshotsRequest, ListSnapshotsResponse, StatSnapshotRequest, StatSnapshotResponse, UsageRequest,
    UsageResponse,
};
use http::Response;
use tonic::{Request, Status, body::Body};

use super::{Call, namespace, parse_filters, proto_labels, proto_size, proto_time};
use crate::containerd::simulated::{events::SNAPSHOTTER, filter::label, shared::Shared, world::store::Snapshot};

/// Most entries in one piece of a list.
const PIECE_ENTRIES: usize = 100;
/// The files and folders that a simulated layer consists of.
const INODES: i64 = 4;

pub(super) async fn answer(method: &str, call: Call) -> Response<Body> {
    match method {
        "List" => call.pieces(list).await,
        "Stat" => call.unary(stat).await,
        "Usage" => call.unary(usage).await,
        _ => call.refuse(),
    }
}

fn stat(shared: &Shared, request: &Request<StatSnapshotRequest>) -> Result<StatSnapshotResponse, Status> {
    let StatSnapshotRequest { snapshotter, key } = request.get_ref();
    check_snapshotter(snapshotter)?;
    let namespace = namespace(request)?;
    let found = shared.look(|simulation| simulation.store(namespace).snapshots.get(key).map(|found| proto_info(key, found)));
    found.map(|info| StatSnapshotResponse { info: Some(info) }).ok_or_else(|| not_found(key))
}

fn usage(shared: &Shared, request: &Request<UsageRequest>) -> Result<UsageResponse, Status> {
    let UsageRequest { snapshotter, key } = request.get_ref();
    check_snapshotter(snapshotter)?;
    let namespace = namespace(request)?;
    let found = shared.look(|simulation| simulation.store(namespace).snapshots.get(key).map(|snapshot| snapshot.size));
    found.map(|size| UsageResponse { size: proto_size(size), inodes: INODES }).ok_or_else(|| not_found(key))
}

fn list(shared: &Shared, request: &Request<ListSnapshotsRequest>) -> Result<Vec<ListSnapshotsResponse>, Status> {
    let ListSnapshotsRequest { snapshotter, filters } = request.get_ref();
    check_snapshotter(snapshotter)?;
    let (namespace, filters) = (namespace(request)?, parse_filters(filters)?);
    let found: Vec<_> = shared.look(|simulation| {
        let snapshots = simulation.store(namespace).snapshots.iter();
        let passing = snapshots.filter(|(name, snapshot)| {
            filters.pass(|path| match path {
                ["name"] => Some((*name).clone()),
                ["parent"] => snapshot.parent.clone(),
                ["kind"] => Some(if snapshot.committed { "committed" } else { "active" }.to_owned()),
                ["labels", name @ ..] => label(&snapshot.labels, name),
                _ => None,
            })
        });
        passing.map(|(name, snapshot)| proto_info(name, snapshot)).collect()
    });
    Ok(found.chunks(PIECE_ENTRIES).map(|info| ListSnapshotsResponse { info: info.to_vec() }).collect())
}

fn check_snapshotter(name: &str) -> Result<(), Status> {
    match name {
        SNAPSHOTTER => Ok(()),
        "" => Err(Status::invalid_argument("snapshotter argument missing: invalid argument")),
        unknown => Err(Status::invalid_argument(format!("snapshotter not loaded: {unknown}: invalid argument"))),
    }
}

fn not_found(key: &str) -> Status {
    Status::not_found(format!("snapshot {key} does not exist: not found"))
}

fn proto_info(name: &str, snapshot: &Snapshot) -> Info {
    let kind = if snapshot.committed { Kind::Committed } else { Kind::Active };
    Info {
        name: name.to_owned(),
        parent: snapshot.parent.clone().unwrap_or_default(),
        kind: kind.into(),
        created_at: Some(proto_time(snapshot.created_at)),
        updated_at: Some(proto_time(snapshot.created_at)),
        labels: proto_labels(&snapshot.labels),
    }
}
