/*
 * expect.h - assertions for inner loops. Check writes each of its own that holds to a file, one system call apiece, to be able to tell
 * the last one before a crash: a million take a second, and several under sanitizers. These do nothing unless they fail.
 */
#ifndef EXPECT_H
#define EXPECT_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#define EXPECT(condition, ...)                                                                                         \
    do {                                                                                                               \
        if (!(condition)) ck_abort_msg(__VA_ARGS__);                                                                   \
    } while (0)

/* With SAE_OBSERVED set, tells the largest differences that were seen, to be written beside the bound. */
#define EXPECT_WITHIN(difference, bound, ...)                                                                          \
    do {                                                                                                               \
        static double most_ = 0;                                                                                       \
        double difference_ = (difference), bound_ = (bound);                                                           \
        if (difference_ > most_ && getenv("SAE_OBSERVED"))                                                             \
            printf("# %s:%d: %.2g of %.2g\n", __FILE__, __LINE__, most_ = difference_, bound_);                        \
        EXPECT(difference_ <= bound_, __VA_ARGS__);                                                                    \
    } while (0)

#endif
