//! The calls the kubelet makes to pull and remove images: `runtime.v1.ImageService` of the Container Runtime Interface over gRPC on a
//! unix socket. Only the fields these tests need are declared; numbers are those of k8s.io/cri-api `runtime/v1/api.proto`.

use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::grpc::{Refused, run, unary, unix};

/// A pull under way, on a thread of its own. Dropping it cancels it, as the end of a kubelet does.
#[derive(Debug)]
pub struct Pull {
    cancel: Option<oneshot::Sender<()>>,
    call: Option<JoinHandle<Result<String, Refused>>>,
}

impl Pull {
    /// Begins to pull. With a deadline, containerd itself ends the call when it passes.
    pub(crate) fn start(socket: &Path, image: &str, deadline: Option<Duration>) -> Self {
        let (cancel, canceled) = oneshot::channel();
        let (socket, image) = (socket.to_owned(), ImageSpec { image: image.to_owned() });
        let call = std::thread::spawn(move || {
            let request = PullImageRequest { image: Some(image) };
            run(async {
                tokio::select! {
                    biased;
                    _ = canceled => Err(Refused { code: tonic::Code::Cancelled, message: "canceled by the test".into() }),
                    answer = unary(unix(&socket), "/runtime.v1.ImageService/PullImage", request, deadline) => answer,
                }
            })
            .map(|answer: PullImageResponse| answer.image_ref)
        });
        Self { cancel: Some(cancel), call: Some(call) }
    }

    /// Whether it has ended, in whatever way.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.call.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits for its end and returns the image's id.
    ///
    /// # Errors
    /// What containerd answered, or that the call was canceled.
    pub fn wait(mut self) -> Result<String, Refused> {
        let call = self.call.take().expect("a pull is waited for once");
        // Nothing was canceled, so the sender must outlive the call.
        let ended = call.join().expect("the thread of a call does not panic");
        self.cancel.take();
        ended
    }

    /// Breaks the call off, as a kubelet that restarts does, and waits until it is.
    pub fn cancel(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.cancel.take().map(|cancel| cancel.send(()));
        self.call.take().map(JoinHandle::join);
    }
}

impl Drop for Pull {
    fn drop(&mut self) {
        self.end();
    }
}

/// Removes an image and with it, soon, its layers.
///
/// # Errors
/// What containerd answered.
pub(crate) fn remove_image(socket: &Path, image: &str) -> Result<(), Refused> {
    let request = RemoveImageRequest { image: Some(ImageSpec { image: image.to_owned() }) };
    run(unary(unix(socket), "/runtime.v1.ImageService/RemoveImage", request, None)).map(|_: RemoveImageResponse| ())
}

/// The names of the images there are.
///
/// # Errors
/// What containerd answered, or that it cannot be reached.
pub(crate) fn images(socket: &Path) -> Result<Vec<String>, Refused> {
    let limit = Some(Duration::from_secs(5));
    run(unary(unix(socket), "/runtime.v1.ImageService/ListImages", ListImagesRequest {}, limit))
        .map(|answer: ListImagesResponse| answer.images.into_iter().flat_map(|i| i.repo_tags).collect())
}

#[derive(Clone, PartialEq, prost::Message)]
struct ImageSpec {
    #[prost(string, tag = "1")]
    image: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PullImageRequest {
    #[prost(message, optional, tag = "1")]
    image: Option<ImageSpec>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PullImageResponse {
    #[prost(string, tag = "1")]
    image_ref: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RemoveImageRequest {
    #[prost(message, optional, tag = "1")]
    image: Option<ImageSpec>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RemoveImageResponse {}

#[derive(Clone, PartialEq, prost::Message)]
struct ListImagesRequest {}

#[derive(Clone, PartialEq, prost::Message)]
struct ListImagesResponse {
    #[prost(message, repeated, tag = "1")]
    images: Vec<ListedImage>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ListedImage {
    #[prost(string, repeated, tag = "2")]
    repo_tags: Vec<String>,
}
