#!/bin/sh
# Fails unless a compiler refused a source for the right reason.
#
#   check.sh RIGHT WRONG EXPECTED
#
# RIGHT and WRONG: what the compiler said, with its exit code in the last line,
# about the source as it should be and as it should not. EXPECTED: what WRONG's
# one error must contain.
set -eu
right=$1 wrong=$2 expected=$3

fail() {
  echo "FAILED: $1"
  echo "What the compiler said:"
  cat "$2"
  exit 1
}

if [ "$(tail -n 1 "$right")" != "exit 0" ]; then
  fail "does not compile without MUST_NOT_COMPILE either" "$right"
fi
if [ "$(tail -n 1 "$wrong")" = "exit 0" ]; then
  fail "compiles with MUST_NOT_COMPILE" "$wrong"
fi

# Not "from /usr/include/c++/12/system_error:41,".
errors=$(grep -E ': (fatal )?error: ' "$wrong") || fail "no error" "$wrong"
first=$(printf '%s\n' "$errors" | head -n 1)
if ! printf '%s\n' "$first" | grep -qF -f "$expected"; then
  echo "expected: $(cat "$expected")"
  echo "first:    $first"
  fail "the first error is another one" "$wrong"
fi
if [ "$errors" != "$first" ]; then
  fail "there is more than the one error" "$wrong"
fi
echo "PASSED: $first"
