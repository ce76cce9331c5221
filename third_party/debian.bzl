"""Gives Debian's packages the labels that upstream uses.

BUILD files name their dependencies as upstream does, @com_google_absl//absl/status
for one. Under Bazel 7 MODULE.bazel stands behind those names;
debian_repositories() puts the system's packages there, so that a plain Debian
builds everything without a download. Headers come from /usr/include, which every
compiler searches anyway; the repositories only carry the archives to link.
"""

def _machine(repository_ctx):
    """What is built for: this machine, unless Debian's cross compilers are CC."""
    compiler = repository_ctx.os.environ.get("CC", "").split("/")[-1]
    if compiler.endswith("-linux-gnu-g++"):
        return compiler[:-len("-linux-gnu-g++")]
    return repository_ctx.execute(["uname", "-m"]).stdout.strip()

def _library_directory(repository_ctx, file):
    """The first of the system's library directories that has `file`, or None."""
    machine = _machine(repository_ctx)
    for directory in ["/usr/lib/%s-linux-gnu" % machine, "/usr/lib64", "/usr/lib"]:
        if repository_ctx.path("%s/%s" % (directory, file)).exists:
            return directory
    return None

def _machine_includes(repository_ctx):
    """Where Debian has the headers that are not the same on every machine."""
    return ["/usr/include/%s-linux-gnu/" % _machine(repository_ctx)]

def _not_installed(repository_ctx):
    package = repository_ctx.attr.package
    fail(("@%s needs the package %s, which is not installed: run ./bazelw, " +
          "which installs it, or `apt-get install %s`.") %
         (repository_ctx.name, package, package))

def _check_version(repository_ctx):
    """Fails if the macro in `version_header` is less than `minimum_version`."""
    header = "/usr/include/" + repository_ctx.attr.version_header
    define = "#define %s " % repository_ctx.attr.version_macro
    for line in repository_ctx.read(header).split("\n"):
        if line.startswith(define):
            version = line[len(define):].strip()
            if int(version) < repository_ctx.attr.minimum_version:
                fail("@%s needs a %s of %d or more, and %s has %s: install %s." % (
                    repository_ctx.name,
                    repository_ctx.attr.version_macro,
                    repository_ctx.attr.minimum_version,
                    header,
                    version,
                    repository_ctx.attr.package,
                ))
            return
    fail("@%s: %s does not define %s." % (
        repository_ctx.name,
        header,
        repository_ctx.attr.version_macro,
    ))

def _system_repository_impl(repository_ctx):
    for label, path in repository_ctx.attr.overlay.items():
        repository_ctx.symlink(label, path)
    for header in repository_ctx.attr.headers:
        if not repository_ctx.path("/usr/include/" + header).exists:
            _not_installed(repository_ctx)
    if repository_ctx.attr.version_header:
        _check_version(repository_ctx)
    for library in repository_ctx.attr.libraries:
        directory = _library_directory(repository_ctx, library)
        if not directory:
            _not_installed(repository_ctx)
        repository_ctx.symlink("%s/%s" % (directory, library), library)
    for link, directory in repository_ctx.attr.include_directories.items():
        found = [
            parent + directory
            for parent in ["/usr/include/"] + _machine_includes(repository_ctx)
            if repository_ctx.path(parent + directory).exists
        ]
        if not found:
            _not_installed(repository_ctx)
        repository_ctx.symlink(found[0], link)
    for library in repository_ctx.attr.optional_libraries:
        directory = _library_directory(repository_ctx, library)
        if directory:
            repository_ctx.symlink("%s/%s" % (directory, library), library)

