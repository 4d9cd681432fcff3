"""Makes `dist/`: what an installation of Crossfade without Rust needs. `make package` runs it.

    python packaging/package.py [demo]

For each architecture it compiles the functions and the command line, and writes

    crossfade-stack-ARCHITECTURE/     the template, its state machines, and a zip of each function
    crossfade-stack-ARCHITECTURE.zip  the same as one file
    crossfade-linux-ARCHITECTURE      the command line
    crossfade-demo-ARCHITECTURE.zip   the programs of `make demo`
    crossfade.cdx.json                what all of them are made of (CycloneDX)
    SHA256SUMS                        the checksums of the files, not of those in the folders

An architecture whose Rust standard library is not installed is left out. Nothing in these files has the time, the folder
or the machine in it: the same commit, toolchain and zlib give the same bytes.

`demo` makes of the programs that `make demo` has compiled a stack in `target/demo/dist`, and nothing else.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target").resolve()
DIST = ROOT / "dist"
REPOSITORY = "https://github.com/example/crossfade"
# SAM's names of architectures, with Rust's.
ARCHITECTURES = {"x86_64": "x86_64", "arm64": "aarch64"}
# The least that a zip can say.
EPOCH = (1980, 1, 1, 0, 0, 0)


DEMO = ("demo", "target-function")
"""What `make demo` runs: itself, and the function that it releases."""


def main() -> int:
    """Compiles and writes all that can be."""
    if sys.argv[1:] == ["demo"]:
        architecture = next(sam for sam, rust in ARCHITECTURES.items() if os.uname().machine in (sam, rust))
        demo = TARGET / "demo"
        write_stack(demo / "dist", architecture, lambda name: demo / name, zipfile.ZIP_STORED)
        return 0
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir()
    for architecture, rust in ARCHITECTURES.items():
        functions, static = f"{rust}-unknown-linux-gnu", f"{rust}-unknown-linux-musl"
        if not is_installed(functions):
            print(f"package: {architecture} is left out: its Rust standard library is not installed: rustup target add {functions}")
            continue
        lambdas = TARGET / "package" / architecture
        build("--bins", "--target", functions, "--lambda-dir", lambdas)
        write_stack(DIST, architecture, lambda name, lambdas=lambdas: lambdas / name / "bootstrap")
        files = {path.relative_to(DIST).as_posix(): path for path in DIST.glob(f"crossfade-stack-{architecture}/**/*") if path.is_file()}
        write_zip(DIST / f"crossfade-stack-{architecture}.zip", files)
        target = static if is_installed(static) else functions
        # Not for the processors that Lambda has, but for all of the architecture.
        build("-p", "crossfade-cli", "--disable-optimizations", "--target", target, "--lambda-dir", TARGET / "package" / "cli" / architecture)
        program = DIST / f"crossfade-linux-{architecture}"
        write(program, (TARGET / "package" / "cli" / architecture / "crossfade" / "bootstrap").read_bytes(), 0o755)
        print(f"package: {program.name} {needs(program.read_bytes())}", end="")
        print("" if target == static else f"; one that needs none: rustup target add {static}")
        demo = TARGET / "package" / "demo" / architecture
        build("-p", "crossfade-tests", "-p", "target-function", "--bin", DEMO[0], "--bin", DEMO[1],
              "--disable-optimizations", "--target", functions, "--lambda-dir", demo, profile="demo")  # fmt: skip
        folder = f"crossfade-demo-{architecture}"
        for name in DEMO:
            write(DIST / folder / name, (demo / name / "bootstrap").read_bytes(), 0o755)
        # `make local` has it beside itself.
        write(DIST / folder / "crossfade", program.read_bytes(), 0o755)
        write_zip(DIST / f"{folder}.zip", {f"{folder}/{name}": DIST / folder / name for name in (*DEMO, "crossfade")})
    finish(DIST)
    return 0


def finish(dist: Path) -> None:
    """Writes the bill of materials and the checksums, and prints the sizes."""
    write(dist / "crossfade.cdx.json", bill_of_materials().encode())
    files = sorted(path for path in dist.iterdir() if path.is_file())
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
    write(dist / "SHA256SUMS", "".join(sums).encode())
    for path in files:
        print(f"package: {path.stat().st_size / 1e6:6.1f} MB  {path.relative_to(dist.parent)}")


def is_installed(triple: str) -> bool:
    """Returns whether Rust's standard library is there for a target."""
    asked = subprocess.run(["rustc", "--print", "target-libdir", "--target", triple], capture_output=True, text=True, cwd=ROOT)
    return asked.returncode == 0 and Path(asked.stdout.strip()).is_dir()


