#!/usr/bin/env bash
# What comes from outside, as a fuzzer makes it up: `make fuzz` calls this.
#
#     tests/fuzz.sh SECONDS [target ...]     request event history metrics page
#
# Each target runs for so long, from its seeds and from what earlier runs have found interesting
# (target/fuzz/corpus). What breaks a target is put in target/fuzz/broken; once it is understood it goes
# to tests/fuzz/found, which a plain test reads again for ever.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}/fuzz
seconds=${1:-60}
shift || true
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(request event history metrics page)

export PATH=$PWD/$target/tools/bin:$PATH
if ! command -v cargo-fuzz >/dev/null; then
    echo "fuzz: cargo-fuzz is installed in $target/tools, once"
    cargo install --quiet --locked --root "$target/tools" cargo-fuzz
fi

runs=0
broken=0
for name in "${targets[@]}"; do
    mkdir -p "$target/corpus/$name" "$target/broken/$name"
    log=$target/$name.log
    inputs=("$target/corpus/$name")
    for kind in seeds found; do
        [ ! -d "tests/fuzz/$kind/$name" ] || inputs+=("tests/fuzz/$kind/$name")
    done
    # Coverage alone needs no sanitizer, and so no other compiler than everything else.
    if ! cargo fuzz run --fuzz-dir tests/fuzz --sanitizer none --target-dir "$target/build" "$name" \
        "${inputs[@]}" -- -max_total_time="$seconds" -timeout=10 -max_len=65536 -print_final_stats=1 \
        -artifact_prefix="$target/broken/$name/" >"$log" 2>&1; then
        broken=$((broken + 1))
        tail -n 40 "$log"
    fi
    done=$(awk '/^stat::number_of_executed_units:/ { n = $2 } END { print n + 0 }' "$log")
    covered=$(grep -o 'cov: [0-9]*' "$log" | tail -n 1 || true)
    printf 'fuzz: %-8s %9d runs, %s\n' "$name" "$done" "${covered:-nothing run}"
    runs=$((runs + done))
done
echo "fuzz: ${#targets[@]} targets, $runs runs, $broken broken"
[ "$broken" -eq 0 ]
