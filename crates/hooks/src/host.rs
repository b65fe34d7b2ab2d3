//! The executors: programs on a supervisor that somebody else waits on. One
//! deadline is handed down; there is no second clock.

mod counters;
mod daemon;
mod exec;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    ffi::OsString,
    path::PathBuf,
    sync::Arc,
    time::Instant,
};

use omne_events::{
    Clock as _, EventId, HookDecided, HookVerdict, IdGen as _, NodeId, RandomIds, SystemClock, beginning,
};
use omne_process::{BaseEnvironment, Directory, End, Mask, Supervisor, Token};
use serde_json::{Map, Value, json};

use crate::{Chain, Config, Decision, Effect, FailMode, HookEvent, Mode, Outcome, Timing};
pub use counters::Counters;
use daemon::Daemon;

/// The longest reply, in bytes.
const MOST_REPLY: usize = 1 << 20;
/// Tells fires apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FireId(u64);

/// What a fire is about.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The run.
    pub run_id: String,
    /// The pipe.
    pub pipe: String,
    /// The node, if it is about one.
    pub node_id: Option<NodeId>,
}

impl Subject {
    /// What namespaces of hooks and rules are matched with.
    pub fn namespace(&self) -> String {
        match &self.node_id {
            Some(node) => format!("{}/{node}", self.pipe),
            None => self.pipe.clone(),
        }
    }
}

