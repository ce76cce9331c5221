"""rules_shell for a Bazel that has the rule built in."""

sh_test = native.sh_test
