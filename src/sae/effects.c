/* effects.c - the table of options that act on some dictionaries only. */
#include "sae/effects.h"
#include "sae/train.h"

#include <string.h>

typedef const sae_dict_config dict;
typedef const sae_train_options recipe;

/* ---- Conditions ------------------------------------------------------------------------------------------------------------- */

static bool has_scaffold(dict *c, recipe *o) { return (void)o, c->rank > 0; }
static bool learns_scaffold(dict *c, recipe *o)
{
    return has_scaffold(c, o) && (!c->scaffold_frozen || c->scaffold_steps > 0);
}
static bool is_transcoder(dict *c, recipe *o) { return (void)o, c->d_out > 0; }
static bool is_matryoshka(dict *c, recipe *o) { return (void)o, c->arch == SAE_MATRYOSHKA; }
static bool nests_scaffold(dict *c, recipe *o) { return is_matryoshka(c, o) && c->rank > 0; }
static bool is_jumprelu(dict *c, recipe *o) { return (void)o, c->arch == SAE_JUMPRELU; }
static bool is_gated(dict *c, recipe *o) { return (void)o, c->arch == SAE_GATED; }
static bool sums_codes(dict *c, recipe *o) { return c->arch == SAE_STANDARD || is_gated(c, o); }
static bool selects(dict *c, recipe *o) { return (void)o, keeps_k(c->arch); }
static bool is_penalised(dict *c, recipe *o) { return !selects(c, o); }
static bool selects_of_batch(dict *c, recipe *o) { return selects(c, o) && c->arch != SAE_TOPK; }
static bool is_controlled(dict *c, recipe *o) { return is_jumprelu(c, o) && o->l0_rule == SAE_L0_CONTROLLED; }
static bool is_weighted(dict *c, recipe *o) { return is_penalised(c, o) && !is_controlled(c, o); }
/* jumprelu aims at k, or finds its first thresholds by it. */
static bool has_k(dict *c, recipe *o)
{
    return selects(c, o) || (is_jumprelu(c, o) && (o->l0_rule != SAE_L0_LINEAR || o->first_threshold <= 0.0));
}
static bool anneals(dict *c, recipe *o) { return selects(c, o) && o->k_anneal_steps > 0 && largest_k(o, c) > c->k; }
static bool may_anneal(dict *c, recipe *o)
{
    return o->k_anneal_steps > 0 ? anneals(c, o) : selects(c, o);
} /* 0: not */
static bool begins_average(dict *c, recipe *o)
{
    return selects(c, o) && o->threshold_rule == SAE_THRESHOLD_FROM_FIRST;
}
static bool has_auxk(dict *c, recipe *o) { return selects(c, o) && o->auxk_alpha > 0.0; }
static bool warms_up(dict *c, recipe *o) { return (void)c, o->warmup_steps > 0; }
static bool decays(dict *c, recipe *o)
{
    return (void)c, o->decay_start <= o->steps;
} /* of its end: says that it does not */
static bool resamples(dict *c, recipe *o) { return (void)c, o->resample_every < o->steps; }
static bool by_adam(dict *c, recipe *o) { return (void)c, o->optimiser_rule == SAE_OPTIMISER_ADAM; }

/* ---- The table -------------------------------------------------------------------------------------------------------------- */

#define SCAFFOLD   "no dictionary has a scaffold: give a --rank above 0"
#define MATRYOSHKA "only Matryoshka dictionaries are nested: give --arch matryoshka"
#define JUMPRELU   "only jumprelu learns thresholds and is held at an L0: give --arch jumprelu"
#define KEEPS_K    "only batchtopk, matryoshka and topk keep k latents: give such an --arch"
#define PENALISED  "only standard, gated and jumprelu have a penalty: give such an --arch"
#define ADAM       "it is Adam's, and sign-SGD takes only the signs of a gradient: give --optimiser adam"

