#!/usr/bin/env python3
"""The loss curves of dictionary_learning's, SAELens's and sparsify's own trainers, for tests/test_parity.c.

    make goldens                                      the committed sizes, into .scratch/goldens
    make goldens GOLDENS="--seed 7 --d-in 48 --d-sae 256 --steps 80"
    SAE_GOLDENS=.scratch/goldens tests/run.sh test_parity      compares libsae with them
    make goldens GOLDENS="--out data/golden/sae"      makes the committed files anew

The first run makes a Python environment in .scratch/peers (pip, about 3 GB); ends with status 3 if that cannot be. The package
index has dictionary_learning 0.1.0. The repository's commit 60ec6bf, of which the committed files are, has k annealing besides:
    git clone https://github.com/saprmarks/dictionary_learning DIR && git -C DIR checkout 60ec6bf
and --dictionary-learning DIR. Without it the runs that anneal k are left out; the others are the same.

Each trainer class runs unmodified on the same batches; what its constructor does not take is set on the object and listed
in the meta file (changed_from_library_defaults). The constants are chosen so that every rule acts within --steps: warm-ups,
decay, thresholds, k annealing, AuxK on dead latents, entries inside the straight-through estimators' windows.

train_NAME.safetensors: init.* and final.* as the library names and stores them; steps.* and f64.steps.* [T], one value a step
(f64: the same run in float64, which tells how far rounding alone moves a curve). train_NAME.meta.json: every hyper-parameter.
train_batches.safetensors: the rows of step t are pool[index[t]].
"""
import argparse
import json
import os
import subprocess
import sys
import types
from pathlib import Path

import bench_peers

ROOT = Path(__file__).resolve().parents[2]
COMMITTED = ROOT / "data" / "golden" / "sae"
PACKAGES = ["torch", "einops", "tqdm", "numpy", "safetensors", "sae-lens"]
# sparsify goes in without its dependencies, of which its trainer imports these (dash, bitsandbytes, triton and the like it does not need).
SPARSIFY = "eai-sparsify==1.3.3"
SPARSIFY_IMPORTS = ["accelerate", "datasets", "natsort", "schedulefree", "simple-parsing", "transformers"]
DEFAULTS = {"seed": 13, "d_in": 32, "d_sae": 128, "steps": 60, "batch": 256, "k": 6}


def enter_env(env):
    if Path(sys.prefix).resolve() == env.resolve():
        return
    bench_peers.make_env(env)
    bench_peers.progress(f"installing the peers into {env}, unless they are there")
    bench_peers.install(env, PACKAGES)
    bench_peers.install(env, SPARSIFY_IMPORTS)
    bench_peers.install(env, [bench_peers.DICTIONARY_LEARNING, SPARSIFY], "--no-deps")
    python = str(bench_peers.python_of(env))
    os.execv(python, [python, __file__, *sys.argv[1:]])


def use_dictionary_learning(folder):
    # Its buffer of activations names nnsight's LanguageModel in annotations; no trainer uses it.
    sys.modules["nnsight"] = types.ModuleType("nnsight")
    sys.modules["nnsight"].LanguageModel = object
    if folder:
        sys.path.insert(0, str(folder.absolute()))


# ---- Rows -----------------------------------------------------------------------------------------------------------------


def make_batches(o):
    """Sparse sums of planted unit features, some of them rare; a mean; noise. Few enough features that latents die."""
    import torch

    rng = torch.Generator().manual_seed(o.seed)
    n_features, n = o.d_in * 3 // 4, 6 * o.batch
    features = torch.randn(n_features, o.d_in, generator=rng)
    features /= features.norm(dim=1, keepdim=True)
    chance = 1 / torch.arange(2, n_features + 2)
    chance *= 3 / chance.sum()
    codes = (torch.rand(n, n_features, generator=rng) < chance) * (4 + 6 * torch.rand(n, n_features, generator=rng))
    mean = torch.randn(o.d_in, generator=rng) * (9 / o.d_in**0.5)
    pool = codes @ features + mean + 0.3 * torch.randn(n, o.d_in, generator=rng)
    index = torch.randint(0, n, (o.steps, o.batch), generator=rng, dtype=torch.int32)
    return {"pool": pool, "index": index}