def build(*options: str | Path, profile: str = "release") -> None:
    """Compiles as `make build` does, and finds compiled what that has."""
    subprocess.run(["cargo", "lambda", "build", "--locked", "--profile", profile, *options], cwd=ROOT, check=True)


def needs(program: bytes) -> str:
    """Returns which C library a program needs."""
    versions = {tuple(map(int, found.split(b"."))) for found in re.findall(rb"GLIBC_(\d+\.\d+)", program)}
    return f"needs glibc {'.'.join(map(str, max(versions)))} or later" if versions else "is static"


def write(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Writes a file, and makes the folders that it is in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(mode)


def write_zip(path: Path, files: dict[str, Path], compression: int = zipfile.ZIP_DEFLATED) -> None:
    """Writes a zip of files by their names in it: the same files give the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, file in sorted(files.items()):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.create_system = 3  # Unix, whatever this is: Lambda reads the mode.
            entry.external_attr = (0o100755 if os.access(file, os.X_OK) else 0o100644) << 16
            entry.compress_type = compression
            archive.writestr(entry, file.read_bytes(), compresslevel=6)


def write_stack(dist: Path, architecture: str, program: Callable[[str], Path], compression: int = zipfile.ZIP_DEFLATED) -> None:
    """Writes the folder that `sam deploy` and `aws cloudformation package` take. `program` says where a function's program is."""
    folder = dist / f"crossfade-stack-{architecture}"
    template = packaged((ROOT / "template.yaml").read_text(), architecture)
    write(folder / "template.yaml", template.encode())
    for name in re.findall(r"CodeUri: functions/(\S+)\.zip", template):
        write_zip(folder / "functions" / f"{name}.zip", {"bootstrap": program(name)}, compression)
    copied = ["samconfig.toml", "LICENSE-APACHE", "LICENSE-MIT", "events/canary.json", *re.findall(r"DefinitionUri: (\S+)", template)]
    for name in copied:
        write(folder / name, (ROOT / name).read_bytes())
    write(folder / "README.md", absolute((ROOT / "docs" / "installing.md").read_text()).encode())


def packaged(template: str, architecture: str) -> str:
    """Returns the template with a zip in the place of each function that SAM would build.

    Its metadata are those of the Serverless Application Repository:
    https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/serverless-sam-template-publishing-applications-metadata-properties.html
    """
    about = {
        "Name": "crossfade",
        "Description": re.search(r"^Description: (.*)", template, re.M)[1],  # type: ignore[index]
        "Author": "crossfade",
        # One of the two licences: the repository takes one identifier and its text.
        "SpdxLicenseId": "MIT",
        "LicenseUrl": "LICENSE-MIT",
        "ReadmeUrl": "README.md",
        "Labels": ["lambda", "deployment", "blue-green", "canary", "step-functions"],
        "HomePageUrl": REPOSITORY,
        "SourceCodeUrl": REPOSITORY,
        "SemanticVersion": version(),
    }
    lines = "".join(f"    {name}: {json.dumps(value)}\n" for name, value in about.items())
    for pattern, by in (
        (r"^Parameters:\n", f"Metadata:\n  AWS::ServerlessRepo::Application:\n{lines}\nParameters:\n"),
        (r"^    CodeUri: \.\n", ""),
        (r"^    Default: arm64\n    AllowedValues: \[arm64, x86_64\]\n", f"    Default: {architecture}\n    AllowedValues: [{architecture}]\n"),
        (
            r"^    Metadata:\n      BuildMethod: rust-cargolambda\n      BuildProperties:\n        Binary: (\S+)\n    Properties:\n",
            r"    Properties:\n      CodeUri: functions/\1.zip\n",
        ),
    ):  # fmt: skip
        template, count = re.subn(pattern, by, template, flags=re.M)
        expected = template.count("Type: AWS::Serverless::Function\n") if "Binary" in pattern else 1
        if count != expected:
            raise SystemExit(f"package: template.yaml has {pattern!r} {count} times, and it must have it {expected} times")
    return template


def absolute(page: str) -> str:
    """Returns a page of `docs/` with links that work outside of the repository."""
    links = re.sub(r"\]\((?![a-z]+:|#)(?!\.\./)", f"]({REPOSITORY}/blob/v{version()}/docs/", page)
    return links.replace("](../", f"]({REPOSITORY}/blob/v{version()}/")


def version() -> str:
    """Returns the version of the workspace."""
    return re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.M)[1]  # type: ignore[index]