_system_repository = repository_rule(
    implementation = _system_repository_impl,
    attrs = {
        "overlay": attr.label_keyed_string_dict(doc = "Files of third_party/, and where they go."),
        "headers": attr.string_list(doc = "What must exist in /usr/include."),
        "include_directories": attr.string_dict(doc = "Directories of headers that no compiler searches by itself, by the name that they get in the overlay."),
        "libraries": attr.string_list(doc = "Archives, or shared objects, that the overlay refers to by name."),
        "optional_libraries": attr.string_list(doc = "The same, of other packages: what depends on them does not build without."),
        "package": attr.string(doc = "The Debian package that has them, for the error message."),
        "version_header": attr.string(doc = "One of `headers`, in which a macro is the version."),
        "version_macro": attr.string(doc = "The macro."),
        "minimum_version": attr.int(doc = "The oldest version that will do."),
    },
    environ = ["CC"],
    local = True,
    doc = "A repository made of an overlay and of libraries that the system has.",
)

# Upstream's packages, and in each the public targets that BUILD files may name,
# with the pkg-config module that describes it ("" for absl_<target>).
_ABSL = {
    "algorithm": {"algorithm": "", "container": "absl_algorithm_container"},
    "base": {
        "base": "",
        "config": "",
        "core_headers": "",
        "dynamic_annotations": "",
        "log_severity": "",
    },
    "cleanup": {"cleanup": ""},
    "container": {
        "btree": "",
        "fixed_array": "",
        "flat_hash_map": "",
        "flat_hash_set": "",
        "inlined_vector": "",
        "node_hash_map": "",
        "node_hash_set": "",
    },
    "debugging": {
        "failure_signal_handler": "",
        "leak_check": "",
        "stacktrace": "",
        "symbolize": "",
    },
    "flags": {
        "flag": "absl_flags",
        "parse": "absl_flags_parse",
        "usage": "absl_flags_usage",
    },
    "functional": {"any_invocable": "", "bind_front": "", "function_ref": ""},
    "hash": {"hash": ""},
    "memory": {"memory": ""},
    "meta": {"type_traits": ""},
    "numeric": {"bits": "", "int128": ""},
    "random": {
        "bit_gen_ref": "absl_random_bit_gen_ref",
        "distributions": "absl_random_distributions",
        "random": "absl_random_random",
    },
    "status": {"status": "", "statusor": ""},
    "strings": {"cord": "", "str_format": "", "strings": ""},
    "synchronization": {"synchronization": ""},
    "time": {"time": ""},
    "types": {"any": "", "compare": "", "optional": "", "span": "", "variant": ""},
    "utility": {"utility": ""},
}

_LOAD_RULES = "load(\"@rules_cc//cc:defs.bzl\", \"cc_library\")\n"

_PUBLIC = "package(default_visibility = [\"//visibility:public\"])\n"

_ABSL_LIBRARY = """
cc_library(
    name = "{name}",
    srcs = {srcs},
    linkstatic = True,
    deps = {deps},
)
"""

_ABSL_ALIAS = """
alias(
    name = "{name}",
    actual = "//:{module}",
)
"""

def _absl_repository_impl(repository_ctx):
    # A cc_library for each pkg-config module: its archive, if it has one, and its
    # dependencies. Bazel then finds the link order, and a consumer of one target
    # links what that target needs and nothing else.
    directory = _library_directory(repository_ctx, "pkgconfig/absl_config.pc")
    if not directory:
        _not_installed(repository_ctx)
    build = [_LOAD_RULES, _PUBLIC]
    for module in repository_ctx.path(directory + "/pkgconfig").readdir():
        if not module.basename.startswith("absl_"):
            continue
        name = module.basename[:-len(".pc")]
        srcs = []
        deps = []
        for line in repository_ctx.read(module).split("\n"):
            key, _, value = line.partition(":")
            if key == "Requires":
                # "absl_config = 20220623, absl_strings = 20220623"
                for requirement in value.split(","):
                    deps.append(":" + requirement.strip().split(" ")[0])
            elif key == "Libs":
                for flag in value.split(" "):
                    if flag.startswith("-labsl_"):
                        archive = "lib%s.a" % flag[len("-l"):]
                        repository_ctx.symlink("%s/%s" % (directory, archive), archive)
                        srcs.append(archive)
        build.append(_ABSL_LIBRARY.format(
            name = name,
            srcs = repr(srcs),
            # abseil 20260526's absl_strings requires itself.
            deps = repr([dep for dep in deps if dep not in [":", ":" + name]]),
        ))
    repository_ctx.file("BUILD", "".join(build), executable = False)
    for package, targets in _ABSL.items():
        build = [_PUBLIC]
        for name, module in targets.items():
            build.append(_ABSL_ALIAS.format(name = name, module = module or "absl_" + name))
        repository_ctx.file("absl/%s/BUILD" % package, "".join(build), executable = False)

