/*
 * family.c - the table of what can be trained: per architecture its memory, forward, backward and export.
 */
#include "sae/train.h"

#define PENALISED(a, n, r)                                                                                             \
    {                                                                                                                  \
        .arch = (a), .name = (n), .check = penalised_check, .layout = penalised_layout, .forward = penalised_forward,  \
        .backward = penalised_backward, .rule = (r)                                                                    \
    }

static const family families[] = {
    {.arch = SAE_TOPK, .name = "topk", .forward = topk_forward, .backward = batchtopk_backward},
    {.arch = SAE_BATCHTOPK,
     .name = "batchtopk",
     .forward = batchtopk_forward,
     .backward = batchtopk_backward,
     .one_threshold = true},
    {.arch = SAE_MATRYOSHKA,
     .name = "matryoshka",
     .forward = batchtopk_forward,
     .backward = batchtopk_backward,
     .one_threshold = true},
    PENALISED(SAE_STANDARD, "standard", &standard_rule),
    PENALISED(SAE_JUMPRELU, "jumprelu", &jumprelu_rule),
    PENALISED(SAE_GATED, "gated", &gated_rule),
};

const family *family_of(sae_arch arch)
{
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (families[i].arch == arch) return &families[i];
    return NULL;
}

bool keeps_k(sae_arch arch)
{
    const family *f = family_of(arch);

    return f && !f->rule;
}
