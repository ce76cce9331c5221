#!/bin/bash
#
# bazelw_test.sh BAZELW: what ./bazelw installs on which release, by an apt-get
# that installs nothing and a dpkg-query that says what the test wants.

# Words are split where lists of packages are given in one string, and the
# programs of stub() expand their variables themselves.
# shellcheck disable=SC2016,SC2086

set -u

readonly bazelw=$PWD/$1
readonly state=$TEST_TMPDIR
readonly all="bazel-bootstrap bazel-platforms bazel-rules-java bazel-rules-proto
  libabsl-dev libbenchmark-dev libgmock-dev libgtest-dev"
failures=0

mkdir "$state/bin" || exit 1
# stub NAME TEXT: a program called NAME.
stub() {
  printf '#!/bin/bash\n%s\n' "$2" > "$state/bin/$1" && chmod +x "$state/bin/$1"
}
stub dpkg-query 'cat "$TEST_TMPDIR/installed"'
# A fresh machine knows of no package before `apt-get update`.
stub apt-cache 'grep --quiet " update$" "$TEST_TMPDIR/calls" &&
  grep "^$2" "$TEST_TMPDIR/offered"'
# Nothing can be installed, so that ./bazelw ends before it runs Bazel.
stub apt-get 'echo "$*" >> "$TEST_TMPDIR/calls"; [[ $* == *update ]]'
stub sudo 'exec "$@"'

# system "INSTALLED..." "OFFERED...": the packages of the next runs.
system() {
  printf 'installed:%s ' $1 > "$state/installed"
  printf '%s\n' $2 > "$state/offered"
}

# run ARGS: ./bazelw ARGS, with its words in $output and what it asked of apt
# in $calls.
run() {
  : > "$state/calls"
  output=$(PATH=$state/bin:$PATH "$bazelw" "$@" 2>&1)
  calls=$(cat "$state/calls")
}

# expect WHAT TEXT PART: TEXT has PART.
expect() {
  [[ $2 == *"$3"* ]] && return
  printf '%s: expected "%s" in:\n%s\n' "$1" "$3" "$2"
  failures=$((failures + 1))
}

# boosts VERSIONS: the packages of these Boosts.
boosts() {
  local version
  for version in "$@"; do
    echo "libboost$version-dev libboost-context$version-dev libboost-fiber$version-dev"
  done
}

# A release's own Boost if it is tested, otherwise the newest that is.
while read -r release chosen offered; do
  system "" "$(boosts $offered)"
  run --version
  expect "$release" "$output" " libboost$chosen-dev libboost-context$chosen-dev libboost-fiber$chosen-dev "
  expect "$release" "$calls" "--no-remove install bazel-bootstrap "
done << 'END'
bookworm 1.81 1.74 1.81
trixie 1.83 1.83 1.88
forky 1.92 1.90 1.92
END

system "" "$(boosts 1.67 1.74)"
run --version
expect "too old" "$output" "and apt-get has 1.67 1.74: use Debian 12 or newer"

# What is there is used, and apt-get is not even asked.
for version in 1.81 1.83 1.88 1.90 1.92; do
  system "$all $(boosts "$version")" ""
  run --version
  expect "nothing missing" "[$calls]" "[]"
done
BAZELW_BOOST=1.88 run --version
expect "another is installed" "$output" "Boost 1.88 is needed, but 1.92 is installed, and there can be only one: apt-get remove libboost1.92-dev"
system "$all libboost1.74-dev" "$(boosts 1.81)"
run --version
expect "too old a one is installed" "$output" "Boost 1.81 or newer is needed, but 1.74 is installed"

# Half of a Boost is completed, by the same one.
system "$all libboost1.88-dev" "$(boosts 1.83 1.88)"
run --version
expect "half of a Boost" "$output" "installing libboost-context1.88-dev libboost-fiber1.88-dev ("
system "$all" "$(boosts 1.83 1.88)"
BAZELW_BOOST=1.88 run --version
expect "BAZELW_BOOST" "$output" "installing libboost1.88-dev "

# clang by configuration.
while read -r arguments chosen installed offered; do
  system "$all $(boosts 1.83) ${installed/none/}" "${offered//,/$'\n'}"
  run build ${arguments//,/ }
  expect "$arguments" "$output" "installing ${chosen//,/ } ("
done << 'END'
--config=clang clang-19,libclang-rt-19-dev none clang-19,clang-22
--config,clang clang-21,libclang-rt-21-dev none clang-21,clang-22
--config=tsan libclang-rt-22-dev clang-22 clang-19,clang-22
--config=lto-clang libclang-rt-19-dev clang-19 clang-19,clang-22
--config=clang-22 clang-22,libclang-rt-22-dev clang-19 clang-19,clang-22
--config=clang-22,--config=tsan clang-22,libclang-rt-22-dev clang-19 clang-19,clang-22
--config=gcc-15 g++-15 none g++-15
END

exit $((failures != 0))
