#!/usr/bin/env -S python3 -B
"""Runs every benchmark and writes docs/performance.md and its chart.

  ./bazelw run -c opt //benchmarks:report
  ./bazelw run -c opt //benchmarks:report -- --brief --output_directory=/tmp

Prints what it writes. Figures are compared within this one run only. A missed
figure is said so, and is no error: the exit code is that of the benchmarks. What
a benchmark does not have is "not measured".
"""

import argparse
import json
import math
import os
import platform
import subprocess
import sys
import tempfile

COMMAND = "./bazelw run -c opt //benchmarks:report"
BENCHMARKS = ["checkpoint_overhead", "context_switch", "peers"]

# ----------------------------------------------------------------- what to say

# (what, rung, rung to compare with, how, bar). "/": at most `bar` times as much;
# "-": at most `bar` ns more.
BARS = [
    ("a checkpoint with a portal / without", "runtime/checkpoint_in_portal",
     "runtime/checkpoint", "/", 1.02),
    ("a checkpoint / a bare queue of handles", "runtime/checkpoint",
     "floor/checkpoint", "/", 2.5),
    ("`Await()` of what is ready, over a function call", "runtime/await_ready",
     "floor/function_call", "-", 3),
    ("`Await(Checkpoint())` one call deep / a round trip by `jump_fcontext`",
     "runtime/await_checkpoint/depth:1", "switch/jump_fcontext/depth:0", "/",
     4),
    ("a switch, there and back, below eight calls / by `jump_fcontext`",
     "switch/greenback/depth:8", "switch/jump_fcontext/depth:8", "/", 0.5),
    ("`WithPortalRunSync()` of an empty function, over calling it",
     "runtime/sync_portal_creation", "floor/function_call", "-", 5),
    ("the same in Asio / a round trip by `jump_fcontext`",
     "asio/sync_portal_creation", "switch/jump_fcontext/depth:0", "/", 3),
    ("the same in a coroutine of another library / the same round trip",
     "foreign/sync_portal_creation", "switch/jump_fcontext/depth:0", "/", 3),
    ("an Asio step with a portal / without", "asio/checkpoint_in_portal",
     "asio/checkpoint", "/", 1.10),
    ("`Await()` of a `Co` that posts, in Asio / Boost.Asio's own way",
     "peers/greenback_asio_co", "peers/asio_spawn_co_spawn", "/", 0.33),
    ("the same of a `boost::asio::awaitable`",
     "peers/greenback_asio_coroutine", "peers/asio_spawn_co_spawn", "/", 0.33),
    ("the same in the runtime", "peers/greenback_runtime_coroutine",
     "peers/asio_spawn_co_spawn", "/", 0.33),
    ("a wait in Asio / Boost.Asio's `spawn`", "peers/greenback_asio/tasks:1",
     "peers/asio_spawn", "/", 1),
    ("a wait in the runtime / Boost.Asio's `spawn`",
     "peers/greenback_runtime/tasks:1", "peers/asio_spawn", "/", 1),
    ("a wait in the runtime / Boost.Fiber, alone",
     "peers/greenback_runtime/tasks:1", "peers/boost_fiber/fibers:1", "/", 1),
    ("a wait in the runtime / Boost.Fiber, two in turn",
     "peers/greenback_runtime/tasks:2", "peers/boost_fiber/fibers:2", "/", 1),
    ("a wait in the runtime / a thread pool's future",
     "peers/greenback_runtime/tasks:2", "peers/thread_pool_future", "/", 1),
    ("a wait in the runtime / a thread a call",
     "peers/greenback_runtime/tasks:2", "peers/thread_per_call", "/", 1),
]

