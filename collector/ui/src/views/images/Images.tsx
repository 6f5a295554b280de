// The view of images.

export function Images() {
  return <p className="soft">Images</p>;
}
