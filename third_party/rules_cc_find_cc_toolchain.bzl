"""rules_cc's find_cc_toolchain.bzl for a Bazel that has the rules built in."""

load("@bazel_tools//tools/cpp:toolchain_utils.bzl", "find_cpp_toolchain")

find_cc_toolchain = find_cpp_toolchain

def use_cc_toolchain():
    """The toolchain types of a rule that calls find_cc_toolchain().

    Returns:
      A list for the rule's `toolchains`.
    """
    return ["@bazel_tools//tools/cpp:toolchain_type"]
