#!/usr/bin/env python3
"""What `sae lab removal` has to print, computed by a forward pass and operators written here, in PyTorch and float64.

    python3 -m venv E && E/bin/pip install torch numpy safetensors gguf transformers
    E/bin/python tests/peers/make_removal_golden.py                            into .scratch/removal
    E/bin/python tests/peers/make_removal_golden.py --out data/golden/removal  makes the committed files anew
    E/bin/python tests/peers/make_removal_golden.py --check                    this forward pass beside transformers' losses

Needs models/SmolLM2-135M-Instruct.Q4_1.gguf (make fetch-model); nothing of libsae is used. gguf only turns the file's blocks into
float32, transformers only turns text into ids; neither computes a number that is compared.

The definitions, as docs/method.md 7 has them: a position is unmasked when it is not the first of its sequence and its id is not
special. Mean, covariance (principal components) and median norm are those of the unmasked rows of the statistics' ids. A row is
changed when it is unmasked and its norm is at most max_norm x the median. A prediction is scored when its row is changed
(may be, under some operator) and the next position is unmasked. With "position-0." before the operator the first row of each
sequence is changed too, with "all." every row; what is scored stays.

CASE.json: the options and "numbers" (cross-entropies, nats per token), one key a line; "random": R2 over `draws` random subspaces,
their mean and standard deviation. CASE.ids.npy, CASE.stats.npy, CASE.basis.npy: the files that the command is given.
"""
import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
GGUF = ROOT / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
TINY = ROOT / "data" / "golden" / "models" / "llama_gqa_tied"
TEXT = ROOT / "data" / "text" / "books.valid.jsonl.zst"
DRAWS = {"tiny": 16, "tiny_stats": 16}  # of the others 6: each is a pass through SmolLM2
torch.set_num_threads(2)
torch.set_default_dtype(torch.float64)


# ---- The model ------------------------------------------------------------------------------------------------------------