# The rungs of the ladder that the Python library's microbenchmark has too, with
# its microseconds on Trio and on asyncio.
PYTHON_VERSIONS = "CPython 3.11, Trio 0.22"
PYTHON = {
    "checkpoint": (2.7, 1.8),
    "checkpoint_in_portal": (4.1, 3.3),
    "await_checkpoint/depth:1": (6.7, 6.1),
    "portal_per_await": (25.7, 24.9),
    "sync_portal_per_await": (18.8, 17.6),
    "portal_creation": (16.5, 15.6),
    "sync_portal_creation": (9.0, 8.6),
}

LADDER = [
    "checkpoint", "checkpoint_in_portal", "checkpoint_in_company",
    "await_ready", "await_checkpoint_alone/depth:1", "await_checkpoint/depth:0",
    "await_checkpoint/depth:1", "await_checkpoint/depth:8",
    "await_checkpoint/depth:32", "checkpoints_in_one_await",
    "await_checkpoint_in_sync_portal", "portal_per_await",
    "sync_portal_per_await", "portal_creation", "sync_portal_creation",
]

NOT_MEASURED = "not measured"

# ------------------------------------------------------------------- measuring


def run(name, *arguments):
    """What it prints. When it fails, passes on what it complains of, and ends."""
    # `bazel run` starts this program in its runfiles.
    done = subprocess.run(["benchmarks/" + name] + list(arguments),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          universal_newlines=True)
    if done.returncode != 0:
        sys.stderr.write(done.stderr)
        sys.exit("report: %s failed (%d)" % (name, done.returncode))
    return done.stdout


def run_benchmark(name, options):
    """Nanoseconds by rung, the errors by rung, and what was said of the build."""
    print("running %s ..." % name, file=sys.stderr, flush=True)
    rungs = run(name, "--benchmark_list_tests=true").split()
    entries = []
    # Where a process finds its memory makes a difference of its own.
    for _ in range(options.processes):
        with tempfile.TemporaryDirectory() as scratch:
            out = os.path.join(scratch, "out.json")
            run(name, "--benchmark_out=" + out, "--benchmark_out_format=json",
                "--benchmark_min_time=%g" % options.min_time,
                "--benchmark_repetitions=%d" % options.repetitions,
                "--benchmark_enable_random_interleaving=true")
            with open(out, encoding="utf-8") as file:
                result = json.load(file)
        entries += result["benchmarks"]
    times = {}
    errors = {}
    for entry in entries:
        if entry.get("run_type") != "iteration":
            continue
        rung = entry.get("run_name", entry["name"])
        if entry.get("error_occurred"):
            errors[rung] = entry.get("error_message", "error")
            continue
        # Blocking costs no processor time.
        wall = entry.get("label") == "wall clock"
        time = entry["real_time" if wall else "cpu_time"]
        time *= {"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9}[entry["time_unit"]]
        # The quickest: what else the machine does only ever adds.
        times[rung] = min(time, times.get(rung, time))
    # They ran in another order, so that what disturbs does not disturb one.
    times = {rung: times[rung] for rung in rungs if rung in times}
    return times, errors, result["context"]


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


# --------------------------------------------------------------------- writing


def number(value):
    """With three digits that mean something, or more."""
    if value is None:
        return NOT_MEASURED
    if abs(value) >= 100:
        return "{:,.0f}".format(value)
    if abs(value) >= 10:
        return "%.1f" % value
    return "%.2f" % value if abs(value) >= 0.1 else "%.2g" % value


def ratio(value, base):
    if value is None or not base:
        return ""
    return number(value / base)


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1)
             + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return lines


def bars(times):
    rows = []
    for what, rung, base, how, bar in BARS:
        value, other = times.get(rung), times.get(base)
        if value is None or other is None:
            rows.append((what, NOT_MEASURED, bar_text(how, bar), ""))
            continue
        figure = value / other if how == "/" else value - other
        text = number(figure) + (" ns" if how == "-" else "")
        rows.append((what, text, bar_text(how, bar), verdict(figure <= bar)))
    return rows


