//! Where containerd's sockets are: the places that are looked at when the operator gives none, and what the operator may give instead.
//! Which of them answer is found out by [`crate::place`].

use std::path::{Path, PathBuf};

/// Sockets that are looked for when none is given. All that answer are watched; where a name for the node is needed, the first one's counts.
///
/// None of them leads through `/var/run`: there it is a link to `/run`, which leads astray where the host's files are seen below a folder.
pub const USUAL: [&str; 8] = [
    // kubeadm, EKS, GKE, AKS, kind, Canonical Kubernetes, Talos; Docker where the system's containerd serves it.
    "/run/containerd/containerd.sock",
    // k3s, RKE2.
    "/run/k3s/containerd/containerd.sock",
    "/run/k0s/containerd.sock",
    "/var/snap/microk8s/common/run/containerd.sock",
    // Canonical Kubernetes, strictly confined; the second is that of its older releases.
    "/var/snap/k8s/common/run/containerd/containerd.sock",
    "/var/snap/k8s/common/run/containerd.sock",
    // Docker where it brought a containerd along.
    "/run/docker/containerd/containerd.sock",
    // Talos: its own services, among them the kubelet.
    "/system/run/containerd/containerd.sock",
];
/// Most sockets that may be given: each costs a connection and a tracker.
pub const MAX_SOCKETS: usize = 16;

/// The sockets to try: those that were given, as they are, else the usual ones below `root`.
///
/// # Errors
/// With what is wrong with one of them, and which.
pub(crate) fn choose(given: &[String], root: &Path) -> Result<Vec<PathBuf>, (String, &'static str)> {
    let given: Vec<_> = given.iter().map(|text| text.trim()).filter(|text| !text.is_empty()).collect();
    if given.is_empty() {
        return Ok(USUAL.iter().map(|path| below(root, Path::new(path))).collect());
    }
    if given.len() > MAX_SOCKETS {
        return Err((given.join(","), "at most 16 sockets are allowed"));
    }
    let mut sockets: Vec<PathBuf> = Vec::new();
    for text in given {
        let path = Path::new(text.strip_prefix("unix://").unwrap_or(text));
        if !path.is_absolute() {
            return Err((text.to_owned(), "a socket is an absolute path, or unix:// and one"));
        }
        if !sockets.iter().any(|known| known == path) {
            sockets.push(path.to_owned());
        }
    }
    Ok(sockets)
}

/// Where a file of the host is seen if the host's files are seen below `root`.
pub(crate) fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(given: &[&str], root: &str) -> Result<Vec<PathBuf>, (String, &'static str)> {
        choose(&given.iter().map(ToString::to_string).collect::<Vec<_>>(), Path::new(root))
    }

    #[test]
    fn without_a_socket_the_usual_places_below_the_hosts_root_are_tried() {
        assert_eq!(chosen(&[], "/").unwrap(), USUAL.map(PathBuf::from));
        assert_eq!(chosen(&["", " "], "/host").unwrap()[0], Path::new("/host/run/containerd/containerd.sock"));
    }

    #[test]
    fn sockets_that_are_given_are_taken_as_they_are_and_once() {
        let sockets = chosen(&["/a/b.sock", " unix:///c.sock", "/c.sock"], "/host").unwrap();
        assert_eq!(sockets, [PathBuf::from("/a/b.sock"), PathBuf::from("/c.sock")]);
    }

    #[test]
    fn a_socket_that_cannot_be_one_is_named() {
        assert_eq!(chosen(&["/a", "run/b"], "/").unwrap_err().0, "run/b");
        assert_eq!(chosen(&["tcp://1.2.3.4:5"], "/").unwrap_err().0, "tcp://1.2.3.4:5");
        let many: Vec<_> = (0..=MAX_SOCKETS).map(|n| format!("/{n}")).collect();
        assert!(choose(&many, Path::new("/")).is_err());
    }

    #[test]
    fn no_usual_place_leads_through_a_link_of_the_host() {
        assert!(USUAL.iter().all(|path| !path.starts_with("/var/run/")));
        assert!(USUAL.len() <= MAX_SOCKETS);
    }
}
