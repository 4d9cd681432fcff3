#!/usr/bin/env bash
# Changes the decisions one at a time (cargo-mutants) and runs their unit tests against each change: what
# no test notices is listed at the end. The decisions are compiled in crates of their own, without the AWS SDK:
# a change takes seconds, and not minutes.
#
#     tests/mutants.sh [judge] [check]
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
work=${CARGO_TARGET_DIR:-$root/target}/mutants
cargo mutants --version >/dev/null 2>&1 || {
    echo "mutants: cargo-mutants is not installed: cargo install --locked cargo-mutants" >&2
    exit 1
}

# A crate of the library's sources that decide, with the dependencies that these need.
crate() {
    local name=$1
    mkdir -p "$work/$name/src"
    cp Cargo.lock "$work/$name/"
    {
        printf '[package]\nname = "crossfade"\nversion = "0.1.0"\nedition = "2024"\n\n[dependencies]\n'
        sed -n '/^\[dependencies\]/,/^$/p' shared/Cargo.toml | grep -v '^\[\|^aws-\|^tokio\|^$' |
            sed 's/\.workspace = true//' | while read -r dependency; do grep "^$dependency = " Cargo.toml; done
        printf '\n[dev-dependencies]\n' && grep '^proptest = ' Cargo.toml
        printf '\n[profile.dev]\ndebug = false\n\n[workspace]\n'
    } >"$work/$name/Cargo.toml"
}

changes() {
    local name=$1 tests=$2
    shift 2
    (cd "$work/$name" && cargo mutants --in-place --no-times --colors never --config "$root/.cargo/mutants.toml" \
        "$@" -- --lib -- $tests) || [[ $? =~ ^[23]$ ]] # Some are missed or never end, which the sum says.
    (cd "$work/$name/mutants.out" && printf 'mutants: %s: %d caught, %d missed, %d unviable\n' "$name" \
        "$(($(wc -l <caught.txt) + $(wc -l <timeout.txt)))" "$(wc -l <missed.txt)" "$(wc -l <unviable.txt)")
}

for part in ${*:-judge check}; do
    rm -rf "$work/$part/src"
    crate "$part"
    case $part in
    judge)
        mkdir -p "$work/judge/src/domain/analysis"
        cp -r shared/src/domain/analysis/{counts.rs,verdict.rs,judge} "$work/judge/src/domain/analysis/"
        echo 'pub mod domain;' >"$work/judge/src/lib.rs"
        echo 'pub mod analysis;' >"$work/judge/src/domain/mod.rs"
        printf 'pub mod %s;\n' counts judge verdict >"$work/judge/src/domain/analysis/mod.rs"
        changes judge '' -f 'src/domain/analysis/judge/**'
        ;;
    check)
        cp -r shared/src/{domain,error.rs,parse,wire} "$work/check/src/"
        printf 'pub mod %s;\n' domain error parse wire >"$work/check/src/lib.rs"
        changes check 'domain::analysis::check domain::routing domain::decision' \
            -f src/domain/analysis/check.rs -f src/domain/routing/alias.rs -f src/domain/decision.rs
        ;;
    *)
        echo "mutants: judge or check, not $part" >&2
        exit 1
        ;;
    esac
done