_absl_repository = repository_rule(
    implementation = _absl_repository_impl,
    attrs = {"package": attr.string(default = "libabsl-dev")},
    environ = ["CC"],
    local = True,
    doc = "Abseil as the system has it, generated from its pkg-config modules.",
)

def debian_repositories():
    """Every repository that greenback's BUILD files name, from Debian's packages."""
    _absl_repository(name = "com_google_absl")
    _system_repository(
        name = "com_google_googletest",
        overlay = {Label("//third_party:googletest.BUILD"): "BUILD"},
        headers = ["gtest/gtest.h", "gmock/gmock.h"],
        libraries = ["libgtest.a", "libgmock.a", "libgmock_main.a"],
        package = "libgmock-dev",
    )
    _system_repository(
        name = "com_github_google_benchmark",
        overlay = {Label("//third_party:benchmark.BUILD"): "BUILD"},
        headers = ["benchmark/benchmark.h"],
        libraries = ["libbenchmark_main.a"],
        package = "libbenchmark-dev",
    )
    _system_repository(
        name = "boost",
        overlay = {Label("//third_party:boost.BUILD"): "BUILD"},
        headers = ["boost/version.hpp"],
        libraries = ["libboost_context.a"],
        minimum_version = 108100,
        # Of libboost-cobalt<version>-dev and libboost-fiber<version>-dev.
        optional_libraries = ["libboost_cobalt.a", "libboost_fiber.a"],
        package = "libboost-context<version>-dev, with 1.81 or newer as the version",
        version_header = "boost/version.hpp",
        version_macro = "BOOST_VERSION",
    )

    # For one test, which only asks for it when it is built.
    _system_repository(
        name = "qcoro",
        overlay = {Label("//third_party:qcoro.BUILD"): "BUILD"},
        include_directories = {"qcoro6": "qcoro6", "qt6": "qt6"},
        libraries = ["libQCoro6Core.so", "libQt6Core.so"],
        package = "qcoro-qt6-dev",
    )

    # Debian's own rules_cc is too new for its Bazel, which has these rules built in.
    _system_repository(
        name = "rules_cc",
        overlay = {
            Label("//third_party:rules_cc.BUILD"): "cc/BUILD",
            Label("//third_party:rules_cc.bzl"): "cc/defs.bzl",
            Label("//third_party:rules_cc_action_names.bzl"): "cc/action_names.bzl",
            Label("//third_party:rules_cc_builtins.bzl"): "cc/builtins.bzl",
            Label("//third_party:rules_cc_find_cc_toolchain.bzl"): "cc/find_cc_toolchain.bzl",
        },
    )

    _system_repository(
        name = "rules_shell",
        overlay = {
            Label("//third_party:empty.BUILD"): "shell/BUILD",
            Label("//third_party:sh_binary.bzl"): "shell/sh_binary.bzl",
            Label("//third_party:sh_test.bzl"): "shell/sh_test.bzl",
        },
    )

    # `bazel test` asks for the coverage tools even when nobody measures coverage.
    _system_repository(
        name = "remote_coverage_tools",
        overlay = {Label("//third_party:coverage_tools.BUILD"): "BUILD"},
    )

    # Bazel would download these; Debian packages them. Bazel 4 asks for the
    # first three alone, and has no package of the others.
    for name, path in {
        "platforms": "tools/platforms",
        "rules_java": "rules/java",
        "rules_proto": "rules/proto",
        "bazel_features": "tools/features",
        "bazel_skylib": "tools/skylib",
        "rules_license": "rules/license",
        "rules_python": "rules/python",
    }.items():
        if not native.existing_rule(name):
            native.local_repository(name = name, path = "/usr/share/bazel/" + path)
