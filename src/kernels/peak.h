/* peak.h - what this machine can do at best: multiply-adds that touch no memory. */
#ifndef SAE_PEAK_H
#define SAE_PEAK_H

/* Float32 operations per second (a multiply-add is two) of all threads, on independent chains in registers, with the
 * widest vectors of cpu_isa_get(). Takes about 0.1 s. */
double peak_flops(void);

#endif
