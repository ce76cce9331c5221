#!/bin/bash
#
# stranger_test.sh LIBRARIES VISIBLE: a target of another repository can depend
# on the public libraries, and on none in an internal/ folder. Both arguments are
# files with a label a line: all of our libraries, and those that it sees.

set -u
libraries=$1
visible=$2
failures=0

fail() {
  echo "FAILED: $*"
  failures=$((failures + 1))
}

for label in //greenback:await //greenback:portal //greenback/runtime:run \
  //greenback/asio:asio //greenback/context:switch //greenback/host:portal_task; do
  grep -qxF "$label" "$visible" || fail "$label is not visible"
done

internal=$(grep -c '/internal:' "$libraries")
((internal >= 10)) || fail "only $internal internal libraries were looked at"

while read -r label; do
  fail "$label is internal, and visible to everybody: take //visibility:public" \
    "out of its BUILD file"
done < <(grep '/internal:' "$visible")

echo "$internal internal libraries, $(wc -l < "$visible") public ones"
((failures == 0))
