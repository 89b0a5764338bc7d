#!/bin/sh
# test_includes.sh - the include rule of docs/design.md: who may include whom, who may touch files, BLAS, and people.
# TREE=folder checks another tree than this one.
set -u
cd "${TREE:-.}" || exit 1

may_include() { # what a folder may include, itself included
    case $1 in
    base) echo base ;;
    io) echo base io ;;
    kernels) echo base kernels ;;
    text) echo base io kernels text ;;
    model) echo base io kernels text model ;;
    acts) echo base io kernels text model acts ;;
    sae) echo base io kernels sae ;;
    eval) echo base io kernels text model acts sae eval ;;
    lab) echo base io kernels text model acts sae eval lab ;;
    report) echo base io report ;;
    cli) echo base io kernels text model acts sae eval lab report cli ;;
    esac
}

# Comments and the contents of strings are no code.
code_of() { ${CC:-cc} -fpreprocessed -dD -E -P "$1" 2>/dev/null | sed 's/\\"//g; /^ *# *include/!s/"[^"]*"/""/g'; }

verdict() { # NAME OFFENDERS
    if [ -z "$2" ]; then
        echo "ok $1"
    else
        echo "not ok $1"
        echo "$2"
    fi
}

sources=$(find src -name '*.[ch]' | sort)

arrows=
for file in $sources; do
    folder=$(echo "$file" | cut -d/ -f2)
    allowed=" $(may_include "$folder") "
    [ "$allowed" = "  " ] && arrows="$arrows
$file: the folder $folder is not in the include rule"
    for header in $(sed -n 's/^ *# *include *"\([^"]*\)".*/\1/p' "$file"); do
        [ "$header" = sae.h ] && continue
        case $allowed in
        *" ${header%%/*} "*) ;;
        *) arrows="$arrows
$file includes $header: $folder may include only$allowed" ;;
        esac
    done
done
verdict "every #include follows the rule" "$arrows"

find_code() { # PATTERN FILE...
    pattern=$1
    shift
    for file in "$@"; do
        code_of "$file" | grep -nE "$pattern" | sed "s|^[0-9]*:|$file: |"
    done
}
outside() { # sources outside of the folders given as a pattern
    echo "$sources" | grep -vE "^src/($1)/"
}

# shellcheck disable=SC2046
verdict "only kernels/cpu calls oneDNN, BLAS and LAPACK" "$(find_code \
    'include.*(dnnl|cblas|lapack)|\b(dnnl|cblas|LAPACK[A-Za-z]*)_[a-z]|\b[sd](gemm|gemv|syrk|syev[a-z]*|gesv[a-z]*|gesdd|geqrf|orgqr|getr[fs]|potr[fs])_ *\(' \
    $(outside kernels/cpu))"
# /proc and /sys are how the system tells about itself: base reads them.
# shellcheck disable=SC2046
verdict "only io opens files" "$(find_code \
    '\b(fopen|freopen|open|openat|creat|mmap|opendir|mkdir|rename|unlink|remove|truncate|json_load_file|json_dump_file|gzopen|zip_open) *\(' \
    $(outside 'io|base'))"
# shellcheck disable=SC2046
verdict "base opens nothing but /proc and /sys" "$(grep -nE '\b(fopen|open) *\(' $(find src/base -name '*.c') | grep -vE '"/proc/|/\* in /proc or /sys \*/')"
# shellcheck disable=SC2046
verdict "only cli prints, reads argv and exits" "$(find_code \
    '\b(printf|vprintf|puts|putchar|perror|exit|_exit|quick_exit|abort) *\(|\b(stdout|stderr|argv)\b' $(outside cli))"
