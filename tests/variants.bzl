"""Tests whose own code is compiled in several ways in one build."""

load("@rules_cc//cc:defs.bzl", "cc_test")

def cc_test_at_all_levels(name, **kwargs):
    """A test as the build compiles it, and at -O1 to -O3 with and without exceptions.

    The flags come after those of the configuration, so that the variants are
    the same in all of them. The library below keeps the configuration's.

    Args:
      name: of the suite, and the beginning of the tests' names.
      **kwargs: for each cc_test. The variants have the tag `variant`.
    """
    cc_test(name = name + "_as_built", **kwargs)
    tests = [name + "_as_built"]
    for level in ["1", "2", "3"]:
        for exceptions in [True, False]:
            if level == "1" and not exceptions:
                continue  # what -O1 leaves alone, it leaves alone in both
            variant = name + "_O" + level
            copts = ["-O" + level]
            defines = [name.upper() + "_OPTIMIZED"]
            if not exceptions:
                variant += "_noexceptions"
                copts.append("-fno-exceptions")
                defines.append(name.upper() + "_WITHOUT_EXCEPTIONS")
            cc_test(
                name = variant,
                copts = copts,
                local_defines = defines,
                tags = kwargs.get("tags", []) + ["variant"],
                **{key: value for key, value in kwargs.items() if key != "tags"}
            )
            tests.append(variant)
    native.test_suite(name = name, tests = tests)