def get_batches(o):
    from safetensors.torch import load_file, save_file

    same_rows = all(getattr(o, name) == DEFAULTS[name] for name in ("seed", "d_in", "batch")) and o.steps <= DEFAULTS["steps"]
    batches = load_file(COMMITTED / "train_batches.safetensors") if same_rows else make_batches(o)
    target = o.out / "train_batches.safetensors"
    if target.resolve() != (COMMITTED / "train_batches.safetensors").resolve():
        save_file({name: value.contiguous() for name, value in batches.items()}, target)
    elif not same_rows:
        bench_peers.stop("the committed batches are shared by all committed runs: choose another --out")
    return batches


# ---- dictionary_learning --------------------------------------------------------------------------------------------------


def grads_norm(parameters):
    import torch

    return float(torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(p.grad) for p in parameters])))


class Clipping:
    """Keeps the norm that clip_grad_norm_ returned."""

    def __enter__(self):
        import torch

        self.norm, self.original = None, torch.nn.utils.clip_grad_norm_

        def clip(*arguments, **options):
            self.norm = float(self.original(*arguments, **options))
            return self.norm

        torch.nn.utils.clip_grad_norm_ = clip
        return self

    def __exit__(self, *_):
        import torch

        torch.nn.utils.clip_grad_norm_ = self.original


PERTURBED = ("r_mag", "gate_bias", "mag_bias", "b_gate", "b_mag", "threshold")


def perturb(named_parameters, seed):
    """Gates, magnitudes and thresholds that differ from the first step on; the libraries start them all alike."""
    import torch

    rng = torch.Generator().manual_seed(seed)
    for name, p in sorted(named_parameters):
        if name in PERTURBED:
            p.data.copy_(0.3 * torch.randn(p.shape, generator=rng))


class DictionaryLearning:
    library = "saprmarks/dictionary_learning"

    def __init__(self, o, double, module, cls, changed=None, perturbed=False, **arguments):
        import importlib

        import torch

        torch.manual_seed(o.seed)  # JumpReLU's trainer does not
        cls = getattr(importlib.import_module(f"dictionary_learning.trainers.{module}"), cls)
        self.t = cls(steps=o.steps, activation_dim=o.d_in, dict_size=o.d_sae, layer=0, lm_name="synthetic", device="cpu",
                     seed=o.seed, **arguments)
        for name, value in (changed or {}).items():
            setattr(self.t, name, value)
        if perturbed:
            perturb(self.t.ae.named_parameters(), o.seed)
        if double:
            self.t.ae.double()
        self.parts = None
        self.original_loss, self.t.loss = self.t.loss, self.loss
        self.hyper = {"trainer_class": cls.__name__, "steps": o.steps, **self.t.config, **arguments, **(changed or {}), "batch_size": o.batch,
                      "adam_betas": list(self.t.optimizer.defaults["betas"]),
                      "adam_eps": self.t.optimizer.defaults["eps"], "weight_decay": 0}
        self.hyper["grad_clip"] = 0 if "ConstrainedAdam" in type(self.t.optimizer).__name__ else 1.0
        self.changed = {name: f"attribute set to {value} after construction" for name, value in (changed or {}).items()}
        if perturbed:
            self.changed["start"] = f"{', '.join(PERTURBED)}: 0.3 x normal numbers (the library's: all alike)"

    def loss(self, x, step=None, **_):
        """The library's loss, called twice: once for its parts, with what that changes put back."""
        import torch

        kept = {name: getattr(self.t, name).clone() for name in ("num_tokens_since_fired",) if hasattr(self.t, name)}
        buffers = {name: value.clone() for name, value in self.t.ae.named_buffers()}
        with torch.no_grad():
            log = self.original_loss(x, step=step, logging=True)
        for name, value in kept.items():
            setattr(self.t, name, value)
        for name, value in buffers.items():
            setattr(self.t.ae, name, value)
        losses, f = log.losses, log.f
        parts = {"l0": float((f != 0).double().sum(1).mean()), "loss": losses["loss"]}
        # "l2_loss" is the mean squared error in some trainers, the mean of the unsquared norm beside "mse_loss" in others.
        parts["l2_loss"] = losses.get("mse_loss", losses.get("l2_loss"))
        for name in ("auxk_loss", "sparsity_loss", "aux_loss"):
            if name in losses:
                parts[name] = losses[name]
        theta = getattr(self.t.ae, "threshold", None)
        if theta is not None and theta.dim() == 1:  # JumpReLU
            parts["l0_counted"] = float((f > theta).double().sum(1).mean())
            with torch.no_grad():
                pre = x @ self.t.ae.W_enc + self.t.ae.b_enc
            parts["in_window"] = float(((pre - theta).abs() < self.t.bandwidth / 2).double().sum(1).mean())
            parts["negative_thresholds"] = int((theta < 0).sum())
        if "auxk_loss" in parts:
            parts["fewer_than_k"] = int(((f > 0).sum(1) < self.t.ae.k).sum()) if "TopKTrainer" == type(self.t).__name__ else 0
            parts["min_active"] = float(f[f > 0].min())
            parts["k"] = int(self.t.ae.k)
        self.parts = parts
        return self.original_loss(x, step=step)

    def step(self, step, x):
        lr = self.t.optimizer.param_groups[0]["lr"]
        with Clipping() as clipping:
            self.t.update(step, x)
        norm = clipping.norm if clipping.norm is not None else grads_norm(self.t.ae.parameters())
        result = {**self.parts, "lr": lr, "grad_norm": norm}
        if "auxk_loss" in result:
            result |= {"dead": int(self.t.dead_features), "threshold": float(self.t.ae.threshold)}
        return result

    def tensors(self):
        kept = dict(self.t.ae.state_dict())
        if hasattr(self.t, "num_tokens_since_fired"):
            kept["num_tokens_since_fired"] = self.t.num_tokens_since_fired
        return kept


