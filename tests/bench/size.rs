//! How large packages are.

use std::{collections::BTreeMap, process::Command};

use crossfade_tests::{paths, stack::FUNCTIONS};

use crate::stage::Stage;

/// The size of each package, in millions of bytes.
pub(crate) type Packages = BTreeMap<String, f64>;

/// Of what `sam deploy` uploaded, and of what it is compared to, packed in the same way.
pub(crate) async fn packages(stage: &Stage) -> Packages {
    let lambda = aws_sdk_lambda::Client::new(&stage.local.config());
    let mut packages = Packages::new();
    for name in FUNCTIONS {
        let call = lambda.get_function_configuration();
        let told = call.function_name(stage.world.stack.function(name));
        let told = told.send().await.expect("it is deployed");
        packages.insert(name.to_owned(), megabytes(told.code_size));
    }
    for (name, what) in [
        (
            crate::cold::NOTHING,
            paths::target().join("bench/bench-nothing/bootstrap"),
        ),
        (
            crate::cold::PYTHON,
            paths::repository().join("tests/bench/python/handler.py"),
        ),
    ] {
        // As SAM packs: deflated, at zlib's own level.
        let pack = "import io, sys, zipfile; out = io.BytesIO(); \
                    packed = zipfile.ZipFile(out, 'w', zipfile.ZIP_DEFLATED); \
                    packed.write(sys.argv[1], 'x'); packed.close(); print(len(out.getvalue()))";
        let done = Command::new(paths::tool("python"))
            .args(["-c", pack])
            .arg(&what)
            .output();
        let said = String::from_utf8(done.expect("Python runs").stdout).expect("it is text");
        packages.insert(
            name.to_owned(),
            megabytes(said.trim().parse().expect("it is a size")),
        );
    }
    packages
}

#[allow(clippy::cast_precision_loss)] // A package is not that large.
fn megabytes(bytes: i64) -> f64 {
    bytes as f64 / 1e6
}
