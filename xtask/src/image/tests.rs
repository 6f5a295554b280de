//! Images of invented programs, read back as a runtime would: by digest, from the index down to the files.

use std::collections::BTreeSet;
use std::io::Read as _;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

/// A folder of programs that are static, for these architectures.
fn programs(architectures: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (architecture, machine) in ARCHITECTURES.iter().filter(|(name, _)| architectures.contains(name)) {
        let own = folder.path().join(architecture);
        fs::create_dir(&own).unwrap();
        for (n, (_, program)) in (0..).zip(build::SHIPPED) {
            let mut elf = dist::elf(u8::try_from(*machine).unwrap(), &[6, 1]);
            elf.extend([n; 9000]);
            fs::write(own.join(program), elf).unwrap();
        }
    }
    folder
}

fn origin() -> Origin {
    let created = Timestamp::from_parts(1_700_000_000, 0).unwrap();
    Origin { tag: "1.2.3".to_owned(), revision: Some("0123abc".to_owned()), created }
}

/// Both images for these architectures, in a folder.
fn images(architectures: &[&str]) -> TempDir {
    let (from, to) = (programs(architectures), tempfile::tempdir().unwrap());
    for image in &IMAGES {
        write(image, from.path(), to.path(), &origin(), true).unwrap();
    }
    to
}

fn blob(layout: &Path, descriptor: &Value) -> Vec<u8> {
    let digest = descriptor["digest"].as_str().unwrap();
    let bytes = fs::read(layout.join("blobs").join(digest.replace(':', "/"))).unwrap();
    assert_eq!((layout::digest(&bytes), json!(bytes.len())), (digest.to_owned(), descriptor["size"].clone()));
    bytes
}

fn document(layout: &Path, descriptor: &Value) -> Value {
    let document: Value = serde_json::from_slice(&blob(layout, descriptor)).unwrap();
    if document.get("schemaVersion").is_some() {
        assert_eq!(document["mediaType"], descriptor["mediaType"]);
    }
    document
}

/// The index of an image and, for each architecture, its manifest and configuration.
fn read(layout: &Path) -> (Value, Vec<(Value, Value)>) {
    let top: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    let index = document(layout, &top["manifests"][0]);
    let own = |descriptor: &Value| {
        let manifest = document(layout, descriptor);
        let config = document(layout, &manifest["config"]);
        assert_eq!([&config["architecture"], &config["os"]], ["architecture", "os"].map(|key| &descriptor["platform"][key]));
        (manifest, config)
    };
    let each = index["manifests"].as_array().unwrap().iter().map(own).collect();
    (top["manifests"][0]["annotations"].clone(), each)
}

/// Path, mode, owner, time and size of every file of a layer, which is what the configuration says it is.
fn files(layout: &Path, layer: &Value, diff_id: &Value) -> Vec<(String, u32, u64, u64, u64)> {
    let mut tar = Vec::new();
    flate2::read::GzDecoder::new(&*blob(layout, layer)).read_to_end(&mut tar).unwrap();
    assert_eq!(json!(layout::digest(&tar)), *diff_id);
    let mut archive = tar::Archive::new(&*tar);
    let of = |entry: tar::Entry<'_, _>| {
        let (path, header) = (entry.path().unwrap().display().to_string(), entry.header());
        let owner = header.uid().unwrap() + header.gid().unwrap();
        (path, header.mode().unwrap(), owner, header.mtime().unwrap(), header.size().unwrap())
    };
    archive.entries().unwrap().map(|entry| of(entry.unwrap())).collect()
}

#[test]
fn the_same_programs_give_the_same_bytes() {
    let (one, two) = (images(&["amd64", "arm64"]), images(&["amd64", "arm64"]));
    for image in &IMAGES {
        let archives = [&one, &two].map(|folder| fs::read(folder.path().join(format!("{}.tar", image.name))).unwrap());
        assert_eq!(archives[0], archives[1], "{}", image.name);
    }
}

#[test]
fn every_digest_is_right_and_nothing_is_in_an_image_but_its_programs() {
    let folder = images(&["amd64", "arm64"]);
    for image in &IMAGES {
        let layout = folder.path().join(image.name);
        let (names, each) = read(&layout);
        assert_eq!(names["io.containerd.image.name"], format!("{}:1.2.3", image.published));
        assert_eq!(each.iter().map(|(_, config)| &config["architecture"]).collect::<Vec<_>>(), ["amd64", "arm64"]);
        for (manifest, config) in each {
            let layers = manifest["layers"].as_array().unwrap();
            let all: Vec<_> = layers.iter().zip(config["rootfs"]["diff_ids"].as_array().unwrap()).collect();
            let all: Vec<_> = all.into_iter().flat_map(|(layer, diff_id)| files(&layout, layer, diff_id)).collect();
            let size = u64::try_from(0x40 + 2 * 8 + 9000).unwrap();
            assert_eq!(all, image.programs.iter().map(|name| ((*name).to_owned(), 0o555, 0, 0, size)).collect::<Vec<_>>());
            let run = &config["config"];
            assert_eq!((&run["User"], &run["Entrypoint"]), (&json!(image.user), &json!([format!("/{}", image.programs[0])])));
            assert_eq!(run["Labels"], manifest["annotations"]);
            assert_eq!(config["created"], "2023-11-14T22:13:20Z");
        }
    }
}

