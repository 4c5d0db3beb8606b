//! What is in `deploy/` works with the tools it is made for, and speaks of metrics that exist.
//!
//! `promtool`, `systemd-analyze`, `dpkg`, `lintian`, `hadolint` and `kustomize` are really run; a machine on which they
//! cannot be had fails. No container is built or started, and Grafana is not asked: of what they read, the form is
//! checked, and that all parts speak of the same files, ports and names. Read on in `changeover` (the way from a Java observer and back), `exposition` (what a running Outpost shows)
//! and `expressions` (which series an expression needs).
#![allow(clippy::expect_used, clippy::unwrap_used)]

mod changeover;
mod compose;
mod dashboard;
mod docker;
mod exposition;
mod expressions;
mod kubernetes;
mod package;
mod rules;
mod tools;
mod unit;
