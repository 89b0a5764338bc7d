/*
 * quick_check.h - before every C test (Makefile): Check tells its parent process of each assertion that holds, by a write to a pipe, which
 * was most of the time of tests that compare millions of numbers. An assertion that fails says where as before; a test that is killed
 * by a signal is known by its name alone.
 */
#ifndef QUICK_CHECK_H
#define QUICK_CHECK_H
#pragma GCC system_header /* the comma before no arguments is Check's own */

#include <check.h>

#undef ck_assert_msg
#define ck_assert_msg(expr, ...)                                                                                       \
    ((expr) ? (void)0 : _ck_assert_failed(__FILE__, __LINE__, "Assertion '" #expr "' failed", ##__VA_ARGS__))

#endif