# ---- SAELens --------------------------------------------------------------------------------------------------------------


class SAELens:
    library = "decoderesearch/SAELens"

    def __init__(self, o, double, module, cls, perturbed=False, **arguments):
        import importlib

        import torch
        from sae_lens.config import SAETrainerConfig
        from sae_lens.training.sae_trainer import SAETrainer

        torch.manual_seed(o.seed)
        module = importlib.import_module(f"sae_lens.saes.{module}")
        self.sae = getattr(module, cls)(getattr(module, cls + "Config")(d_in=o.d_in, d_sae=o.d_sae, dtype="float32",
                                                                       device="cpu", **arguments))
        if perturbed:
            perturb(self.sae.named_parameters(), o.seed)
        if double:
            self.sae.double()
        warmup, decay, window = o.steps // 6, o.steps // 5, o.steps // 10
        config = SAETrainerConfig(total_training_samples=o.steps * o.batch, train_batch_size_samples=o.batch, lr=3e-3,
                                  lr_end=3e-4, lr_warm_up_steps=warmup, lr_decay_steps=decay, dead_feature_window=window,
                                  device="cpu")
        self.t = SAETrainer(cfg=config, sae=self.sae, data_provider=iter(()))
        self.hyper = {"trainer_class": cls, "activation_dim": o.d_in, "dict_size": o.d_sae, "batch_size": o.batch,
                      "steps": o.steps, "seed": o.seed, "lr": config.lr, "warmup_steps": warmup, "decay_steps": decay,
                      "dead_feature_window": window, "adam_betas": [config.adam_beta1, config.adam_beta2],
                      "adam_eps": self.t.optimizer.defaults["eps"], "weight_decay": 0, "grad_clip": 1.0}
        for name, value in vars(self.sae.cfg).items():
            if isinstance(value, (int, float, str, list)) and name not in ("dtype", "device"):
                self.hyper[name] = value
        self.changed = {"lr_warm_up_steps": warmup, "lr_decay_steps": decay, "dead_feature_window": window, "lr": config.lr}
        if perturbed:
            self.changed["start"] = f"{', '.join(PERTURBED)}: 0.3 x normal numbers (the library's: all alike)"

    def step(self, step, x):
        import torch

        dead = int(self.t.dead_neurons.sum())
        lr = self.t.optimizer.param_groups[0]["lr"]
        coefficients = self.t.get_coefficients()
        with Clipping() as clipping:
            output = self.t.step(x)
        self.t.n_training_steps += 1
        f = output.feature_acts.detach()
        theta = getattr(self.sae, "threshold", None)
        result = {"loss": float(output.loss.detach()), "l0": float((f != 0).double().sum(1).mean()), "lr": lr, "dead": dead,
                  "grad_norm": clipping.norm}
        for name, value in output.losses.items():  # as they enter the loss, coefficients included
            result["l2_loss" if name == "mse_loss" else name] = float(value.detach() if hasattr(value, "detach") else value)
        # Matryoshka's loss of the full width and those of the narrower levels, which it only adds up.
        result["l2_loss"] += sum(value for name, value in result.items() if name.startswith("inner_mse_loss"))
        for name, value in coefficients.items():
            result[f"{name}_coefficient"] = float(value.detach() if hasattr(value, "detach") else value)
        if hasattr(self.sae, "topk_threshold"):
            result |= {"threshold": float(self.sae.topk_threshold), "min_active": float(f[f > 0].min())}
        if theta is not None:
            pre = output.hidden_pre.detach()
            result["in_window"] = float(((pre - theta.detach()).abs() < self.sae.bandwidth / 2).double().sum(1).mean())
        return result

    def tensors(self):
        kept = dict(self.sae.state_dict())
        kept["n_forward_passes_since_fired"] = self.t.n_forward_passes_since_fired.int()
        return kept


