//! What is in `deploy/` works with the tools it is made for, and speaks of metrics that exist.
//!
//! `promtool` and `systemd-analyze` are really run; a machine without them fails. Grafana is not asked: of its
//! dashboard, the form and the expressions are looked at. Read on in `exposition` (what a running Outpost shows)
//! and `expressions` (which series an expression needs).
#![allow(clippy::expect_used, clippy::unwrap_used)]

mod dashboard;
mod exposition;
mod expressions;
mod rules;
mod tools;
mod unit;
