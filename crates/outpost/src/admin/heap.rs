//! Heap profiles: which code has allocated what is still in use, for `pprof`.
//!
//! Nothing is sampled before somebody asks for it. No key guards this: a profile holds no data, and to need a restart
//! for one would destroy what it is to explain. Names of functions are found by `pprof`, from the binary.

use hyper::StatusCode;
use jemalloc_pprof::{JemallocProfCtl, PROF_CTL};

use super::http::{Answer, Asked};

/// Answers with the profile.
pub(super) const PROFILE: &str = "/debug/heap";
/// Begins to sample.
pub(super) const START: &str = "/debug/heap/start";
/// Ends it.
pub(super) const STOP: &str = "/debug/heap/stop";

const NOT_BUILT: &str = "this binary cannot sample its heap: it was built without the repository's \
    .cargo/config.toml; start it with _RJEM_MALLOC_CONF=prof:true,prof_active:false\n";
const NOT_STARTED: &str = "nothing is sampled yet: POST to /debug/heap/start, wait until the heap has grown, then ask again\n";

/// Answers what is asked below `/debug/heap`.
pub(super) fn answer(asked: Asked<'_>) -> Answer {
    let Some(control) = PROF_CTL.as_ref() else {
        return Answer::text(StatusCode::NOT_IMPLEMENTED, NOT_BUILT);
    };
    let Ok(mut control) = control.try_lock() else {
        return Answer::text(StatusCode::TOO_MANY_REQUESTS, "a profile is being made\n");
    };
    match (asked.path, asked.is_post()) {
        (PROFILE, false) => profile(&mut control),
        (PROFILE, true) => Answer::not_allowed("GET, HEAD"),
        (_, false) => Answer::not_allowed("POST"),
        (START, true) => switched("sampling the heap from now on", control.activate()),
        (_, true) => switched("no longer sampling the heap", control.deactivate()),
    }
}

fn switched<E: std::fmt::Display>(what: &str, result: Result<(), E>) -> Answer {
    match result {
        Ok(()) => {
            tracing::info!("{what}");
            Answer::text(StatusCode::OK, format!("{what}\n"))
        }
        Err(error) => failed(&error),
    }
}

fn profile(control: &mut JemallocProfCtl) -> Answer {
    if !control.activated() {
        return Answer::text(StatusCode::CONFLICT, NOT_STARTED);
    }
    match control.dump_pprof() {
        Ok(profile) => Answer::new(
            StatusCode::OK,
            "application/octet-stream",
            super::http::Content::Whole(profile.into()),
        ),
        Err(error) => failed(&error),
    }
}

fn failed(error: &dyn std::fmt::Display) -> Answer {
    let text = format!("the allocator refuses: {error}\n");
    Answer::text(StatusCode::INTERNAL_SERVER_ERROR, text)
}
