//! The real loop, log and state in a simulated world: time, disk, attempts and
//! deaths come from a seed, so that thousands of runs with everything that may
//! happen to them take seconds, and what fails fails again.
//!
//! `OMNE_SIM_RUNS` says how many seeds are played, `OMNE_SIM_SEED` which one is
//! the first; a failure names its seed.

mod disk;
mod executor;
mod judge;
mod scenario;
mod syncs;
mod world;

use std::{
    cell::RefCell,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use omne_events::{
    Chain, Decoder, Event, GateDecided, IdGen, Line, LogReader, LogWriter, NodeId, PipeResumed, PipeStarted,
    RunId, Tail, Workspace, WorkspaceMode,
};
use omne_process::Signal;
use omne_replay::{Request, RunPhase, RunState, Terms, plan, verify};

use self::{
    disk::{Disk, Loss, SimLog, Sync},
    executor::{Disturbance, SimExecutor},
    judge::{End, Judge},
    scenario::Scenario,
    world::{Broken, Death, SimClock, SimIds, World, broken},
};
use crate::{
    Observer, Options, Outcome, RunError, Settings, Volume,
    agents::{Programs, Roster},
    run::Run,
};

/// How many runs are played when nobody says otherwise.
const RUNS: u64 = 2000;
/// After so many lives nothing disturbs a run any more.
const MOST_LIVES: u32 = 6;

/// Folds what is written at once, and compares it with what the runner believes.
struct Shadow {
    decoder: Decoder,
    state: RunState,
    writes: u32,
}

impl Observer for Shadow {
    fn wrote(&mut self, _: &[omne_events::Recorded], lines: &[u8], state: &RunState) {
        self.fold(lines);
        // Most of what a simulation does is to compare, so not at each write.
        self.writes += 1;
        let at_end = !matches!(state.phase(), RunPhase::Running);
        if (at_end || self.writes.is_multiple_of(8)) && picture(&self.state) != picture(state) {
            broken(format!(
                "the log folds to what the runner believes:\n{}\n{}",
                picture(&self.state),
                picture(state)
            ));
        }
    }

    fn tick(&mut self, _: &RunState) -> Option<Duration> {
        None
    }

    fn live(&mut self, _: &NodeId, _: &str) {}

    fn warn(&mut self, _: &str) {}
}

/// All that a state says of a run and its nodes.
fn picture(state: &RunState) -> String {
    let nodes: Vec<String> = state.nodes().map(|(id, _, record)| format!("{id}: {record:?}")).collect();
    format!(
        "{:?} {} {:?} running {}\n{}",
        state.phase(),
        state.seq(),
        state.reason(),
        state.running(),
        nodes.join("\n")
    )
}

/// What a run has to expect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weather {
    /// Nothing but answers to its questions.
    Calm,
    /// Deaths, a disk that fails, signals, a clock that is set.
    Rough,
}

/// How a life of the runner ended.
enum Life {
    Ended(Outcome),
    /// The log could not be written or synced.
    Failed,
    Died,
}

