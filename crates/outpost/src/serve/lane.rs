//! The lane for large answers: of the connections of one worker, those with much to say take their turns one at a
//! time, and everybody else is served in between.
//!
//! A worker serves whoever is ready in the order in which they became so. Without the lane a hundred clients that all
//! ask for large znodes would make one with a small question wait for a hundred large answers, time and again.

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::yield_now;

/// One worker's lane.
#[derive(Debug)]
pub struct Lane(Semaphore);

/// The right to one large turn.
pub struct Turned<'a>(Option<SemaphorePermit<'a>>);

impl Default for Lane {
    fn default() -> Lane {
        Lane(Semaphore::new(1))
    }
}

impl Lane {
    /// Waits for the lane, in the order in which connections come.
    pub async fn enter(&self) -> Turned<'_> {
        // Nobody closes it.
        Turned(self.0.acquire().await.ok())
    }
}

impl Turned<'_> {
    /// Leaves the lane once everybody who is ready now has been served.
    pub async fn leave(self) {
        yield_now().await;
        drop(self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use tokio::task::{LocalSet, spawn_local};

    use super::*;

    #[tokio::test]
    async fn p6_small_questions_are_answered_between_large_answers() {
        let (lane, order) = (
            Rc::new(Lane::default()),
            Rc::new(RefCell::new(String::new())),
        );
        let local = LocalSet::new();
        local.spawn_local({
            let (lane, order) = (Rc::clone(&lane), Rc::clone(&order));
            async move {
                for _ in 0..4 {
                    let (lane, order) = (Rc::clone(&lane), Rc::clone(&order));
                    spawn_local(async move {
                        let turn = lane.enter().await;
                        order.borrow_mut().push('L');
                        turn.leave().await;
                    });
                }
                for _ in 0..4 {
                    yield_now().await;
                    order.borrow_mut().push('s');
                }
            }
        });
        local.await;
        assert_eq!(*order.borrow(), "LsLsLsLs");
    }
}
