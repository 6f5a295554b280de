//! `kubectl pulltrace` as people type it, against a real cluster: found through the API server alone, before and after Pulltrace is installed.

use std::fs;
use std::time::Duration;

use e2e::clock;
use e2e::cluster::{Cluster, SLOW};
use e2e::helm::Release::V4;
use e2e::image::layers;
use e2e::link::Fault;
use serde_json::Value;

use super::{Release, SOON};

/// Bytes per second of each response.
const RATE: u64 = 1_500_000;
/// What `kubectl` may take on a machine that has other things to do.
const LONG: Duration = Duration::from_secs(90);
/// The roles of the documentation.
const ROLES: &str = "../docs/plugin-rbac.yaml";

/// What a command did.
#[derive(Debug)]
struct Said {
    code: i32,
    out: String,
    err: String,
}

/// Runs a line that begins with `kubectl pulltrace`.
fn run(cluster: &Cluster, line: &str) -> Said {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let at = folder.path().display();
    let code = cluster.shell(V4, &format!("code=0; {line} >{at}/out 2>{at}/err </dev/null || code=$?; echo $code"));
    let code = code.unwrap_or_else(|error| panic!("{line}: {error}"));
    let text = |name: &str| fs::read_to_string(folder.path().join(name)).expect("it was written");
    Said { code: code.trim().parse().expect("a number"), out: text("out"), err: text("err") }
}

/// What it said when it went well.
#[track_caller]
fn good(cluster: &Cluster, line: &str) -> String {
    let said = run(cluster, line);
    assert_eq!(said.code, 0, "{line}: {said:?}");
    said.out
}

/// It ends with this code and says all of this.
#[track_caller]
fn bad(cluster: &Cluster, line: &str, code: i32, words: &[&str]) {
    let said = run(cluster, line);
    assert_eq!(said.code, code, "{line}: {said:?}");
    for word in words {
        assert!(said.err.contains(word), "{line}: no {word:?}: {said:?}");
    }
}

fn json(cluster: &Cluster, line: &str) -> Value {
    let out = good(cluster, line);
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{line}: {error}: {out}"))
}

/// Nothing is installed yet.
pub(crate) fn without_a_collector_it_says_where_it_looked(cluster: &Cluster) {
    bad(
        cluster,
        "kubectl pulltrace pod web",
        3,
        &["no collector of Pulltrace in any namespace (context c)", "Helm chart", "--server"],
    );
    bad(cluster, "kubectl pulltrace doctor", 1, &["need somebody"]);
}

/// Everything that is asked about one that comes slowly, and one behind it.
pub(crate) fn a_slow_pull_is_shown_everywhere(release: &Release<'_>) {
    let (cluster, kubectl) = (release.cluster, &release.cluster.kubectl);
    // Agents are heard a moment after they are ready.
    let doctor = || Some(run(cluster, "kubectl pulltrace doctor")).filter(|said| said.code == 0).map(|said| said.out);
    let healthy = clock::until("a healthy installation", SOON, doctor);
    assert!(
        healthy.contains("you may create pods/portforward in pulltrace") && healthy.contains("agent: 1 of 1 ready"),
        "{healthy}"
    );
    cluster.link.set_rate(Some(RATE));
    cluster.push_shell("plugin/shop:v1", &layers(23, &[40, 3]), &["busybox", "sleep", "3600"]);
    kubectl.run(&["create", "deployment", "shop", &format!("--image={SLOW}/plugin/shop:v1")], "");
    let pod = || kubectl.run(&["get", "pods", "-l", "app=shop", "-o", "jsonpath={.items[0].metadata.name}"], "");
    let pod = clock::until("its pod", SOON, || Some(pod()).filter(|name| !name.is_empty()));
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let watch = format!("kubectl pulltrace pod {pod} -w >{0}/out 2>{0}/err", folder.path().display());
    let moves = || {
        let container = release.get(&format!("/api/v1/pods/default/{pod}"))?;
        container["pulls"][0]["downloadedBytes"].as_u64().filter(|bytes| *bytes > 1_000_000)
    };
    clock::until("bytes that come", SOON, moves);
    let _watch = cluster.background(V4, folder.path(), &watch);
    is_shown(cluster, &pod);
    one_that_waits_for_its_turn(cluster);
    bad(cluster, "kubectl pulltrace wait deploy/shop --timeout 1s", 124, &["after 1 s: 0 of 1 pod have their images", "node-1"]);
    let waited = good(cluster, "kubectl pulltrace wait deploy/shop --timeout 3m");
    assert_eq!(waited, "The images of deployment/shop are there: 1 pod, 1 node.\n");
    let plan = json(cluster, &format!("kubectl pulltrace plan {SLOW}/plugin/shop:v1 -o json"));
    assert_eq!((&plan["nodes"][0]["state"], &plan["nodes"][0]["toFetchBytes"]), (&"has_it".into(), &0.into()), "{plan}");
    bad(
        cluster,
        &format!("kubectl pulltrace plan {SLOW}/plugin/other:v1"),
        3,
        &["how large slow.test/plugin/other:v1 is cannot be told"],
    );
    let watched = || fs::read_to_string(folder.path().join("out")).ok().filter(|out| out.contains("ready"));
    let watched = clock::until("the end in what is watched", LONG, watched);
    assert!(watched.starts_with("CONTAINER ") && watched.matches("pulling").count() > 1, "{watched}");
    assert_eq!(watched.matches("CONTAINER ").count(), 1, "one heading: {watched}");
    kubectl.run(&["delete", "deployment", "shop", "--now", "--wait=false"], "");
}

