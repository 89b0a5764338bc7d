/* saelens_kinds.c - the architectures by SAELens's names; top-k and gated transcoders, which it lacks, by ours: it refuses them. */
#include "sae/saelens.h"

#include <string.h>

static const saelens_kind kinds[] = {
    {"standard", SAE_STANDARD, false, false},           {"topk", SAE_TOPK, false, false},
    {"jumprelu", SAE_JUMPRELU, false, false},           {"gated", SAE_GATED, false, false},
    {"transcoder", SAE_STANDARD, true, false},          {"skip_transcoder", SAE_STANDARD, true, true},
    {"jumprelu_transcoder", SAE_JUMPRELU, true, false}, {"jumprelu_skip_transcoder", SAE_JUMPRELU, true, true},
    {"topk_transcoder", SAE_TOPK, true, false},         {"topk_skip_transcoder", SAE_TOPK, true, true},
    {"gated_transcoder", SAE_GATED, true, false},       {"gated_skip_transcoder", SAE_GATED, true, true},
};

const saelens_kind *saelens_kind_named(const char *name)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i].name, name) == 0) return &kinds[i];
    return NULL;
}

const saelens_kind *saelens_kind_of(const sae_dict_config *c)
{
    sae_arch arch = c->arch == SAE_BATCHTOPK || c->arch == SAE_MATRYOSHKA ? SAE_JUMPRELU : c->arch;

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].arch == arch && kinds[i].transcoder == (c->d_out > 0) && kinds[i].skip == c->skip)
            return &kinds[i];
    return NULL;
}
