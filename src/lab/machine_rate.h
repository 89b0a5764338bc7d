/* machine_rate.h - how fast this machine's products are. */
#ifndef SAE_LAB_MACHINE_RATE_H
#define SAE_LAB_MACHINE_RATE_H

#include "base/base.h"

typedef struct machine_rate {
    double flops; /* FLOP/s, the best of several measurements: what others do on the machine only takes from it */
    bool busy; /* the best is over half more than their median: others were at work meanwhile, perhaps in all of them */
} machine_rate;

/* Of float32 products, with the threads that there are; takes about a second. */
sae_status machine_rate_measure(machine_rate *out, sae_error *err);
/* What n measurements (FLOP/s, at least one) say; they are sorted. */
machine_rate machine_rate_of(double *measured, int n);

#endif
