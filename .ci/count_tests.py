"""Counts the test cases of one `bazel test` from Bazel's build events.

  python3 count_tests.py EVENTS STATUS FAILURES NAME
  python3 count_tests.py --targets EVENTS

EVENTS is the file that `--build_event_json_file` wrote, STATUS is Bazel's exit
code. Prints `PASSED FAILED SKIPPED` and appends a line to the file FAILURES for
each failure, with NAME, the configuration, in front of it. Exits with an error
and prints no counts if EVENTS is not what Bazel writes.

The events name the results of this very run, those taken from Bazel's cache
included. The test.xml files alone do not: they may belong to a target that no
longer exists.

These count as one failed case each:

- a target that fails although its cases pass (a leak found at its exit, say);
- a target that passes without a test.xml that can be read;
- a target that does not build, a test or not;
- an exit code of Bazel that nothing else explains;
- a run in which no case passed or failed.

With --targets it prints `PASSED RUN` in place of that, which are targets: a
target that does not build, a test or not, is one that was run.
"""

import collections
import json
import os
import sys
import urllib.parse
import xml.etree.ElementTree as ElementTree

# `failures` has a line for each failed case, so it has `failed` lines.
Counts = collections.namedtuple("Counts", "passed failed skipped failures")


def count(events, status):
    """The Counts of these lines of JSON and this exit code of Bazel."""
    results, unbuilt = _read(events)
    passed = skipped = 0
    failures = []
    for (label, _, _), result in sorted(results.items()):
        cases = _cases(result)
        outcomes = [_outcome(case) for case in cases or []]
        passed += outcomes.count("passed")
        skipped += outcomes.count("skipped")
        failed = ["%s %s" % (label, _name(case))
                  for case, outcome in zip(cases or [], outcomes)
                  if outcome == "failed"]
        if not failed:
            if result.get("status") not in ("PASSED", "FLAKY"):
                failed = ["%s (%s)" % (label, result.get("status"))]
            elif cases is None:
                failed = ["%s (no test.xml that can be read)" % label]
        failures += failed
    failures += ["%s (did not build)" % label for label in sorted(unbuilt)]
    if status != 0 and not failures:
        failures = ["(Bazel's exit code is %d)" % status]
    if not passed and not failures:
        failures = ["(no test ran)"]
    return Counts(passed, len(failures), skipped, failures)


def count_targets(events):
    """How many targets of these lines of JSON passed, and how many were run."""
    results, unbuilt = _read(events)
    run = {label for label, _, _ in results}
    failed = {label for (label, _, _), result in results.items()
              if result.get("status") not in ("PASSED", "FLAKY")}
    return len(run - failed - unbuilt), len(run | unbuilt)


def _read(events):
    """The test results by label, run and shard; the labels not built."""
    results = {}
    summarised = set()
    unbuilt = set()
    for line in events:
        event = json.loads(line)
        ids = event["id"]
        if "testResult" in event:
            key = ids["testResult"]
            # A later attempt replaces an earlier one: the last one counts.
            results[key["label"], key.get("run", 1), key.get("shard", 1)] = (
                event["testResult"])
        elif "testSummary" in event:
            summarised.add(ids["testSummary"]["label"])
        elif event.get("aborted", {}).get("reason") == "SKIPPED":
            continue  # Not compatible with the platform.
        elif "targetCompleted" in ids:
            if not event.get("completed", {}).get("success"):
                unbuilt.add(ids["targetCompleted"]["label"])
    tested = {label for label, _, _ in results}
    return results, unbuilt | (summarised - tested)


def _cases(result):
    """The <testcase> elements of a result, None without a readable test.xml."""
    for output in result.get("testActionOutput", []):
        uri = urllib.parse.urlparse(output.get("uri", ""))
        if output.get("name") != "test.xml" or uri.scheme != "file":
            continue
        try:
            tree = ElementTree.parse(urllib.parse.unquote(uri.path))
        except (OSError, ElementTree.ParseError):
            return None
        return list(tree.iter("testcase"))
    return None


def _outcome(case):
    if case.get("status") == "notrun":  # Disabled, or of another shard.
        return "not run"
    if case.find("failure") is not None or case.find("error") is not None:
        return "failed"
    if case.find("skipped") is not None or case.get("result") == "skipped":
        return "skipped"
    return "passed"


def _name(case):
    return ".".join(filter(None, [case.get("classname"), case.get("name")]))


def _lines(path):
    # A Bazel that never started has written none.
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as events:
        return events.readlines()


def main(events_path, status, failures_path, name):
    counts = count(_lines(events_path), int(status))
    with open(failures_path, "a", encoding="utf-8") as out:
        out.writelines("[%s] %s\n" % (name, what) for what in counts.failures)
    print(counts.passed, counts.failed, counts.skipped)


if __name__ == "__main__":
    if sys.argv[1] == "--targets":
        print(*count_targets(_lines(sys.argv[2])))
    else:
        main(*sys.argv[1:])
