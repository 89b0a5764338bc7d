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
set -u
BUILD=${BUILD:-build}
export BUILD
# Waiting threads sleep: the time of a test depends less on what else the machine does.
OMP_WAIT_POLICY=passive
export OMP_WAIT_POLICY
limit=${TEST_TIMEOUT:-900} # seconds for one program
log=$BUILD/tests/log
passed=0 failed=0 skipped=0
mkdir -p "$BUILD/tests"

tick() { date +%s; }

# Takes the count out of Check's summary lines: "100%: Checks: 5, Failures: 0, Errors: 0".
count_check() {
    awk '/^[0-9]+%: Checks: / { gsub(",", ""); c += $3; f += $5 + $7 } END { print c + 0, f + 0 }' "$log"
}

report() { # LABEL SECONDS CHECKS FAILURES SKIPS
    if [ "$4" -eq 0 ]; then
        echo "ok    $1: $(($3 - $5)) passed, $2 s"
    else
        echo "FAIL  $1: $4 of $3 failed"
        grep -vE '^(Running suite|ok |SKIP: )|:P:' "$log" | tail -n 40 | sed 's/^/      /'
    fi
    sed -n 's/^SKIP: /skip: /p' "$log"
    passed=$((passed + $3 - $4 - $5)) failed=$((failed + $4)) skipped=$((skipped + $5))
}

run_check() { # LABEL PROGRAM
    begin=$(tick)
    CK_VERBOSITY=normal timeout "$limit" "$2" >"$log" 2>&1
    code=$?
    # shellcheck disable=SC2046
    set -- "$1" $(count_check)
    checks=$2 failures=$3
    if [ "$checks" -eq 0 ] || { [ "$code" -ne 0 ] && [ "$failures" -eq 0 ]; }; then
        echo "exit code $code with no test reported as failed" >>"$log"
        checks=$((checks + 1)) failures=$((failures + 1))
    fi
    report "$1" $(($(tick) - begin)) "$checks" "$failures" "$(grep -c '^SKIP: ' "$log")"
}

run_shell() { # LABEL SCRIPT
    begin=$(tick)
    timeout "$limit" sh "$2" >"$log" 2>&1
    code=$?
    skips=$(grep -c '^SKIP: ' "$log")
    failures=$(grep -c '^not ok ' "$log")
    checks=$(($(grep -c '^ok ' "$log") + failures + skips))
    if [ "$code" -ne 0 ] && [ "$failures" -eq 0 ]; then
        echo "exit code $code" >>"$log"
        checks=$((checks + 1)) failures=1
    fi
    report "$1" $(($(tick) - begin)) "$checks" "$failures" "$skips"
}

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

plain=yes
if [ "${1:-}" = --sanitized ]; then
    plain=
    shift
fi
names=$*
if [ -n "${WARNINGS:-}" ]; then
    echo "$([ "$WARNINGS" -eq 0 ] && echo 'ok   ' || echo FAIL ) the compiler has no warnings"
    passed=$((1 - WARNINGS)) failed=$WARNINGS
fi
if [ -n "$plain" ]; then
    for source in tests/test_*.c; do
        name=$(basename "$source" .c)
        wanted "$name" || continue
        run_check "$name" "$BUILD/tests/$name"
        grep -q EVERY_ISA "$source" || continue
        for isa in $(lower_isas); do
            SAE_ISA=$isa
            export SAE_ISA
            run_check "$name, $isa" "$BUILD/tests/$name"
            unset SAE_ISA
        done
    done
    for script in tests/test_*.sh; do
        name=$(basename "$script" .sh)
        wanted "$name" || continue
        run_shell "$name" "$script"
    done
fi
if [ -n "${SANITIZED_BUILD:-}" ]; then
    LSAN_OPTIONS=suppressions=$PWD/tests/lsan.supp:print_suppressions=0
    UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
    export LSAN_OPTIONS UBSAN_OPTIONS
    for source in tests/test_*.c tests/test_cli.sh; do
        name=$(basename "${source%.*}")
        wanted "$name" || continue
        begin=$(tick)
        case $source in
        *.sh) BUILD=$SANITIZED_BUILD timeout "$limit" sh "$source" >"$log" 2>&1 && ! grep '^not ok' "$log" >/dev/null ;;
        *) CK_VERBOSITY=normal CK_TIMEOUT_MULTIPLIER=5 timeout "$limit" "$SANITIZED_BUILD/tests/$name" >"$log" 2>&1 ;;
        esac
        code=$?
        sed -i '/^SKIP: /d' "$log" # the run above has counted these
        report "$name, sanitized" $(($(tick) - begin)) 1 $((code != 0)) 0
    done
fi
rm -f "$log"
echo
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
