#!/usr/bin/env -S python3 -B
"""Runs every benchmark and writes docs/performance.md and its chart.

  ./bazelw run -c opt //benchmarks:report
  ./bazelw run -c opt //benchmarks:report -- --brief --output_directory=/tmp

Prints what it writes. Figures are compared within this one run only. A missed
bar is marked and is no error: the program fails only if a benchmark does. A
figure that no benchmark has is "not measured".

report_data.py says which figures are shown, performance_template.md has the
prose, and report_text.py makes the text of both.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile

import report_data
import report_text


def run(name, *arguments):
    """What the benchmark prints. If it fails, prints its errors and exits."""
    # `bazel run` starts this program in its runfiles.
    done = subprocess.run(["benchmarks/" + name] + list(arguments),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          universal_newlines=True)
    if done.returncode != 0:
        sys.stderr.write(done.stderr)
        sys.exit("report: %s failed (%d)" % (name, done.returncode))
    return done.stdout


def run_benchmark(name, options):
    """All rungs of the benchmark, and the JSON of each process of it."""
    print("running %s ..." % name, file=sys.stderr, flush=True)
    rungs = run(name, "--benchmark_list_tests=true").split()
    results = []
    # Where a process finds its memory makes a difference of its own.
    for _ in range(options.processes):
        with tempfile.TemporaryDirectory() as scratch:
            out = os.path.join(scratch, "out.json")
            run(name, "--benchmark_out=" + out, "--benchmark_out_format=json",
                "--benchmark_min_time=%g" % options.min_time,
                "--benchmark_repetitions=%d" % options.repetitions,
                "--benchmark_enable_random_interleaving=true")
            with open(out, encoding="utf-8") as file:
                results.append(json.load(file))
    return rungs, results


def measure(options):
    times, errors, context = {}, {}, {}
    for name in report_data.BENCHMARKS:
        rungs, results = run_benchmark(name, options)
        its_times, its_errors = report_text.quickest(rungs, results)
        times.update(its_times)
        errors.update(its_errors)
        context.update(results[-1]["context"])
    tasks = 1_000 if options.brief else 100_000
    print("running memory ...", file=sys.stderr, flush=True)
    memory = json.loads(run("memory", "--parked=%d" % tasks,
                            "--idle=%d" % tasks))
    return report_text.Measured(
        times=times, errors=errors, context=context, memory=memory,
        machine=machine(), processes=options.processes,
        repetitions=options.repetitions, brief=options.brief)


def machine():
    model = "unknown processor"
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    model = line.split(":", 1)[1].strip()
                    break
    except OSError:
        pass
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    system = platform.system()
    try:
        with open("/etc/os-release", encoding="utf-8") as file:
            for line in file:
                if line.startswith("PRETTY_NAME="):
                    system = line.split("=", 1)[1].strip().strip('"')
    except OSError:
        pass
    return "%s, %d processors, %.0f GiB; %s, Linux %s, %s" % (
        model, os.cpu_count(), memory, system, platform.release(),
        platform.machine())


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--brief", action="store_true",
                        help="run everything once, for a moment")
    parser.add_argument("--output_directory",
                        help="where to write, instead of docs/")
    options = parser.parse_args()
    # Many short repetitions: where other machines share the processor, it is
    # all ours for short moments only.
    options.processes = 1 if options.brief else 12
    options.repetitions = 1 if options.brief else 16
    options.min_time = 0.005 if options.brief else 0.01
    directory = options.output_directory
    if directory is None:
        workspace = os.environ.get("BUILD_WORKSPACE_DIRECTORY")
        if workspace is None:
            sys.exit("report: run it with `%s`" % report_data.COMMAND)
        directory = os.path.join(workspace, "docs")

    with open("benchmarks/performance_template.md", encoding="utf-8") as file:
        template = file.read()
    measured = measure(options)
    text = report_text.document(template, report_data, measured)
    print(text)
    drawing = report_text.chart(report_data, measured.times)
    for name, content in [("performance.md", text),
                          ("performance.svg", drawing)]:
        path = os.path.join(directory, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(content)
        print("wrote " + path, file=sys.stderr)


if __name__ == "__main__":
    main()
