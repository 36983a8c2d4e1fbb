"""gVisor as a rival: `runsc run` of a bundle, without any daemon, and what dockerd needs to start containers with it."""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

# The best first; "kvm" needs hardware, "systrap" a version of 2023 or later.
PLATFORMS = ("kvm", "systrap", "ptrace")
# "sandbox": the interfaces of its network namespace. Older versions take every network namespace of a newer kernel for
# the host's and refuse; with "none" they have loopback alone.
NETWORKS = ("sandbox", "none")
PROBE_SECONDS = 10


def write_bundle(bundle, program, command, root):
    subprocess.run([program, "spec", "--", *command], cwd=bundle, check=True)
    path = bundle / "config.json"
    config = json.loads(path.read_text())
    config["root"] = {"path": root, "readonly": root == "/"}
    config["process"]["terminal"] = False
    path.write_text(json.dumps(config))


def works(program, options, folder):
    """None: it hangs."""
    name = "probe" + "".join(options).replace("=", "-")
    command = [program, "--root", str(folder / "state"), *options]
    try:
        return subprocess.run([*command, "run", "-bundle", str(folder), name], stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=PROBE_SECONDS,
                              check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return None
    finally:
        subprocess.run([*command, "delete", "-force", name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                       timeout=PROBE_SECONDS, check=False)


def find():
    """{"program", "options", "label"}, or {"missing": why}."""
    program = shutil.which("runsc")
    if not program:
        return {"missing": "runsc is not installed (Debian: apt-get install runsc)"}
    with tempfile.TemporaryDirectory(prefix="hull-bench-runsc.", dir="/tmp") as name:
        folder = pathlib.Path(name)
        write_bundle(folder, program, ["/bin/true"], "/")
        for platform in PLATFORMS:
            for network in NETWORKS:
                options = [f"--platform={platform}", f"--network={network}"]
                answer = works(program, options, folder)
                if answer is None:
                    break
                if answer:
                    return {"program": program, "options": options,
                            "label": f"gVisor, {platform}" + (", without network" if network == "none" else "")}
    return {"missing": f"runsc works on none of its platforms here ({', '.join(PLATFORMS)})"}


def dockerd_runtimes(found):
    """For daemon.json."""
    return {} if "missing" in found else {"runsc": {"path": found["program"], "runtimeArgs": found["options"]}}


class Runsc:
    """Starts containers of one bundle, whose files are those of an engine's image. Each has a network namespace of its own
    with nothing but loopback in it: runsc alone gives no other."""

    def __init__(self, found, work, engine, image, command):
        self.folder = pathlib.Path(work) / "runsc"
        self.command = [found["program"], *found["options"], "--root", f"{self.folder}/state"]
        self.count = 0
        rootfs = self.folder / "bundle/rootfs"
        rootfs.mkdir(parents=True)
        archive = self.folder / "rootfs.tar"
        box = engine.docker("create", image, "true")
        engine.docker("export", "-o", str(archive), box)
        engine.docker("rm", box)
        subprocess.run(["tar", "-C", str(rootfs), "-xf", str(archive)], check=True)
        archive.unlink()
        write_bundle(self.folder / "bundle", found["program"], command, "rootfs")

    def run(self):
        self.count += 1
        name = f"bench-{os.getpid()}-{self.count}"
        subprocess.run([*self.command, "run", "-bundle", f"{self.folder}/bundle", name], check=True, timeout=120,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
