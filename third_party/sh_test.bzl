"""rules_shell's sh_test for a Bazel that has the rule built in."""

sh_test = native.sh_test