struct Simulation {
    scenario: Scenario,
    world: Rc<RefCell<World>>,
    random: fastrand::Rng,
    run: RunId,
    lives: u32,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let scenario = Scenario::new(&mut random);
        Self::of(scenario, random)
    }

    fn of(scenario: Scenario, mut random: fastrand::Rng) -> Self {
        let judge = Judge::new(&scenario.pipe, scenario.jobs);
        let world = World {
            random: random.fork(),
            now: Duration::ZERO,
            shift: 0,
            disk: Disk::default(),
            sync: Sync::default(),
            judge,
            dies_in: None,
            steps: 0,
            cancelled: false,
        };
        let world = Rc::new(RefCell::new(world));
        let now = omne_events::Clock::now(&SimClock(Rc::clone(&world)));
        let run = SimIds(random.fork()).run_id(scenario.pipe.name(), now);
        Self { scenario, world, random, run, lives: 0 }
    }

    /// What comes from outside in a life.
    fn disturbances(&mut self, weather: Weather) -> Vec<(Duration, Disturbance)> {
        let now = self.world.borrow().now;
        let mut disturbances = Vec::new();
        // Somebody answers at last.
        if weather == Weather::Calm || !self.world.borrow().judge.questions().is_empty() {
            for minute in 1..40 {
                disturbances.push((now + Duration::from_secs(60 * minute), Disturbance::Answer));
            }
        }
        while weather == Weather::Rough && self.random.u8(0..3) == 0 {
            let at = now + Duration::from_millis(self.random.u64(0..6000));
            disturbances.push((
                at,
                match self.random.u8(0..6) {
                    0 => Disturbance::Signal(Signal::Interrupt),
                    1 => Disturbance::Signal(Signal::Terminate),
                    2 if !self.scenario.is_steady => Disturbance::Cancel,
                    3 => Disturbance::Clock(self.random.i64(-3_600_000..3_600_000)),
                    _ => Disturbance::Answer,
                },
            ));
        }
        disturbances.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        disturbances
    }

    /// One life of the runner, from the bytes that are on disk.
    fn live(&mut self, weather: Weather) -> Life {
        self.lives += 1;
        {
            let world = &mut *self.world.borrow_mut();
            world.sync = Sync::default();
            world.disk.has_failed = false;
            world.cancelled = false;
            let mut chance = |most: u64| {
                (weather == Weather::Rough && self.random.bool()).then(|| self.random.u64(0..most))
            };
            world.dies_in = chance(60);
            (world.disk.fail_write, world.disk.fail_sync) = match chance(8) {
                Some(0) => (chance(20), None),
                Some(1) => (None, chance(6)),
                _ => (None, None),
            };
        }
        let (state, chain, length, first) = self.look_back();
        let mut shadow = Shadow { decoder: Decoder::new(), state: RunState::new(), writes: 0 };
        let old = self.world.borrow().disk.bytes.clone();
        shadow.fold(&old);
        let disturbances = self.disturbances(weather);
        let Scenario { pipe, parts, durability, .. } = &self.scenario;
        let mut executor = SimExecutor::new(&self.world, pipe, parts, *durability, disturbances);
        let clock = SimClock(Rc::clone(&self.world));
        let log = SimLog { world: Rc::clone(&self.world), path: PathBuf::from("events.jsonl") };
        let ids = Box::new(SimIds(self.random.fork()));
        let mut log = LogWriter::after(Box::new(log), self.run.clone(), chain, length, ids);
        let opened = log.sync_in_background(*durability, "/".as_ref(), Box::new(|| {}));
        opened.unwrap_or_else(|error| broken(error.to_string()));
        let world = Rc::clone(&self.world);
        let cancelled_by = || world.borrow().cancelled.then(|| "somebody".to_owned());
        // Two people say the same at once: the second one is too late.
        let answers = || [self.answers(), self.answers()].concat();
        let going = Run {
            log,
            state,
            execute: &mut executor,
            observer: &mut shadow,
            clock: &clock,
            jobs: self.scenario.jobs,
            fail_fast: self.scenario.fail_fast,
            durability: *durability,
            cancelled_by: &cancelled_by,
            answers: &answers,
            hooks: &|| Err("there are none".to_owned()),
            ask_timeout: self.scenario.ask_timeout,
            checked: std::cell::RefCell::default(),
            roster: roster(pipe),
            recorded: omne_events::Placeholders::default(),
            secrets: None,
        };
        let ended = catch_unwind(AssertUnwindSafe(|| going.drive(first)));
        {
            let world = &mut *self.world.borrow_mut();
            world.dies_in = None;
            (world.disk.fail_write, world.disk.fail_sync) = (None, None);
        }
        match ended {
            Ok(Ok((outcome, _))) => Life::Ended(outcome),
            Ok(Err(RunError::Write(_))) => {
                let world = self.world.borrow();
                world.law(world.disk.has_failed, "a write fails only when the disk does");
                Life::Failed
            }
            Ok(Err(error)) => broken(format!("a run fails only when its log does: {error:?}")),
            Err(payload) if payload.is::<Death>() => Life::Died,
            Err(payload) => std::panic::resume_unwind(payload),
        }
    }

    /// What a new runner finds, and the event with which it begins.
    fn look_back(&mut self) -> (RunState, Chain, u64, Event) {
        let Scenario { pipe, jobs, .. } = &self.scenario;
        let world = &mut *self.world.borrow_mut();
        world.judge = Judge::new(pipe, *jobs);
        let report =
            verify(&mut LogReader::new(&*world.disk.bytes, "events.jsonl".as_ref()), Terms::default());
        let report = report.unwrap_or_else(|error| broken(error.to_string()));
        if let Some(damage) = report.damage() {
            broken(format!("a crash leaves a log that is whole: line {}: {}", damage.line, damage.message));
        }
        let length = usize::try_from(report.length).unwrap_or(usize::MAX);
        if report.lines == 0 {
            world.disk.bytes.clear();
            world.disk.synced = 0;
            let chain = Chain::of(self.run.clone());
            let mut state = RunState::new();
            state.expect(Arc::clone(pipe));
            return (state, chain, 0, self.started());
        }
        world.law(
            report.tail == Tail::Clean || length < world.disk.bytes.len(),
            "what is torn comes after the last whole line",
        );
        world.law(world.disk.synced <= length, "what was synced is whole");
        world.disk.bytes.truncate(length);
        let bytes = world.disk.bytes.clone();
        world.written(&bytes);
        let steps =
            plan(&report.state, &Request::default()).unwrap_or_else(|error| broken(error.to_string()));
        let resumed = PipeResumed {
            resume: report.state.resumes() + 1,
            definition: None,
            definition_sha256: None,
            inputs: None,
            plan: steps,
            host: None,
            by: None,
        };
        (report.state, report.chain, report.length, resumed.into())
    }

    /// People answer a run that has no runner: some of its questions, at some time.
    fn answer(&mut self) {
        let (_, chain, length, _) = self.look_back();
        let clock = SimClock(Rc::clone(&self.world));
        self.world.borrow_mut().now += Duration::from_millis(self.random.u64(0..30_000));
        let answers = self.answers();
        let log = SimLog { world: Rc::clone(&self.world), path: PathBuf::from("events.jsonl") };
        let ids = Box::new(SimIds(self.random.fork()));
        let mut log = LogWriter::after(Box::new(log), self.run.clone(), chain, length, ids);
        for (at, answer) in answers.into_iter().enumerate() {
            if at == 0 || self.random.bool() {
                let appended = log.append(omne_events::Clock::now(&clock), answer.into());
                appended.and_then(|_| log.flush()).unwrap_or_else(|error| broken(error.to_string()));
            }
        }
    }

    /// What people say to all who ask now.
    fn answers(&self) -> Vec<GateDecided> {
        let Scenario { pipe, parts, .. } = &self.scenario;
        let place = |id: &NodeId| pipe.find(id.as_str()).map_or(0, omne_dag::NodeIx::place);
        self.world.borrow().judge.answers(|id| parts[place(id)].approved)
    }

    fn started(&self) -> Event {
        let pipe = &self.scenario.pipe;
        PipeStarted {
            pipe: pipe.name().as_str().into(),
            version: Some(pipe.version()),
            definition: Some(pipe.definition_text()),
            definition_sha256: Some(pipe.definition_sha256()),
            inputs: Vec::new(),
            jobs: u32::try_from(self.scenario.jobs).ok(),
            workspace: Some(Workspace { mode: WorkspaceMode::Root, path: "/".into(), base_commit: None }),
            host: None,
            by: None,
            distro_version: None,
        }
        .into()
    }

    /// Plays the run to its end, through as many lives as it takes. How its nodes ended.
    fn play(&mut self, weather: Weather) -> Vec<End> {
        loop {
            self.world.borrow().law(self.lives < 40, "a run that nothing disturbs any more comes to its end");
            let weather = if self.lives >= MOST_LIVES { Weather::Calm } else { weather };
            match self.live(weather) {
                Life::Ended(outcome) => {
                    let world = self.world.borrow();
                    world.law(
                        self.scenario.durability == omne_events::Durability::None
                            || world.disk.synced == world.disk.bytes.len(),
                        "the end of a run is on disk",
                    );
                    world.law(world.judge.has_ended, "the end of a run is in its log");
                    let ends = world.judge.ends();
                    let is_well = ends.iter().all(|end| matches!(end, End::Completed | End::Skipped));
                    match outcome {
                        Outcome::Completed => world.law(is_well, "only what is well completes"),
                        Outcome::Aborted => {
                            world.law(!is_well || !self.scenario.is_steady, "what is well does not abort");
                            let is_over = !ends.contains(&End::Open);
                            let law = "a run that nobody stops goes on until each of its nodes has ended";
                            world.law(is_over || !self.scenario.is_steady, law);
                        }
                        Outcome::Interrupted(_) => continue,
                        // Who asks two people that both say no is asked by a resume again: that may go on for ever.
                        Outcome::Parked if self.lives >= 3 * MOST_LIVES && !self.scenario.is_steady => {
                            return ends;
                        }
                        Outcome::Parked => {
                            drop(world);
                            self.answer();
                            continue;
                        }
                    }
                    return ends;
                }
                Life::Failed | Life::Died => {
                    let mut world = self.world.borrow_mut();
                    let loss = [Loss::None, Loss::None, Loss::Suffix, Loss::Holes][self.random.usize(0..4)];
                    world.lose(loss);
                }
            }
            if phase(&self.world.borrow().disk.bytes)
                .is_some_and(|phase| matches!(phase, RunPhase::Completed | RunPhase::Aborted))
            {
                // Its end was written, and its runner died before it could say so.
                let (pipe, jobs) = (&self.scenario.pipe, self.scenario.jobs);
                let world = &mut *self.world.borrow_mut();
                world.judge = Judge::new(pipe, jobs);
                let bytes = world.disk.bytes.clone();
                world.written(&bytes);
                return world.judge.ends();
            }
        }
    }
}

