"""Sources that the compiler must refuse, in one sentence that a reader understands.

Each source is compiled twice, in the very configuration of the build (its
compiler, its options), and only as far as the syntax and the types go: as it
stands, which must succeed, and with MUST_NOT_COMPILE defined, which must fail.
So a wrong include path, or a compiler that is not there, cannot pass for a
refusal.
"""

load("@rules_cc//cc:action_names.bzl", "CPP_COMPILE_ACTION_NAME")
load("@rules_cc//cc:defs.bzl", "CcInfo", "cc_common")
load("@rules_cc//cc:find_cc_toolchain.bzl", "find_cc_toolchain", "use_cc_toolchain")

def _try_to_compile(ctx, toolchain, context, name, defines, copts):
    """What the compiler says, with its exit code in the last line: a file. Never fails."""
    features = cc_common.configure_features(
        ctx = ctx,
        cc_toolchain = toolchain,
        requested_features = ctx.features,
        # It needs the maps of a target's modules, and there is no target.
        unsupported_features = ctx.disabled_features + ["layering_check"],
    )
    variables = cc_common.create_compile_variables(
        feature_configuration = features,
        cc_toolchain = toolchain,
        source_file = ctx.file.src.path,
        user_compile_flags = ctx.fragments.cpp.copts + ctx.fragments.cpp.cxxopts + copts + [
            "-fsyntax-only",
            "-fno-diagnostics-color",
        ],
        include_directories = context.includes,
        quote_include_directories = context.quote_includes,
        system_include_directories = context.system_includes,
        preprocessor_defines = depset(defines, transitive = [context.defines]),
    )
    environment = dict(cc_common.get_environment_variables(
        feature_configuration = features,
        action_name = CPP_COMPILE_ACTION_NAME,
        variables = variables,
    ))
    environment["LC_ALL"] = "C"
    log = ctx.actions.declare_file("%s.%s.log" % (ctx.label.name, name))
    ctx.actions.run_shell(
        outputs = [log],
        inputs = depset([ctx.file.src], transitive = [context.headers]),
        tools = toolchain.all_files,
        command = 'log=$1; shift; "$@" > "$log" 2>&1; echo "exit $?" >> "$log"',
        arguments = [
            log.path,
            cc_common.get_tool_for_action(
                feature_configuration = features,
                action_name = CPP_COMPILE_ACTION_NAME,
            ),
        ] + cc_common.get_memory_inefficient_command_line(
            feature_configuration = features,
            action_name = CPP_COMPILE_ACTION_NAME,
            variables = variables,
        ),
        env = environment,
        mnemonic = "TryToCompile",
        progress_message = "Trying to compile %s (%s)" % (ctx.file.src.short_path, name),
    )
    return log

def _must_not_compile_test_impl(ctx):
    toolchain = find_cc_toolchain(ctx)
    context = cc_common.merge_cc_infos(
        cc_infos = [dep[CcInfo] for dep in ctx.attr.deps],
    ).compilation_context
    expected = ctx.actions.declare_file(ctx.label.name + ".expected")
    ctx.actions.write(expected, ctx.attr.error + "\n")
    files = [
        _try_to_compile(ctx, toolchain, context, "right", [], []),
        _try_to_compile(ctx, toolchain, context, "wrong", ["MUST_NOT_COMPILE"], ctx.attr.wrong_copts),
        expected,
    ]
    script = ctx.actions.declare_file(ctx.label.name + ".sh")
    ctx.actions.write(
        script,
        "#!/bin/sh\nexec sh %s %s\n" % (
            ctx.file._check.short_path,
            " ".join([file.short_path for file in files]),
        ),
        is_executable = True,
    )
    return [DefaultInfo(
        executable = script,
        runfiles = ctx.runfiles(files + [ctx.file._check]),
    )]

_must_not_compile_test = rule(
    implementation = _must_not_compile_test_impl,
    attrs = {
        "src": attr.label(allow_single_file = [".cc"], mandatory = True),
        "deps": attr.label_list(providers = [CcInfo]),
        "error": attr.string(mandatory = True),
        "wrong_copts": attr.string_list(),
        "_check": attr.label(
            default = "//tests/must_not_compile:check.sh",
            allow_single_file = True,
        ),
        "_cc_toolchain": attr.label(
            default = "@rules_cc//cc:current_cc_toolchain",
        ),
    },
    fragments = ["cpp"],
    toolchains = use_cc_toolchain(),
    test = True,
)

def must_not_compile_test(name, error, src = None, deps = [], **kwargs):
    """A test that `src` is refused when MUST_NOT_COMPILE is defined, and compiles when not.

    Args:
      name: of the test.
      error: what the one line with an error must contain, word for word.
      src: the source; by default `name` without "_test", and ".cc".
      deps: what it includes.
      **kwargs: what every test has, and `wrong_copts`: flags that come with
        MUST_NOT_COMPILE.
    """
    _must_not_compile_test(
        name = name,
        size = "small",
        src = src or name[:-len("_test")] + ".cc",
        deps = deps,
        error = error,
        **kwargs
    )
