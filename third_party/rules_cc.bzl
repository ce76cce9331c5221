"""rules_cc's defs.bzl for a Bazel that has the rules built in."""

load(":builtins.bzl", "builtin_cc_common", "builtin_cc_info")

cc_binary = native.cc_binary
cc_import = native.cc_import
cc_library = native.cc_library
cc_test = native.cc_test

cc_common = builtin_cc_common
CcInfo = builtin_cc_info

# Bazel's own BUILD files load these.
cc_proto_library = native.cc_proto_library
cc_toolchain = native.cc_toolchain
cc_toolchain_suite = native.cc_toolchain_suite
objc_library = native.objc_library