impl Shadow {
    /// Takes in whole lines.
    fn fold(&mut self, bytes: &[u8]) {
        for line in bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            match self.decoder.decode(line).map(|decoded| decoded.line.into_line()) {
                Ok(Line::Known(record)) => {
                    if let Err(violation) = self.state.apply(&record) {
                        broken(format!("the log obeys its rules: {violation}"));
                    }
                }
                other => broken(format!("every line is an event: {other:?}")),
            }
        }
    }
}

/// How a log says that its run stands, if its last line is whole.
fn phase(bytes: &[u8]) -> Option<RunPhase> {
    let mut reader = LogReader::new(bytes, "events.jsonl".as_ref());
    let report = verify(&mut reader, Terms::default()).ok()?;
    (report.damage().is_none() && report.tail == Tail::Clean).then(|| report.state.phase())
}

fn roster(pipe: &omne_pipe::Pipe) -> Roster {
    let options = Options {
        jobs: None,
        fail_fast: false,
        budget_usd: None,
        settings: Settings::default(),
        environment: Vec::new(),
        by: String::new(),
        omne: PathBuf::new(),
        omne_version: "0",
    };
    Roster::new(pipe, &Volume::at(PathBuf::from("/nowhere")), &options, Programs::Played, &|_| true)
        .unwrap_or_else(|error| broken(error.to_string()))
}

