# scratch.sh - read by tests of the program: goes to a scratch folder that is removed at the end; $sae is the program, $root the project; what
# it says is in the files out and err, and each check tells its name.
# shellcheck shell=sh disable=SC2034
root=$PWD
case $BUILD in
/*) sae=$BUILD/sae ;;
*) sae=$root/$BUILD/sae ;;
esac
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch" || exit 1
OMP_NUM_THREADS=${OMP_NUM_THREADS:-2} HOME=$scratch
export OMP_NUM_THREADS HOME

ok() { echo "ok $1"; }
not_ok() { # NAME DETAILS...
    echo "not ok $1"
    shift
    printf '%s\n' "$@"
    head -c 900 err
}
check() { # NAME STATUS DETAILS...
    name=$1 good=$2
    shift 2
    if [ "$good" -eq 0 ]; then ok "$name"; else not_ok "$name" "$@"; fi
}
from() { # FILE CODE NAME ARGUMENTS of sae
    file=$1 wanted=$2 name=$3
    shift 3
    "$sae" "$@" <"$file" >out 2>err
    code=$?
    check "$name" $((code != wanted)) "exit code $code"
}
run() { from /dev/null "$@"; } # CODE NAME ARGUMENTS of sae
