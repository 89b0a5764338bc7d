#!/bin/sh
# test_format.sh - every C file is as clang-format 14 leaves it (other versions break lines elsewhere).
set -u
formatter=
for candidate in clang-format-14 clang-format; do
    if "$candidate" --version 2>/dev/null | grep -q 'version 14\.'; then
        formatter=$candidate
        break
    fi
done
if [ -z "$formatter" ]; then
    echo "SKIP: clang-format-14 is not installed"
    exit 0
fi
folders='src include tests'
[ -d bench ] && folders="$folders bench"
# shellcheck disable=SC2086
bad=$(find $folders -name '*.[ch]' -exec "$formatter" --dry-run {} + 2>&1 | sed -n 's/^\([^:]*\):.*/\1/p' | sort -u)
if [ -z "$bad" ]; then
    echo "ok format"
else
    echo "not ok format: run 'make format', which changes:"
    echo "$bad"
fi
