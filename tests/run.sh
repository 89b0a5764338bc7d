#!/bin/sh
# run.sh - runs the tests of $BUILD, prints what failed and what was skipped, and ends on "N passed, N failed, N skipped".
#
#   tests/run.sh [--sanitized] [NAME...]   all tests, or those of the given names (test_matmul, test_cli, ...)
#
# A C test is a Check program tests/test_NAME.c. A shell test is tests/test_NAME.sh, which prints "ok NAME" or
# "not ok NAME" for each of its tests. Either prints "SKIP: REASON" on a line of its own for a test that could not run.
# A C test whose source contains the word EVERY_ISA runs once under each instruction set that the processor has.
# With SANITIZED_BUILD set, the C tests and test_cli run once more from there, each counted as one test;
# --sanitized leaves out all else.
#
# TEST_JOBS programs run at a time (as many as there are processors). The C tests have all threads: half of their time is spent in one
# thread, in which another program may use the other processor. The rest has one thread each. Among the sanitized, those whose
# source contains the word EVERY_THREAD have all threads, so that what is divided among threads is watched too.
set -u
BUILD=${BUILD:-build}
# Waiting threads sleep: the time of a test depends less on what else the machine does.
OMP_WAIT_POLICY=passive
export BUILD OMP_WAIT_POLICY

# ---- One program of the list, called by xargs below ----

if [ "${1:-}" = --job ]; then # FOLDER NUMBER
    IFS='|' read -r kind threads isa program label <<END
$(sed -n "$3p" "$2/jobs")
END
    begin=$(date +%s)
    [ -z "$isa" ] || export SAE_ISA="$isa"
    [ "$threads" = all ] || export OMP_NUM_THREADS="$threads"
    case $kind in
    sanitized*)
        BUILD=$SANITIZED_BUILD
        # Freed blocks are held back for 16 MB in place of 256, and 12 callers are noted of each: less memory to touch.
        ASAN_OPTIONS=quarantine_size_mb=16:malloc_context_size=12${ASAN_OPTIONS:+:$ASAN_OPTIONS}
        LSAN_OPTIONS=suppressions=$PWD/tests/lsan.supp:print_suppressions=0
        UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
        CK_TIMEOUT_MULTIPLIER=${CK_TIMEOUT_MULTIPLIER:-10}
        export ASAN_OPTIONS LSAN_OPTIONS UBSAN_OPTIONS
        ;;
    *) CK_TIMEOUT_MULTIPLIER=${CK_TIMEOUT_MULTIPLIER:-4} ;; # beside other programs
    esac
    export CK_TIMEOUT_MULTIPLIER
    set -- "$2" "$3"
    case $kind in
    *check) CK_VERBOSITY=normal timeout "${TEST_TIMEOUT:-900}" "$program" >"$1/$2.log" 2>&1 ;;
    *shell) timeout "${TEST_TIMEOUT:-900}" sh "$program" >"$1/$2.log" 2>&1 ;;
    esac
    echo "$2 $? $(($(date +%s) - begin))"
    exit 0
fi

# ---- The list ----

# The instruction sets below the best one, which every test runs under anyway.
lower_isas() {
    best=$("$BUILD/sae" --version | sed -n 's/^instruction set: \([a-z0-9_]*\).*/\1/p')
    for isa in scalar avx2 avx512 avx512_bf16; do
        [ "$isa" = "$best" ] && break
        echo "$isa"
    done
}

wanted() { # NAME: was it asked for?
    [ -z "$names" ] && return 0
    case " $names " in *" $1 "*) return 0 ;; esac
    return 1
}

c_tests() {
    for source in tests/test_*.c; do
        name=$(basename "$source" .c)
        wanted "$name" && echo "$name"
    done
}

