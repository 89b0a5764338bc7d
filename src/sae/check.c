/* check.c - what a trainer accepts: every configuration and option, refused with the reason before anything is taken. */
#include "sae/effects.h"
#include "sae/train.h"

#include <math.h>

bool is_float_above_0(double x) { return (float)x > 0.0f && isfinite((float)x); }
bool is_float_from_0(double x) { return x == 0.0 || is_float_above_0(x); }
bool is_input_scale(double x) { return is_float_above_0(x) && is_float_above_0(1.0 / x); }

/* Places in the lists of a step are 32-bit numbers. */
static sae_status check_pairs(const sae_dict_config *c, const sae_train_options *o, sae_error *err)
{
    int64_t kept = largest_k(o, c) * o->batch, dead = o->auxk_k > 0 ? o->auxk_k : c->d_in / 2;

    if (kept > 1 << 28)
        return SAE_FAIL(err, SAE_RANGE, "k x batch = %lld pairs a step is over 2^28: use a smaller batch%s",
                        (long long)kept, o->k_anneal_steps > 0 ? " or --k-anneal-start" : "");
    if (dead > c->d_sae) dead = c->d_sae;
    if (option_acts("auxk-k", c, o) && dead * o->batch > 1 << 30)
        return SAE_FAIL(err, SAE_RANGE,
                        "AuxK's %lld dead latents a row x batch = %lld pairs a step are over 2^30: use a smaller batch "
                        "or --auxk-k",
                        (long long)dead, (long long)(dead * o->batch));
    return SAE_OK;
}

static sae_status check_config(const sae_dict_config *c, const sae_dict_config *first, const sae_train_options *o,
                               sae_error *err)
{
    int64_t sum = 0;

    if (!family_of(c->arch))
        return SAE_FAIL(err, SAE_UNSUPPORTED, "architecture number %d cannot be trained", (int)c->arch);
    if (c->d_in != first->d_in)
        return SAE_FAIL(err, SAE_SHAPE, "d_in %lld differs from the first one's %lld, but one stream feeds both",
                        (long long)c->d_in, (long long)first->d_in);
    if (c->d_in < 1 || c->d_in > 1 << 20 || c->d_sae < 1 || c->d_sae > 1 << 26)
        return SAE_FAIL(err, SAE_RANGE, "d_in %lld, d_sae %lld: must lie in [1, 2^20] and [1, 2^26]",
                        (long long)c->d_in, (long long)c->d_sae);
    if (c->k < (family_of(c->arch)->rule ? 0 : 1) || (c->k > c->d_sae && option_acts("k", c, o)))
        return SAE_FAIL(err, SAE_RANGE, "k %lld must lie in [1, d_sae = %lld]: give a smaller --k, or a larger --width",
                        (long long)c->k, (long long)c->d_sae);
    if (c->k > 1 << 26) return SAE_FAIL(err, SAE_RANGE, "k %lld is over 2^26", (long long)c->k);
    if (c->n_groups < 0 || c->n_groups > SAE_MAX_GROUPS)
        return SAE_FAIL(err, SAE_RANGE, "%d Matryoshka groups; at most %d", c->n_groups, SAE_MAX_GROUPS);
    for (int g = 0; g < c->n_groups; g++) {
        if (c->groups[g] < 1 || c->groups[g] > c->d_sae)
            return SAE_FAIL(err, SAE_RANGE, "Matryoshka group %d has %lld latents", g, (long long)c->groups[g]);
        sum += c->groups[g];
    }
    if (c->arch == SAE_MATRYOSHKA ? c->n_groups < 1 || sum != c->d_sae : c->n_groups > 1)
        return SAE_FAIL(err, SAE_RANGE, "Matryoshka groups sum to %lld, d_sae is %lld", (long long)sum,
                        (long long)c->d_sae);
    return SAE_OK;
}

static sae_status check_tie(const sae_dict_config *c, sae_error *err)
{
    if ((int)c->scaffold_start < SAE_START_ZERO || c->scaffold_start > SAE_START_RANDOM ||
        (int)c->scaffold_centre < SAE_CENTRE_B_DEC || c->scaffold_centre > SAE_CENTRE_OWN ||
        (int)c->scaffold_tie < SAE_TIE_NONE || c->scaffold_tie > SAE_TIE_ORTHONORMAL)
        return SAE_FAIL(err, SAE_RANGE, "start %d, centre %d or tie %d of the scaffold is unknown",
                        (int)c->scaffold_start, (int)c->scaffold_centre, (int)c->scaffold_tie);
    if (c->scaffold_tie != SAE_TIE_NONE && c->scaffold_start == SAE_START_ZERO)
        return SAE_FAIL(err, SAE_RANGE,
                        "%s cannot begin at W_up = 0: let the scaffold begin as PCA or at random "
                        "(--scaffold-start pca or random-both)",
                        c->scaffold_tie == SAE_TIE_TRANSPOSE ? "a scaffold with W_down = W_up^T"
                                                             : "orthonormal rows of W_up");
    if (c->d_out > 0 && c->scaffold_tie == SAE_TIE_TRANSPOSE)
        return SAE_FAIL(err, SAE_UNSUPPORTED,
                        "a transcoder's scaffold reads one space and writes another: W_down = W_up^T has no meaning");
    if (c->d_out > 0 && c->scaffold_centre == SAE_CENTRE_NONE)
        return SAE_FAIL(err, SAE_UNSUPPORTED,
                        "a transcoder's scaffold sees x as it is already: only a centre of its own "
                        "differs");
    return SAE_OK;
}

