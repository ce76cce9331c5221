"""cc_library() with `implementation_deps`, for every Bazel."""

load("@rules_cc//cc:defs.bzl", _cc_library = "cc_library")

def cc_library(name, deps = [], implementation_deps = [], **kwargs):
    """A cc_library whose sources depend on more than its headers do.

    What depends on the library does not see the headers of its
    `implementation_deps`. Bazel 4 does not have the attribute, and there they are
    dependencies like others.

    Args:
      name: of the library.
      deps: what its headers include, and what its sources do.
      implementation_deps: what its sources alone include, and no user of the
        library may reach through it.
      **kwargs: of cc_library().
    """

    # The version is not to be had here. This function is as new as Bazel 7, and
    # the attribute is older.
    if hasattr(native, "repo_name"):
        kwargs["implementation_deps"] = implementation_deps
    else:
        deps = deps + implementation_deps
    _cc_library(name = name, deps = deps, **kwargs)