# ---- sparsify -------------------------------------------------------------------------------------------------------------


def model_of_rows(n, d):
    """What its trainer takes for a language model: the one module gives a token's row."""
    import torch

    class Rows(torch.nn.Module):
        device = torch.device("cpu")
        dummy_inputs = {"x": torch.zeros(1, 1, dtype=torch.long)}
        base_model = property(lambda self: self)

        def __init__(self):
            super().__init__()
            self.rows = torch.nn.Embedding(n, d)

        def forward(self, x):
            return self.rows(x)

    return Rows()


class Sparsify:
    """Its own Trainer.fit; a step is watched from where the coder is called and where its gradient is projected."""

    library = "EleutherAI/sparsify"

    def __init__(self, o, double, **arguments):
        import tempfile

        import torch

        os.environ["SPARSIFY_DISABLE_TRITON"] = "1"
        from sparsify import SaeConfig, TrainConfig, Trainer

        self.folder = tempfile.TemporaryDirectory()
        config = TrainConfig(SaeConfig(num_latents=o.d_sae, k=o.k), batch_size=o.batch, hookpoints=["rows"],
                             init_seeds=[o.seed], log_to_wandb=False, save_dir=self.folder.name, **arguments)
        self.model = model_of_rows(6 * o.batch, o.d_in)
        self.t = Trainer(config, [{}] * (o.steps * o.batch), self.model)
        self.sae = self.t.saes["rows"]
        if double:
            self.sae.double()
        self.alpha = config.auxk_alpha
        default = Trainer(TrainConfig(SaeConfig(num_latents=o.d_sae), hookpoints=["rows"]), [], self.model)
        group = self.t.optimizers[0].param_groups[0]
        self.hyper = {"trainer_class": "Trainer", "activation_dim": o.d_in, "dict_size": o.d_sae, "k": o.k, "batch_size": o.batch,
                      "steps": o.steps, "seed": o.seed, "lr": group["lr"],
                      "default_lr": default.optimizers[0].param_groups[0]["lr"], "optimizer": config.optimizer,
                      "momentum": self.t.optimizers[0].momentum, "dead_feature_threshold": config.dead_feature_threshold,
                      "auxk_alpha": config.auxk_alpha}
        self.changed = arguments

    def run(self, pool, index):
        import torch

        steps, norms = [], []
        forward, project = self.sae.forward, self.sae.remove_gradient_parallel_to_decoder_directions

        def watched(*inputs, **named):
            out = forward(*inputs, **named)
            dead = self.t.num_tokens_since_fired["rows"] > self.t.cfg.dead_feature_threshold
            fvu, aux = float(out.fvu.detach()), float(out.auxk_loss.detach())
            steps.append({"loss": fvu + self.alpha * aux, "l2_loss": fvu, "auxk_loss": aux, "dead": int(dead.sum()),
                          "l0": float((out.latent_acts.detach() > 0).double().sum(1).mean()),
                          "lr": self.t.optimizers[0].param_groups[0]["lr"]})
            return out

        def projected():
            project()
            norms.append(grads_norm(self.sae.parameters()))

        self.sae.forward, self.sae.remove_gradient_parallel_to_decoder_directions = watched, projected
        self.model.to(pool.dtype).rows.weight.data = pool
        self.t.dataset = [{"input_ids": row.view(1).long()} for row in index.flatten()]
        save, self.t.save = self.t.save, lambda: None  # it would put the averages in the weights' place
        self.t.fit()
        self.t.save = save
        self.sae.set_decoder_norm_to_unit_norm()  # as the next step would begin
        return [{**step, "grad_norm": norm} for step, norm in zip(steps, norms, strict=True)]

    def tensors(self):
        return {**self.sae.state_dict(), "num_tokens_since_fired": self.t.num_tokens_since_fired["rows"]}


