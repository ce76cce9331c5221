#!/usr/bin/env -S python3 -B
import contextlib
import io
import json
import pathlib
import tempfile
import unittest

import count_tests


def completed(label, success=True):
    """A target is built, or is not. The build of a failing test succeeds."""
    return {
        "id": {"targetCompleted": {"label": label}},
        "completed": {"success": True} if success else {"failureDetail": {}},
    }


def summary(label, status):
    return {
        "id": {"testSummary": {"label": label}},
        "testSummary": {"overallStatus": status},
    }


def case(name, outcome="", attributes='status="run" result="completed"'):
    return '<testcase classname="Suite" name="%s" %s>%s</testcase>' % (
        name, attributes, outcome)


FAILURE = '<failure message="it differs"/>'
SKIPPED = '<skipped message="not here"/>'


class CountTestsTest(unittest.TestCase):

    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        # Bazel's paths may have what a URI has to quote.
        self.scratch = pathlib.Path(scratch.name) / "test logs #1"
        self.scratch.mkdir()
        self.files = 0

    def write(self, text):
        self.files += 1
        path = self.scratch / ("%d.xml" % self.files)
        path.write_text(text, encoding="utf-8")
        return path

    def result(self, label, status, *cases, xml=None, **key):
        """A test that ended so and wrote these cases, or what `xml` is."""
        if xml is None:
            xml = self.write("<testsuites><testsuite>%s</testsuite>"
                             "</testsuites>" % "".join(cases))
        return {
            "id": {"testResult": {"label": label, "run": 1, "shard": 1,
                                  "attempt": 1, **key}},
            "testResult": {
                "status": status,
                "testActionOutput": [
                    {"name": "test.log", "uri": "file:///nowhere/test.log"},
                    {"name": "test.xml", "uri": xml.as_uri()},
                ],
            },
        }

    def expect(self, events, status, passed, skipped, failures):
        counts = count_tests.count(map(json.dumps, events), status)
        self.assertEqual(counts.failures, failures)
        self.assertEqual(counts[:3], (passed, len(failures), skipped))

    def test_cases_are_counted_not_targets(self):
        self.expect([
            {"id": {"started": {}}, "started": {"command": "test"}},
            completed("//a:library"),
            completed("//a:a_test"),
            self.result("//a:a_test", "PASSED", case("A"), case("B")),
            summary("//a:a_test", "PASSED"),
            completed("//a:b_test"),
            self.result("//a:b_test", "PASSED", case("C")),
            summary("//a:b_test", "PASSED"),
        ], 0, passed=3, skipped=0, failures=[])

    def test_a_failed_case_is_named(self):
        self.expect([
            self.result("//a:b_test", "FAILED",
                        '<testcase name="check"><error/></testcase>'),
            self.result("//a:a_test", "FAILED", case("A"), case("B", FAILURE),
                        case("C", FAILURE)),
        ], 3, passed=1, skipped=0, failures=[
            "//a:a_test Suite.B", "//a:a_test Suite.C", "//a:b_test check"])

    def test_skipped_cases_are_neither_passed_nor_failed(self):
        self.expect([
            self.result("//a:a_test", "PASSED", case("A"), case("B", SKIPPED),
                        case("C", attributes='result="skipped"')),
        ], 0, passed=1, skipped=2, failures=[])

    def test_disabled_cases_do_not_count(self):
        self.expect([
            self.result("//a:a_test", "PASSED", case("A"),
                        case("DISABLED_B", attributes='status="notrun"')),
        ], 0, passed=1, skipped=0, failures=[])

    def test_the_last_attempt_of_a_flaky_test_counts(self):
        self.expect([
            self.result("//a:a_test", "FAILED", case("A"), case("B", FAILURE)),
            self.result("//a:a_test", "PASSED", case("A"), case("B"),
                        attempt=2),
            summary("//a:a_test", "FLAKY"),
        ], 0, passed=2, skipped=0, failures=[])
        self.expect([
            self.result("//a:a_test", "FAILED", case("A"), case("B", FAILURE)),
            self.result("//a:a_test", "FAILED", case("A", FAILURE), case("B"),
                        attempt=2),
            summary("//a:a_test", "FAILED"),
        ], 3, passed=1, skipped=0, failures=["//a:a_test Suite.A"])

    def test_a_result_may_be_flaky_itself(self):
        self.expect([self.result("//a:a_test", "FLAKY", case("A"))],
                    0, passed=1, skipped=0, failures=[])

    def test_each_shard_and_each_run_counts(self):
        self.expect([
            self.result("//a:a_test", "PASSED", case("A")),
            self.result("//a:a_test", "PASSED", case("B"), shard=2),
            self.result("//a:a_test", "FAILED", case("A", FAILURE), run=2),
            self.result("//a:a_test", "PASSED", case("B"), run=2, shard=2),
        ], 3, passed=3, skipped=0, failures=["//a:a_test Suite.A"])

    def test_cached_results_count(self):
        here = self.result("//a:a_test", "PASSED", case("A"))
        here["testResult"]["cachedLocally"] = True
        elsewhere = self.result("//a:b_test", "PASSED", case("B"))
        elsewhere["testResult"]["executionInfo"] = {
            "cachedRemotely": True, "strategy": "disk cache hit"}
        self.expect([here, elsewhere], 0, passed=2, skipped=0, failures=[])

    def test_a_target_may_fail_though_its_cases_pass(self):
        self.expect([self.result("//a:leak_test", "FAILED", case("A"))],
                    3, passed=1, skipped=0, failures=["//a:leak_test (FAILED)"])

    def test_a_timeout_is_a_failure(self):
        nowhere = self.scratch / "nowhere.xml"
        self.expect([self.result("//a:slow_test", "TIMEOUT", xml=nowhere)],
                    3, passed=0, skipped=0,
                    failures=["//a:slow_test (TIMEOUT)"])

    def test_what_fails_without_a_test_xml_fails_once(self):
        broken = self.write("<testsuites><testcase")
        self.expect([self.result("//a:a_test", "FAILED", xml=broken)],
                    3, passed=0, skipped=0, failures=["//a:a_test (FAILED)"])

    def test_what_passes_without_a_readable_test_xml_is_a_failure(self):
        unlisted = self.result("//a:unlisted_test", "PASSED", case("A"))
        del unlisted["testResult"]["testActionOutput"][1]
        # Its path says nothing about this machine's files.
        remote = self.result("//a:remote_test", "PASSED", case("A"))
        xml = remote["testResult"]["testActionOutput"][1]
        xml["uri"] = xml["uri"].replace("file://", "bytestream://host", 1)
        self.expect([
            self.result("//a:a_test", "PASSED", case("A")),
            self.result("//a:broken_test", "PASSED",
                        xml=self.write("<testsuites><testcase")),
            self.result("//a:empty_test", "PASSED", xml=self.write("")),
            self.result("//a:missing_test", "PASSED",
                        xml=self.scratch / "nowhere.xml"),
            unlisted,
            remote,
        ], 0, passed=1, skipped=0, failures=[
            "//a:%s_test (no test.xml that can be read)" % name
            for name in ("broken", "empty", "missing", "remote", "unlisted")])

    def test_a_target_that_does_not_build_is_a_failure_with_or_without_tests(
            self):
        self.expect([
            self.result("//a:a_test", "PASSED", case("A")),
            completed("//a:library", success=False),
            completed("//a:b_test", success=False),
            summary("//a:b_test", "NO_STATUS"),
            # Of a test whose build was abandoned there is only a summary.
            summary("//a:c_test", "NO_STATUS"),
            {"id": {"targetCompleted": {"label": "//a:d_test"}},
             "aborted": {"reason": "ANALYSIS_FAILURE"}},
        ], 1, passed=1, skipped=0, failures=[
            "//a:%s (did not build)" % name
            for name in ("b_test", "c_test", "d_test", "library")])

    def test_a_target_of_another_platform_is_no_failure(self):
        self.expect([
            self.result("//a:a_test", "PASSED", case("A")),
            {"id": {"targetCompleted": {"label": "//a:windows_test"}},
             "aborted": {"reason": "SKIPPED"}},
        ], 0, passed=1, skipped=0, failures=[])

    def test_a_configuration_that_ran_no_test_is_a_failure(self):
        self.expect([completed("//a:library")],
                    0, passed=0, skipped=0, failures=["(no test ran)"])
        self.expect([self.result("//a:a_test", "PASSED", case("A", SKIPPED))],
                    0, passed=0, skipped=1, failures=["(no test ran)"])

    def test_an_exit_code_that_nothing_explains_is_a_failure(self):
        self.expect([self.result("//a:a_test", "PASSED", case("A"))],
                    1, passed=1, skipped=0,
                    failures=["(Bazel's exit code is 1)"])

    def main(self, events, status):
        """What the program prints and what it adds to the failures."""
        failures = self.scratch / "failures"
        failures.write_text("[before] //a:a_test\n", encoding="utf-8")
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            count_tests.main(str(events), status, str(failures), "clang")
        return printed.getvalue(), failures.read_text(encoding="utf-8")

    def test_the_program_prints_the_counts_and_adds_to_the_failures(self):
        events = self.scratch / "events"
        events.write_text("\n".join(map(json.dumps, [
            self.result("//a:a_test", "FAILED", case("A"), case("B", FAILURE),
                        case("C"), case("D", SKIPPED)),
            summary("//a:a_test", "FAILED"),
        ])), encoding="utf-8")
        self.assertEqual(self.main(events, "3"), (
            "2 1 1\n",
            "[before] //a:a_test\n[clang] //a:a_test Suite.B\n"))

    def test_a_bazel_that_did_not_start_is_a_failure(self):
        self.assertEqual(self.main(self.scratch / "nowhere", "2"), (
            "0 1 0\n",
            "[before] //a:a_test\n[clang] (Bazel's exit code is 2)\n"))

    def test_targets_are_counted_once_and_those_not_built_are_run(self):
        self.assertEqual(count_tests.count_targets(map(json.dumps, [
            completed("//a:library"),
            self.result("//a:a_test", "PASSED", case("A"), shard=1),
            self.result("//a:a_test", "PASSED", case("B"), shard=2),
            self.result("//a:b_test", "PASSED", case("A"), shard=1),
            self.result("//a:b_test", "FAILED", case("B", FAILURE), shard=2),
            self.result("//a:c_test", "FLAKY", case("A")),
            completed("//a:program", success=False),
        ])), (2, 4))

    def test_events_that_are_cut_off_are_an_error(self):
        events = self.scratch / "events"
        events.write_text('{"id":{"testResult":{"la', encoding="utf-8")
        with self.assertRaises(json.JSONDecodeError):
            self.main(events, "37")


if __name__ == "__main__":
    unittest.main()
