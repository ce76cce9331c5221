"""rules_shell's sh_binary for a Bazel that has the rule built in."""

sh_binary = native.sh_binary
