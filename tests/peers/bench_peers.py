#!/usr/bin/env python3
"""A training step of libsae beside the same step of dictionary_learning and SAELens, on this machine.

    make bench-peers                                  installs the peers into .scratch/peers once (about 3 GB), measures
    python3 tests/peers/bench_peers.py --json         the same, as JSON; progress goes to standard error
    python3 tests/peers/bench_peers.py --saelens      SAELens too
    python3 tests/peers/bench_peers.py --families     JumpReLU, Gated and Standard instead, see below; --saelens: SAELens's too

Every step is BatchTopK in f32 on Gaussian rows already in memory, from forward pass to Adam, with no latent dead and the
threshold not yet in use. Each peer runs its own unmodified trainer class on as many threads as libsae. A round measures
`sae bench train`, then each peer; a ratio is the median over rounds, so that the machine's moods hit all alike.
--families: the penalised families. libsae is measured at an L0 of 200 (or --k) and as it starts, with half of all latents active;
a peer's step is made of whole matrices and takes the same time at every L0, so it is measured as it starts.
Ends with status 3 if the peers cannot be installed.
"""
import argparse
import importlib
import importlib.metadata
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
import types
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# dictionary_learning goes in without its dependencies (nnsight, umap-learn, plotly, wandb, ...): its trainers import only
# torch, einops and tqdm; numpy keeps torch from warning. Pinned, because another version may import something else.
TRAINER_IMPORTS = ["torch", "einops", "tqdm", "numpy"]
DICTIONARY_LEARNING = "dictionary-learning==0.1.0"
STEPS = 1000000  # of the run that the schedules are made for, as in `sae bench train`
WARMUP = 2


MISSING = 3  # status when something has to be installed first


def stop(message, status=1):
    print(f"bench_peers: {message}", file=sys.stderr)
    raise SystemExit(status)


def progress(message):
    print(message, file=sys.stderr, flush=True)


def python_of(env):
    return env / "bin" / "python"


def has_pip(env):
    try:
        return subprocess.run([python_of(env), "-m", "pip", "--version"], capture_output=True).returncode == 0
    except OSError:  # no such program, or one whose Python is gone
        return False


def make_env(env):
    if has_pip(env):
        return
    if not importlib.util.find_spec("venv") or not importlib.util.find_spec("ensurepip"):
        stop("Python's venv module is missing: apt-get install python3-venv", MISSING)
    progress(f"making a Python environment in {env}")
    if subprocess.run([sys.executable, "-m", "venv", "--clear", env], stdout=sys.stderr).returncode != 0:
        stop(f"no Python environment could be made in {env}; see above", MISSING)


def install(env, packages, *options):
    """Changes nothing, and needs no network, if the packages are there."""
    command = [python_of(env), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *options, *packages]
    # Its words are shown only when it fails: it complains of the dependencies that are left out.
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        progress(done.stdout)
        stop(f"pip could not install {', '.join(packages)} (see above). It needs the network, and 8 GB of disk in {env}; "
             "run this again when both are there", MISSING)


def enter_env(env, saelens):
    """Goes on under the environment's Python, after seeing to it that the environment is complete."""
    if Path(sys.prefix).resolve() == env.resolve():
        return
    make_env(env)
    progress(f"installing the peers into {env}, unless they are there (the first time a download of about 3 GB)")
    install(env, TRAINER_IMPORTS)
    install(env, [DICTIONARY_LEARNING], "--no-deps")
    if saelens:
        install(env, ["sae-lens"])
    os.execv(python_of(env), [str(python_of(env)), __file__, *sys.argv[1:]])


# Of dictionary_learning: the module, the trainer's class, and what it wants beside what all want.
TRAINERS = {"batchtopk": ("batch_top_k", "BatchTopKTrainer", {"lr": 3e-4}),
            "jumprelu": ("jumprelu", "JumpReluTrainer", {}),
            "gated": ("gdm", "GatedSAETrainer", {}),
            "standard": ("standard", "StandardTrainer", {})}
FAMILIES = ["jumprelu", "gated", "standard"]
# Of SAELens: the module and the start of its classes' names.
SAELENS = {"batchtopk": ("batchtopk_sae", "BatchTopK"), "jumprelu": ("jumprelu_sae", "JumpReLU"),
           "gated": ("gated_sae", "Gated"), "standard": ("standard_sae", "Standard")}


