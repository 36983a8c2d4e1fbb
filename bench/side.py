"""What the benchmarks share beyond bench/start, which is their module of engines and readings."""
import argparse
import contextlib
import functools
import importlib.machinery
import importlib.util
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
IMAGE = "hull/nano"
UID_FIRST, UID_COUNT = 900000000, 256


def load_start():
    sys.dont_write_bytecode = True
    loader = importlib.machinery.SourceFileLoader("start", str(HERE / "start"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("start", loader))
    loader.exec_module(module)
    return module


start = load_start()
gvisor = start.gvisor
say, run, Engine, pss, processes = start.say, start.run, start.Engine, start.pss, start.processes


def parser(usage):
    root = HERE.parent
    made = argparse.ArgumentParser(usage=usage)
    made.add_argument("--build", default=os.environ.get("HULL_BUILD", str(root / "build")))
    made.add_argument("--images", default=os.environ.get("HULL_IMAGES"))
    made.add_argument("--uml-kernel", default=os.environ.get("HULL_UML_KERNEL"))
    made.add_argument("--no-dockerd", action="store_true", help="hull alone")
    return made


def complete(arguments):
    arguments.build = os.path.abspath(arguments.build)
    arguments.images = os.path.abspath(arguments.images or f"{arguments.build}/images")
    if not arguments.uml_kernel:
        found = subprocess.run([HERE.parent / "kernel/build", "um", "--cached-only", "--print-path"],
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
        arguments.uml_kernel = found.stdout.strip()
    return arguments


def start_hull(work, arguments):
    """Without a pool, but where one is asked for: what is measured here is what one container costs."""
    size = getattr(arguments, "pool", 0)
    pool = ["--vm-pool", str(size)] if "--vm-pool" in run(f"{arguments.build}/programs/hulld", "--help") else []

    def command(folder):
        return [f"{arguments.build}/programs/hulld", "--root", f"{folder}/root", "--state", f"{folder}/state",
                "--bridge", "hullbench", "--bip", "172.26.0.1/16", "--vm-uid-range", f"{UID_FIRST}:{UID_COUNT}", *pool,
                *(["--uml-kernel", arguments.uml_kernel] if arguments.uml_kernel else [])]
    engine = Engine("hull", work, command)
    engine.pool = size
    return engine


def enter(arguments):
    """Runs this program again in namespaces of its own."""
    if os.geteuid() != 0:
        sys.exit("bench: needs root")
    if "HULL_BENCH_DOCKERD" not in os.environ:
        # Here, because the new network namespace has no way out.
        found = {"missing": "not wanted"} if arguments.no_dockerd else start.find_dockerd()
        os.environ["HULL_BENCH_DOCKERD"] = json.dumps(found)
        os.execvp("unshare", ["unshare", "--mount", "--net", "--propagation", "private", "--", sys.executable, *sys.argv])
    run("ip", "link", "set", "lo", "up")


@contextlib.contextmanager
def engines(arguments):
    """(work, hull, dockerd or None), with the image loaded."""
    work = pathlib.Path(tempfile.mkdtemp(prefix="hull-bench.", dir="/tmp"))
    work.chmod(0o711)
    os.environ["DOCKER_CONFIG"] = str(work / "config")
    running = []
    try:
        running.append(start_hull(work, arguments))
        try:
            running.append(start.start_dockerd(work, json.loads(os.environ["HULL_BENCH_DOCKERD"]), find_gvisor()))
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            say(f"no dockerd to compare with: {error}")
        for engine in running:
            engine.docker("load", "-q", "-i", f"{arguments.images}/hull-nano.tar")
        yield work, running[0], running[1] if len(running) > 1 else None
    finally:
        for engine in running:
            left = engine.docker("ps", "-aq").split()
            if left:
                engine.docker("rm", "-f", *left)
            engine.stop()
        shutil.rmtree(work, ignore_errors=True)


@functools.cache
def find_gvisor():
    found = gvisor.find()
    if "missing" in found:
        say(f"no gVisor to compare with: {found['missing']}")
    return found


def cases(hull, dockerd):
    """[(name, engine, options)], process first."""
    found = [("hull, process", hull, ["--isolation=process"]), ("hull, hyperv", hull, ["--isolation=hyperv"])]
    if dockerd:
        found.append(("dockerd + runc", dockerd, []))
        if "missing" not in find_gvisor():
            found.append((f"dockerd + runsc ({find_gvisor()['label']})", dockerd, ["--runtime=runsc"]))
    return found


def runsc_alone(work, engine):
    """(name, gvisor.Runsc) with the engine's image, or None."""
    found = find_gvisor()
    if "missing" in found:
        return None
    return f"runsc run ({found['label']})", gvisor.Runsc(found, work, engine, IMAGE, ["/bin/true"])


def middle(values):
    return statistics.median(values)


class Bars:
    """What was asked for, beside what was measured."""

    def __init__(self):
        self.lines = ["| bar | asked | measured | holds |", "| --- | ---: | ---: | --- |"]

    def add(self, name, asked, value, unit, most=True):
        holds = "-" if value is None else "yes" if (value <= asked if most else value >= asked) else "NO"
        got = "-" if value is None else f"{value:.2f} {unit}".rstrip()
        self.lines.append(f"| {name} | {'<=' if most else '>='} {asked:g} {unit} | {got} | {holds} |")

    def text(self):
        return "\n".join(self.lines)


def footer(text):
    return f"\n{text}; {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f} at the end, Linux {os.uname().release}."