/// While it is pulled: its pod, its Deployment, its node and its image, in every form, and why it is not there yet.
fn is_shown(cluster: &Cluster, pod: &str) {
    let table = good(cluster, &format!("kubectl pulltrace pod {pod}"));
    assert!(table.starts_with("CONTAINER ") && table.contains("pulling") && table.contains(" % of "), "{table}");
    let wide = good(cluster, &format!("kubectl pulltrace pod/{pod} -n default -o wide"));
    assert!(wide.lines().next().is_some_and(|heads| heads.contains("NODE") && heads.ends_with("PULL")), "{wide}");
    assert!(wide.contains("node-1"), "{wide}");
    let yaml = good(cluster, &format!("kubectl pulltrace pod {pod} -o yaml"));
    assert!(yaml.contains(&format!("podName: {pod}\n")), "{yaml}");
    let of_pod = json(cluster, &format!("kubectl pulltrace pod {pod} -o json"));
    assert_eq!((&of_pod["podName"], &of_pod["containers"][0]["state"]), (&Value::from(pod), &"pulling".into()), "{of_pod}");
    let id = of_pod["pulls"][0]["id"].as_str().expect("a pull has an id").to_owned();
    assert!(good(cluster, "kubectl pulltrace pods -A").starts_with("NAMESPACE "));
    let deploy = json(cluster, "kubectl pulltrace deploy/shop -o json");
    assert_eq!((&deploy["workload"]["nodesPulling"], &deploy["pods"][0]["podName"]), (&1.into(), &Value::from(pod)), "{deploy}");
    assert!(good(cluster, "kubectl pulltrace deployment").contains("deployment/shop"));
    for line in ["kubectl pulltrace node node-1", "kubectl pulltrace image plugin/shop", "kubectl pulltrace"] {
        let table = good(cluster, line);
        assert!(table.contains("plugin/shop") && table.contains("downloading"), "{line}: {table}");
    }
    assert!(good(cluster, "kubectl pulltrace node").contains("containerd 2."));
    assert!(good(cluster, "kubectl pulltrace images").contains("plugin/shop"));
    assert!(good(cluster, "kubectl pulltrace ls --active").contains("plugin/shop"));

    let why = good(cluster, &format!("kubectl pulltrace why {pod}"));
    assert!(why.contains("Waiting for ") && why.contains("  evidence   ") && why.contains(" fetched at "), "{why}");
    assert!(good(cluster, &format!("kubectl pulltrace why {id}")).contains("pull of slow.test/plugin/shop"));
}

/// The kubelet pulls one image after another.
fn one_that_waits_for_its_turn(cluster: &Cluster) {
    cluster.kubectl.run(&["run", "later", &format!("--image={SLOW}/plugin/later:v1")], "");
    let queued =
        || Some(run(cluster, "kubectl pulltrace why later")).filter(|said| said.code == 0 && said.out.contains("its turn"));
    let said = clock::until("the place in the queue", LONG, queued);
    assert!(said.out.contains("  waits for  its turn: 2 of 2 on this node, behind slow.test/plugin/shop:v1"), "{said:?}");
    assert!(said.out.contains("  hint       The kubelet pulls more at a time"), "{said:?}");
    cluster.kubectl.run(&["delete", "pod", "later", "--now", "--wait=false"], "");
}

/// What is not to be had: why not, and the code of its class.
pub(crate) fn a_refused_pull_ends_a_wait_with_its_class(cluster: &Cluster) {
    cluster.push_shell("plugin/gone:v1", &layers(11, &[1]), &["busybox", "sleep", "3600"]);
    cluster.link.set_fault_at("plugin/gone", Fault::NotFound);
    cluster.kubectl.run(&["run", "gone", &format!("--image={SLOW}/plugin/gone:v1")], "");
    bad(
        cluster,
        "kubectl pulltrace wait pod/gone --timeout 2m",
        3,
        &["gone on node-1: no image slow.test/plugin/gone:v1 (not_found)"],
    );
    let why = good(cluster, "kubectl pulltrace why gone");
    for words in ["  error      not_found: ", "  hint       Check the image's name", "  next try   in about "] {
        assert!(why.contains(words), "{words}: {why}");
    }
    assert_eq!(json(cluster, "kubectl pulltrace why gone -o json")["reasons"][0]["errorClass"], "not_found");
    cluster.kubectl.run(&["delete", "pod", "gone", "--now", "--wait=false"], "");
    bad(cluster, "kubectl pulltrace wait deploy/nothing", 3, &["deployment/nothing is not in namespace default (context c)"]);
    bad(cluster, "kubectl pulltrace pod nothing", 3, &["pod default/nothing waits for no image"]);
    bad(cluster, "kubectl pulltrace deploy nothing", 3, &["no pod of Deployment nothing in namespace default"]);
    bad(cluster, "kubectl pulltrace pod nothing -A", 2, &["leave out its name"]);
}

