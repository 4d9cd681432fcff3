#!/usr/bin/env python3
"""A local AWS on loopback: ministack with its gaps bridged, and moto as a second interpreter.

    python tests/local/aws.py serve --port 4566 --dir target/local [--wait-scale 0.01] [--moto-port 4567]
    python tests/local/aws.py package --bootstrap PATH --behaviour '{"version":"1"}' --out function.zip

See README.md beside this file for what is bridged and why.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import sys
import tempfile
import threading
import zipfile
from pathlib import Path
from typing import NoReturn

ACCOUNT = "000000000000"
REGION = "us-east-1"
# The first moment a zip can name; with it the same inputs give the same bytes.
ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="run until told to stop")
    serve.add_argument("--port", type=int, required=True)
    serve.add_argument("--dir", type=Path, required=True, help="state and logs")
    serve.add_argument(
        "--wait-scale",
        type=float,
        default=1.0,
        help="length of Step Functions waits, retries, token and execution timeouts (0.01 = 100 x faster)",
    )
    serve.add_argument("--moto-port", type=int, help="also run moto's Step Functions on this port")
    serve.add_argument("--die-with-stdin", action="store_true", help="stop when standard input is closed")
    package = commands.add_parser("package", help="make a deployment package of the target function")
    package.add_argument("--bootstrap", type=Path, required=True)
    package.add_argument("--behaviour", required=True, help="JSON, see the target function")
    package.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    if arguments.command == "package":
        write_package(arguments.bootstrap, arguments.behaviour, arguments.out)
        return
    if not 0 <= arguments.wait_scale <= 1:
        parser.error("--wait-scale must be between 0 and 1")
    run(arguments.port, arguments.dir, arguments.wait_scale, arguments.moto_port, arguments.die_with_stdin)


def write_package(bootstrap: Path, behaviour: str, out: Path) -> None:
    """A deterministic zip: the same binary and behaviour give the same CodeSha256."""
    text = json.dumps(json.loads(behaviour), sort_keys=True, separators=(",", ":"))
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=out.parent, suffix=".zip", delete=False) as file:
        with zipfile.ZipFile(file, "w") as archive:
            for name, data, mode in (
                ("behaviour.json", text.encode(), 0o644),
                ("bootstrap", bootstrap.read_bytes(), 0o755),
            ):
                entry = zipfile.ZipInfo(name, ZIP_EPOCH)
                entry.external_attr = mode << 16
                entry.create_system = 3
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, data, compresslevel=1)
    os.replace(file.name, out)


def run(port: int, directory: Path, wait_scale: float, moto_port: int | None, die_with_stdin: bool) -> None:
    for wanted in filter(None, (port, moto_port)):
        _require_free(wanted)
    directory = directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    temporary = directory / "tmp"
    temporary.mkdir(exist_ok=True)
    # The one line "ready" goes to the real standard output, everything else to the log.
    told, failed = os.fdopen(os.dup(1), "w"), os.fdopen(os.dup(2), "w")
    log = os.open(directory / "aws.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)

    _set_environment(port, temporary, wait_scale)
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    try:
        from bridge import server

        stop = server.prepare()
    except Exception as error:
        # Most often a package that is missing, or a ministack of another version.
        print(f"aws.py: cannot start: {error!r}; see {directory / 'aws.log'}", file=failed, flush=True)
        raise

    def on_signal(number: int, _frame: object) -> NoReturn:
        # In the handler itself: no loop, lock or thread can keep the end waiting.
        stop()
        os._exit(0)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, on_signal)
    if die_with_stdin:
        threading.Thread(target=_watch_stdin, daemon=True, name="stdin").start()

    def fail(why: str) -> NoReturn:
        print(f"aws.py: {why}; see {directory}", file=failed, flush=True)
        stop()
        os._exit(2)

    server.run(
        port,
        moto_port,
        directory,
        wait_scale,
        fail,
        lambda: print(f"ready http://127.0.0.1:{port}", file=told, flush=True),
    )


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            print(f"aws.py: port {port} cannot be used: {error.strerror}", file=sys.stderr)
            raise SystemExit(2) from None


def _watch_stdin() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _set_environment(port: int, temporary: Path, wait_scale: float) -> None:
    """What ministack reads when it is imported. Nothing of the caller's AWS settings may get through."""
    for name in [n for n in os.environ if n.startswith(("AWS_", "MINISTACK_", "LOCALSTACK_", "LAMBDA_", "SFN_"))]:
        del os.environ[name]
    os.environ.update(
        {
            "GATEWAY_PORT": str(port),
            "BIND_HOST": "127.0.0.1",
            "MINISTACK_HOST": "localhost",
            "MINISTACK_ACCOUNT_ID": ACCOUNT,
            "MINISTACK_REGION": REGION,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_EC2_METADATA_DISABLED": "true",
            "SFN_WAIT_SCALE": str(wait_scale),
            "LAMBDA_EXECUTOR": "local",
            "LOG_LEVEL": os.environ.get("CROSSFADE_LOCAL_LOG", "WARNING"),
            # These would listen on ports of their own.
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "TMPDIR": str(temporary),
        }
    )
    tempfile.tempdir = str(temporary)


if __name__ == "__main__":
    main()
