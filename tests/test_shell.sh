#!/bin/sh
# test_shell.sh - the shell scripts parse, and carry their run bit where they are run by name.
set -u
for script in check demo tools/*.sh tests/*.sh; do
    if sh -n "$script"; then
        echo "ok $script parses"
    else
        echo "not ok $script parses"
    fi
done
for script in check demo .ci/run tools/fetch_model.sh; do
    if [ -x "$script" ]; then
        echo "ok $script can be run"
    else
        echo "not ok $script can be run"
    fi
done