def bar_text(how, bar):
    if how == "-":
        return "≤ %g ns" % bar
    return "< 1" if bar == 1 else "≤ %g" % bar


def verdict(reached):
    return "reached" if reached else "**missed**"


def memory_bars(memory):
    return [
        ("stacks that idle portal tasks hold", str(memory["idle_stacks"]), "0",
         verdict(memory["idle_stacks"] == 0)),
        ("resident bytes of a parked task",
         number(memory["parked_resident_bytes_each"]), "≤ 8,192",
         verdict(memory["parked_resident_bytes_each"] <= 8192)),
        ("of {:,} stacks of parked tasks, guarded".format(memory["parked"]),
         "{:,}".format(memory["guarded_stacks"]), "all",
         verdict(memory["guarded_stacks"] >= memory["parked"])),
    ]


def ladder(host, times, python):
    base = times.get(host + "/checkpoint")
    rows = []
    for rung in LADDER:
        time = times.get(host + "/" + rung)
        theirs = PYTHON[rung][python] if rung in PYTHON else None
        rows.append((
            "`%s/%s`" % (host, rung), number(time), ratio(time, base),
            "" if theirs is None else number(theirs * 1000),
            "" if theirs is None else ratio(theirs, PYTHON["checkpoint"]
                                            [python]),
            "" if theirs is None or not time else number(theirs * 1000 / time)))
    return table(("rung", "ns", "× checkpoint", "Python, ns", "× checkpoint",
                  "Python / C++"), rows)


def plain(times, prefix, base):
    return table(("rung", "ns", "× `%s`" % base), [
        ("`%s`" % rung, number(time), ratio(time, times.get(base)))
        for rung, time in times.items() if rung.startswith(prefix)])


