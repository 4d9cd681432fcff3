#!/usr/bin/env bash
# Checks what must be there (Rust, Python, a C linker) and makes the Python environment that it is
# given, with what tests/local/requirements.txt names: the local AWS, the SAM CLI, cargo-lambda and
# zig. Installs Chromium where it is asked for and may. Does nothing when it is there already.
#
# Elsewhere than on Linux it makes what a deployment needs; with a second word it refuses.
#
#     tests/setup.sh .venv [local | browser | packaged]
#
# `packaged`: what is needed is compiled already, so Rust is not.
set -euo pipefail
venv=${1:?which environment}
cd "$(dirname "$0")/.."
requirements=tests/local/requirements.txt

fail() {
    printf 'setup: %s\n' "$@" >&2
    exit 1
}

system=$(uname -s)
[ "$system" = Linux ] || [ -z "${2:-}" ] ||
    fail "the local AWS runs Lambda's Linux binaries as they are, so this needs Linux (x86_64 or arm64);" \
        "on another system use a virtual machine or a container with Rust, Python and make;" \
        "to deploy to AWS from here, \`make setup\` is enough"

if [ "${2:-}" != packaged ]; then
    wanted_rust=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    command -v cargo >/dev/null ||
        fail "Rust is missing: install Rust $wanted_rust or later with rustup (https://rustup.rs), then run this again"
    found_rust=$(cargo --version 2>&1) ||
        fail "cargo does not work here:" "$found_rust" \
            "rustup installs the toolchain that rust-toolchain.toml names by: rustup toolchain install"
    found_rust=$(sed -n 's/^cargo \([0-9.]*\).*/\1/p' <<<"$found_rust")
    [ "$(printf '%s\n' "$wanted_rust" "$found_rust" | sort -V | head -1)" = "$wanted_rust" ] ||
        fail "Rust $wanted_rust or later is needed, and this is $found_rust: rustup update"
    command -v cc >/dev/null ||
        fail "no C compiler: Rust links with cc. Install one (Debian and Ubuntu: apt install gcc libc6-dev)"
fi

# The approval page is tested in a browser, where there is one; all else needs none.
if [ "${2:-}" = browser ] && ! { command -v chromium && command -v chromedriver; } >/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "setup: installing chromium and chromium-driver, to test the approval page in: a minute, once"
        { apt-get update && apt-get install --yes --no-install-recommends chromium chromium-driver; } \
            >/dev/null 2>&1 || echo "setup: apt-get could not install chromium and chromium-driver; tests in a browser will be skipped"
    else
        echo "setup: no chromium and chromedriver, so tests in a browser will be skipped (Debian: apt install chromium chromium-driver)"
    fi
fi

# axe finds what stands in the way of readers without eyes or a mouse.
axe=${CARGO_TARGET_DIR:-target}/axe
if [ "${2:-}" = browser ] && [ ! -e "$axe/node_modules/axe-core/axe.min.js" ]; then
    if command -v npm >/dev/null; then
        npm install --silent --no-save --ignore-scripts --prefix "$axe" axe-core@4.14.1 >/dev/null 2>&1 ||
            echo "setup: npm could not install axe-core; pages are not checked with it"
    else
        echo "setup: no npm, so pages are not checked with axe-core"
    fi
fi

python=
for candidate in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11 python3.10; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
        # Not that of the environment, where that is on the path: it is removed before it is made anew.
        python=$("$candidate" -c 'import sys; print(sys._base_executable)')
        break
    fi
done
[ -n "$python" ] ||
    fail "Python 3.10 or later is missing (python3 is: $(python3 --version 2>&1 || echo none));" \
        "install it, or name it: make PYTHON=/path/to/python3.12"

# An environment that somebody else keeps is taken as it is.
if [ -n "${CROSSFADE_VENV:-}" ]; then
    [ -x "$venv/bin/python" ] || fail "CROSSFADE_VENV names $venv, which is no Python environment"
    exit 0
fi

stamp=$venv/crossfade.stamp
wanted() {
    # AWS's runtime client compiles against Linux, and only `make bench` runs it.
    if [ "$system" = Linux ]; then cat "$requirements"; else grep -v '^awslambdaric==' "$requirements"; fi
}
is=$({ "$python" --version; wanted; } | cksum)
if [ -x "$venv/bin/python" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$is" ]; then
    exit 0
fi
"$python" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "$python cannot make environments (Debian and Ubuntu: apt install python3-venv)"
echo "setup: making $venv (the SAM CLI, cargo-lambda, the local AWS): a minute, once"
rm -rf "$venv"
"$python" -m venv "$venv"
# --no-deps: every package is named and pinned there, because the tools' own pins cannot all be met.
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r <(wanted) ||
    fail "the Python packages could not be installed; see above"
echo "$is" >"$stamp"
