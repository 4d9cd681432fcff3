//! Wiring only: the handler is in the library beside it.

use crossfade::{
    aws::{self, Pace},
    run::run,
};
use live_errors::Handler;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let handler = Handler::new(&aws::config(Pace::Rollback));
    run(|payload| handler.handle(payload)).await
}