# ---- The runs -------------------------------------------------------------------------------------------------------------


def runs(o):
    """Name, class and arguments of every run."""
    steps, dead = o.steps, {"dead_feature_threshold": o.steps * o.batch * 2000 // (60 * 256)}
    schedule = {"warmup_steps": steps // 6, "decay_start": steps * 4 // 5}
    topk = {"k": o.k, "lr": 3e-3, "threshold_beta": 0.95, "threshold_start_step": steps // 3, **schedule}
    sparse = {"sparsity_warmup_steps": steps // 3, **schedule}
    groups = {"group_fractions": [0.125, 0.125, 0.25, 0.5]}
    anneal = {"k_anneal_steps": steps // 3}
    dl, sl = DictionaryLearning, SAELens
    return {
        "batchtopk": (dl, dict(module="batch_top_k", cls="BatchTopKTrainer", changed=dead, **topk)),
        "batchtopk_anneal": (dl, dict(module="batch_top_k", cls="BatchTopKTrainer", changed=dead, **topk, **anneal)),
        "matryoshka": (dl, dict(module="matryoshka_batch_top_k", cls="MatryoshkaBatchTopKTrainer", changed=dead, **topk,
                                **groups)),
        "topk": (dl, dict(module="top_k", cls="TopKTrainer", changed=dead, **topk)),
        "topk_anneal": (dl, dict(module="top_k", cls="TopKTrainer", changed=dead, **topk, **anneal)),
        "jumprelu": (dl, dict(module="jumprelu", cls="JumpReluTrainer", lr=3e-3, bandwidth=1.0, target_l0=2.0 * o.k,
                              **sparse)),
        # Half of the thresholds start below 0, where zeroed entries count as active.
        "jumprelu_negative": (dl, dict(module="jumprelu", cls="JumpReluTrainer", lr=3e-3, bandwidth=0.2, perturbed=True,
                                       sparsity_penalty=100.0, target_l0=float(o.d_sae * 4 // 5), **sparse)),
        "gated": (dl, dict(module="gdm", cls="GatedSAETrainer", lr=3e-3, l1_penalty=0.5, perturbed=True, **sparse)),
        "standard": (dl, dict(module="standard", cls="StandardTrainer", lr=3e-3, l1_penalty=0.5, **sparse)),
        "standard_april": (dl, dict(module="standard", cls="StandardTrainerAprilUpdate", lr=3e-3, l1_penalty=0.5, **sparse)),
        "saelens_batchtopk": (sl, dict(module="batchtopk_sae", cls="BatchTopKTrainingSAE", k=o.k)),
        "saelens_matryoshka": (sl, dict(module="matryoshka_batchtopk_sae", cls="MatryoshkaBatchTopKTrainingSAE", k=o.k,
                                        matryoshka_widths=[o.d_sae // 8, o.d_sae // 4, o.d_sae // 2, o.d_sae])),
        "saelens_topk": (sl, dict(module="topk_sae", cls="TopKTrainingSAE", k=o.k)),
        "saelens_standard": (sl, dict(module="standard_sae", cls="StandardTrainingSAE", l1_warm_up_steps=steps // 3)),
        "saelens_gated": (sl, dict(module="gated_sae", cls="GatedTrainingSAE", l1_warm_up_steps=steps // 3, perturbed=True)),
        "sparsify": (Sparsify, {}),
        "saelens_jumprelu": (sl, dict(module="jumprelu_sae", cls="JumpReLUTrainingSAE", l0_warm_up_steps=steps // 3)),
    }


def run_once(o, kind, arguments, batches, double):
    import torch

    run = kind(o, double, **arguments)
    pool = batches["pool"].double() if double else batches["pool"]
    init = {name: value.detach().clone() for name, value in run.tensors().items()}
    if kind is Sparsify:
        steps = run.run(pool, batches["index"][: o.steps])
    else:
        steps = [run.step(t, pool[batches["index"][t].long()]) for t in range(o.steps)]
    final = {name: value.detach().clone() for name, value in run.tensors().items()}
    return run, init, steps, final


def stored(value):
    import torch

    value = value.detach().clone()
    value = value.reshape(1) if value.dim() == 0 else value.contiguous()
    return value.int() if value.dtype in (torch.int64, torch.int32) else value.float()


def version_of(o, kind):
    import importlib.metadata

    if kind is not DictionaryLearning:
        return importlib.metadata.version("sae-lens" if kind is SAELens else "eai-sparsify")
    if not o.dictionary_learning:
        return importlib.metadata.version("dictionary-learning")
    head = subprocess.run(["git", "-C", o.dictionary_learning, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return head.stdout.strip() or str(o.dictionary_learning)


def make(o, name, kind, arguments, batches):
    import torch
    from safetensors.torch import save_file

    run, init, steps, final = run_once(o, kind, arguments, batches, False)
    _, _, exact, exact_final = run_once(o, kind, arguments, batches, True)
    tensors = {f"init.{key}": stored(value) for key, value in init.items() if not key.startswith("n")}
    tensors |= {f"final.{key}": stored(value) for key, value in final.items()}
    for key in steps[0]:
        tensors[f"steps.{key}"] = stored(torch.tensor([s[key] for s in steps]))
    for key in ("loss", "l2_loss", "dead"):
        if key in exact[0]:
            tensors[f"f64.steps.{key}"] = stored(torch.tensor([s[key] for s in exact]))
    # From the doubles, not from what is stored.
    moved = max(abs(s["loss"] - e["loss"]) / abs(e["loss"]) for s, e in zip(steps, exact))
    meta = {"trainer": run.hyper["trainer_class"], "library": run.library,
            "version": version_of(o, kind),
            "torch": torch.__version__, "hyper": run.hyper, "changed_from_library_defaults": run.changed,
            "batch": "rows of step t = pool[index[t]] of train_batches.safetensors",
            "tensors": {key: [str(value.dtype)[6:], list(value.shape)] for key, value in sorted(tensors.items())},
            "f32_vs_f64": {"max_rel_loss": moved,
                           "final_max_abs": {key: float((final[key].double() - exact_final[key].double()).abs().max())
                                             for key in final}}}
    save_file(tensors, o.out / f"train_{name}.safetensors")
    (o.out / f"train_{name}.meta.json").write_text(json.dumps(meta, indent=1) + "\n")
    shown = "  ".join(f"{key} {steps[0][key]:.4g}..{steps[-1][key]:.4g}" for key in ("loss", "l0", "dead") if key in steps[0])
    bench_peers.progress(f"{name}: {shown}; float32 moves the loss by {moved:.1e}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / ".scratch" / "goldens")
    parser.add_argument("--env", type=Path, default=ROOT / ".scratch" / "peers", help="Python environment of the peers")
    parser.add_argument("--dictionary-learning", type=Path, metavar="DIR",
                        help="a checkout of its repository (default: the installed package)")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these runs (default: all)")
    for name, value in DEFAULTS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=bench_peers.positive, default=value, help=f"default: {value}")
    o = parser.parse_args()
    o.out, o.env = o.out.absolute(), o.env.absolute()
    enter_env(o.env)
    use_dictionary_learning(o.dictionary_learning)
    import torch

    torch.set_num_threads(1)
    o.out.mkdir(parents=True, exist_ok=True)
    batches, table = get_batches(o), runs(o)
    # These two, made elsewhere with the same constants and more figures, stay as they are unless they are asked for.
    kept = ("batchtopk", "matryoshka") if o.out.resolve() == COMMITTED.resolve() else ()
    for name in o.only or [name for name in table if name not in kept]:
        if name not in table:
            bench_peers.stop(f"there is no run {name}; there are {', '.join(table)}")
        if "k_anneal_steps" in table[name][1] and not o.dictionary_learning:
            bench_peers.progress(f"{name}: left out, it needs --dictionary-learning")
            continue
        make(o, name, *table[name], batches)


main()
