//! Images: ours, built by its Dockerfile, and those that tests need beside it.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock};

use crate::engine::run;

/// Debian with systemd as a container's first process.
const SYSTEMD: &str = "longshore-test/systemd:bookworm";

/// The image with systemd, made if this machine has none yet.
pub fn systemd() -> &'static str {
    static MAKING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = MAKING.lock().unwrap();
    if !is_known(SYSTEMD) {
        let directory = tempfile::tempdir().unwrap();
        debootstrap(directory.path(), "systemd,systemd-sysv,dbus,curl,libgcc-s1");
        import(directory.path(), SYSTEMD);
    }
    SYSTEMD
}

/// Our image, as the Dockerfile makes it: its tag, which each checkout has of its own.
pub fn longshore() -> &'static str {
    // A failure is kept too, since it takes minutes to find out.
    static BUILT: OnceLock<Result<String, String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let checkout = env!("CARGO_MANIFEST_DIR");
        let tag = tag("longshore-test/longshore");
        let mut build = Command::new("docker");
        build.args(["build", "--tag", &tag]);
        for (argument, image) in [("RUST_IMAGE", rust()), ("BASE_IMAGE", base())] {
            build.args(["--build-arg", &format!("{argument}={image}")]);
        }
        let output = build.arg(checkout).output().unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        if output.status.success() { Ok(tag) } else { Err(said) }
    });
    built.as_ref().unwrap_or_else(|said| panic!("docker build: {said}"))
}

/// The image of this name that is this checkout's own.
pub fn tag(name: &str) -> String {
    format!("{name}:{}", fs::metadata(env!("CARGO_MANIFEST_DIR")).unwrap().ino())
}

/// What the Dockerfile builds with, or a stand-in of the same Debian with this machine's Rust, where it cannot be pulled.
fn rust() -> String {
    named_or("RUST_IMAGE", "longshore-test/rust:bookworm", |directory| {
        debootstrap(directory, "gcc,libc6-dev,ca-certificates");
        let root = run(Command::new("rustc").args(["--print", "sysroot"]));
        let local = directory.join("usr/local");
        for part in ["bin", "lib"] {
            run(Command::new("cp").arg("-a").arg(Path::new(root.trim()).join(part)).arg(&local));
        }
        // This machine may know authorities of its own, without which it reaches no registry.
        let authorities = "etc/ssl/certs/ca-certificates.crt";
        fs::copy(Path::new("/").join(authorities), directory.join(authorities)).unwrap();
    })
}

/// What our image is made from, or a stand-in from the same packages, which has no shell either.
pub fn base() -> String {
    named_or("BASE_IMAGE", "longshore-test/distroless-cc:debian12", |directory| {
        let packages = tempfile::tempdir().unwrap();
        // apt downloads as a user of its own.
        fs::set_permissions(packages.path(), Permissions::from_mode(0o777)).unwrap();
        let names = ["base-files", "ca-certificates", "gcc-12-base", "libc6", "libgcc-s1", "netbase", "tzdata"];
        run(Command::new("apt-get").arg("download").args(names).current_dir(packages.path()));
        for package in fs::read_dir(packages.path()).unwrap() {
            run(Command::new("dpkg").arg("-x").arg(package.unwrap().path()).arg(directory));
        }
        fs::create_dir_all(directory.join("tmp")).unwrap();
        fs::set_permissions(directory.join("tmp"), Permissions::from_mode(0o1777)).unwrap();
        fs::write(directory.join("etc/passwd"), "root:x:0:0:root:/root:/sbin/nologin\n").unwrap();
    })
}

/// The image that the Dockerfile names in this argument, if it is here or can be pulled; else `other`, which `make` makes
/// if it is not here yet.
fn named_or(argument: &str, other: &str, make: impl FnOnce(&Path)) -> String {
    let dockerfile = include_str!("../../Dockerfile");
    let named = dockerfile.lines().find_map(|line| line.strip_prefix(&format!("ARG {argument}="))).unwrap();
    let pull = || Command::new("docker").args(["pull", "--quiet", named]).output().unwrap().status.success();
    if is_known(named) || pull() {
        return named.to_owned();
    }
    println!("{named} cannot be pulled: {other} stands for it");
    if !is_known(other) {
        let directory = tempfile::tempdir().unwrap();
        make(directory.path());
        import(directory.path(), other);
    }
    other.to_owned()
}

fn is_known(image: &str) -> bool {
    Command::new("docker").args(["image", "inspect", image]).output().unwrap().status.success()
}

fn debootstrap(directory: &Path, packages: &str) {
    let include = format!("--include={packages}");
    run(Command::new("debootstrap").args(["--variant=minbase", &include, "bookworm"]).arg(directory));
}

fn import(directory: &Path, image: &str) {
    let path = "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let mut import = Command::new("docker");
    import.args(["import", "--change", path, "-", image]).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut import = import.spawn().unwrap();
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(directory).args(["-c", "."]).stdout(import.stdin.take().unwrap());
    assert!(tar.status().unwrap().success());
    // It reads until the last writer is gone.
    drop(tar);
    assert!(import.wait().unwrap().success());
}