def document(times, errors, context, memory, options):
    lines = [
        "# Performance",
        "",
        "Written by `//benchmarks:report`, from one run of it:",
        "",
        "```console",
        "$ " + COMMAND,
        "```",
        "",
        "Only ratios between figures of the same run mean anything: run it on "
        "your own",
        "machine. A figure is the quickest of %d repetitions in %d processes, "
        "in"
        % (options.processes * options.repetitions, options.processes),
        "nanoseconds of processor time (of the clock on the wall where threads "
        "block).",
        "",
        "- Machine: " + machine() + ".",
        "- Compiler: %s, `-c opt`; Boost %s, abseil %s." % (
            context.get("compiler", "?"), context.get("boost", "?"),
            context.get("abseil", "?")),
    ]
    if context.get("optimised") != "yes":
        lines += ["- **Not optimised**: these figures mean nothing. Give "
                  "`-c opt`."]
    if options.brief:
        lines += ["- **A brief run**: these figures mean little."]
    lines += [
        "",
        "![Nanoseconds of the rungs and of other ways](performance.svg)",
        "",
        "## What is aimed at",
        "",
        "What is missed is said so.",
        "",
    ]
    rows = bars(times) + memory_bars(memory)
    lines += table(("what", "measured", "bar", ""), rows)
    missed = sum("missed" in row[3] for row in rows)
    absent = sum(row[1] == NOT_MEASURED for row in rows)
    lines += ["", "%d reached, %d missed, %d not measured." % (
        len(rows) - missed - absent, missed, absent)]
    lines += [
        "",
        "## The ladder",
        "",
        "Each rung is one thing more than the one above it. In those that end "
        "in an",
        "`Await(Checkpoint())` a second task is always ready and makes a "
        "checkpoint of its",
        "own each time, as in `checkpoint_in_company`; in `_alone` there is "
        "none. `depth`",
        "is the number of plain calls between the coroutine and the `Await()`.",
        "",
        "Beside them stand the Python library's own figures (%s,"
        % PYTHON_VERSIONS,
        "on a machine of this kind): of Trio beside the runtime, of asyncio "
        "beside Asio.",
        "",
    ]
    lines += ladder("runtime", times, 0) + [""]
    lines += ladder("asio", times, 1) + [""]
    shown = {host + "/" + rung for host in ("runtime", "asio")
             for rung in LADDER}
    others = {rung: time for rung, time in times.items()
              if rung.startswith(("floor/", "runtime/", "asio/", "foreign/"))
              and rung not in shown}
    lines += table(("rung", "ns", "× `floor/checkpoint`"), [
        ("`%s`" % rung, number(time),
         ratio(time, times.get("floor/checkpoint")))
        for rung, time in others.items()])
    lines += [
        "",
        "## Other ways",
        "",
        "A plain function waits for a trip through an event loop, or for a "
        "call that is",
        "made elsewhere. With two tasks or fibers both wait in turn, so that a "
        "figure is",
        "that of two waits. `co`, `coroutine` and `co_spawn` wait for a "
        "coroutine that makes",
        "the trip. So does `co_await`, in a coroutine of Boost.Asio's "
        "without greenback:",
        "no wait of a plain function for an `awaitable` can take less.",
        "",
    ]
    lines += plain(times, "peers/", "peers/greenback_runtime/tasks:2")
    lines += [
        "",
        "## Switches and stacks",
        "",
        "A round trip to another stack and back, below so many plain calls; "
        "many fibers in",
        "turn; a stack that is used a little and given back.",
        "",
    ]
    lines += plain(
        {rung: time for rung, time in times.items()
         if rung.startswith(("switch/", "stack/", "fibers/"))}, "",
        "switch/jump_fcontext/depth:0")
    lines += [
        "",
        "## Memory",
        "",
        "{:,} tasks parked in `Await()` three calls deep, and {:,} that wait in"
        " a".format(memory["parked"], memory["idle"]),
        "coroutine with a portal open (`//benchmarks:memory`).",
        "",
    ]
    lines += table(("what", "figure"), [
        ("resident bytes of a parked task, its stack included",
         number(memory["parked_resident_bytes_each"])),
        ("resident bytes of an idle task",
         number(memory["idle_resident_bytes_each"])),
        ("stacks of parked tasks", "{:,}".format(memory["parked_stacks"])),
        ("of them with a guard", "{:,}".format(memory["guarded_stacks"])),
        ("stacks of idle tasks", "{:,}".format(memory["idle_stacks"])),
        ("mappings of the process", "{:,}".format(memory["mappings"])),
        ("ns a task to start and park", number(memory["park_ns_each"])),
        ("ns a task to wake, and to end it", number(memory["wake_ns_each"])),
    ])
    if errors:
        lines += ["", "## What could not run", ""]
        lines += ["- `%s`: %s" % error for error in sorted(errors.items())]
    return "\n".join(lines) + "\n"


CHART = [
    ("floor/function_call", "a function call", 0),
    ("floor/checkpoint", "a bare queue of handles", 0),
    ("switch/jump_fcontext/depth:0", "jump_fcontext, there and back", 0),
    ("runtime/checkpoint", "co_await Checkpoint()", 1),
    ("runtime/checkpoint_in_portal", "the same, with a portal", 1),
    ("runtime/await_ready", "Await() of what is ready", 1),
    ("runtime/await_checkpoint_alone/depth:1", "Await(Checkpoint()), alone", 1),
    ("runtime/await_checkpoint/depth:1", "the same, in company", 1),
    ("runtime/await_checkpoint/depth:32", "the same, 32 calls deep", 1),
    ("peers/greenback_runtime_coroutine", "Await() of a coroutine", 1),
    ("asio/checkpoint", "Asio: a post", 1),
    ("asio/checkpoint_in_portal", "Asio: a post, with a portal", 1),
    ("asio/await_checkpoint/depth:1", "Asio: Await() of a post", 1),
    ("peers/boost_fiber/fibers:1", "Boost.Fiber: yield, alone", 2),
    ("peers/boost_fiber/fibers:2", "Boost.Fiber: yield, two in turn", 2),
    ("peers/asio_spawn", "Boost.Asio: spawn, a post", 2),
    ("peers/asio_spawn_co_spawn", "Boost.Asio: spawn, a coroutine", 2),
    ("peers/thread_pool_future", "a thread pool's future", 2),
    ("peers/thread_per_call", "a thread a call", 2),
]
COLOURS = ["#9aa0a6", "#1a73e8", "#e8710a"]
LEGEND = ["the floor", "greenback", "other ways"]


