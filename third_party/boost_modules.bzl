"""The one @boost that BUILD files name, over the registry's module a library.

For MODULE.bazel alone.
"""

def _boost_modules_impl(repository_ctx):
    build = ["package(default_visibility = [\"//visibility:public\"])\n"]
    for label, name in repository_ctx.attr.libraries.items():
        build.append("alias(name = \"%s\", actual = \"%s\")\n" % (name, label))
    repository_ctx.file("BUILD", "\n".join(build), executable = False)

boost_modules = repository_rule(
    implementation = _boost_modules_impl,
    attrs = {"libraries": attr.label_keyed_string_dict(doc = "A library of the registry, and its name in @boost.")},
)
