//! The differential oracle: the same scripted exchanges, byte for byte, with a Java observer and with an Outpost
//! of one ensemble, and their answers compared.
//!
//! Each script is a test of its own. What may differ from run to run is given stable names first
//! ([`transcript`]); everything else must be equal, or stand in [`differences`]. What would hurt the leader
//! behind a Java observer is kept from it ([`hazard`]) and sent to Outpost alone, after which the ensemble must
//! still commit. What has to do with sessions is played again with sessions that only one server knows.

//! `OUTPOST_ORACLE_SHOW=1` prints what each server said.

// A scenario that cannot go on fails its test with a sentence.
#![allow(clippy::expect_used)]

mod compare;
mod differences;
mod hazard;
mod run;
mod script;
mod scripts;
mod stage;
mod transcript;

use std::process::ExitCode;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::thread;

use libtest_mimic::{Arguments, Failed, Trial};
use outpost_tests::ObserverKind;

use script::{Cast, Script};
use stage::{Sessions, Stage};

/// The stage, built when the first script needs it, and the lock that scripts which want to be alone take whole.
struct Theatre {
    sessions: Sessions,
    stage: OnceLock<Option<Stage>>,
    alone: RwLock<()>,
}

/// How many scripts are played at a time, unless the command line says otherwise.
const SIDE_BY_SIDE: usize = 4;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // They wait for sessions to end more than they work.
    arguments.test_threads.get_or_insert(SIDE_BY_SIDE);
    let about_the_oracle = vec![
        Trial::test(
            "every_difference_is_explained_and_every_explanation_needed",
            || differences::agree_with_the_document().map_err(Failed::from),
        ),
        Trial::test(
            "an_unlisted_difference_is_found_and_a_listed_one_must_show",
            || compare::finds_what_differs().map_err(Failed::from),
        ),
        Trial::test("p9_scripts_that_hurt_a_leader_are_kept_from_java", || {
            hazard::catches(&scripts::all()).map_err(Failed::from)
        }),
    ];
    // One after the other: each has five virtual machines.
    let global = perform(
        &arguments,
        Sessions::Global,
        &scripts::all(),
        about_the_oracle,
    );
    let local = perform(
        &arguments,
        Sessions::Local,
        &scripts::about_sessions(),
        Vec::new(),
    );
    if global == ExitCode::SUCCESS {
        local
    } else {
        global
    }
}

fn perform(
    arguments: &Arguments,
    sessions: Sessions,
    scripts: &[Script],
    mut trials: Vec<Trial>,
) -> ExitCode {
    let theatre = Arc::new(Theatre {
        sessions,
        stage: OnceLock::new(),
        alone: RwLock::new(()),
    });
    for script in scripts.iter().copied() {
        let theatre = Arc::clone(&theatre);
        let name = match sessions {
            Sessions::Global => script.name.to_owned(),
            Sessions::Local => format!("local_sessions::{}", script.name),
        };
        trials.push(Trial::test(name, move || {
            theatre.play(&script).map_err(Failed::from)
        }));
    }
    let conclusion = libtest_mimic::run(arguments, trials);
    if conclusion.has_failed()
        && let Some(Some(stage)) = theatre.stage.get()
    {
        // The servers end with this process, their files stay.
        eprintln!("logs are kept in {}", stage.dirs());
        std::mem::forget(theatre);
    } else {
        // Dropped here and not by the end of the process, so that servers and files go.
        drop(theatre);
    }
    conclusion.exit_code()
}

impl Theatre {
    fn play(&self, script: &Script) -> Result<(), String> {
        let build = || std::panic::catch_unwind(|| Stage::build(self.sessions)).ok();
        let stage = self.stage.get_or_init(build);
        let stage = stage
            .as_ref()
            .ok_or("the stage cannot be built: the first test says why")?;
        match script.cast {
            Cast::Both => {
                let _others = self.alone.read().unwrap_or_else(PoisonError::into_inner);
                let (java, outpost) = thread::scope(|scope| {
                    let java = scope.spawn(|| play(stage, ObserverKind::Java, script));
                    let outpost = scope.spawn(|| play(stage, ObserverKind::Outpost, script));
                    (joined(java), joined(outpost))
                });
                compare::verdict(&java?, &outpost?, &differences::of(script.name))
            }
            Cast::BothAlone => {
                let _nobody = self.alone.write().unwrap_or_else(PoisonError::into_inner);
                let java = play(stage, ObserverKind::Java, script)?;
                let outpost = play(stage, ObserverKind::Outpost, script)?;
                compare::verdict(&java, &outpost, &differences::of(script.name))
            }
            Cast::Outpost => {
                let _others = self.alone.read().unwrap_or_else(PoisonError::into_inner);
                let said = play(stage, ObserverKind::Outpost, script)?;
                if !stage.commits() {
                    return Err("the ensemble no longer commits".to_owned());
                }
                match said
                    .iter()
                    .any(|line| line.starts_with(transcript::UNEXPECTED))
                {
                    true => Err(format!("Outpost said {said:#?}")),
                    false => Ok(()),
                }
            }
        }
    }
}

fn play(stage: &Stage, kind: ObserverKind, script: &Script) -> Result<Vec<String>, String> {
    let (root, first_zxid) = stage.new_root(kind);
    let steps = script.steps(&root);
    if !matches!(script.cast, Cast::Outpost)
        && let Some(hazard) = hazard::first_of(&steps)
    {
        return Err(format!("this would hurt the leader behind Java: {hazard}"));
    }
    let lines = run::play(stage, kind, &steps, &root, first_zxid);
    stage.remove(&root);
    if std::env::var_os("OUTPOST_ORACLE_SHOW").is_some() {
        println!("{} with {kind:?}:\n  {}", script.name, lines.join("\n  "));
    }
    Ok(lines)
}

fn joined(
    thread: thread::ScopedJoinHandle<'_, Result<Vec<String>, String>>,
) -> Result<Vec<String>, String> {
    thread
        .join()
        .unwrap_or_else(|_| Err("the run has panicked, see above".to_owned()))
}
