"""A stand-in for SLURM: sbatch, srun, sacct and scontrol, by the name that this is called by.

Jobs run on this machine at once. The folder of the programs keeps for each job its process and its
state; one that is queued again runs again.
"""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).absolute().parent


def install(folder: Path) -> None:
    """Put the programs into a folder that is to be on the PATH."""
    folder.mkdir()
    (folder / "slurm_stand_in.py").write_text(Path(__file__).read_text(encoding="utf-8"))
    for name in ("sbatch", "srun", "sacct", "scontrol"):
        program = folder / name
        script = folder / "slurm_stand_in.py"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} {script} {name} "$@"\n')
        program.chmod(0o755)


def sbatch(script: str) -> None:
    """Start the jobs of a script, each with a process that looks after it."""
    number = 100 + len(list(HERE.glob("*.sbatch")))
    text = Path(script).read_text(encoding="utf-8")
    (HERE / f"{number}.sbatch").write_text(text)
    array = re.search(r"#SBATCH --array=0-(\d+)", text)
    for task in range(int(array[1]) + 1) if array else [None]:
        job = f"{number}" if task is None else f"{number}_{task}"
        (HERE / f"{job}.state").write_text("PENDING")
        subprocess.Popen(
            [sys.executable, __file__, "look-after", job],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=open(HERE / f"{job}.err", "wb"),  # noqa: SIM115
            start_new_session=True,
        )
    print(f"Submitted batch job {number}")


def look_after(job: str) -> None:
    """Run a job, and again as long as it is queued again."""
    number, _, task = job.partition("_")
    more = {"SLURM_ARRAY_JOB_ID": number, "SLURM_ARRAY_TASK_ID": task} if task else {}
    more |= dict.fromkeys(("SLURM_NODEID", "SLURM_PROCID", "SLURM_LOCALID"), "0")
    more |= dict.fromkeys(("SLURM_NTASKS", "SLURM_JOB_NUM_NODES"), "1")
    more |= {"SLURM_JOB_ID": number, "SLURM_JOB_NODELIST": "here"}
    code, again = 0, True
    while again:
        process = subprocess.Popen(
            # SLURM's signals before the end go to the steps of a job, not to its shell.
            ["bash", "-c", f"trap : USR2; . {HERE / number}.sbatch"],
            env=os.environ | more,
            start_new_session=True,
            cwd=HERE,
        )
        (HERE / f"{job}.pid").write_text(str(process.pid))
        (HERE / f"{job}.state").write_text("RUNNING")
        code = process.wait()
        again = (HERE / f"{job}.requeue").exists()
        (HERE / f"{job}.requeue").unlink(missing_ok=True)
        time.sleep(0.2)
    (HERE / f"{job}.state").write_text("FAILED" if code else "COMPLETED")


def srun(words: list[str]) -> None:
    """Run the command that follows the options."""
    at = next(i for i, word in enumerate(words) if Path(word).name.startswith("python"))
    os.execv(words[at], words[at:])


def sacct() -> None:
    """Print the states of all jobs."""
    print("JobID|State|NodeList")
    for path in sorted(HERE.glob("*.state")):
        print(f"{path.stem}|{path.read_text(encoding='utf-8')}|here")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["sbatch", script]:
            sbatch(script)
        case ["look-after", job]:
            look_after(job)
        case ["srun", *words]:
            srun(words)
        case ["sacct", *_]:
            sacct()
        case ["scontrol", "requeue", job]:
            (HERE / f"{job}.requeue").touch()
        case words:
            sys.exit(f"not in this stand-in: {words}")