static sae_status check_scaffold(const sae_dict_config *c, const sae_train_options *o, sae_error *err)
{
    int64_t most = c->d_out > 0 && c->d_out < c->d_in ? c->d_out : c->d_in;

    if (c->rank < 0 || c->rank > most)
        return SAE_FAIL(err, SAE_RANGE, "rank %lld must lie in [0, %s = %lld]", (long long)c->rank,
                        most < c->d_in ? "d_out" : "d_in", (long long)most);
    if ((int)c->variant < SAE_P1 || c->variant > SAE_P3)
        return SAE_FAIL(err, SAE_RANGE, "scaffold variant number %d is unknown", (int)c->variant);
    if (c->rank == 0) return SAE_OK;
    if (c->scaffold_steps < 0 || c->scaffold_steps >= o->steps)
        return SAE_FAIL(err, SAE_RANGE,
                        "%lld steps of the scaffold alone must lie in [0, %lld), and leave some to the "
                        "dictionary",
                        (long long)c->scaffold_steps, (long long)o->steps);
    if (c->scaffold_frozen && c->scaffold_start == SAE_START_ZERO && c->scaffold_steps == 0)
        return SAE_FAIL(err, SAE_RANGE,
                        "a frozen scaffold must begin as PCA, begin at random, or learn in steps of its own first");
    if (c->scaffold_lr != 0.0 && (!is_float_above_0(c->scaffold_lr) || !is_float_above_0(c->scaffold_lr * o->lr)))
        return SAE_FAIL(err, SAE_RANGE,
                        "the scaffold's learning rate must be a positive multiple of the common one, not %g: it and "
                        "their product a float32 above 0",
                        c->scaffold_lr);
    if (c->d_out > 0 && c->variant != SAE_P1)
        return SAE_FAIL(err, SAE_UNSUPPORTED,
                        "a transcoder's scaffold writes the target, not what its encoder reads: only P1 "
                        "has a meaning");
    if (c->d_out > 0 && c->scaffold_start == SAE_START_PCA)
        return SAE_FAIL(err, SAE_UNSUPPORTED,
                        "PCA of the rows rebuilds the rows, not a transcoder's target: let its scaffold "
                        "begin at random");
    return check_tie(c, err);
}

/* All transcoders read the same targets; *d_target: the width of the first one's, 0 before it. */
static sae_status check_targets(const sae_dict_config *c, int64_t *d_target, sae_error *err)
{
    if (c->d_out < 0 || c->d_out > 1 << 20)
        return SAE_FAIL(err, SAE_RANGE, "d_out %lld must lie in [0, 2^20]", (long long)c->d_out);
    if (c->skip && c->d_out == 0) return SAE_FAIL(err, SAE_UNSUPPORTED, "only a transcoder can have a skip path");
    if (c->d_out == 0) return SAE_OK;
    if (*d_target == 0) *d_target = c->d_out;
    if (*d_target != c->d_out)
        return SAE_FAIL(err, SAE_SHAPE,
                        "d_out %lld differs from an earlier one's %lld, but one stream of targets "
                        "feeds both",
                        (long long)c->d_out, (long long)*d_target);
    return SAE_OK;
}

/* Candidates are computed again as f32 dot products, and ranked by these. */
static bool has_exact_values(const sae_train_options *o)
{
    return o->encoder_dtype != SAE_ENCODER_BF16 && o->selection_rule != SAE_SELECT_TIMES_NORM;
}

bool sae_choose_exact_codes(sae_train_options *o, int64_t d_in)
{
    o->exact_codes = has_exact_values(o);
    o->screen = o->exact_codes && d_in <= SCREEN_LARGEST_D_IN && screen_ops_get() != &screen_ops_ref;
    return o->exact_codes;
}

