"""What `verify` finds of GPUs and drivers, over made-up trees that stand for hosts; all of it is simulated."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from provision.agent.resources import verify_driver
from provision.agent.resources.verify_driver import Spec
from provision.agent.system import System
from provision.agent.verify import fabric, gpu_report, kernel, pci
from provision.agent.verify.compute import busy, judge

FLOOR: dict[str, str | None] = {"driver": "450.80.02", "cuda": "11.8", "toolkit_driver": "520.61.05", "glibc": "2.17"}
MISMATCH = "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 535.129\n"
RUNNING = os.uname().release


def gpu(number: int, **changes: str) -> str:
    """One GPU as drivers of the 550s describe it, with what does not concern us left out."""
    told = {
        "persistence": "Enabled",
        "mig": "Disabled",
        "pending": "Disabled",
        "instances": "None",
        "mode": "Default",
        "ecc": "0",
        "failure": "No",
        "remap": "No",
        "hot": "Not Active",
        "fabric": "Completed",
        "joined": "Success",
        "used": "4",
        "processes": "",
        **changes,
    }
    return f"""
    <gpu id="0000000{number // 8}:{number:02X}:00.0">
      <product_name>NVIDIA H100 80GB HBM3</product_name>
      <persistence_mode>{told["persistence"]}</persistence_mode>
      <mig_mode><current_mig>{told["mig"]}</current_mig><pending_mig>{told["pending"]}</pending_mig></mig_mode>
      <mig_devices>{told["instances"]}</mig_devices>
      <fabric><state>{told["fabric"]}</state><status>{told["joined"]}</status></fabric>
      <uuid>GPU-{number}</uuid>
      <pci><pci_bus_id>00000000:{number:02X}:00.0</pci_bus_id></pci>
      <clocks_event_reasons>
        <clocks_event_reason_gpu_idle>Active</clocks_event_reason_gpu_idle>
        <clocks_event_reason_hw_thermal_slowdown>{told["hot"]}</clocks_event_reason_hw_thermal_slowdown>
      </clocks_event_reasons>
      <fb_memory_usage><total>81559 MiB</total><used>{told["used"]} MiB</used><free>80000 MiB</free></fb_memory_usage>
      <compute_mode>{told["mode"]}</compute_mode>
      <ecc_errors>
        <volatile>
          <sram_uncorrectable_parity>0</sram_uncorrectable_parity>
          <dram_uncorrectable>{told["ecc"]}</dram_uncorrectable>
        </volatile>
        <aggregate><dram_uncorrectable>17</dram_uncorrectable></aggregate>
      </ecc_errors>
      <remapped_rows>
        <remapped_row_pending>{told["remap"]}</remapped_row_pending>
        <remapped_row_failure>{told["failure"]}</remapped_row_failure>
      </remapped_rows>
      <processes>{told["processes"]}</processes>
    </gpu>"""


def report(*gpus: str, driver: str = "550.54.15") -> str:
    head = f"<driver_version>{driver}</driver_version><cuda_version>12.4</cuda_version>"
    doctype = '<!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v12.dtd">'
    return f'<?xml version="1.0" ?>\n{doctype}\n<nvidia_smi_log>{head}{"".join(gpus)}</nvidia_smi_log>\n'


@dataclass
class Tree:
    """A folder that stands for the root of a simulated host; right as it is, with two GPUs."""

    root: Path
    bus: list[int] = field(default_factory=lambda: [1, 2])
    switches: int = 0
    said: str = field(default_factory=lambda: report(gpu(1), gpu(2)))
    code: int = 0
    module: str = "550.54.15"
    library: str = "550.54.15"
    log: str = ""
    kernels: dict[str, bool] = field(default_factory=lambda: {RUNNING: True})
    nouveau: bool = False
    shown: dict[str, str] = field(default_factory=lambda: {"LoadState": "loaded", "ActiveState": "active"})

    def write(self, path: str, text: str) -> Path:
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        return place

    def build(self) -> None:
        self.write("SIMULATED", "simulated\n")
        devices = [(f"0000:{number:02x}:00.0", "0x030200") for number in self.bus]
        devices += [(f"0000:c{number}:00.0", "0x068000") for number in range(self.switches)]
        for address, kind in [*devices, ("0000:01:00.1", "0x040300")]:
            self.write(f"sys/bus/pci/devices/{address}/vendor", "0x10de\n")
            self.write(f"sys/bus/pci/devices/{address}/class", f"{kind}\n")
        if self.module:
            banner = f"NVRM version: NVIDIA UNIX x86_64 Kernel Module  {self.module}  Thu Mar\nGCC version\n"
            self.write("proc/driver/nvidia/version", banner)
            self.write("sys/module/nvidia/initstate", "live\n")
        if self.nouveau:
            self.write("sys/module/nouveau/initstate", "live\n")
        if self.library:
            self.write(f"usr/lib/x86_64-linux-gnu/libcuda.so.{self.library}", "")
            self.write("usr/lib/x86_64-linux-gnu/libcuda.so.1", "")
        for name, there in self.kernels.items():
            module = "updates/dkms/nvidia.ko.xz:\n" if there else ""
            self.write(f"lib/modules/{name}/modules.dep", f"kernel/fs/ext4/ext4.ko:\n{module}")
            self.write(f"boot/vmlinuz-{name}", "")
        self.write("kernel.log", self.log)
        if self.said:
            answer = self.write("answer", self.said)
            program = self.write("usr/bin/nvidia-smi", f"#!/bin/sh\ncat '{answer}'; exit {self.code}\n")
            program.chmod(0o755)

    def look(self, **spec: Any) -> list[dict[str, Any]]:
        self.build()
        system = System(blob=str, facts={"glibc": "2.36", "gpu": {"driver": "550.54.15"}})
        system.answers["unit", "nvidia-fabricmanager.service"] = self.shown
        wanted = Spec(root=str(self.root), **spec)
        state = verify_driver.observe(wanted, system)
        assert verify_driver.decide(wanted, state) == []
        return state.findings

    def bad(self, **spec: Any) -> list[tuple[str, str, str, str]]:
        """Status, check, subject and summary of what is not well."""
        found = self.look(**spec)
        keys = ("status", "check", "subject", "summary")
        return [tuple(one[key] for key in keys) for one in found if one["status"] in ("failed", "warning")]  # type: ignore[misc]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def test_a_host_that_is_right(tree: Tree) -> None:
    found = tree.look(floors={"llm": FLOOR}, count=2, kind="h100")
    assert {one["status"] for one in found} == {"ok"}
    assert [one["check"] for one in found] == [
        *("driver.floor", "driver.nouveau", "driver.answer", "driver.library", "driver.module", "driver.count"),
        *("driver.kind", "driver.ecc", "driver.throttling", "driver.persistence", "driver.mode", "driver.mig"),
        "driver.xid",
    ]


def test_a_host_without_gpus_is_skipped_and_says_so(tmp_path: Path) -> None:
    tree = Tree(tmp_path, bus=[], said="", module="", library="", kernels={})
    assert [(one["status"], one["summary"]) for one in tree.look()] == [
        ("skipped", "no GPU is expected, and none is there")
    ]
    missing = tree.bad(floors={"llm": FLOOR}, count=2)
    assert ("failed", "driver.floor", "llm", "environment `llm` needs an NVIDIA driver, this host has none") in missing
    assert ("failed", "driver.answer", "", "no NVIDIA driver answers: there is none") in missing
    assert ("failed", "driver.count", "", "0 of 2 GPUs answer") in missing


def test_a_driver_or_a_glibc_below_an_environments_floor(tree: Tree) -> None:
    floors = {"new": {**FLOOR, "driver": "560.28.03", "cuda": "12.6"}, "llm": FLOOR, "far": {**FLOOR, "glibc": "2.39"}}
    assert tree.bad(floors=floors) == [
        ("failed", "driver.glibc", "far", "environment `far` needs glibc 2.39, this host has 2.36"),
        ("failed", "driver.floor", "new", "environment `new` needs driver 560.28.03 or newer, this host has 550.54.15"),
    ]


def test_module_and_library_of_two_versions(tree: Tree) -> None:
    tree.library, tree.said, tree.code = "550.127.05", MISMATCH, 18
    found = [one for one in tree.look() if one["check"] == "driver.library"]
    assert [one["summary"] for one in found] == [
        "the kernel runs driver module 550.54.15, the libraries are of 550.127.05"
    ]
    assert found[0]["mend"].startswith("reboot")


def test_a_mismatch_that_only_nvidia_smi_tells(tree: Tree) -> None:
    tree.library, tree.said, tree.code = "", MISMATCH, 18
    # how many GPUs answer is no news then
    assert [one[:3] for one in tree.bad() if one[0] == "failed"] == [("failed", "driver.library", "")]


def test_a_driver_that_is_not_loaded(tree: Tree) -> None:
    tree.module, tree.kernels, tree.code = "", {RUNNING: False}, 9
    tree.said = "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n"
    (tree.root / "var/lib/dkms/nvidia").mkdir(parents=True)
    found = {one["check"]: one for one in tree.look() if one["status"] == "failed"}
    assert found["driver.answer"]["mend"] == (
        f"install `linux-headers-{RUNNING}`, then `sudo dkms autoinstall -k {RUNNING}`"
    )
    assert found["driver.module"]["summary"] == f"the running kernel `{RUNNING}` has no NVIDIA module"


def test_the_next_kernel_without_a_module_is_told(tree: Tree) -> None:
    tree.kernels = {RUNNING: True, "99.10.0-9-generic": True, "99.10.0-10-generic": False}
    words = "the next kernel `99.10.0-10-generic` has no NVIDIA module: after a reboot no GPU is there"
    assert tree.bad() == [("warning", "driver.module", "99.10.0-10-generic", words)]


def test_nouveau(tree: Tree) -> None:
    tree.nouveau = True
    assert [one[:2] for one in tree.bad()] == [("warning", "driver.nouveau")]
    tree.module = ""
    (tree.root / "proc/driver/nvidia/version").unlink()
    (tree.root / "sys/module/nvidia/initstate").unlink()
    assert ("failed", "driver.nouveau", "", "the module `nouveau` is loaded and holds the GPUs") in tree.bad()


def test_gpus_that_are_gone_too_many_or_of_another_kind(tree: Tree) -> None:
    tree.bus = [1, 2, 3]
    words = "2 of 3 GPUs answer; no answer from `0000:03:00.0`"
    assert tree.bad() == [("failed", "driver.count", "", words)]
    assert tree.bad(count=3)[0][3] == words
    assert tree.bad(count=8)[0][3] == "2 of 8 GPUs answer; no answer from `0000:03:00.0`"
    tree.bus = [1, 2]
    (tree.root / "sys/bus/pci/devices/0000:03:00.0/vendor").unlink()
    assert tree.bad(count=1)[0][3] == "2 GPUs answer, the inventory says 1"
    kinds = "0: NVIDIA H100 80GB HBM3, 1: NVIDIA H100 80GB HBM3"
    assert tree.bad(kind="A100")[0][3] == f"GPUs of another kind than A100: {kinds}"


@pytest.mark.parametrize(
    ("changes", "status", "check", "words"),
    [
        ({"ecc": "3"}, "failed", "ecc", "had 3 uncorrectable memory errors since the driver was loaded"),
        ({"failure": "Yes"}, "failed", "ecc", "could not remap a broken memory row"),
        ({"remap": "Yes"}, "warning", "ecc", "has a memory row or page to retire at its next reset"),
        ({"hot": "Active"}, "warning", "throttling", "is slowed down: hw thermal slowdown"),
        ({"persistence": "Disabled"}, "warning", "persistence", "has persistence mode off"),
        ({"mode": "Prohibited"}, "failed", "mode", "has compute mode Prohibited"),
        ({"pending": "Enabled"}, "failed", "mig", "has MIG mode Disabled, and Enabled after its next reset"),
        ({"mig": "Enabled", "pending": "Enabled"}, "failed", "mig", "has MIG mode on and no instance"),
    ],
)
def test_one_gpu_that_is_not_well(tree: Tree, changes: dict[str, str], status: str, check: str, words: str) -> None:
    tree.said = report(gpu(1), gpu(2, **changes))
    ((found_status, found_check, subject, summary),) = tree.bad()
    assert (found_status, found_check, subject) == (status, f"driver.{check}", "GPU-2")
    assert summary.startswith(f"GPU 1 (NVIDIA H100 80GB HBM3) {words}")


def test_mig_as_the_inventory_wants_it(tree: Tree) -> None:
    assert [one[3] for one in tree.bad(mig=True)] == [
        f"GPU {index} (NVIDIA H100 80GB HBM3) has MIG mode off" for index in (0, 1)
    ]
    instances = "<mig_device><index>0</index></mig_device>"
    on = {"mig": "Enabled", "pending": "Enabled", "instances": instances}
    tree.said = report(gpu(1, **on), gpu(2, **on))
    assert tree.bad(mig=True) == [] and tree.bad() == []
    assert len(tree.bad(mig=False)) == 2


def test_errors_in_the_kernels_log(tree: Tree) -> None:
    tree.log = (
        "[  100.5] NVRM: Xid (PCI:0000:01:00): 31, pid=7, name=python, Ch 00000008\n"
        "[  110.5] NVRM: Xid (PCI:0000:01:00): 31, pid=8, name=python, Ch 00000008\n"
        "[  200.0] NVRM: Xid (PCI:0000:02:00): 79, GPU has fallen off the bus.\n[ 1.0] other\n"
    )
    first, second = tree.bad()
    assert first == (
        "warning",
        "driver.xid",
        "0000:01:00",
        "Xid 31 at `0000:01:00`: 31, pid=8, name=python, Ch 00000008",
    )
    assert second[:3] == ("failed", "driver.xid", "0000:02:00")
    journal = "1795560000.250000 gpu-01 kernel: NVRM: Xid (PCI:0000:0F:00): 48, pid=1, Ch 1\n"
    assert kernel.parse_xids(journal, boot=5.0) == [kernel.Xid("0000:0f:00", 48, 1795560000.25, "48, pid=1, Ch 1")]
    assert kernel.parse_xids("[   12.5] NVRM: Xid (PCI:0000:0F:00): 48, x", boot=5.0)[0].time == 17.5


def test_a_host_with_switches_needs_its_fabric_manager(tree: Tree) -> None:
    tree.switches = 4
    program = tree.write("usr/bin/nv-fabricmanager", "#!/bin/sh\necho 'Fabric Manager version is : 550.54.15'\n")
    program.chmod(0o755)
    assert tree.bad() == []
    assert tree.look()[-1]["summary"] == "the fabric manager 550.54.15 runs for 4 NVSwitches"
    program.write_text("#!/bin/sh\necho 'Fabric Manager version is : 535.104.05'\n")
    assert tree.bad()[0][3] == "the fabric manager is of 535.104.05, the driver of 550.54.15"
    tree.shown = {"LoadState": "loaded", "ActiveState": "failed"}
    assert tree.bad()[0][3] == "the fabric manager does not run (failed)"
    tree.shown = {"LoadState": "not-found", "ActiveState": "inactive"}
    assert tree.bad()[0][3] == "4 NVSwitches, and no fabric manager is installed"
    lone = [{"index": 3, "fabric": "In Progress", "fabric_status": ""}]
    (found,) = fabric.judge({"LoadState": "loaded", "ActiveState": "active"}, None, None, 4, lone)
    assert found["summary"] == "GPUs 3 did not join the NVLink fabric"


def test_an_nvidia_smi_that_hangs_costs_its_deadline(tree: Tree) -> None:
    tree.build()
    (tree.root / "usr/bin/nvidia-smi").write_text("#!/bin/sh\nsleep 30\n")
    system = System(blob=str)
    found = gpu_report.ask(system, 0.3, str(tree.root))
    assert (found["error"], found["gpus"]) == ("no answer within 0.3 s", [])


def test_older_drivers_are_read_too() -> None:
    text = report(gpu(1)).replace("clocks_event_reason", "clocks_throttle_reason").replace("<volatile>", "<other>")
    text = text.replace("</volatile>", "</other><volatile><double_bit><total>5</total></double_bit></volatile>")
    (found,) = gpu_report.parse(text.replace("hw_thermal_slowdown>Not Active", "hw_thermal_slowdown>Active"))["gpus"]
    assert (found["ecc"], found["throttling"]) == (5, ["hw thermal slowdown"])


def test_the_sound_function_of_a_card_is_no_gpu(tree: Tree) -> None:
    tree.build()
    assert pci.devices(str(tree.root)) == (["0000:01:00.0", "0000:02:00.0"], [])
    assert pci.devices(str(tree.root / "nowhere")) == ([], [])


def test_which_gpus_are_busy() -> None:
    process = "<process_info><pid>7</pid><type>{}</type><process_name>x</process_name></process_info>"

    def why(anyway: bool = False, **changes: str) -> str:
        return busy(gpu_report.parse(report(gpu(1, **changes)))["gpus"][0], anyway)

    assert why() == ""
    assert why(processes=process.format("C")) == "busy: not probed; `x` (pid 7)"
    assert why(processes=process.format("G"), used="900") == ""
    assert why(mode="Exclusive_Process") == "busy: not probed; its compute mode is exclusive"
    assert why(used="5000") == "busy: not probed; 5000 MiB are in use by a process that cannot be seen"
    assert why(True, processes=process.format("C"), mode="Exclusive_Process") == ""
    assert why(True, mig="Enabled") == "MIG mode is on: its instances are not probed"


def test_a_product_is_judged() -> None:
    one = {"index": 0, "name": "NVIDIA A10", "uuid": "GPU-1"}

    def status(**answer: Any) -> str:
        return str(judge({"seconds": 0.001, "error": 1e-6, **answer}, one, 2.0, False, "web")["status"])

    assert status() == "ok"
    assert [status(error=0.01), status(error=float("nan")), status(seconds=3.0), status(problem="x")] == ["failed"] * 4
