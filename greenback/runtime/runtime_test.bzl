"""Tests of the runtime, which have most of their dependencies in common."""

load("@rules_cc//cc:defs.bzl", "cc_test")

def runtime_test(name, deps = []):
    """A small test, in `name`.cc.

    Runs, nurseries, Co, Checkpoint() and portals are among its dependencies, and
    need not be in `deps`.

    Args:
      name: the name of the test and, without ".cc", of its only source.
      deps: the other dependencies.
    """
    cc_test(
        name = name,
        size = "small",
        srcs = [name + ".cc"],
        deps = deps + [
            "//greenback:await",
            "//greenback:portal",
            "//greenback/runtime:checkpoint",
            "//greenback/runtime:co",
            "//greenback/runtime:nursery",
            "//greenback/runtime:run",
            "//tests/support:run_nursery",
            "@com_google_absl//absl/status",
            "@com_google_googletest//:gtest_main",
        ],
    )
