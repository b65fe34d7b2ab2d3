use std::{os::unix::process::ExitStatusExt, path::Path};

use super::*;
use crate::{Directory, Environment, Sink, end_marked};

mod secrets;
mod start;

/// A world of one supervisor, a directory and a mark of its own.
struct World {
    supervisor: Supervisor,
    dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self { supervisor: Supervisor::new().unwrap(), dir: tempfile::tempdir().unwrap() }
    }

    fn mark(&self) -> Mark {
        Mark::new([("WORLD", self.dir.path().as_os_str())])
    }

    fn directory(&self) -> Directory {
        Directory::open(self.dir.path()).unwrap()
    }

    fn spec(&self, script: &str) -> Spec {
        let mut environment = Environment::default();
        environment.set("PATH", std::env::var_os("PATH").unwrap());
        environment.set("WORLD", self.dir.path());
        Spec {
            program: "sh".into(),
            args: vec!["-c".into(), script.into()],
            cwd: self.dir.path().to_owned(),
            environment,
            mark: self.mark(),
            stdin: None,
            stdout: Sink::File(self.directory(), "out".into()),
            stderr: Sink::Tail,
            mask: None,
            output_limit: 1 << 30,
        }
    }

    fn start(&mut self, script: &str) -> Token {
        let spec = self.spec(script);
        self.supervisor.spawn(spec).unwrap().0
    }

    fn next_end(&mut self) -> Box<Ended> {
        loop {
            let mut happenings = Vec::new();
            self.supervisor.wait(Some(Duration::from_secs(20)), &mut happenings).unwrap();
            for happening in happenings {
                if let Happening::Ended(ended) = happening {
                    return ended;
                }
            }
        }
    }

    fn run(&mut self, script: &str) -> Box<Ended> {
        self.start(script);
        self.next_end()
    }

    /// Waits until a script has made the file: a sign that it has come that far.
    fn wait_for(&mut self, file: &str) {
        let path = self.dir.path().join(file);
        while !path.exists() {
            self.supervisor.wait(Some(Duration::from_millis(5)), &mut Vec::new()).unwrap();
        }
    }

    fn pid(&mut self, file: &str) -> Pid {
        self.wait_for(file);
        let text = std::fs::read_to_string(self.dir.path().join(file)).unwrap();
        Pid::from_raw(text.trim().parse().unwrap()).unwrap()
    }
}

