//! How processes begin.

use super::*;

#[test]
fn a_program_that_does_not_exist_is_an_error_and_leaves_nothing() {
    let mut world = World::new();
    let mut spec = world.spec("");
    spec.program = "/no/such/program".into();
    assert_eq!(world.supervisor.spawn(spec).unwrap_err().kind(), io::ErrorKind::NotFound);
    assert_eq!(world.supervisor.children.len(), 0);
}

/// Why it can't be started without waiting for it: told at once, or at its end.
fn unawaited_error(world: &mut World, spec: Spec) -> io::Error {
    match world.supervisor.spawn_unawaited(spec) {
        Ok(_) => world.next_end().start_error.unwrap(),
        Err(error) => error,
    }
}

#[test]
fn a_process_that_is_not_awaited_tells_at_its_end_why_it_never_was_its_program() {
    let mut world = World::new();
    let no_program = Spec { program: "/no/such/program".into(), ..world.spec("") };
    assert_eq!(unawaited_error(&mut world, no_program).kind(), io::ErrorKind::NotFound);
    let no_cwd = Spec { cwd: world.dir.path().join("none"), ..world.spec("true") };
    assert_eq!(unawaited_error(&mut world, no_cwd).kind(), io::ErrorKind::NotFound);
    let too_long = world.spec(&"#".repeat(1 << 20));
    assert_eq!(unawaited_error(&mut world, too_long).kind(), io::ErrorKind::ArgumentListTooLong);
    assert_eq!(world.supervisor.children.len(), 0);
    assert!(world.run("true").start_error.is_none(), "what it had is used again");
}

#[test]
fn processes_that_are_not_awaited_have_arguments_and_environments_of_their_own() {
    const COUNT: usize = 20;
    let mut world = World::new();
    for number in 0..COUNT {
        let mut spec = world.spec(&format!("test {number}-$PWD = \"$NUMBER\" && exit {number}; exit 99"));
        let place = spec.cwd.display().to_string();
        spec.environment.set("NUMBER", format!("{number}-{place}"));
        spec.stdout = Sink::Tail;
        world.supervisor.spawn_unawaited(spec).unwrap();
    }
    let mut happenings = Vec::new();
    while happenings.len() < COUNT {
        world.supervisor.wait(Some(Duration::from_secs(20)), &mut happenings).unwrap();
    }
    let code = |happening: &Happening| match happening {
        Happening::Ended(ended) => usize::try_from(ended.status.code().unwrap()).unwrap(),
        other => panic!("{other:?}"),
    };
    let mut codes: Vec<usize> = happenings.iter().map(code).collect();
    codes.sort_unstable();
    assert_eq!(codes, Vec::from_iter(0..COUNT));
}

#[test]
fn a_process_that_is_not_awaited_can_be_ended_before_it_is_its_program() {
    for (how, signal) in [
        (End::Interrupt, rustix::process::Signal::INT),
        (End::Gently, rustix::process::Signal::TERM),
        (End::AtOnce, rustix::process::Signal::KILL),
    ] {
        let mut world = World::new();
        let spec = world.spec("exec sleep 300");
        let (token, _) = world.supervisor.spawn_unawaited(spec).unwrap();
        world.supervisor.end(token, how);
        let ended = world.next_end();
        assert_eq!(ended.status.signal(), Some(signal.as_raw()));
        assert!(ended.start_error.is_none());
    }
}

#[test]
fn what_is_started_ends_when_nobody_reads_what_it_prints() {
    // The runtime of this process ignores that signal, and who is started would inherit it.
    assert_eq!(World::new().run("kill -PIPE $$").status.signal(), Some(13));
}

#[test]
#[cfg(target_os = "linux")]
fn what_is_started_gets_every_signal() {
    // Not by a shell, which may let in what was kept from it.
    let args = ["-n", "s/SigBlk:[^0-9]*//p", "/proc/self/status"];
    let mut world = World::new();
    let spec = Spec { program: "sed".into(), args: args.map(Into::into).into(), ..world.spec("") };
    world.supervisor.spawn(spec).unwrap();
    assert_eq!(world.next_end().status.code(), Some(0));
    let child = std::fs::read_to_string(world.dir.path().join("out")).unwrap();
    let helper = crate::run_to_end("sed", &args.map(AsRef::as_ref), world.dir.path(), &[]).unwrap();
    for blocked in [child, String::from_utf8(helper.stdout).unwrap()] {
        assert_eq!(u64::from_str_radix(blocked.trim(), 16), Ok(0), "{blocked}");
    }
}