# KIND|THREADS|INSTRUCTION SET|PROGRAM|LABEL, one line a program.
list_programs() {
    for name in ${plain:+$(c_tests)}; do echo "check|all||$BUILD/tests/$name|$name"; done
    for name in ${plain:+$(c_tests)}; do
        grep -q EVERY_ISA "tests/$name.c" || continue
        for isa in $isas; do echo "check|1|$isa|$BUILD/tests/$name|$name, $isa"; done
    done
    for script in ${plain:+tests/test_*.sh}; do
        name=$(basename "$script" .sh)
        wanted "$name" && echo "shell|1||$script|$name"
    done
    [ -n "${SANITIZED_BUILD:-}" ] || return 0
    wanted test_cli && echo "sanitized shell|1||tests/test_cli.sh|test_cli, sanitized" # first: it is the longest
    for name in $(c_tests); do
        threads=$(grep -q EVERY_THREAD "tests/$name.c" && echo all || echo 1)
        echo "sanitized check|$threads||$SANITIZED_BUILD/tests/$name|$name, sanitized"
    done
}

# ---- What a program found ----

# Counts tests and failures of $log: Check's summary lines "100%: Checks: 5, Failures: 0, Errors: 0", or lines "ok NAME".
count() { # KIND
    case $1 in
    *check) awk '/^[0-9]+%: Checks: / { gsub(",", ""); c += $3; f += $5 + $7 } END { print c + 0, f + 0 }' "$log" ;;
    *) awk '/^ok / { c++ } /^not ok / { c++; f++ } /^SKIP: / { c++ } END { print c + 0, f + 0 }' "$log" ;;
    esac
}

report() { # NUMBER CODE SECONDS
    IFS='|' read -r kind threads isa program label <<END
$(sed -n "$1p" "$work/jobs")
END
    log=$work/$1.log code=$2 seconds=$3
    # shellcheck disable=SC2046
    set -- $(count "$kind")
    checks=$1 failures=$2 skips=$(grep -c '^SKIP: ' "$log")
    if [ "$checks" -eq 0 ] || { [ "$code" -ne 0 ] && [ "$failures" -eq 0 ]; }; then
        echo "exit code $code with no test reported as failed, of $checks" >>"$log"
        checks=$((checks + 1)) failures=$((failures + 1))
    fi
    case $kind in
    sanitized*) # one test; the plain run has counted what was skipped
        checks=1 skips=0
        [ "$failures" -eq 0 ] || failures=1
        ;;
    esac
    if [ "$failures" -eq 0 ]; then
        echo "ok    $label: $((checks - skips)) passed, $seconds s"
    else
        echo "FAIL  $label: $failures of $checks failed"
        grep -vE '^(Running suite|ok |SKIP: )|:P:' "$log" | tail -n 40 | sed 's/^/      /'
    fi
    [ "$skips" -eq 0 ] || sed -n 's/^SKIP: /skip: /p' "$log"
    passed=$((passed + checks - failures - skips)) failed=$((failed + failures)) skipped=$((skipped + skips))
}

# Reads "NUMBER CODE SECONDS" as programs end; reports each when all before it have been.
report_in_order() {
    passed=0 failed=0 skipped=0 next=1
    if [ -n "${WARNINGS:-}" ]; then
        echo "$([ "$WARNINGS" -eq 0 ] && echo 'ok   ' || echo FAIL ) the compiler has no warnings"
        passed=$((1 - WARNINGS)) failed=$WARNINGS
    fi
    while read -r number code seconds; do
        echo "$code $seconds" >"$work/$number.end"
        while [ -f "$work/$next.end" ]; do
            # shellcheck disable=SC2046
            report $next $(cat "$work/$next.end")
            next=$((next + 1))
        done
    done
    if [ $next -le "$total" ]; then
        echo "FAIL  $((total - next + 1)) of $total programs were not run to their end"
        failed=$((failed + total - next + 1))
    fi
    echo
    echo "$passed passed, $failed failed, $skipped skipped"
    [ "$failed" -eq 0 ]
}

plain=yes
if [ "${1:-}" = --sanitized ]; then
    plain=
    shift
fi
names=$*
for name in $names; do
    [ -e "tests/$name.c" ] || [ -e "tests/$name.sh" ] || { echo "there is no tests/$name.c or tests/$name.sh" >&2; exit 2; }
done
isas=$(lower_isas)
mkdir -p "$BUILD/tests"
work=$(mktemp -d "$BUILD/tests/run.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
list_programs >"$work/jobs"
total=$(wc -l <"$work/jobs")
[ "$total" -gt 0 ] || { echo "no test to run" >&2; exit 2; }
seq "$total" | xargs -r -n 1 -P "${TEST_JOBS:-$(nproc)}" sh "$0" --job "$work" | report_in_order