/// A kubeconfig with several users and clusters: whose rights count, and what is said where they do not suffice.
pub(crate) fn contexts_and_rights_are_those_of_the_kubeconfig(cluster: &Cluster) {
    let kubectl = &cluster.kubectl;
    let own = kubectl.config().with_file_name("several.conf");
    fs::copy(kubectl.config(), &own).expect("the folder is writable");
    let with = format!("kubectl --kubeconfig {}", own.display());
    kubectl.run(&["create", "serviceaccount", "reader"], "");
    let token = kubectl.run(&["create", "token", "reader"], "");
    // What a cloud's own command says who asks it for credentials.
    let said = own.with_file_name("credential.json");
    let version = "client.authentication.k8s.io/v1beta1";
    let credential = serde_json::json!({"apiVersion": version, "kind": "ExecCredential", "status": {"token": token.trim()}});
    fs::write(&said, credential.to_string()).expect("the folder is writable");
    let by_command = format!("--exec-api-version={version} --exec-command=cat --exec-arg={}", said.display());
    for line in [
        format!("{with} config set-credentials reader --token={}", token.trim()),
        format!("{with} config set-context reader --cluster=c --user=reader"),
        format!("{with} config set-credentials cloud {by_command}"),
        format!("{with} config set-context cloud --cluster=c --user=cloud"),
        format!("{with} config set-context elsewhere --cluster=c --user=u --namespace=elsewhere"),
        format!("{with} config set-credentials wrong --token=wrong"),
        format!("{with} config set-context wrong --cluster=c --user=wrong"),
        format!("{with} config set-cluster dead --server=https://127.0.0.1:1"),
        format!("{with} config set-context dead --cluster=dead --user=u"),
    ] {
        cluster.shell(V4, &line).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
    let line = |context: &str, more: &str| format!("kubectl pulltrace --kubeconfig {} --context {context} {more}", own.display());
    let of = |context: &str, command: &str| {
        let (command, more) = command.split_once(' ').unwrap_or((command, ""));
        format!("kubectl pulltrace {command} --kubeconfig {} --context {context} {more}", own.display())
    };
    bad(cluster, &line("nowhere", ""), 2, &["no context \"nowhere\"; it has c, "]);
    bad(cluster, &line("dead", ""), 6, &["cannot reach the API server https://127.0.0.1:1", "(context dead)"]);
    bad(cluster, &line("wrong", ""), 4, &["does not know you", "context wrong"]);
    let elsewhere = run(cluster, &of("elsewhere", "pod"));
    assert!(elsewhere.code == 0 && elsewhere.err.contains("No pod in namespace elsewhere"), "{elsewhere:?}");
    let rule = "Role with {apiGroups: [\"\"], resources: [pods], verbs: [list]}";
    bad(cluster, &of("reader", "node"), 4, &["you may not list pods in namespace pulltrace (context reader)", rule]);

    kubectl.run(&["apply", "-f", ROLES], "");
    let bind = |namespace: &str, role: &str| {
        kubectl
            .run(&["-n", namespace, "create", "rolebinding", role, "--clusterrole", role, "--serviceaccount=default:reader"], "")
    };
    bind("pulltrace", "pulltrace-plugin");
    for context in ["reader", "cloud"] {
        assert!(good(cluster, &of(context, "node")).contains("node-1"), "{context}");
    }
    bad(cluster, &of("reader", "wait pod/any"), 4, &["you may not get pods in namespace default (context reader)"]);
    let doctor = good(cluster, &of("reader", "doctor"));
    assert!(doctor.contains("warn  rights      you may not list pods in default, for `wait`"), "{doctor}");
    bind("default", "pulltrace-plugin-wait");
    bad(cluster, &of("reader", "wait pod/any"), 3, &["pod/any is not in namespace default"]);
    let doctor = json(cluster, &of("reader", "doctor -o json"));
    assert!(doctor["findings"].as_array().is_some_and(|all| all.iter().all(|one| one["level"] == "ok")), "{doctor}");
}

/// `kubectl` asks what may follow.
pub(crate) fn kubectl_completes_its_words(cluster: &Cluster) {
    let said = good(cluster, "kubectl __complete pulltrace no");
    assert!(said.lines().any(|line| line == "node"), "{said}");
    let said = good(cluster, "kubectl pulltrace pod --help");
    assert!(said.contains("Usage: kubectl pulltrace pod"), "{said}");
}
