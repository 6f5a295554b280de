//! Builds anew when the web UI was built anew: what is embedded is a folder, whose new files the compiler cannot know.

fn main() {
    println!("cargo::rerun-if-changed=ui/dist");
}
