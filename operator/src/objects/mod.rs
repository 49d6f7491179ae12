//! Objects of Kubernetes, by value: what SSH instances and mirrors have alike.

pub mod access;
pub mod pod;
pub mod policies;
pub mod services;
pub mod words;
