"""This workspace's abseil, in place of greenback's: the shared libraries."""

_TARGETS = [
    "cleanup:cleanup",
    "container:btree",
    "container:inlined_vector",
    "functional:function_ref",
    "status:status",
    "status:statusor",
    "strings:strings",
    "time:time",
]

_LIBRARY = """
cc_library(
    name = "abseil",
    linkopts = ["-Wl,--as-needed"] + {libraries},
    visibility = ["//visibility:public"],
)
"""

_ALIAS = """
alias(
    name = "{name}",
    actual = "//:abseil",
    visibility = ["//visibility:public"],
)
"""

def _abseil_impl(repository_ctx):
    machine = repository_ctx.execute(["uname", "-m"]).stdout.strip()
    libraries = [
        "-l:" + file.basename
        for file in repository_ctx.path("/usr/lib/%s-linux-gnu" % machine).readdir()
        if file.basename.startswith("libabsl_") and file.basename.endswith(".so")
    ]
    repository_ctx.file("BUILD", _LIBRARY.format(libraries = repr(sorted(libraries))))
    packages = {}
    for target in _TARGETS:
        package, name = target.split(":")
        packages[package] = packages.get(package, "") + _ALIAS.format(name = name)
    for package, aliases in packages.items():
        repository_ctx.file("absl/%s/BUILD" % package, aliases)

abseil = repository_rule(
    implementation = _abseil_impl,
    local = True,
    doc = "Abseil as the system has it.",
)
