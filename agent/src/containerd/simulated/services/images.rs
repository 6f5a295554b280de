//! Image records, with the filters that name them and their targets.

use containerd_client::{
    services::v1::{GetImageRequest, GetImageResponse, Image, ListImagesRequest, ListImagesResponse},
    types::Descriptor,
};
use http::Response;
use tonic::{Request, Status, body::Body};

use super::{Call, namespace, parse_filters, proto_size, proto_time};
use crate::containerd::simulated::{events::image_labels, filter::label, shared::Shared, world::store::Record};

pub(super) async fn answer(method: &str, call: Call) -> Response<Body> {
    match method {
        "Get" => call.unary(get).await,
        "List" => call.unary(list).await,
        _ => call.refuse(),
    }
}

fn get(shared: &Shared, request: &Request<GetImageRequest>) -> Result<GetImageResponse, Status> {
    let (namespace, name) = (namespace(request)?, &request.get_ref().name);
    let found = shared.look(|simulation| simulation.store(namespace).images.get(name).map(|record| proto_image(name, record)));
    found
        .map(|image| GetImageResponse { image: Some(image) })
        .ok_or_else(|| Status::not_found(format!("image {name:?}: not found")))
}

fn list(shared: &Shared, request: &Request<ListImagesRequest>) -> Result<ListImagesResponse, Status> {
    let (namespace, filters) = (namespace(request)?, parse_filters(&request.get_ref().filters)?);
    let images = shared.look(|simulation| {
        let records = simulation.store(namespace).images.iter();
        let passing = records.filter(|(name, record)| {
            filters.pass(|path| match path {
                ["name"] => Some((*name).clone()),
                ["target", "digest"] => Some(record.target.digest.to_string()),
                ["target", "mediatype"] => Some(record.target.media_type.to_owned()),
                ["labels", name @ ..] => label(&image_labels(), name),
                _ => None,
            })
        });
        passing.map(|(name, record)| proto_image(name, record)).collect()
    });
    Ok(ListImagesResponse { images })
}

fn proto_image(name: &str, record: &Record) -> Image {
    Image {
        name: name.to_owned(),
        labels: image_labels(),
        target: Some(Descriptor {
            media_type: record.target.media_type.to_owned(),
            digest: record.target.digest.to_string(),
            size: proto_size(record.target.size),
            ..Descriptor::default()
        }),
        created_at: Some(proto_time(record.created_at)),
        updated_at: Some(proto_time(record.updated_at)),
    }
}