def bill_of_materials() -> str:
    """Returns what the functions and the command line are compiled from, as CycloneDX 1.6.

    It has no serial number and no time, so it is the same each time. https://cyclonedx.org/docs/1.6/json/
    """
    asked = subprocess.run(["cargo", "metadata", "--locked", "--format-version", "1"], cwd=ROOT, check=True, stdout=subprocess.PIPE)
    metadata = json.loads(asked.stdout)
    packages = {one["id"]: one for one in metadata["packages"]}
    nodes = {one["id"]: one for one in metadata["resolve"]["nodes"]}
    locked = re.findall(r'name = "(.*)"\nversion = "(.*)"\nsource = ".*"\nchecksum = "(.*)"', (ROOT / "Cargo.lock").read_text())
    checksums = {(name, number): checksum for name, number, checksum in locked}

    def reference(package: str) -> str:
        return f"pkg:cargo/{packages[package]['name']}@{packages[package]['version']}"

    def uses(package: str) -> list[str]:
        """Returns what is compiled into it; not what its tests and build scripts use."""
        return [one["pkg"] for one in nodes[package]["deps"] if any(kind["kind"] is None for kind in one["dep_kinds"])]

    shipped = [*metadata["workspace_default_members"], *(one for one in packages if packages[one]["name"] == "crossfade-cli")]
    found: dict[str, list[str]] = {}
    left = list(shipped)
    while left:
        package = left.pop()
        if package not in found:
            found[package] = uses(package)
            left.extend(found[package])

    def component(package: dict[str, Any]) -> dict[str, Any]:
        checksum = checksums.get((package["name"], package["version"]))
        return {
            "type": "library",
            "bom-ref": reference(package["id"]),
            "name": package["name"],
            "version": package["version"],
            **({"hashes": [{"alg": "SHA-256", "content": checksum}]} if checksum else {}),
            **({"licenses": [{"expression": package["license"].replace("/", " OR ")}]} if package["license"] else {}),
            "purl": reference(package["id"]),
        }

    whole = f"crossfade@{version()}"
    graph = {whole: shipped, **{reference(package): used for package, used in found.items()}}
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "application", "bom-ref": whole, "name": "crossfade", "version": version()}},
        "components": sorted((component(packages[one]) for one in found), key=lambda one: str(one["bom-ref"])),
        "dependencies": [{"ref": ref, "dependsOn": sorted({reference(one) for one in graph[ref]})} for ref in sorted(graph)],
    }
    return json.dumps(bill, indent=1) + "\n"


if __name__ == "__main__":
    sys.exit(main())