class DictionaryLearning:
    name, package = "dictionary_learning", "dictionary-learning"

    def __init__(self, o, torch, family="batchtopk"):
        # The package imports its activation buffer, which names nnsight's LanguageModel in annotations; no trainer uses it.
        sys.modules["nnsight"] = types.ModuleType("nnsight")
        sys.modules["nnsight"].LanguageModel = object
        module, name, arguments = TRAINERS[family]
        if family == "batchtopk":
            arguments = {**arguments, "k": o.k}
        trainer = getattr(importlib.import_module(f"dictionary_learning.trainers.{module}"), name)
        self.trainer = trainer(steps=STEPS, activation_dim=o.d_in, dict_size=o.width, layer=0, lm_name="none",
                               decay_start=STEPS - STEPS // 5, seed=0, device="cpu", **arguments)
        self.done = 0

    def step(self, rows):
        self.done += 1  # step 0 would set b_dec to the geometric median, once in a run
        self.trainer.update(self.done, rows)

    def dead(self):
        return int(getattr(self.trainer, "dead_features", 0))


class SAELens:
    name, package = "SAELens", "sae-lens"

    def __init__(self, o, torch, family="batchtopk"):
        from sae_lens.config import SAETrainerConfig
        from sae_lens.training.sae_trainer import SAETrainer

        torch.manual_seed(0)
        module, name = SAELENS[family]
        module = importlib.import_module(f"sae_lens.saes.{module}")
        arguments = {"k": o.k} if family == "batchtopk" else {}
        config = getattr(module, f"{name}TrainingSAEConfig")(d_in=o.d_in, d_sae=o.width, dtype="float32", device="cpu", **arguments)
        sae = getattr(module, f"{name}TrainingSAE")(config)
        config = SAETrainerConfig(total_training_samples=STEPS * o.batch, train_batch_size_samples=o.batch, lr=3e-4,
                                  lr_end=3e-5, device="cpu")
        self.trainer = SAETrainer(cfg=config, sae=sae, data_provider=iter(()))

    def step(self, rows):
        self.trainer.step(rows)
        self.trainer.n_training_steps += 1

    def dead(self):
        return int(self.trainer.dead_neurons.sum())


def run_sae(o, *more):
    command = [o.sae, "bench", "train", "--json", "--pairs", o.steps, "--d-in", o.d_in, "--width", o.width,
               "--batch", o.batch, "--k", o.k, *more]
    environment = {**os.environ, "OMP_NUM_THREADS": str(o.threads)}
    try:
        done = subprocess.run([str(word) for word in command], env=environment, stdout=subprocess.PIPE)
    except OSError as error:
        stop(f"{o.sae}: {error.strerror}; build it with make", MISSING)
    if done.returncode != 0:
        stop(f"sae bench train ended with status {done.returncode}")
    result = json.loads(done.stdout)
    if result["threads"] != o.threads or result["dead"] != 0 or result["dtype"] != "f32":
        stop(f"sae bench train ran on {result['threads']} threads with {result['dead']} dead latents in "
             f"{result['dtype']}; expected {o.threads}, 0 and f32")
    return result


def run_peer(peer, rows, steps):
    """Median milliseconds of a step. Each round warms up anew: the other programs have had the caches meanwhile."""
    times = []
    for i in range(WARMUP + steps):
        started = time.perf_counter()
        peer.step(rows)
        if i >= WARMUP:
            times.append(1e3 * (time.perf_counter() - started))
    if peer.dead() != 0:
        stop(f"{peer.name} counts {peer.dead()} dead latents: AuxK would be part of its step")
    return statistics.median(times)


def measure(o):
    import torch

    torch.set_num_threads(o.threads)
    rows = torch.randn(o.batch, o.d_in, generator=torch.Generator().manual_seed(1))
    peers = [kind(o, torch) for kind in [DictionaryLearning] + [SAELens] * o.saelens]
    ours, theirs = [], {peer.name: [] for peer in peers}
    for i in range(o.rounds):
        ours.append(run_sae(o, *["--screen"] * (not o.no_screen)))
        line = f"round {i + 1} of {o.rounds}: libsae {ours[-1]['step_ms']:.0f} ms"
        for peer in peers:
            theirs[peer.name].append(run_peer(peer, rows, o.steps))
            line += f", {peer.name} {theirs[peer.name][-1]:.0f} ms"
        progress(line)
    own = [round_["step_ms"] for round_ in ours]
    result = {"d_in": o.d_in, "d_sae": o.width, "batch": o.batch, "k": o.k, "dtype": "f32", "threads": o.threads,
              "screen": not o.no_screen, "rounds": o.rounds, "steps": o.steps, "isa": ours[0]["isa"], "torch": torch.__version__,
              "torch_isa": torch.backends.cpu.get_cpu_capability(), "step_ms": statistics.median(own),
              "step_ms_rounds": own, "peers": []}
    for peer in peers:
        times = theirs[peer.name]
        ratios = [slow / fast for slow, fast in zip(times, own)]
        result["peers"].append({"name": peer.name, "version": importlib.metadata.version(peer.package),
                                "step_ms": statistics.median(times), "step_ms_rounds": times,
                                "ratio": statistics.median(ratios), "ratio_low": min(ratios), "ratio_high": max(ratios)})
    return result


def measure_families(o):
    import torch

    torch.set_num_threads(o.threads)
    rows = torch.randn(o.batch, o.d_in, generator=torch.Generator().manual_seed(1))
    kinds = [DictionaryLearning] + [SAELens] * o.saelens
    result = {"d_in": o.d_in, "d_sae": o.width, "batch": o.batch, "l0": o.k, "dtype": "f32", "threads": o.threads,
              "rounds": o.rounds, "steps": o.steps, "torch": torch.__version__,
              "torch_isa": torch.backends.cpu.get_cpu_capability(), "families": []}
    for family in FAMILIES:
        peers = [kind(o, torch, family) for kind in kinds]
        sparse, start, theirs = [], [], {peer.name: [] for peer in peers}
        for i in range(o.rounds):
            sparse.append(run_sae(o, "--arch", family))
            start.append(run_sae(o, "--arch", family, "--at-start"))
            line = (f"{family}, round {i + 1} of {o.rounds}: libsae {sparse[-1]['step_ms']:.0f} ms at L0 {sparse[-1]['l0']:.0f}, "
                    f"{start[-1]['step_ms']:.0f} ms at the start")
            for peer in peers:
                theirs[peer.name].append(run_peer(peer, rows, o.steps))
                line += f", {peer.name} {theirs[peer.name][-1]:.0f} ms"
            progress(line)
        result["isa"] = sparse[-1]["isa"]
        for label, own in [("", sparse), ("_at_start", start)]:
            result["families"].append({
                "name": family + label, "l0": own[-1]["l0"], "step_ms": statistics.median(r["step_ms"] for r in own),
                "peers": [{"name": peer.name, "step_ms": statistics.median(theirs[peer.name]),
                           "ratio": statistics.median(slow / fast["step_ms"] for slow, fast in zip(theirs[peer.name], own))}
                          for peer in peers]})
    return result


def print_families(r):
    print(f"Training steps in f32: d_in {r['d_in']}, d_sae {r['d_sae']}, batch {r['batch']}")
    print(f"{r['threads']} threads; libsae {r['isa']}; torch {r['torch']}, {r['torch_isa']}; medians of {r['rounds']} rounds "
          f"of {r['steps']} steps\n")
    names = [peer["name"] for peer in r["families"][0]["peers"]]
    print(f"{'':20}{'libsae, ms':>12}{'L0':>8}" + "".join(f"{name + ', ms':>25}{'x libsae':>10}" for name in names))
    for f in r["families"]:
        print(f"{f['name']:20}{f['step_ms']:12.0f}{f['l0']:8.0f}"
              + "".join(f"{peer['step_ms']:25.0f}{peer['ratio']:10.2f}" for peer in f["peers"]))


def print_table(r):
    print(f"BatchTopK training step in f32: d_in {r['d_in']}, d_sae {r['d_sae']}, batch {r['batch']}, k {r['k']}")
    print(f"{r['threads']} threads; libsae {r['isa']}{', --no-screen' * (not r['screen'])}; torch {r['torch']}, {r['torch_isa']}; "
          f"medians of {r['rounds']} rounds of {r['steps']} steps\n")
    print(f"{'':30}{'step, ms':>10}{'rows/s':>10}{'x libsae':>10}   lowest and highest of a round")
    for name, row in [("libsae", r)] + [(f"{p['name']} {p['version']}", p) for p in r["peers"]]:
        line = f"{name:30}{row['step_ms']:10.0f}{1e3 * r['batch'] / row['step_ms']:10.0f}"
        if "ratio" in row:
            line += f"{row['ratio']:10.2f}   {row['ratio_low']:.2f} to {row['ratio_high']:.2f}"
        print(line)


def positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sae", type=Path, default=ROOT / "build" / "sae", help="the program (default: build/sae)")
    parser.add_argument("--env", type=Path, default=ROOT / ".scratch" / "peers", help="Python environment of the peers")
    parser.add_argument("--saelens", action="store_true", help="measure SAELens too")
    parser.add_argument("--json", action="store_true", help="JSON instead of the table")
    parser.add_argument("--rounds", type=positive, default=5)
    parser.add_argument("--steps", type=positive, default=3, help="timed steps of each in a round (default: 3)")
    parser.add_argument("--threads", type=positive, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--families", action="store_true", help="JumpReLU, Gated and Standard instead of BatchTopK")
    parser.add_argument("--no-screen", action="store_true",
                        help="BatchTopK: libsae computes the whole f32 product, not its default, the 8-bit screen")
    for name, value in [("d-in", 768), ("width", 16384), ("batch", 4096)]:
        parser.add_argument(f"--{name}", type=positive, default=value, help=f"default: {value}")
    parser.add_argument("--k", type=positive, help="default: 64, with --families 200")
    o = parser.parse_args()
    o.k = o.k or (200 if o.families else 64)
    o.sae, o.env = o.sae.absolute(), o.env.absolute()
    enter_env(o.env, o.saelens)
    result = measure_families(o) if o.families else measure(o)
    if o.json:
        print(json.dumps(result, indent=2))
    elif o.families:
        print_families(result)
    else:
        print_table(result)


if __name__ == "__main__":
    main()
