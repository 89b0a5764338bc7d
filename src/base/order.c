/* order.c - numbers in their order. */
#include "base/base.h"

#include <stdlib.h>

int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

double sort_quantile(double *values, int64_t n, double q)
{
    qsort(values, (size_t)n, sizeof *values, compare_doubles);
    double at = q * (double)(n - 1);
    int64_t low = (int64_t)at;
    return low + 1 < n ? values[low] + (at - (double)low) * (values[low + 1] - values[low]) : values[low];
}