class Llama:
    """RMSNorm, rotary attention with shared keys and values, gated SiLU, tied unembedding. No cache, no dropout, no bias."""

    def __init__(self, weights, layers, heads, kv_heads, base, epsilon, interleaved):
        self.w, self.layers, self.heads, self.kv_heads = weights, layers, heads, kv_heads
        self.base, self.epsilon, self.interleaved = base, epsilon, interleaved
        self.embedding = weights("embed")

    def norm(self, x, gain):
        return x / torch.sqrt((x * x).mean(-1, keepdim=True) + self.epsilon) * gain

    def rotate(self, x):  # [n, h, T, size]
        size, T = x.shape[-1], x.shape[-2]
        angle = torch.arange(T)[:, None] * self.base ** (-torch.arange(0, size, 2) / size)
        cos, sin = torch.cos(angle), torch.sin(angle)
        a, b = (x[..., 0::2], x[..., 1::2]) if self.interleaved else (x[..., : size // 2], x[..., size // 2 :])
        ra, rb = a * cos - b * sin, a * sin + b * cos
        return torch.stack([ra, rb], -1).flatten(-2) if self.interleaved else torch.cat([ra, rb], -1)

    def attention(self, x, i):
        n, T, d = x.shape
        q = self.rotate((x @ self.w("q", i).T).view(n, T, self.heads, -1).transpose(1, 2))
        k = self.rotate((x @ self.w("k", i).T).view(n, T, self.kv_heads, -1).transpose(1, 2))
        v = (x @ self.w("v", i).T).view(n, T, self.kv_heads, -1).transpose(1, 2)
        repeat = self.heads // self.kv_heads
        k, v = k.repeat_interleave(repeat, 1), v.repeat_interleave(repeat, 1)
        scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
        scores = scores.masked_fill(torch.ones(T, T, dtype=torch.bool).triu(1), float("-inf"))
        return (scores.softmax(-1) @ v).transpose(1, 2).reshape(n, T, -1) @ self.w("o", i).T

    def block(self, x, i):
        x = x + self.attention(self.norm(x, self.w("attn_norm", i)), i)
        h = self.norm(x, self.w("mlp_norm", i))
        return x + (torch.nn.functional.silu(h @ self.w("gate", i).T) * (h @ self.w("up", i).T)) @ self.w("down", i).T

    def to(self, ids, block):  # rows that go into `block`
        x = self.embedding[ids]
        for i in range(block):
            x = self.block(x, i)
        return x

    def losses(self, x, block, ids):  # [n, T - 1]
        for i in range(block, self.layers):
            x = self.block(x, i)
        logits = self.norm(x, self.w("norm")) @ self.embedding.T
        return -logits.log_softmax(-1)[:, :-1].gather(-1, ids[:, 1:, None])[..., 0]


def open_gguf():
    from gguf import GGUFReader, dequantize

    reader = GGUFReader(str(GGUF))
    field = lambda key: reader.fields["llama." + key].contents()
    names = {"embed": "token_embd", "norm": "output_norm", "q": "attn_q", "k": "attn_k", "v": "attn_v", "o": "attn_output",
             "attn_norm": "attn_norm", "mlp_norm": "ffn_norm", "gate": "ffn_gate", "up": "ffn_up", "down": "ffn_down"}
    tensors = {t.name: torch.from_numpy(dequantize(t.data, t.tensor_type).astype(np.float64)) for t in reader.tensors}

    def weights(name, i=None):
        return tensors[f"{'' if i is None else f'blk.{i}.'}{names[name]}.weight"]

    return Llama(weights, field("block_count"), field("attention.head_count"), field("attention.head_count_kv"),
                 field("rope.freq_base"), field("attention.layer_norm_rms_epsilon"), True)


def open_tiny():
    from safetensors.torch import load_file

    config = json.loads((TINY / "config.json").read_text())
    tensors = {k: v.double() for k, v in load_file(TINY / "model.safetensors").items()}
    names = {"q": "self_attn.q_proj", "k": "self_attn.k_proj", "v": "self_attn.v_proj", "o": "self_attn.o_proj",
             "attn_norm": "input_layernorm", "mlp_norm": "post_attention_layernorm", "gate": "mlp.gate_proj",
             "up": "mlp.up_proj", "down": "mlp.down_proj"}

    def weights(name, i=None):
        if i is None:
            return tensors["model.embed_tokens.weight" if name == "embed" else "model.norm.weight"]
        return tensors[f"model.layers.{i}.{names[name]}.weight"]

    return Llama(weights, config["num_hidden_layers"], config["num_attention_heads"], config["num_key_value_heads"],
                 config["rope_parameters"]["rope_theta"], config["rms_norm_eps"], False)


def check():
    """This forward pass beside that of transformers, whose losses are committed."""
    from safetensors.torch import load_file

    golden, model = load_file(ROOT / "data" / "golden" / "smollm2" / "golden.safetensors"), open_gguf()
    for name in ("english", "code", "multilingual"):
        ids = golden[name + ".input_ids"].long()[None]
        gap = (model.losses(model.to(ids, 0), 0, ids)[0] - golden[name + ".nll"]).abs().max().item()
        print(f"{name}: losses differ by at most {gap:.1e} nats")
    golden = load_file(TINY / "golden.safetensors")
    ids, model = golden["input_ids"].long(), open_tiny()
    gap = (model.losses(model.to(ids, 0), 0, ids) - golden["nll"].view(ids.shape[0], -1)).abs().max().item()
    print(f"tiny: losses differ by at most {gap:.1e} nats")


# ---- The measurement ------------------------------------------------------------------------------------------------------


def unmasked(ids, special):
    mask = ~torch.isin(ids, torch.tensor(special))
    mask[:, 0] = False
    return mask


def projector(directions):  # [d, r], any columns
    u, s, _ = torch.linalg.svd(directions / directions.norm(dim=0), full_matrices=False)
    u = u[:, s > 1e-6 * s[0]]
    return u @ u.T


def measure(model, block, ids, stats_ids, basis, special, max_norm, n_draws, seed):
    rows = model.to(ids, block)
    mask = unmasked(ids, special)
    pool = model.to(stats_ids, block)[unmasked(stats_ids, special)]
    mu = pool.mean(0)
    covariance = (pool - mu).T @ (pool - mu) / len(pool)
    median = float(np.median(pool.norm(dim=1).numpy()))
    changed = mask & (rows.norm(dim=-1) <= max_norm * median)
    scored = changed[:, :-1] & mask[:, 1:]
    P = projector(basis)
    rank = int(round(P.trace().item()))
    V = torch.linalg.eigh(covariance)[1][:, -rank:]
    Q = V @ V.T

    def ce(x, which=changed):
        x = torch.where(which[..., None], x, rows)
        return model.losses(x, block, ids)[scored].mean().item()

    kept = rows - rows @ P
    edits = {
        "zero": torch.zeros_like(rows), "mean": mu.expand_as(rows), "R2": kept, "R3": rows - (rows - mu) @ P,
        "R6": kept * rows.norm(dim=-1, keepdim=True) / kept.norm(dim=-1, keepdim=True),
        "pca.R2": rows - rows @ Q, "pca.R3": rows - (rows - mu) @ Q,
    }
    first = torch.zeros_like(mask)
    first[:, 0] = True
    choices = {"": changed, "position-0.": changed | first, "all.": torch.ones_like(mask)}
    numbers = {"clean": ce(rows)}
    numbers |= {name + key: ce(x, which) for name, which in choices.items() for key, x in edits.items()}
    generator = torch.Generator().manual_seed(seed)
    draws = [ce(rows - rows @ projector(torch.randn(*basis.shape[:1], rank, generator=generator))) for _ in range(n_draws)]
    counts = {"rank": rank, "tokens_scored": int(scored.sum()), "rows_changed": int(changed.sum()),
              "rows_over_norm": int((mask & ~changed).sum()), "statistics_rows": len(pool), "median_norm": median}
    return numbers, counts, {"draws": n_draws, "mean": float(np.mean(draws)), "deviation": float(np.std(draws, ddof=1))}


# ---- Cases ------------------------------------------------------------------------------------------------------------------


def book_ids(n_seq, ctx, skip):
    """Ids of books, document after document; each sequence begins with id 0."""
    from transformers import AutoTokenizer

    tok = AutoTokenizer.from_pretrained(GGUF.parent, gguf_file=GGUF.name)
    text = subprocess.run(["zstd", "-dc", TEXT], check=True, stdout=subprocess.PIPE).stdout.decode().splitlines()
    ids = []
    for line in text[skip:]:
        ids += tok(json.loads(line)["text"][:600], add_special_tokens=False)["input_ids"]
        if len(ids) >= n_seq * (ctx - 1):
            break
    body = torch.tensor(ids[: n_seq * (ctx - 1)]).view(n_seq, ctx - 1)
    return torch.cat([torch.zeros(n_seq, 1, dtype=torch.long), body], 1)


def mixed_basis(model, block, ids, special, rank, seed):
    """Half leading principal components, half random; the columns are neither orthogonal nor of norm 1."""
    generator = torch.Generator().manual_seed(seed)
    pool = model.to(ids, block)[unmasked(ids, special)]
    V = torch.linalg.svd(pool - pool.mean(0), full_matrices=False)[2][: rank - rank // 2].T
    U = torch.cat([V, torch.randn(pool.shape[1], rank // 2, generator=generator) / pool.shape[1] ** 0.5], 1)
    return U @ (torch.eye(rank) + 0.5 * torch.randn(rank, rank, generator=generator))


def cases():
    generator = torch.Generator().manual_seed(5)
    tiny = open_tiny()
    ids = torch.randint(8, 128, (10, 24), generator=generator)
    ids[:, 0], ids[2, 9], ids[5, 11], ids[7, 23] = 0, 5, 2, 5
    other = torch.randint(0, 128, (14, 20), generator=generator)
    yield ("tiny", tiny, "blocks.1.hook_resid_post", 2, ids, None, mixed_basis(tiny, 2, ids, [2, 5], 3, 1), [2, 5], 10.0)
    # The second column is twice the first: rank 1. A limit that some rows are over.
    line = torch.randn(32, 1, generator=generator)
    yield ("tiny_stats", tiny, "blocks.2.hook_resid_pre", 2, ids, other, torch.cat([line, 2 * line], 1), [2, 5], 1.1)
    if not GGUF.exists():
        sys.exit(f"{GGUF} is not there: make fetch-model")
    model = open_gguf()
    special = list(range(17))  # the file's control tokens
    ids = book_ids(6, 48, 0)
    yield ("resid_post", model, "blocks.14.hook_resid_post", 15, ids, None, mixed_basis(model, 15, ids, special, 6, 2),
           special, 10.0)
    ids, other = book_ids(5, 48, 40), book_ids(6, 56, 80)
    ids[1, 20], ids[3, 30], ids[4, 47] = 0, 2, 1  # <|endoftext|>, <|im_end|>, <|im_start|>
    pool = model.to(other, 5)[unmasked(other, special)]
    yield ("resid_pre", model, "blocks.5.hook_resid_pre", 5, ids, other, pool.mean(0)[:, None], special, 10.0)
    yield ("over_norm", model, "blocks.14.hook_resid_post", 15, ids, other, pool.mean(0)[:, None], special, 1.3)


def write(out, name, site, special, max_norm, ids, other, basis, found):
    numbers, counts, random = found
    np.save(out / f"{name}.ids.npy", ids.numpy().astype(np.int32))
    if other is not None:
        np.save(out / f"{name}.stats.npy", other.numpy().astype(np.int64))
    np.save(out / f"{name}.basis.npy", np.asfortranarray(basis))
    record = {"site": site, "special": special, "max_norm": max_norm, "counts": counts, "numbers": numbers, "random": random}
    on_a_line = lambda m: "[" + ", ".join(m[1].replace(",", " ").split()) + "]"
    text = re.sub(r"\[\s+([^]]*?)\s+\]", on_a_line, json.dumps(record, indent=1))
    (out / f"{name}.json").write_text(text + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / ".scratch" / "removal")
    parser.add_argument("--check", action="store_true")
    o = parser.parse_args()
    if o.check:
        return check()
    o.out.mkdir(parents=True, exist_ok=True)
    for name, model, site, block, ids, other, basis, special, max_norm in cases():
        basis = basis.float()  # as it is stored
        found = measure(model, block, ids, ids if other is None else other, basis.double(), special, max_norm,
                        DRAWS.get(name, 6), 9)
        write(o.out, name, site, special, max_norm, ids, other, basis.numpy(), found)
        print(name, *(f"{k} {v:.5f}" for k, v in found[0].items()), found[1], found[2], flush=True)


if __name__ == "__main__":
    main()