static sae_status check_options(const sae_train_options *o, sae_error *err)
{
    if (o->batch < 1 || o->batch > 1 << 24)
        return SAE_FAIL(err, SAE_RANGE, "batch %lld must lie in [1, 2^24]", (long long)o->batch);
    if (o->steps < 1) return SAE_FAIL(err, SAE_RANGE, "steps %lld must be at least 1", (long long)o->steps);
    if (!is_float_above_0(o->lr)) return SAE_FAIL(err, SAE_RANGE, "lr %g must be a float32 above 0", o->lr);
    if (!(o->threshold_beta >= 0.0 && o->threshold_beta < 1.0))
        return SAE_FAIL(err, SAE_RANGE, "threshold beta %g must lie in [0, 1)", o->threshold_beta);
    if (!(o->adam_beta1 >= 0.0 && (float)o->adam_beta1 < 1.0f && o->adam_beta2 >= 0.0 && (float)o->adam_beta2 < 1.0f))
        return SAE_FAIL(err, SAE_RANGE, "Adam's betas %.17g and %.17g must lie in [0, 1) as float32", o->adam_beta1,
                        o->adam_beta2);
    if (!is_float_above_0(o->adam_eps))
        return SAE_FAIL(err, SAE_RANGE, "Adam's eps %g must be a float32 above 0", o->adam_eps);
    if (!is_float_from_0(o->auxk_alpha))
        return SAE_FAIL(err, SAE_RANGE, "AuxK's weight %g must be 0 or a float32 above 0", o->auxk_alpha);
    if (o->grad_clip != 0.0 && !((float)o->grad_clip > 0.0f)) /* a very large one clips nothing */
        return SAE_FAIL(err, SAE_RANGE, "clipping at %g: must be 0 or a float32 above 0", o->grad_clip);
    if (o->warmup_steps < 0 || o->auxk_k < 0)
        return SAE_FAIL(err, SAE_RANGE, "AuxK's number and the warm-up must not be negative");
    if (o->dead_tokens < 0 || o->dead_tokens > (int64_t)1 << 60)
        return SAE_FAIL(err, SAE_RANGE, "dead after %lld tokens: must lie in [0, 2^60]", (long long)o->dead_tokens);
    if (o->k_anneal_steps < 0 || o->k_anneal_start < 0 || (o->k_anneal_steps > 0 && o->k_anneal_steps >= o->steps))
        return SAE_FAIL(err, SAE_RANGE, "k anneals over %lld steps: expected fewer than the run's %lld",
                        (long long)o->k_anneal_steps, (long long)o->steps);
    bool has_norm = o->encoder_norm == SAE_ENCODER_REBUILDS || o->encoder_norm == SAE_ENCODER_UNIFORM ||
                    is_float_from_0(o->encoder_norm);
    if (o->resample_every < 0 || !has_norm)
        return SAE_FAIL(
            err, SAE_RANGE,
            "resampling and the encoder's norm at the start, %g, must not be negative (but for -1 and -2), and the "
            "norm a float32",
            o->encoder_norm);
    if (o->optimiser_rule == SAE_OPTIMISER_SIGNUM && (o->resample_every > 0 || !(o->adam_beta1 > 0.0)))
        return SAE_FAIL(err, SAE_UNSUPPORTED,
                        "sign-SGD needs a momentum (adam beta 1) above 0 and knows no resampling");
    if (!is_float_above_0(o->decoder_norm) || o->sparsity_warmup_steps < 0)
        return SAE_FAIL(err, SAE_RANGE,
                        "the decoder's norm at the start %g must be a float32 above 0, the penalty's warm-up not "
                        "negative",
                        o->decoder_norm);
    if ((o->exact_codes || o->screen) && !has_exact_values(o))
        return SAE_FAIL(err, SAE_UNSUPPORTED,
                        "exact codes and the screen are for the f32 product and activations ranked by themselves");
    if (!o->unit_scale && !is_input_scale(o->input_scale))
        return SAE_FAIL(err, SAE_RANGE, "input scale %g must be a number above 0 that float32 holds, as 1 over it",
                        o->input_scale);
    return SAE_OK;
}

static sae_status check_one(const sae_dict_config *c, const sae_dict_config *first, int64_t *d_target,
                            const sae_train_options *o, sae_error *err)
{
    sae_status status = SAE_OK;

    SAE_TRY(check_config(c, first, o, err));
    SAE_TRY(check_pairs(c, o, err));
    SAE_TRY(check_targets(c, d_target, err));
    SAE_TRY(check_scaffold(c, o, err));
    const family *f = family_of(c->arch);
    if (f->check) SAE_TRY(f->check(c, o, err));
done:
    return status;
}

void dict_name_error(const sae_dict_config *c, int i, int n_dicts, sae_error *err)
{
    if (n_dicts < 2) return;
    if (*c->name)
        sae_error_prefix(err, "%s", c->name);
    else
        sae_error_prefix(err, "dictionary %d", i);
}

sae_status trainer_check(const sae_dict_config *configs, int n_dicts, const sae_train_options *options, sae_error *err)
{
    sae_status status = SAE_OK;
    int64_t d_target = 0;

    if (n_dicts < 1) SAE_RAISE(err, SAE_RANGE, "a trainer needs at least one dictionary");
    SAE_TRY(check_options(options, err));
    for (int i = 0; i < n_dicts; i++) {
        status = check_one(&configs[i], configs, &d_target, options, err);
        if (status == SAE_OK) continue;
        dict_name_error(&configs[i], i, n_dicts, err);
        goto done;
    }
done:
    return status;
}
