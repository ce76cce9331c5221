"""@boost, which BUILD files name, over the registry's module for each library.

For MODULE.bazel alone: in WORKSPACE, @boost is what the system has.
"""

def _boost_modules_impl(repository_ctx):
    repository_ctx.symlink(Label("//third_party:boost_modules.BUILD"), "BUILD")

boost_modules = repository_rule(
    implementation = _boost_modules_impl,
    doc = "A repository of aliases. It sees the modules that MODULE.bazel sees.",
)
