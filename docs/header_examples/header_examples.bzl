"""The examples in headers' comments, compiled."""

load("@rules_cc//cc:defs.bzl", "CcInfo", "cc_library")

def _staged_examples(ctx):
    headers = [
        header
        for dep in ctx.attr.deps
        for header in dep[CcInfo].compilation_context.direct_headers
        if header.is_source
    ]
    out = ctx.actions.declare_file(ctx.label.name + ".cc")
    ctx.actions.run_shell(
        outputs = [out],
        inputs = [ctx.file._extract, ctx.file.stage] + headers,
        command = 'out=$1; shift; awk -f "$@" > "$out"',
        arguments = [out.path, ctx.file._extract.path, ctx.file.stage.path] +
                    [header.path for header in headers],
        mnemonic = "StageExamples",
    )
    return [DefaultInfo(files = depset([out]))]

_staged_examples_rule = rule(
    implementation = _staged_examples,
    attrs = {
        "stage": attr.label(allow_single_file = [".cc"], mandatory = True),
        "deps": attr.label_list(providers = [CcInfo]),
        "_extract": attr.label(
            default = "//docs/header_examples:extract.awk",
            allow_single_file = True,
        ),
    },
)

def header_examples(name, stage, deps, more_deps = []):
    """Compiles the examples of headers, each where a stage has a place for it.

    Args:
      name: of what a test names in its data, to have them compiled.
      stage: the source file with what the examples take for granted. See
        extract.awk.
      deps: the targets whose headers' examples are all in the stage.
      more_deps: other targets that the stage includes.
    """
    _staged_examples_rule(
        name = name + "_staged",
        stage = stage,
        testonly = True,
        deps = deps,
    )
    cc_library(
        name = name + "_compiled",
        srcs = [name + "_staged"],
        # Some examples catch. Examples stop where a reader knows how to go on;
        # and g++ takes what has a header's lines for a header.
        copts = [
            "-fexceptions",
            "-Wno-return-type",
            "-Wno-subobject-linkage",
            "-Wno-unknown-warning-option",
            "-Wno-unused",
        ],
        testonly = True,
        deps = deps + more_deps,
    )

    # As the data of a test, a library by itself would not be built.
    native.filegroup(
        name = name,
        srcs = [name + "_compiled"],
        testonly = True,
        visibility = ["//docs:__pkg__"],
    )
