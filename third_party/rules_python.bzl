"""rules_python for a Bazel that has the rule built in."""

py_binary = native.py_binary