#[test]
fn an_archive_holds_what_the_folder_holds() {
    let folder = images(&["arm64"]);
    let mut archive = tar::Archive::new(fs::File::open(folder.path().join("pulltrace-agent.tar")).unwrap());
    let mut held = BTreeSet::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().into_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, fs::read(folder.path().join("pulltrace-agent").join(&path)).unwrap());
        held.insert(path);
    }
    assert_eq!(held.len(), 2 + 4, "the two files of a layout; index, manifest, configuration and layer");
}

#[test]
fn what_could_not_run_is_refused() {
    let to = tempfile::tempdir().unwrap();
    let written = |from: &Path| write(&IMAGES[0], from, to.path(), &origin(), true).map_err(|error| format!("{error:#}"));
    let said = |from: &TempDir| written(from.path()).unwrap_err();
    let from = programs(&["amd64"]);
    let agent = from.path().join("amd64/pulltrace-agent");
    fs::write(&agent, dist::elf(62, &[6, 3])).unwrap();
    assert!(said(&from).contains("asks for a loader"));
    fs::write(&agent, dist::elf(183, &[6, 1])).unwrap();
    assert!(said(&from).contains("for another architecture"));
    fs::write(&agent, "#!/bin/sh\n").unwrap();
    assert!(said(&from).contains("no program of 64 bits"));
    assert!(said(&programs(&[])).contains("for no architecture"));
}

#[test]
fn an_image_that_is_too_large_and_a_folder_that_is_no_image_are_refused() {
    let (from, to) = (programs(&["amd64"]), tempfile::tempdir().unwrap());
    let small = Image { gate: 100, ..IMAGES[0] };
    assert!(write(&small, from.path(), to.path(), &origin(), true).unwrap_err().to_string().contains("100 are allowed"));
    write(&small, from.path(), to.path(), &origin(), false).unwrap();
    let mine = to.path().join("pulltrace-collector");
    fs::create_dir(&mine).unwrap();
    fs::write(mine.join("thesis"), "").unwrap();
    assert!(write(&IMAGES[1], from.path(), to.path(), &origin(), true).is_err());
    assert!(mine.join("thesis").exists());
}

#[test]
fn the_containerfile_makes_the_same_images() {
    let text = include_str!("../../../Containerfile").replace(" \\\n     ", "");
    for image in &IMAGES {
        let stage = format!("AS {}\n", image.name.trim_start_matches("pulltrace-"));
        let of = text.split("\nFROM ").find_map(|part| part.split_once(&stage)).expect("an image has a stage").1;
        let lines: Vec<&str> = of.lines().collect();
        let words = |key: &str| -> Vec<&str> { lines.iter().filter_map(|line| line.strip_prefix(key)).collect() };
        assert_eq!(words("USER "), [image.user]);
        assert_eq!(words("ENTRYPOINT "), [json!([format!("/{}", image.programs[0])]).to_string()]);
        assert_eq!(words("EXPOSE "), [image.ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")]);
        let copied =
            image.programs.iter().map(|program| format!("--chown=0:0 --chmod=0555 ${{TARGETARCH}}/{program} /{program}"));
        assert_eq!(words("COPY "), copied.collect::<Vec<_>>());
    }
    for (key, value) in origin().annotations(&IMAGES[0]).as_object().unwrap() {
        let value = match key.rsplit('.').next().unwrap() {
            "version" => "${VERSION}",
            "revision" => "${REVISION}",
            "created" => "${CREATED}",
            _ => value.as_str().unwrap(),
        };
        assert!(text.contains(&format!("{key}=\"{value}\"")), "{key}");
    }
}

#[test]
fn the_chart_asks_for_these_images_as_they_are_named_and_tagged() {
    let (values, about) = (of_chart("values.yaml"), of_chart("Chart.yaml"));
    let after = |text: &str, key: &str| -> Vec<String> {
        text.lines()
            .filter_map(|line| line.trim_start().strip_prefix(key))
            .map(|value| value.trim_matches(['"', ' ']).to_owned())
            .collect()
    };
    let published = after(&values, "registry:").into_iter().zip(after(&values, "repository:"));
    let published: Vec<String> = published.map(|(registry, repository)| format!("{registry}/{repository}")).collect();
    assert_eq!(published, IMAGES.map(|image| image.published.to_owned()));
    assert_eq!(after(&about, "appVersion:"), [env!("CARGO_PKG_VERSION")]);
}

fn of_chart(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/pulltrace").join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
