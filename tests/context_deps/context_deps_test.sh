#!/bin/sh
# Fails when //greenback/context depends on more than itself, the macros of
# //greenback/internal, and Boost.Context (with the parts of Boost that are its
# own dependencies, where Boost comes in modules): no abseil, no Asio, nothing
# else of greenback.
#
#   context_deps_test.sh FILE    # FILE: what `bazel query` says, a label a line
set -eu
deps=$1

if ! grep -q '^//greenback/context:switch\.cc$' "$deps" ||
  ! grep -q 'boost' "$deps"; then
  echo "FAILED: $deps is no list of the core's dependencies:"
  cat "$deps"
  exit 1
fi

own='^//greenback/(context|context/internal|internal):'
boost='^@@?[A-Za-z0-9_.~+-]*boost[A-Za-z0-9_.~+-]*//'
tools='^@@?(bazel_tools|platforms|local_config_cc|rules_cc)[A-Za-z0-9_.~+-]*//'
forbidden='(boost[^/]*|//:)(asio|coroutine|fiber)'
# grep finds nothing when all is well, and says so by its exit code.
strangers=$(
  grep -vE "$own|$boost|$tools" "$deps" || true
  grep -E "$forbidden" "$deps" || true
)
if [ -n "$strangers" ]; then
  echo "FAILED: //greenback/context may depend on Boost.Context alone, not on:"
  echo "$strangers"
  exit 1
fi
echo "PASSED: $(grep -c . "$deps") dependencies, none of them strange"
