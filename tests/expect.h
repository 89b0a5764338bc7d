/*
 * expect.h - an assertion for inner loops. Check writes each of its own that holds to a file, one system call apiece, to be able to tell
 * the last one before a crash: a million take a second, and several under sanitizers. This one does nothing unless it fails.
 */
#ifndef EXPECT_H
#define EXPECT_H

#include <check.h>

#define EXPECT(condition, ...)                                                                                         \
    do {                                                                                                               \
        if (!(condition)) ck_abort_msg(__VA_ARGS__);                                                                   \
    } while (0)

#endif
