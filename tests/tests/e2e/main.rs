//! Releases for real: each test starts executions of the deployed state machine, and asserts on what
//! the local AWS then says. At its end each checks the design's invariants.

mod admission;
mod alarm_kinds;
mod approval;
mod case;
mod cli;
mod cli_between;
mod cost;
mod died;
mod durable;
mod ended_early;
mod faults;
mod first;
mod gates;
mod health;
mod hooks;
mod judged;
mod keys;
mod limits;
mod live;
mod load;
mod migrations;
mod moto;
mod notices;
mod page;
mod people;
mod promoted;
mod provisioned;
mod reachable;
mod readme;
mod refused;
mod rejected;
mod release_page;
mod responses;
mod retention;
mod roles;
mod rolled_back;
mod secrets;
mod splitters;
mod stage_wiring;
mod to_version;
mod trains;
mod windows;

fn main() -> std::process::ExitCode {
    // The longest first.
    case::run(vec![
        limits::tests(),
        live::tests(),
        readme::tests(),
        judged::tests(),
        responses::tests(),
        admission::tests(),
        gates::tests(),
        splitters::tests(),
        rejected::tests(),
        retention::tests(),
        trains::tests(),
        windows::tests(),
        migrations::tests(),
        hooks::tests(),
        ended_early::tests(),
        to_version::tests(),
        rolled_back::tests(),
        alarm_kinds::tests(),
        provisioned::tests(),
        durable::tests(),
        approval::tests(),
        keys::tests(),
        cli::tests(),
        cli_between::tests(),
        page::tests(),
        release_page::tests(),
        people::tests(),
        notices::tests(),
        moto::tests(),
        promoted::tests(),
        died::tests(),
        health::tests(),
        stage_wiring::tests(),
        faults::tests(),
        first::tests(),
        reachable::tests(),
        refused::tests(),
        roles::tests(),
        secrets::tests(),
        cost::tests(),
        load::tests(),
    ])
}
