"""What Bazel has built in, under names that a file can export again."""

# buildifier: disable=native-cc-common
builtin_cc_common = cc_common

# buildifier: disable=native-cc-info
builtin_cc_info = CcInfo
