//! Black-box tests of the built binary, over HTTP, WebSocket and signals.
#![cfg(test)]

mod accounts;
mod backup;
mod bench;
mod conversation;
mod doctor;
mod door;
mod erasing;
mod faults;
mod forgetting;
mod frame_matrix;
mod frames;
mod hostile;
mod invitations;
mod issuers;
mod kills;
mod leaving;
mod letters;
mod limits;
mod machine;
mod matrix;
mod operator;
mod presence;
mod privacy;
mod programs;
mod requests;
mod resume;
mod slow;
mod soak;
mod tap;
mod tls;
mod tokens;
mod tricks;