/// Where hooks run.
#[derive(Debug, Clone)]
pub struct Place {
    /// The volume's root: their directory, and where relative programs are.
    pub volume: PathBuf,
    /// The value of `PATH`.
    pub path: OsString,
    /// What they find in their environment.
    pub environment: Arc<BaseEnvironment>,
    /// What marks the run's processes.
    pub run_id: String,
    /// Where it is told what they print as errors, redacted: the name of a file in a directory.
    pub log: Option<(Directory, &'static str)>,
    /// What of their output must not be kept.
    pub mask: Option<Arc<Mask>>,
}

/// A fire that has ended.
#[derive(Debug)]
pub struct Fired {
    /// Which one.
    pub id: FireId,
    /// What it was about.
    pub event: HookEvent,
    /// What came of it.
    pub outcome: Outcome,
    /// Each answer, for the log.
    pub decided: Vec<HookDecided>,
}

struct Fire {
    event: HookEvent,
    subject: Subject,
    chain: Chain,
    queue: VecDeque<usize>,
    deadline: Instant,
    current: Option<Current>,
    decided: Vec<HookDecided>,
}

/// The hook that is being asked.
struct Current {
    hook: usize,
    since: Instant,
    until: Instant,
    /// The request's id.
    number: String,
    request: Vec<u8>,
    state: State,
}

enum State {
    /// To be started at that time, after so many failures.
    Starting { at: Instant, failures: usize },
    /// Its process runs, and has said this so far.
    Running { token: Token, said: Vec<u8> },
    /// It waits until a daemon has answered others. Its own time has not begun.
    Queued,
    /// It waits for, or talks to, a daemon.
    Daemon,
}

/// Hooks that can be fired.
pub struct Host {
    config: Config,
    place: Place,
    fires: BTreeMap<FireId, Fire>,
    execs: HashMap<Token, FireId>,
    daemons: HashMap<usize, Daemon>,
    counters: Vec<Counters>,
    /// Processes that are being ended, with their commands; what they still say is for nobody.
    dying: HashMap<Token, String>,
    done: Vec<Fired>,
    next: u64,
    /// What it is to be once nothing is under way.
    coming: Option<Config>,
    clock: SystemClock,
}

type Answer = Result<Decision, (String, Timing)>;

impl Host {
    /// Hooks as configured; nothing is started yet.
    pub fn new(config: Config, place: Place) -> Self {
        let counters = config.hooks.iter().map(|_| Counters::default()).collect();
        Self {
            config,
            place,
            fires: BTreeMap::new(),
            execs: HashMap::new(),
            daemons: HashMap::new(),
            counters,
            dying: HashMap::new(),
            done: Vec::new(),
            next: 0,
            coming: None,
            clock: SystemClock::new(),
        }
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What each hook did so far, in the configuration's order.
    pub fn counters(&self) -> &[Counters] {
        &self.counters
    }

    /// Starts the daemons.
    pub fn start(&mut self, supervisor: &mut Supervisor) {
        for place in 0..self.config.hooks.len() {
            let hook = &self.config.hooks[place];
            if hook.enabled && hook.mode == Mode::Daemon && !self.daemons.contains_key(&place) {
                self.daemons.insert(place, Daemon::new(&hook.command, Instant::now()));
                self.connect(place, supervisor, Instant::now());
            }
        }
    }

    /// Whether there are hooks or rules at all.
    pub fn is_idle(&self) -> bool {
        self.config.is_empty()
    }

    /// Goes on with another configuration, once what is under way has ended. A hook whose block did not change keeps its
    /// process and its counters.
    pub fn reload(&mut self, config: Config, supervisor: &mut Supervisor) {
        self.coming = Some(config);
        self.change(supervisor);
    }

    fn change(&mut self, supervisor: &mut Supervisor) {
        if !self.fires.is_empty() {
            return;
        }
        let Some(config) = self.coming.take() else { return };
        let mut old: Vec<Option<crate::HookConfig>> =
            std::mem::take(&mut self.config.hooks).into_iter().map(Some).collect();
        let mut counters = Vec::with_capacity(config.hooks.len());
        let mut daemons = HashMap::new();
        for (place, hook) in config.hooks.iter().enumerate() {
            let same = old.iter().position(|old| old.as_ref() == Some(hook));
            counters.push(same.map(|same| std::mem::take(&mut self.counters[same])).unwrap_or_default());
            if let Some(same) = same {
                old[same] = None;
                daemons.extend(self.daemons.remove(&same).map(|daemon| (place, daemon)));
            }
        }
        self.end_daemons(supervisor);
        (self.config, self.counters, self.daemons) = (config, counters, daemons);
        self.start(supervisor);
    }

    /// Ends every daemon; [`Self::ended`] is told when one is gone.
    pub fn end_daemons(&mut self, supervisor: &mut Supervisor) {
        for daemon in std::mem::take(&mut self.daemons).into_values() {
            if let Some(token) = daemon.token() {
                self.kill(daemon.command, token, supervisor);
            }
        }
    }

    /// Whether a process of a hook is being ended.
    pub fn is_ending(&self) -> bool {
        !self.dying.is_empty()
    }

    /// Ends a process of a hook: what it still says is for nobody.
    fn kill(&mut self, command: String, token: Token, supervisor: &mut Supervisor) {
        self.dying.insert(token, command);
        supervisor.end(token, End::AtOnce);
    }

    /// Whether anybody is asked about `event` of `subject`.
    pub fn wants(&self, event: HookEvent, subject: &Subject) -> bool {
        !self.config.chain(event, &subject.namespace()).is_empty()
    }

    /// The first rule about a process, if there is one.
    pub fn rule<A: AsRef<std::ffi::OsStr>>(
        &self,
        namespace: &str,
        program: &std::path::Path,
        args: &[A],
    ) -> Option<&crate::Rule> {
        // What forbids counts more than what asks, wherever it stands.
        let about = || self.config.rules.iter().filter(|rule| rule.applies(namespace, program, args));
        about().find(|rule| rule.effect == Effect::Deny).or_else(|| about().next())
    }

    /// Asks all hooks about something; what came of it is given by [`Self::take`].
    pub fn fire(
        &mut self,
        event: HookEvent,
        subject: Subject,
        mut payload: Map<String, Value>,
        supervisor: &mut Supervisor,
    ) -> FireId {
        let id = FireId(self.next);
        self.next += 1;
        payload.insert("run_id".into(), subject.run_id.clone().into());
        payload.insert("pipe".into(), subject.pipe.clone().into());
        let now = Instant::now();
        let fire = Fire {
            event,
            queue: self.config.chain(event, &subject.namespace()).into(),
            subject,
            chain: Chain::new(payload),
            deadline: now + event.deadline(),
            current: None,
            decided: Vec::new(),
        };
        self.fires.insert(id, fire);
        self.advance(id, supervisor);
        id
    }

    /// The fires that have ended since this was last asked.
    pub fn take(&mut self) -> Vec<Fired> {
        std::mem::take(&mut self.done)
    }

    /// An observation is not made: too many are under way.
    pub fn dropped(&mut self, event: HookEvent, subject: &Subject) {
        for hook in self.config.chain(event, &subject.namespace()) {
            self.counters[hook].dropped += 1;
        }
    }

    /// How many fires are under way.
    pub fn pending(&self) -> usize {
        self.fires.len()
    }

    /// When somebody has to call [`Self::tick`].
    pub fn due(&self) -> Option<Instant> {
        let of_fires =
            self.fires.values().filter_map(|fire| fire.current.as_ref()).filter_map(|current| match current
                .state
            {
                State::Starting { at, .. } => Some(at.min(current.until)),
                State::Running { .. } | State::Daemon => Some(current.until),
                State::Queued => None,
            });
        let of_daemons = self.daemons.values().filter_map(Daemon::due);
        of_fires.chain(of_daemons).min()
    }

    /// Ends what has had its time, and starts what was put off.
    pub fn tick(&mut self, supervisor: &mut Supervisor) {
        let now = Instant::now();
        let is_late = |current: &Current| now >= current.until && !matches!(current.state, State::Queued);
        let late = |fire: &Fire| fire.current.as_ref().is_some_and(is_late);
        let late: Vec<FireId> = self.fires.iter().filter(|(_, fire)| late(fire)).map(|(id, _)| *id).collect();
        for id in late {
            self.give_up(id, None, supervisor);
        }
        let starts = |fire: &Fire| matches!(fire.current, Some(Current { state: State::Starting { at, .. }, .. }) if now >= at);
        let starts: Vec<FireId> =
            self.fires.iter().filter(|(_, fire)| starts(fire)).map(|(id, _)| *id).collect();
        for id in starts {
            self.start_exec(id, supervisor);
        }
        let places: Vec<usize> = self.daemons.keys().copied().collect();
        for place in places {
            self.serve(place, supervisor, now);
        }
        self.change(supervisor);
    }

    /// Ends everything that is under way: nobody waits for it any more.
    pub fn give_up_all(&mut self, supervisor: &mut Supervisor) {
        let ids: Vec<FireId> = self.fires.keys().copied().collect();
        for id in ids {
            // Who would be asked next is not asked.
            if let Some(fire) = self.fires.get_mut(&id) {
                fire.queue.clear();
            }
            self.give_up(id, Some("it was cut off before it answered"), supervisor);
        }
    }

    /// Ends who was to answer: without another reason, because its time is over.
    fn give_up(&mut self, id: FireId, why: Option<&str>, supervisor: &mut Supervisor) {
        let Some(current) = self.fires.get(&id).and_then(|fire| fire.current.as_ref()) else { return };
        let hook = current.hook;
        let took = current.since.elapsed().as_millis();
        match &current.state {
            State::Running { token, .. } => {
                let token = *token;
                self.execs.remove(&token);
                self.kill(self.config.hooks[hook].command.clone(), token, supervisor);
            }
            State::Daemon | State::Queued => {
                if let Some(daemon) = self.daemons.get_mut(&hook)
                    && daemon.drop_fire(id)
                {
                    self.reset(hook, supervisor);
                }
            }
            State::Starting { .. } => {}
        }
        let why = why.map_or_else(|| format!("it did not answer within {took} ms"), str::to_owned);
        self.answer(id, Err((why, Timing::Late)), supervisor);
    }

    /// Asks the next hook, or ends the fire.
    fn advance(&mut self, id: FireId, supervisor: &mut Supervisor) {
        let now = Instant::now();
        let Some(fire) = self.fires.get_mut(&id) else { return };
        let next = if fire.chain.is_over() { None } else { fire.queue.pop_front() };
        let Some(hook) = next else {
            if let Some(fire) = self.fires.remove(&id) {
                let Fire { event, chain, decided, .. } = fire;
                self.done.push(Fired { id, event, outcome: chain.end(), decided });
            }
            return;
        };
        let config = &self.config.hooks[hook];
        let until = fire.deadline.min(now + config.timeout);
        let number = EventId::from_parts(self.clock.now(), RandomIds.random()).to_string();
        let mut request = json!({
            "id": number,
            "event": fire.event.as_str(),
            "run_id": fire.subject.run_id,
            "pipe": fire.subject.pipe,
        });
        if let Some(node) = &fire.subject.node_id {
            request["node_id"] = node.as_str().into();
        }
        request["payload"] = Value::Object(fire.chain.payload().clone());
        let request = format!("{request}\n").into_bytes();
        let mode = config.mode;
        let state = match mode {
            Mode::Exec => State::Starting { at: now, failures: 0 },
            // What only looks on may be dropped, and holds nothing up.
            Mode::Daemon => {
                match fire.event.decides() && self.daemons.get(&hook).is_some_and(Daemon::is_occupied) {
                    true => State::Queued,
                    false => State::Daemon,
                }
            }
        };
        fire.current = Some(Current { hook, since: now, until, number, request, state });
        self.counters[hook].fired += 1;
        if now >= until {
            self.answer(id, Err(("there was no time left to ask it".into(), Timing::Late)), supervisor);
            return;
        }
        match mode {
            Mode::Exec => self.start_exec(id, supervisor),
            Mode::Daemon => {
                let daemon = self.daemons.entry(hook).or_insert_with(|| Daemon::new(&config.command, now));
                daemon.waiting.push_back(id);
                self.serve(hook, supervisor, now);
            }
        }
    }

    /// A hook has answered, or failed to.
    fn answer(&mut self, id: FireId, answer: Answer, supervisor: &mut Supervisor) {
        let Some(fire) = self.fires.get_mut(&id) else { return };
        let Some(current) = fire.current.take() else { return };
        let config = &self.config.hooks[current.hook];
        let latency = current.since.elapsed();
        let latency_us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.counters[current.hook].took(latency);
        let mut decided = HookDecided {
            event: fire.event.as_str().into(),
            hook: config.command.clone(),
            node_id: fire.subject.node_id.clone(),
            tool_use_id: None,
            decision: HookVerdict::Allow,
            latency_us,
            reason: None,
            code: None,
            delta: None,
        };
        // An observer's answer changes nothing, and neither does its error.
        let counts = fire.event.decides();
        match answer {
            Ok(decision) => {
                match &decision {
                    Decision::Allow => {}
                    Decision::Modify(delta) => {
                        decided.decision = HookVerdict::Modify;
                        decided.delta = Some(told(delta));
                    }
                    Decision::Deny { reason, code } => {
                        decided.decision = HookVerdict::Deny;
                        (decided.reason, decided.code) = (Some(clip(reason)), Some(*code));
                    }
                    Decision::AskUser { prompt, .. } => {
                        decided.decision = HookVerdict::AskUser;
                        decided.reason = Some(clip(prompt));
                    }
                }
                if counts {
                    fire.chain.take(decision);
                }
            }
            Err((why, timing)) => {
                self.counters[current.hook].errors += 1;
                decided.decision = HookVerdict::Error;
                decided.reason = Some(clip(&why));
                if counts {
                    let why = format!("the hook `{}` failed: {why}", config.command);
                    fire.chain.fail(config.fail_mode, &why, timing);
                    if config.fail_mode == FailMode::Closed {
                        decided.code = Some(if timing == Timing::Late { 504 } else { 503 });
                    }
                }
            }
        }
        fire.decided.push(decided);
        self.advance(id, supervisor);
    }
}

/// Changes as an event tells them: what is large by its size alone, for events are lines, and lines have an end.
fn told(delta: &Map<String, Value>) -> Value {
    const MOST: usize = 4096;
    let short = |value: &Value| match value.to_string().len() {
        bytes if bytes > MOST => json!({ "bytes": bytes }),
        _ => value.clone(),
    };
    delta.iter().map(|(key, value)| (key.clone(), short(value))).collect::<Map<_, _>>().into()
}

/// A reason that fits an event.
fn clip(text: &str) -> String {
    const MOST: usize = 1024;
    beginning(text, MOST).to_owned()
}