const effect effects[] = {
    {"k", has_k,
     "the sparsity of standard and gated follows from their penalty (that of jumprelu, with --l0 linear and a "
     "--first-threshold, too): give --l1-coefficient in its place"},
    {"l1-coefficient", is_weighted,
     "no penalty has a weight of the user's: give --arch standard or gated, or jumprelu with --l0 linear or quadratic "
     "(--l0 controlled finds its own)"},
    {"variant", has_scaffold, SCAFFOLD},
    {"scaffold-start", has_scaffold, SCAFFOLD},
    {"scaffold-steps", has_scaffold, SCAFFOLD},
    {"scaffold-freeze", has_scaffold, SCAFFOLD},
    {"scaffold-centre", has_scaffold, SCAFFOLD},
    {"scaffold-tie", has_scaffold, SCAFFOLD},
    {"scaffold-lr", learns_scaffold,
     "no scaffold learns: give a --rank above 0, and no --scaffold-freeze without --scaffold-steps"},
    {"scaffold", has_scaffold, SCAFFOLD},
    {"scaffold-last", nests_scaffold,
     "only a Matryoshka dictionary with a scaffold has prefixes for it: give --arch matryoshka and a --rank above 0"},
    {"skip", is_transcoder,
     "only a transcoder has a path from input to output: give --target-site, --target-store or --target-array"},
    {"groups", is_matryoshka, MATRYOSHKA},
    {"levels", is_matryoshka, MATRYOSHKA},
    {"decay-start", decays, "the run ends before that step: give one of its --steps, or their number for no decay"},
    {"resample-every", resamples, "the run ends before the first resampling: give fewer steps than --steps"},
    {"warmup-from", warms_up, "there is no warm-up: give --warmup-steps"},
    {"sparsity-warmup-steps", is_penalised, PENALISED},
    {"select-by", selects, KEEPS_K},
    {"k-anneal-start", anneals,
     "no k is annealed: give --k-anneal-steps, a start above --k, and an --arch that keeps k latents"},
    {"k-anneal-rule", anneals,
     "no k is annealed: give --k-anneal-steps, a start above --k, and an --arch that keeps k latents"},
    {"k-anneal-steps", may_anneal,
     "only batchtopk, matryoshka and topk keep k latents, and k falls from d_in (10 d_in by --k-anneal-rule now, or "
     "--k-anneal-start, and at most the "
     "width): give such an --arch, and a smaller --k"},
    {"threshold-beta", selects, KEEPS_K},
    {"threshold-from", selects, KEEPS_K},
    {"threshold-start-step", begins_average,
     "only batchtopk, matryoshka and topk average a threshold, and one that begins at 0 does so in step 0: give such "
     "an --arch and --threshold-from first"},
    {"auxk-alpha", selects, "only batchtopk, matryoshka and topk have an AuxK: give such an --arch"},
    {"auxk-k", has_auxk, "AuxK is switched off or not of this --arch: give an --auxk-alpha above 0"},
    {"auxk-rule", has_auxk, "AuxK is switched off or not of this --arch: give an --auxk-alpha above 0"},
    {"l1", sums_codes, "only standard and gated sum their codes: give such an --arch"},
    {"l0", is_jumprelu, JUMPRELU},
    {"l0-rate", is_controlled, "no penalty is moved: give --arch jumprelu and --l0 controlled"},
    {"bandwidth", is_jumprelu, JUMPRELU},
    {"first-threshold", is_jumprelu, JUMPRELU},
    {"gate-trains", is_gated, "only gated has a gate: give --arch gated"},
    {"adam-beta2", by_adam, ADAM},
    {"adam-eps", by_adam, ADAM},
    {"grad-clip", by_adam, ADAM},
    {"exact-codes", selects_of_batch, "only batchtopk and matryoshka choose codes over a batch: give such an --arch"},
    {"screen", selects_of_batch, "only batchtopk and matryoshka are screened: give such an --arch"},
    {"no-screen", selects_of_batch,
     "only batchtopk and matryoshka are screened, asked to be or not: give such an --arch"},
};
const int n_effects = sizeof effects / sizeof *effects;

bool option_acts(const char *option, const sae_dict_config *c, const sae_train_options *o)
{
    for (int i = 0; i < n_effects; i++)
        if (strcmp(effects[i].option, option) == 0) return effects[i].acts(c, o);
    return true;
}
