"""The packages, and an installation from them where there is no Rust."""

import contextlib
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
import unittest
import zipfile
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "packaging"), str(ROOT / "tests" / "integrations")]
import package  # noqa: E402
from support import ALIAS, BUCKET, TARGET, VENV, Aws, Traffic, bin_folder, command_line, good, request, scratch, template, write_program  # noqa: E402

HERE = "arm64" if os.uname().machine in ("aarch64", "arm64") else "x86_64"
STACK = f"crossfade-stack-{HERE}"
# The one standard library that is always there.
TARGETS = f"{package.ARCHITECTURES[HERE]}-unknown-linux-gnu"
FUNCTION = "chat-assistant"


def compiled(*options: str | Path, profile: str = "release") -> None:
    """Stands in for cargo: puts what `make build` and `make programs` have compiled where cargo would put it."""
    folder = Path(options[options.index("--lambda-dir") + 1])
    programs = {"crossfade": command_line()} if "crossfade-cli" in options else {}
    if "target-function" in options:
        programs = {"demo": TARGET / "debug" / "demo", "target-function": TARGET / "release" / "target-function"}
    for name, program in programs.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(program, folder / name / "bootstrap")
    if programs:
        return
    for program in (TARGET / "lambda").glob("*/bootstrap"):
        (folder / program.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(program, folder / program.parent.name)  # Not its times.


def make(installed: str) -> tuple[Path, str]:
    """Makes `dist/` where the standard libraries of these targets are installed, and returns it with what was printed."""
    folder = scratch("package")
    with (
        mock.patch.multiple(package, DIST=folder / "dist", TARGET=folder, build=compiled, is_installed=lambda triple: triple in installed),
        contextlib.redirect_stdout(io.StringIO()) as said,
    ):
        package.main()
    return folder / "dist", said.getvalue()


def sums(folder: Path) -> dict[str, str]:
    """Returns the checksum of each file in a folder and below it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


class Packages(unittest.TestCase):
    """What `make package` writes."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.dist, cls.said = make(TARGETS)
        cls.stack = cls.dist / STACK

    def test_same_programs_give_the_same_bytes(self) -> None:
        again, _ = make(TARGETS)
        self.assertEqual(sums(again), sums(self.dist))
        for line in (self.dist / "SHA256SUMS").read_text().splitlines():
            found, name = line.split("  ")
            self.assertEqual(sums(self.dist)[name], found)
        self.assertEqual(len((self.dist / "SHA256SUMS").read_text().splitlines()), 4)

    def test_zips_hold_the_programs_that_were_compiled(self) -> None:
        zips = sorted((self.stack / "functions").iterdir())
        self.assertEqual(len(zips), 12)
        for path in zips:
            with zipfile.ZipFile(path) as archive:
                (entry,) = archive.infolist()
                self.assertEqual((entry.filename, entry.external_attr >> 16, entry.date_time), ("bootstrap", 0o100755, (1980, 1, 1, 0, 0, 0)))
                self.assertEqual(archive.read(entry), (TARGET / "lambda" / path.stem / "bootstrap").read_bytes())

    def test_programs_do_not_name_the_folder_of_the_dependencies(self) -> None:
        for path in (self.stack / "functions").iterdir():
            with zipfile.ZipFile(path) as archive:
                data = archive.read("bootstrap")
            self.assertTrue(b"/cargo/registry/src/" in data, f"{path.name} has no names of files: what is looked for here has changed")
            self.assertFalse(b".cargo/registry/" in data, f"{path.name} has the paths of this machine; `make build` compiles it without them")

    def test_archive_is_the_folder(self) -> None:
        folder = scratch("archive")
        shutil.unpack_archive(self.dist / f"{STACK}.zip", folder)
        self.assertEqual(sums(folder / STACK), sums(self.stack))

    def test_demo_compiles_nothing_where_the_packages_are(self) -> None:
        def planned(dist: Path) -> str:
            command = ["make", "--dry-run", "demo", f"DIST={dist}"]
            return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout

        without, with_packages = planned(scratch("nothing")), planned(self.dist)
        self.assertIn("cargo build", without)
        self.assertNotRegex(with_packages, "cargo (build|lambda)")
        folder = scratch("demo")
        shutil.unpack_archive(self.dist / f"crossfade-demo-{HERE}.zip", folder)
        self.assertEqual(sums(folder / f"crossfade-demo-{HERE}"), sums(self.dist / f"crossfade-demo-{HERE}"))
        self.assertIn(f"{self.dist}/crossfade-demo-{HERE}/demo", with_packages)
        self.assertIn(f'CROSSFADE_TEMPLATE="{self.stack}/template.yaml"', with_packages)

    def test_template_names_what_is_beside_it(self) -> None:
        packaged, source = template(self.stack / "template.yaml"), template(ROOT / "template.yaml")
        named = []
        for resource in packaged["Resources"].values():
            properties = resource["Properties"]
            if resource["Type"] == "AWS::Serverless::Function":
                self.assertNotIn("Metadata", resource)
                named.append(properties.pop("CodeUri"))
            named.extend(value for name, value in properties.items() if name == "DefinitionUri")
        self.assertEqual(len(set(named)), 14)
        for name in named:
            self.assertTrue((self.stack / name).is_file(), name)
        self.assertEqual(packaged["Parameters"].pop("Architecture")["AllowedValues"], [HERE])
        # All else is the template's.
        del packaged["Metadata"], source["Parameters"]["Architecture"], source["Globals"]["Function"]["CodeUri"]
        for resource in source["Resources"].values():
            resource.pop("Metadata", None)
        self.assertEqual(packaged, source)

    def test_template_is_valid(self) -> None:
        done = subprocess.run([VENV / "bin" / "sam", "validate", "--lint"], cwd=self.stack, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_metadata_are_such_as_the_application_repository_takes(self) -> None:
        about = template(self.stack / "template.yaml")["Metadata"]["AWS::ServerlessRepo::Application"]
        self.assertRegex(about["Name"], r"\A[a-zA-Z0-9-]{1,140}\Z")
        self.assertRegex(about["Author"], r"\A(?=.{1,127}\Z)[a-z0-9](([a-z0-9]|-(?!-))*[a-z0-9])?\Z")
        self.assertIn(len(about["Description"]), range(1, 257))
        self.assertRegex(about["SemanticVersion"], r"\A\d+\.\d+\.\d+\Z")
        self.assertLessEqual(len(about["Labels"]), 10)
        for label in about["Labels"]:
            self.assertRegex(label, r"\A[a-zA-Z0-9+\-_:/@]{1,127}\Z")
        self.assertIn("MIT License", (self.stack / about["LicenseUrl"]).read_text())
        links = re.findall(r"\]\((.*?)\)", (self.stack / about["ReadmeUrl"]).read_text())
        self.assertGreater(len(links), 5)
        self.assertEqual([link for link in links if not link.startswith("https://")], [])

    def test_bill_of_materials_has_what_is_compiled_in(self) -> None:
        bill = json.loads((self.dist / "crossfade.cdx.json").read_text())
        self.assertEqual((bill["bomFormat"], bill["specVersion"]), ("CycloneDX", "1.6"))
        self.assertFalse({"serialNumber", "timestamp"} & {*bill, *bill["metadata"]})
        names = {one["name"] for one in bill["components"]}
        self.assertLess({"deploy-green", "crossfade-cli", "aws-sdk-lambda", "lambda_runtime", "ring"}, names)
        self.assertFalse({"proptest", "libtest-mimic", "crossfade-tests"} & names, "tests are in none of the packages")
        known = {one["bom-ref"] for one in bill["components"]}
        self.assertEqual(len(known), len(bill["components"]))
        for one in bill["dependencies"]:
            self.assertLessEqual(set(one["dependsOn"]), known)
        unknown = [one["name"] for one in bill["components"] if not one.get("hashes") and one["version"] != package.version()]
        self.assertEqual(unknown, [], "all others have a checksum")

    def test_says_what_it_leaves_out_and_what_the_command_line_needs(self) -> None:
        rust = {name: rust for name, rust in package.ARCHITECTURES.items() if name != HERE}
        ((other, other_rust),) = rust.items()
        self.assertIn(
            f"package: {other} is left out: its Rust standard library is not installed: rustup target add {other_rust}-unknown-linux-gnu\n", self.said
        )
        self.assertRegex(self.said, rf"package: crossfade-linux-{HERE} needs glibc 2\.\d+ or later; one that needs none: rustup target add \S+-musl\n")
        self.assertEqual(package.needs(b"\x7fELF"), "is static")
        self.assertEqual(package.needs(b"GLIBC_2.9 GLIBC_2.17"), "needs glibc 2.17 or later")

    def test_workflow_publishes_what_the_page_lists(self) -> None:
        page = (ROOT / "docs" / "installing.md").read_text()
        (table,) = re.findall(r"^\| File .*?\n\n", page, re.M | re.S)
        jobs = template(ROOT / ".github" / "workflows" / "release.yml")["jobs"]
        published = {Path(path).name for path in jobs["linux"]["steps"][-1]["with"]["path"].split()}
        published |= {one["file"] for one in jobs["others"]["strategy"]["matrix"]["include"]} | {"SHA256SUMS"}
        self.assertEqual(set(re.findall(r"`(\S+)`", table)), published)
        self.assertLess({path.name for path in self.dist.iterdir() if path.is_file()}, published)

    def test_asks_rust_what_is_installed(self) -> None:
        self.assertTrue(package.is_installed(f"{package.ARCHITECTURES[HERE]}-unknown-linux-gnu"))
        self.assertFalse(package.is_installed("s390x-unknown-linux-musl"))
        self.assertFalse(package.is_installed("no-such-target"))

    def test_refuses_a_template_that_it_does_not_know(self) -> None:
        for text in ("    CodeUri: .\n", "        Binary: prune\n"):
            with self.assertRaisesRegex(SystemExit, "must have it"):
                package.packaged((ROOT / "template.yaml").read_text().replace(text, ""), HERE)


class Installation(unittest.TestCase):
    """The commands of docs/installing.md on the local AWS, where there is no Rust."""

    def test_installs_and_releases(self) -> None:
        dist, _ = make(TARGETS)
        shutil.rmtree(dist / STACK)  # What is downloaded is the archive.
        aws = Aws()
        aws.s3.create_bucket(Bucket=BUCKET)
        aws.create_function(FUNCTION, good("1"))
        aws.functions.update_function_code(FunctionName=FUNCTION, ZipFile=good("2"))
        wanted = request(FUNCTION, aws.create_alarm(FUNCTION), application="chat")

        home, programs = scratch("home"), bin_folder()
        write_program(programs / "sam", f'#!/bin/sh\nexec "{VENV}/bin/sam" "$@"\n')
        if shutil.which("unzip") is None:
            write_program(programs / "unzip", f'#!/bin/sh\nexec "{sys.executable}" -m zipfile -e "$2" .\n')
        # All of the system's programs but Rust's, wherever those are installed.
        for program in (*Path("/usr/bin").iterdir(), *Path("/bin").iterdir()):
            if not re.match(r"cargo|rust|clippy|zig", program.name) and not os.path.lexists(programs / program.name):
                (programs / program.name).symlink_to(program)
        path = str(programs)
        for name in ("cargo", "rustc", "rustup", "cargo-lambda", "zig"):
            self.assertIsNone(shutil.which(name, path=path), "this is to be a place without Rust")
        environment = aws.environment(HOME=str(home), PATH=path, SAM_CLI_POLL_DELAY="0.5")
        environment = {name: value for name, value in environment.items() if not name.startswith(("CARGO", "RUST"))}

        def run(commands: str, folder: Path) -> float:
            began = time.monotonic()
            done = subprocess.run(
                ["/bin/bash", "-euo", "pipefail", "-c", commands.replace("x86_64", HERE)], cwd=folder, env=environment,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            )  # fmt: skip
            self.assertEqual(done.returncode, 0, done.stdout)
            return time.monotonic() - began

        page = (ROOT / "docs" / "installing.md").read_text()
        install, release = (block.split("```")[0] for block in page.split("```sh\n")[1:])
        installing = run(install, dist)
        (dist / STACK / "events" / "canary.json").write_text(json.dumps(wanted))
        with Traffic(aws, FUNCTION):
            releasing = run(release, dist / STACK)
        self.assertEqual(aws.serving(FUNCTION), ("2", {}))
        self.assertEqual(aws.answers(FUNCTION, ALIAS), "2")
        print(f"package: installed in {installing:.0f} s, released in {releasing:.0f} s, without Rust")


if __name__ == "__main__":
    unittest.main()