fn lives(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

/// Puts a process id into a file in one step, so that whoever sees the file can read it.
const TELL: &str = "tell() { echo $1 > $2.tmp && mv $2.tmp $2; }; ";

#[test]
fn output_goes_to_its_file_with_size_digest_and_tail() {
    let mut world = World::new();
    let ended = world.run("printf hello; echo oops >&2; exit 3");
    assert_eq!(ended.status.code(), Some(3));
    assert_eq!((ended.stdout.bytes, ended.stdout.tail_text().as_str()), (5, "hello"));
    assert_eq!(ended.stderr.tail_text(), "oops\n");
    assert_eq!(std::fs::read(world.dir.path().join("out")).unwrap(), b"hello");
    let digest: String = ended.stdout.sha256.iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(digest, "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
}

#[test]
fn who_prints_nothing_gets_no_file() {
    let mut world = World::new();
    let ended = world.run("true");
    assert_eq!(ended.stdout.bytes, 0);
    assert!(!world.dir.path().join("out").exists());
}

#[test]
fn megabytes_pass_through_whole() {
    let mut world = World::new();
    let ended = world.run("head -c 5000000 /dev/zero");
    assert_eq!(ended.stdout.bytes, 5_000_000);
    assert_eq!(std::fs::metadata(world.dir.path().join("out")).unwrap().len(), 5_000_000);
}

#[test]
fn a_flood_into_a_pipe_that_is_held_open_ends_with_its_script() {
    let mut world = World::new();
    let ended = world.run("sleep 100 & head -c 3000000 /dev/zero | tr '\\0' x");
    assert!(ended.status.success());
    assert_eq!(ended.stdout.bytes, 3_000_000);
    assert_eq!(ended.stdout.tail, [b'x'; 1024]);
}

#[test]
fn a_flood_on_both_streams_is_kept_whole() {
    let mut world = World::new();
    let ended = world.run("head -c 2000000 /dev/zero & head -c 1000000 /dev/zero >&2; wait");
    assert_eq!((ended.stdout.bytes, ended.stderr.bytes), (2_000_000, 1_000_000));
}

#[test]
fn a_background_process_ends_with_its_script() {
    let mut world = World::new();
    let ended = world.run(&format!("{TELL} sleep 300 & tell $! pid"));
    assert!(ended.status.success());
    let pid = world.pid("pid");
    assert!(!lives(pid));
}

#[cfg(all(target_os = "linux", not(omne_portable)))]
#[test]
fn a_daemon_that_left_the_group_ends_with_its_script() {
    let mut world = World::new();
    let ended = world.run(&format!(
        "{TELL} setsid sh -c '{TELL} (sleep 300 & tell $! pid) &'; while ! test -e pid; do sleep 0.01; done"
    ));
    assert!(ended.status.success());
    let pid = world.pid("pid");
    assert!(!lives(pid));
}

#[cfg(all(target_os = "linux", not(omne_portable)))]
#[test]
fn a_daemon_without_the_mark_ends_with_its_script() {
    let mut world = World::new();
    world.run("setsid env -i /bin/sh -c '(sleep 300 & echo $! > tmp && mv tmp pid) &'; while ! test -e pid; do sleep 0.01; done");
    let pid = world.pid("pid");
    assert!(!lives(pid));
}

#[cfg(all(target_os = "linux", not(omne_portable)))]
#[test]
fn a_daemon_of_one_script_outlives_the_end_of_another() {
    let mut world = World::new();
    let mut spec = world.spec(&format!(
        "{TELL} setsid sh -c '{TELL} (sleep 300 & tell $! pid) &'; while ! test -e go; do sleep 0.01; done"
    ));
    spec.environment.set("WHO", "first");
    spec.mark = Mark::new([("WHO", "first".as_ref())]);
    world.supervisor.spawn(spec).unwrap();
    let pid = world.pid("pid");
    let mut spec = world.spec("true");
    spec.environment.set("WHO", "second");
    spec.mark = Mark::new([("WHO", "second".as_ref())]);
    let second = world.supervisor.spawn(spec).unwrap().0;
    assert_eq!(world.next_end().token, second);
    assert!(lives(pid));
    std::fs::write(world.dir.path().join("go"), "").unwrap();
    world.next_end();
    assert!(!lives(pid));
}

#[test]
fn a_pipe_held_open_by_a_background_process_delays_nothing() {
    let mut world = World::new();
    let before = Instant::now();
    let ended = world.run("sleep 300 & echo done");
    assert_eq!(ended.stdout.tail_text(), "done\n");
    assert!(before.elapsed() < Duration::from_secs(300));
}

#[test]
fn ending_gently_lets_a_script_clean_up() {
    let mut world = World::new();
    let token = world.start("trap 'echo bye; exit 7' TERM; echo > up; while :; do sleep 0.01; done");
    world.wait_for("up");
    world.supervisor.end(token, End::Gently);
    let ended = world.next_end();
    assert_eq!((ended.status.code(), ended.stdout.tail_text().as_str()), (Some(7), "bye\n"));
}

#[test]
fn who_left_the_group_of_a_living_script_may_clean_up_as_well() {
    let mut world = World::new();
    // The script itself only waits: it ends once the other one has.
    let token = world.start(
        "trap : TERM; setsid sh -c 'trap \"echo bye; exit\" TERM; echo > up; while :; do sleep 0.01; done' &
        while kill -0 $!; do wait $!; done; exit 7",
    );
    world.wait_for("up");
    world.supervisor.end(token, End::Gently);
    let ended = world.next_end();
    assert_eq!((ended.status.code(), ended.stdout.tail_text().as_str()), (Some(7), "bye\n"));
}

#[test]
fn who_ignores_sigterm_is_killed_with_all_that_it_started() {
    let mut world = World::new();
    let token = world.start(&format!(
        "{TELL} trap '' TERM; sh -c 'while :; do sleep 1; done' & tell $! pid; while :; do sleep 1; done"
    ));
    let pid = world.pid("pid");
    world.supervisor.end(token, End::Gently);
    world.supervisor.end(token, End::AtOnce);
    assert_eq!(world.next_end().status.signal(), Some(9));
    assert!(!lives(pid));
}

#[test]
fn a_grandchild_in_a_session_of_its_own_ends_with_the_tree() {
    let mut world = World::new();
    let token = world.start(&format!("setsid sh -c '{TELL} tell $$ pid; while :; do sleep 1; done'"));
    let pid = world.pid("pid");
    world.supervisor.end(token, End::AtOnce);
    world.next_end();
    // Without a kernel that hands over orphans their end can't be waited for.
    while lives(pid) {
        std::thread::yield_now();
    }
}

#[test]
fn more_output_than_the_limit_ends_the_tree() {
    let mut world = World::new();
    let mut spec = world.spec("yes");
    spec.output_limit = 100_000;
    world.supervisor.spawn(spec).unwrap();
    let ended = world.next_end();
    assert!(ended.over_limit);
    assert_eq!(ended.stdout.bytes, 100_000);
    assert_eq!(std::fs::metadata(world.dir.path().join("out")).unwrap().len(), 100_000);
}

#[test]
fn output_that_can_not_be_kept_is_reported_with_its_path() {
    let mut world = World::new();
    let mut spec = world.spec("echo x; sleep 300");
    spec.stdout = Sink::File(world.directory(), "no-such-dir/out".into());
    world.supervisor.spawn(spec).unwrap();
    let error = world.next_end().capture_error.unwrap();
    assert!(error.to_string().contains("no-such-dir/out"), "{error}");
}

#[test]
fn a_capture_never_follows_a_link() {
    let mut world = World::new();
    let target = world.dir.path().join("precious");
    std::fs::write(&target, "mine").unwrap();
    std::os::unix::fs::symlink(&target, world.dir.path().join("out")).unwrap();
    assert!(world.run("echo ours").capture_error.is_none());
    assert_eq!(std::fs::read(&target).unwrap(), b"mine");
    assert_eq!(std::fs::read(world.dir.path().join("out")).unwrap(), b"ours\n");
}

#[test]
fn dropping_the_supervisor_kills_what_runs() {
    let mut world = World::new();
    world.start(&format!("{TELL} tell $$ pid; sleep 300"));
    let pid = world.pid("pid");
    drop(world.supervisor);
    assert!(!lives(pid));
}

#[test]
fn a_waker_ends_the_wait() {
    let mut world = World::new();
    let waker = world.supervisor.waker().unwrap();
    std::thread::spawn(move || waker.wake());
    world.supervisor.wait(None, &mut Vec::new()).unwrap();
}

#[cfg(all(target_os = "linux", not(omne_portable)))]
#[test]
fn what_a_dead_runner_left_is_found_by_its_number_though_it_cleared_its_environment() {
    let mut world = World::new();
    // Each has cleared its environment before it says that it is there.
    let script = "env -i sh -c 'echo > beside; sleep 300; true' & \
                  env -i setsid sh -c 'echo $$ > new; mv new apart; sleep 300; true' & \
                  until test -e beside && test -e apart; do sleep 0.01; done; \
                  exec env -i sh -c 'read -r pid < apart; echo $pid > new; mv new pid; sleep 300; true'";
    let mut spec = world.spec(script);
    spec.mark = Mark::default();
    let child = Launcher::new().launch(&spec, &File::open("/dev/null").unwrap(), Until::Program).unwrap();
    let pid = world.pid("pid");
    let number = child.pid.as_raw_nonzero().get().cast_unsigned();
    let now = std::time::UNIX_EPOCH.elapsed().unwrap();
    let another = crate::Started::new(number, now - Duration::from_secs(60)).unwrap();
    assert_eq!(end_marked(&world.mark(), &[another], Duration::ZERO), 0, "a number that came again");
    let started = crate::Started::new(number, now).unwrap();
    // It, the shell beside it with both of their children, and the one in a session of its own.
    assert!(end_marked(&world.mark(), &[started], Duration::from_secs(5)) >= 5);
    assert!(!lives(pid));
    drop(child);
}

#[test]
fn what_a_dead_runner_left_is_found_by_its_mark() {
    let mut world = World::new();
    let mut spec = world.spec(&format!("{TELL} setsid sh -c '{TELL} tell $$ pid; sleep 300'"));
    // The runner's death is played: nobody supervises this one.
    spec.mark = Mark::default();
    let child = Launcher::new().launch(&spec, &File::open("/dev/null").unwrap(), Until::Program).unwrap();
    let mark = world.mark();
    let pid = world.pid("pid");
    assert!(end_marked(&mark, &[], Duration::from_secs(5)) >= 1);
    assert!(!lives(pid));
    drop(child);
    assert_eq!(end_marked(&mark, &[], Duration::ZERO), 0);
    assert!(Path::new("/").exists());
}

#[test]
fn output_that_is_relayed_comes_as_it_is_printed_and_before_the_end() {
    let mut world = World::new();
    let spec = Spec {
        stdout: Sink::Relay,
        ..world.spec("echo one; while test ! -e go; do sleep 0.01; done; echo two")
    };
    world.supervisor.spawn(spec).unwrap();
    let mut seen = Vec::new();
    let ended = loop {
        let mut happenings = Vec::new();
        world.supervisor.wait(Some(Duration::from_secs(20)), &mut happenings).unwrap();
        let mut ended = None;
        for happening in happenings {
            match happening {
                Happening::Output(_, bytes) => seen.extend(bytes),
                Happening::Ended(end) => ended = Some(end),
                Happening::Signal(_) => {}
            }
        }
        if seen == b"one\n" {
            std::fs::write(world.dir.path().join("go"), "").unwrap();
        }
        if let Some(ended) = ended {
            break ended;
        }
    };
    assert_eq!(seen, b"one\ntwo\n");
    assert!(ended.status.success());
}

#[test]
fn a_file_is_standard_input_and_ends_by_itself() {
    let mut world = World::new();
    std::fs::write(world.dir.path().join("in"), "a prompt").unwrap();
    let stdin = Some(std::fs::File::open(world.dir.path().join("in")).unwrap());
    let spec = Spec { stdin, ..world.spec("cat") };
    world.supervisor.spawn(spec).unwrap();
    world.next_end();
    assert_eq!(std::fs::read_to_string(world.dir.path().join("out")).unwrap(), "a prompt");
}

#[test]
fn what_is_appended_leaves_what_was_there() {
    let mut world = World::new();
    for script in ["echo one", "true", "echo two"] {
        let spec = Spec { stdout: Sink::Append(world.directory(), "out".into()), ..world.spec(script) };
        world.supervisor.spawn(spec).unwrap();
        world.next_end();
    }
    assert_eq!(std::fs::read_to_string(world.dir.path().join("out")).unwrap(), "one\ntwo\n");
}

#[test]
fn an_interrupted_process_may_end_by_itself_and_what_it_leaves_is_ended() {
    let mut world = World::new();
    let script = format!(
        "{TELL} trap 'echo said goodbye; exit 3' INT; setsid sh -c '{TELL} tell $$ stray; while :; do sleep 1; done' & \
         while test ! -e stray; do sleep 0.01; done; echo > ready; while :; do sleep 0.05; done"
    );
    let token = world.start(&script);
    world.wait_for("ready");
    let stray = world.pid("stray");
    world.supervisor.end(token, End::Interrupt);
    let ended = world.next_end();
    assert_eq!(ended.status.code(), Some(3));
    assert_eq!(std::fs::read_to_string(world.dir.path().join("out")).unwrap(), "said goodbye\n");
    // Elsewhere it is told to end, and not waited for.
    while lives(stray) && cfg!(any(omne_portable, not(target_os = "linux"))) {
        std::thread::yield_now();
    }
    assert!(!lives(stray));
}

#[test]
fn an_interrupted_process_that_does_not_care_is_terminated() {
    let mut world = World::new();
    let token = world.start("trap '' INT; echo > ready; while :; do sleep 0.05; done");
    world.wait_for("ready");
    world.supervisor.end(token, End::Interrupt);
    // As when its time to end by itself is over.
    world.supervisor.end(token, End::Gently);
    assert_eq!(world.next_end().status.signal(), Some(15));
}