def chart(times):
    """Horizontal bars on a logarithmic scale."""
    rows = [(times[rung], text, colour) for rung, text, colour in CHART
            if times.get(rung)]
    left, width, row, top = 240, 420, 22, 44
    high = 10
    while rows and high < max(time for time, _, _ in rows):
        high *= 10
    decades = len(str(high)) - 1
    height = top + row * len(rows) + 34
    out = [
        '<svg xmlns="http://www.w3.org/2000/svg" width="760" height="%d" '
        'viewBox="0 0 760 %d" font-family="sans-serif" font-size="12">'
        % (height, height),
        '<rect width="760" height="%d" fill="white"/>' % height,
    ]
    for index, name in enumerate(LEGEND):
        x = left + index * 110
        out.append('<rect x="%d" y="14" width="12" height="12" fill="%s"/>' %
                   (x, COLOURS[index]))
        out.append('<text x="%d" y="24">%s</text>' % (x + 17, name))
    bottom = top + row * len(rows)
    for decade in range(decades + 1):
        x = left + width * decade / decades
        out.append('<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="#ddd"/>' %
                   (x, top - 6, x, bottom))
        out.append('<text x="%.1f" y="%d" text-anchor="middle" fill="#555">'
                   '%s ns</text>' % (x, bottom + 18,
                                     "{:,}".format(10**decade)))
    for index, (time, text, colour) in enumerate(rows):
        y = top + row * index
        fraction = max(0.0, math.log10(time))
        length = max(2.0, width * fraction / decades)
        out.append('<text x="%d" y="%d" text-anchor="end">%s</text>' %
                   (left - 8, y + 13, text))
        out.append('<rect x="%d" y="%d" width="%.1f" height="16" fill="%s"/>' %
                   (left, y, length, COLOURS[colour]))
        out.append('<text x="%.1f" y="%d">%s</text>' %
                   (left + length + 5, y + 13, number(time)))
    out.append("</svg>")
    return "\n".join(out) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--brief", action="store_true",
                        help="run everything once, for a moment")
    parser.add_argument("--output_directory",
                        help="where to write, instead of docs/")
    options = parser.parse_args()
    # Many short ones: where other machines share the processor, the moments in
    # which it is all ours are short.
    options.processes = 1 if options.brief else 12
    options.repetitions = 1 if options.brief else 16
    options.min_time = 0.005 if options.brief else 0.01
    directory = options.output_directory
    if directory is None:
        workspace = os.environ.get("BUILD_WORKSPACE_DIRECTORY")
        if workspace is None:
            sys.exit("report: run it with `%s`" % COMMAND)
        directory = os.path.join(workspace, "docs")

    times, errors, context = {}, {}, {}
    for name in BENCHMARKS:
        measured, failed, about = run_benchmark(name, options)
        times.update(measured)
        errors.update(failed)
        context.update(about)
    tasks = 1_000 if options.brief else 100_000
    print("running memory ...", file=sys.stderr, flush=True)
    memory = json.loads(run("memory", "--parked=%d" % tasks,
                            "--idle=%d" % tasks))

    text = document(times, errors, context, memory, options)
    print(text)
    for name, content in [("performance.md", text),
                          ("performance.svg", chart(times))]:
        path = os.path.join(directory, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(content)
        print("wrote " + path, file=sys.stderr)


if __name__ == "__main__":
    main()