/// Plays one seed. Which law does not hold, if one does not; else how many steps it took, in how many lives.
fn play(seed: u64) -> Result<(u64, u32), String> {
    let mut simulation = Simulation::new(seed);
    let world = Rc::clone(&simulation.world);
    let played = catch_unwind(AssertUnwindSafe(|| {
        let ends = simulation.play(Weather::Rough);
        if simulation.scenario.is_steady {
            let mut calm = Simulation::new(seed);
            let expected = calm.play(Weather::Calm);
            if ends != expected {
                broken(format!("a run that was disturbed comes to the same:\n{ends:?}\n{expected:?}"));
            }
        }
        let steps = simulation.world.borrow().steps;
        (steps, simulation.lives)
    }));
    played.map_err(|payload| {
        let law = match payload.downcast::<Broken>() {
            Ok(broken) => broken.0,
            // The panic itself was printed when it happened.
            Err(_) => "it panics".to_owned(),
        };
        format!("{law}\nthe log so far:\n{}", String::from_utf8_lossy(&world.borrow().disk.bytes))
    })
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn whatever_happens_to_a_run_the_laws_hold() {
    let runs = number("OMNE_SIM_RUNS").unwrap_or(RUNS);
    let first = number("OMNE_SIM_SEED").unwrap_or(1);
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let worker = |worker: u64| {
        let mut sums = (0, 0, 0);
        for seed in (first..first + runs).filter(|seed| seed % threads == worker) {
            match play(seed) {
                Ok((steps, lives)) => sums = (sums.0 + 1, sums.1 + steps, sums.2 + u64::from(lives)),
                Err(law) => panic!("seed {seed}: {law}\nOMNE_SIM_SEED={seed} OMNE_SIM_RUNS=1 plays it again"),
            }
        }
        sums
    };
    let (mut played, mut steps, mut lives) = (0, 0, 0);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|at| scope.spawn(move || worker(at))).collect();
        for worker in workers {
            match worker.join() {
                Ok(sums) => (played, steps, lives) = (played + sums.0, steps + sums.1, lives + sums.2),
                Err(payload) => std::panic::resume_unwind(payload),
            }
        }
    });
    println!("{played} runs, {lives} lives, {steps} steps at which one may end");
    assert_eq!(played, runs);
}
