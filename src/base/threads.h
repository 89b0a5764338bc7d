/* threads.h - how many threads there are and which one this is; without OpenMP (make tsan) there is one. */
#ifndef SAE_THREADS_H
#define SAE_THREADS_H

#ifdef _OPENMP
#include <omp.h>
#else
static inline int omp_get_max_threads(void) { return 1; }
static inline int omp_get_num_threads(void) { return 1; }
static inline int omp_get_thread_num(void) { return 0; }
static inline void omp_set_num_threads(int n) { (void)n; }
#endif

#endif
