#!/usr/bin/env python3
"""Does SAELens load what libsae writes, unedited, and give the same codes and reconstructions?

    python3 -m venv VENV && VENV/bin/pip install sae-lens
    make && VENV/bin/python tests/peers/check_saelens.py [build/libsae.so]

Dictionaries of every kind are made and saved through the library's C interface, loaded by SAELens, and both are given the
same rows. Prints the largest differences and ends with status 1 if one is over its bound.
"""
import ctypes as C
import sys
import tempfile

import numpy as np
import torch
from sae_lens import SAE

BATCHTOPK, MATRYOSHKA, JUMPRELU, TOPK, STANDARD = range(5)
NAMES = ["batchtopk", "matryoshka", "jumprelu", "topk", "standard"]
NATIVE, LATENTS, DROP = range(3)
MODES = ["native", "latents", "drop"]
BOUND = 1e-5  # of the largest entry; observed 6.0e-7


class Config(C.Structure):
    _fields_ = [("arch", C.c_int), ("variant", C.c_int), ("d_in", C.c_int64), ("d_sae", C.c_int64),
                ("d_out", C.c_int64), ("skip", C.c_bool), ("k", C.c_int64), ("l1_coefficient", C.c_double),
                ("rank", C.c_int64), ("n_groups", C.c_int), ("groups", C.c_int64 * 16), ("scaffold_last", C.c_bool),
                ("scaffold_start", C.c_int), ("scaffold_centre", C.c_int), ("scaffold_tie", C.c_int),
                ("scaffold_lr", C.c_double), ("scaffold_steps", C.c_int64), ("scaffold_frozen", C.c_bool),
                ("last_step_threshold", C.c_bool), ("apply_b_dec_to_input", C.c_bool), ("seed", C.c_uint64), ("site", C.c_char * 128),
                ("model", C.c_char * 256), ("target_site", C.c_char * 128)]


class Weights(C.Structure):
    _fields_ = [(name, C.POINTER(C.c_float)) for name in
                ("W_enc", "b_enc", "W_dec", "b_dec", "threshold", "W_down", "W_up", "b_mag", "r_mag", "W_skip", "b_down")]


class Error(C.Structure):
    _fields_ = [("code", C.c_int), ("where", C.c_char_p), ("message", C.c_char * 1000)]


lib = C.CDLL(sys.argv[1] if len(sys.argv) > 1 else "build/libsae.so")
lib.sae_dict_weights.restype = Weights
err = Error()


def call(function, *arguments):
    if function(*arguments, C.byref(err)) != 0:
        raise SystemExit(f"{function.__name__}: {err.message.decode()}")


def pointer(array, kind=C.c_float):
    return array.ctypes.data_as(C.POINTER(kind))


def make(arch, variant, rank, centre, out=0, skip=False, d=48, f=300, seed=0):
    rng = np.random.default_rng(seed)
    c = Config(arch=arch, variant=variant, d_in=d, d_sae=f, k=9, rank=rank, apply_b_dec_to_input=centre, d_out=out,
               skip=skip, site=b"blocks.3.hook_resid_post", model=b"tiny")
    out = out or d
    if arch == MATRYOSHKA:
        c.n_groups, c.groups[0], c.groups[1] = 2, 100, 200
    dict_ = C.c_void_p()
    call(lib.sae_dict_create, C.byref(dict_), C.byref(c))
    w = lib.sae_dict_weights(dict_)
    rows = rng.normal(size=(f, out))
    values = {"W_enc": rng.normal(size=(f, d)) / d**0.5, "b_enc": rng.normal(size=f) * 0.2,
              "W_dec": rows / np.linalg.norm(rows, axis=1, keepdims=True), "b_dec": rng.normal(size=out),
              "threshold": np.full(f, 0.7)}
    if rank:
        values |= {"W_down": rng.normal(size=(rank, d)) / d**0.5, "W_up": rng.normal(size=(rank, out)) / d**0.5}
    if skip:
        values |= {"W_skip": rng.normal(size=(out, d)) / d**0.5}
    for name, value in values.items():
        target = np.ctypeslib.as_array(getattr(w, name), shape=value.shape)
        target[...] = value
    return dict_


def run(dict_, x, rank, f, with_scaffold, out):
    n = x.shape[0]
    start = np.zeros(n + 1, np.int64)
    h = np.zeros((n, max(rank, 1)), np.float32)
    latent, value = C.POINTER(C.c_int32)(), C.POINTER(C.c_float)()
    recon = np.zeros((n, out), np.float32)
    call(lib.sae_dict_encode, dict_, pointer(x), C.c_int64(n), pointer(start, C.c_int64), C.byref(latent),
         C.byref(value), pointer(h))
    call(lib.sae_dict_decode, dict_, C.c_int64(n), pointer(start, C.c_int64), latent, value,
         pointer(h) if with_scaffold else None, pointer(x), pointer(recon))
    codes = np.zeros((n, f), np.float32)
    for i in range(n):
        for e in range(start[i], start[i + 1]):
            codes[i, latent[e]] = value[e]
    return codes, recon


def check(arch, variant, rank, centre, mode, out=0, skip=False):
    f = 300
    dict_ = make(arch, variant, rank, centre, out, skip, f=f)
    label = f"{NAMES[arch]:10} P{variant + 1} rank {rank} {'x - b_dec' if centre else 'x        '} {MODES[mode]:7}"
    if out:
        label += f" to {out}{', skip' if skip else ''}"
    x = (np.random.default_rng(1).normal(size=(256, 48)) * 2).astype(np.float32)
    ours, our_recon = run(dict_, x, rank, f, rank and mode != DROP, out or 48)
    with tempfile.TemporaryDirectory() as folder:
        call(lib.sae_dict_save, dict_, f"{folder}/sae".encode(), mode, False)
        try:
            sae = SAE.load_from_disk(f"{folder}/sae")
        except RuntimeError as error:
            if mode == NATIVE and rank and "W_down" in str(error):
                print(f"{label}  refused by SAELens, as it should be: it knows no scaffold")
                return True
            raise
    with torch.no_grad():
        theirs = sae.encode(torch.from_numpy(x))
        their_recon = (sae(torch.from_numpy(x)) if out else sae.decode(theirs)).numpy()  # decode leaves the skip path out
    theirs = theirs.numpy()[:, :f]
    code_error = abs(ours - theirs).max() / abs(theirs).max()
    recon_error = abs(our_recon - their_recon).max() / abs(their_recon).max()
    good = code_error <= BOUND and recon_error <= BOUND
    print(f"{label}  codes {code_error:.1e}  reconstruction {recon_error:.1e}  L0 {(theirs > 0).sum(1).mean():.1f}"
          f"  {sae.cfg.metadata.hook_name}{'' if good else '  WRONG'}")
    return good


good = True
for arch in range(5):
    for variant, rank in ((0, 0), (0, 3), (1, 3), (2, 3)):
        for centre in (True, False):
            for mode in (NATIVE, LATENTS, DROP):
                if arch == TOPK and rank and mode == LATENTS or not rank and mode != NATIVE:
                    continue
                good &= check(arch, variant, rank, centre, mode)
for arch in (BATCHTOPK, MATRYOSHKA, JUMPRELU, STANDARD):
    for out, skip in ((20, False), (20, True), (48, True), (70, True)):
        for rank, mode in ((0, NATIVE), (3, LATENTS), (3, DROP)):
            good &= check(arch, 0, rank, False, mode, out, skip)
sys.exit(0 if good else 1)
