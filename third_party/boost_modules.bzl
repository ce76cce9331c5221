"""The one @boost that BUILD files name, over the registry's module a library.

For MODULE.bazel alone.
"""

_ABSENT = """
cc_library(
    name = "%s",
    target_compatible_with = ["@platforms//:incompatible"],
)
"""

def _boost_modules_impl(repository_ctx):
    build = [
        "load(\"@rules_cc//cc:defs.bzl\", \"cc_library\")\n",
        "package(default_visibility = [\"//visibility:public\"])\n",
    ]
    for label, name in repository_ctx.attr.libraries.items():
        build.append("alias(name = \"%s\", actual = \"%s\")\n" % (name, label))
    for name in repository_ctx.attr.absent:
        build.append(_ABSENT % name)
    repository_ctx.file("BUILD", "\n".join(build), executable = False)

boost_modules = repository_rule(
    implementation = _boost_modules_impl,
    attrs = {
        "libraries": attr.label_keyed_string_dict(doc = "A library of the registry, and its name in @boost."),
        "absent": attr.string_list(doc = "What the registry does not have: targets that depend on it are skipped."),
    },
)
