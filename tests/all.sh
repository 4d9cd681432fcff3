#!/usr/bin/env bash
# Everything that CI runs, cheapest first; ends at the first stage that fails, with its exit code.
#
#     tests/all.sh [stage ...]     format clippy deny unit template build bridge recorded e2e iam models integrations
#                          faults aws package
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
export PATH="${CROSSFADE_VENV:-$PWD/.venv}/bin:$PATH"
logs=$target/test-logs
mkdir -p "$logs"
table=()

format() { cargo fmt --all --check; }
clippy() { cargo clippy --workspace --all-targets -- -D warnings; }
# What may come in with dependencies. The advisories are asked for where they can be had.
deny() {
    if ! cargo deny --version >/dev/null 2>&1; then
        python tests/deny.py
        echo "deny: cargo-deny is not installed: advisories were not looked at"
        audit
        return
    fi
    cargo deny --log-level error check bans licenses sources
    if cargo deny --log-level error fetch db >/dev/null 2>&1; then
        cargo deny --log-level error check advisories
    else
        echo "deny: the advisories cannot be had from here: not looked at"
    fi
    audit
}
# The same advisories once more, by their own tool, where it is there and can have them: neither is
# installed or waited for here.
audit() {
    if ! cargo audit --version >/dev/null 2>&1; then
        echo "audit: cargo-audit is not installed: not run"
    elif ! cargo audit --quiet --json >"$logs/audit.json" 2>/dev/null && [ ! -s "$logs/audit.json" ]; then
        echo "audit: the advisories cannot be had from here: not run"
    else
        cargo audit --quiet --no-fetch
    fi
}
# Unit and contract tests; the schema's is among them. The end-to-end suite has a stage of its own:
# it is one program that runs its tests itself, on one local AWS.
unit() {
    if command -v cargo-nextest >/dev/null; then
        cargo nextest run --workspace --no-fail-fast -E 'not binary(e2e)'
    else
        cargo test --workspace --lib --bins
        local file name
        for file in shared/tests/*.rs cli/tests/*.rs tests/tests/*.rs; do
            name=$(basename "$file" .rs)
            [ ! -f "$file" ] || cargo test --workspace --test "$name"
        done
    fi
}
# cfn-lint does not open the state machine's file: a contract test lints it, put into the template.
template() { "${CROSSFADE_SAM:-sam}" validate --lint; }
build() { make build; }
bridge() { python -m unittest discover -s tests/local; }
e2e() {
    # The suite runs the command line, which only its own tests build.
    cargo test --quiet --workspace --test cli --no-run
    rm -rf "$target/iam" "$target/models"
    CROSSFADE_LOCAL_CALLS=$(realpath -m "$target/models") cargo test --workspace --test e2e
}
# What the suites made the stack's roles do, which they record, against what the template grants.
iam() { python tests/iam.py "$target"/iam/*.json; }

# What the product asked AWS in the end-to-end suite, and what it was answered, against AWS's service models.
models() { python tests/models "$target"/models/*.calls; }
# The local AWS against answers that others recorded from AWS, where they are there.
recorded() { python tests/local/recorded; }

# A sample of what `make faults` does, which ends with how many faults were injected.
faults() {
    cargo test --quiet --workspace --test e2e --no-run
    FAULTS=${FAULTS:-120} "$target/debug/faults"
}

# `make aws` against a local AWS: from beginning to end, killed at three places, interrupted.
aws() {
    cargo test --quiet --workspace --test e2e --no-run
    "$target/debug/aws" rehearse
}

# The action, the modules, the construct and the custom resource, on the local AWS of `make local`. What needs a tool that is
# not here is left out, and each such test says so.
integrations() {
    cargo test --quiet --workspace --test e2e --test cli --no-run
    # Two halves that take as long as each other, each with a local AWS of its own.
    python -m unittest discover --verbose -s tests/integrations -p 'test_c*.py' >"$logs/integrations-c.log" 2>&1 &
    local code=0
    python -m unittest discover --verbose -s tests/integrations -p 'test_[!c]*.py' || code=$?
    wait $! || code=$?
    cat "$logs/integrations-c.log"
    return "$code"
}

# The packages of the functions that `build` has compiled, and an installation from them where there is no Rust.
package() {
    cargo test --quiet --workspace --test cli --no-run
    python -m unittest discover --verbose -s tests/package
}

# How many tests a log says were passed: the closing lines of nextest, libtest, unittest,
# the fault matrix, the recorded answers and the rehearsals of `make aws`.
count() {
    sed 's/\x1b\[[0-9;]*m//g' "$1" | awk '
        /Summary \[.*tests? run:/ { match($0, /[0-9]+ passed/); n += substr($0, RSTART) }
        /^test result: ok\./      { match($0, /[0-9]+ passed/); n += substr($0, RSTART) }
        /^Ran [0-9]+ tests? in/   { n += $2 }
        /^OK \(.*skipped=/        { match($0, /skipped=[0-9]+/); n -= substr($0, RSTART + 8) }
        /^faults: [0-9]+ injected/ { n += $2 }
        /^aws: [0-9]+ rehearsals/ { n += $2 }
        /^recorded: [0-9]+ answers compared/ { n += $2 }
        END { print n + 0 }'
}

minutes() { printf '%d:%02d' $(($1 / 60)) $(($1 % 60)); }

# Runs one stage, and leaves its exit code, seconds and tests beside its log.
run() {
    local at=$SECONDS code
    printf '\n=== %s\n' "$1"
    set +e
    (set -euo pipefail; "$1") 2>&1 | tee "$logs/$1.log"
    code=${PIPESTATUS[0]}
    set -e
    echo "$code $((SECONDS - at)) $(count "$logs/$1.log")" >"$logs/$1.ended"
}

# Runs stages one after the other, until one fails.
in_turn() {
    local stage
    for stage in "$@"; do
        run "$stage"
        # Not `run || break`: within a condition no command of a stage would end it by failing.
        if ! grep -q '^0 ' "$logs/$stage.ended"; then break; fi
    done
}

# Adds a stage that has ended to the table, or ends with its exit code.
ended() {
    local code seconds tests
    read -r code seconds tests <"$logs/$1.ended"
    if [ "$code" -ne 0 ]; then
        printf '\nmake test: FAILED in %s (exit %d) after %s; again by itself: tests/all.sh %s\n' \
            "$1" "$code" "$(minutes $((SECONDS - begun)))" "$1"
        exit "$code"
    fi
    total=$((total + tests))
    table+=("$(printf '  %-12s %6s  %s' "$1" "$(minutes "$seconds")" "$([ "$tests" -gt 0 ] && echo "$tests tests passed" || echo ok)")")
}

# Each is a stage, or stages in turn beside others in turn: what waits most of its time. What the latter say is printed
# when the former have ended.
plan=(format clippy deny unit template build bridge recorded e2e iam models 'integrations & faults aws package')
[ $# -eq 0 ] || plan=("$@")

begun=$SECONDS
total=0
for part in "${plan[@]}"; do
    IFS='&' read -r first second <<<"$part"
    read -ra first <<<"$first"
    read -ra second <<<"$second"
    if [ ${#second[@]} -gt 0 ]; then
        in_turn "${second[@]}" >"$logs/beside.log" 2>&1 &
    fi
    in_turn "${first[@]}"
    if [ ${#second[@]} -gt 0 ]; then
        wait $!
        cat "$logs/beside.log"
    fi
    for stage in "${first[@]}" "${second[@]}"; do ended "$stage"; done
done

printf '\n'
printf '%s\n' "${table[@]}"
printf '\nmake test: ok, %d tests passed, 0 failed, in %s\n' "$total" "$(minutes $((SECONDS - begun)))"
