#!/usr/bin/env -S python3 -B
import json
import string
import types
import unittest

import report_data
import report_text

# A report of few figures, so that what is expected of them is easily read.
DATA = types.SimpleNamespace(
    COMMAND="measure",
    BARS=(
        report_data.Bar("a wait / a checkpoint", "host/wait",
                        "host/checkpoint", times=2),
        report_data.Bar("a wait / a thread", "host/wait", "peer/thread",
                        times=1),
        report_data.Bar("a checkpoint, over a call", "host/checkpoint",
                        "floor/call", more_ns=5),
        report_data.Bar("a wait / a fiber", "host/wait", "peer/fiber",
                        times=0.5),
        report_data.Bar("a fiber / a wait", "peer/fiber", "host/wait",
                        times=1),
    ),
    MEMORY_BARS=(
        report_data.MemoryBar("stacks of idle tasks", "idle_stacks", "0",
                              most=0),
        report_data.MemoryBar("of {parked:,} stacks, guarded",
                              "guarded_stacks", "all", at_least="parked"),
    ),
    MEMORY_FIGURES=(
        ("bytes of a task", "parked_resident_bytes_each"),
        ("stacks of idle tasks", "idle_stacks"),
    ),
    LADDER=("checkpoint", "wait", "sleep"),
    PYTHON_VERSIONS="Python 3",
    PYTHON_US={"host": {"checkpoint": 2.5, "sleep": 10.0}},
    LISTINGS={
        "others": report_data.Listing(("floor/", "host/"), "floor/call"),
        "peers": report_data.Listing(("peer/",), "host/wait"),
    },
    COLOURS={"the floor": "grey", "ours": "blue"},
    CHART=(
        ("floor/call", "a call", "the floor"),
        ("host/spawn", "a spawn", "ours"),
        ("peer/fiber", "not measured", "the floor"),
    ),
)

TEMPLATE = """\
$ {command}
{processes} processes, {repetitions} repetitions

{conditions}

{bars}
{reached} reached, {missed} missed, {absent} not measured

{python_versions}
{host}

{others}

{peers}

{parked:,} parked, {idle:,} idle
{memory}
"""

DOCUMENT = """\
$ measure
2 processes, 4 repetitions

- Machine: a machine.
- Compiler: g++ 12.2.0, `-c opt`; Boost 1.81, abseil 20220623.

| what | measured | bar |  |
|---|---:|---:|---:|
| a wait / a checkpoint | 2.00 | ≤ 2 | reached |
| a wait / a thread | 0.00055 | < 1 | reached |
| a checkpoint, over a call | 5.25 ns | ≤ 5 ns | **missed** |
| a wait / a fiber | not measured | ≤ 0.5 |  |
| a fiber / a wait | not measured | < 1 |  |
| stacks of idle tasks | 0 | 0 | reached |
| of 1,000 stacks, guarded | 998 | all | **missed** |
3 reached, 2 missed, 2 not measured

Python 3
| rung | ns | × checkpoint | Python, ns | × checkpoint | Python / C++ |
|---|---:|---:|---:|---:|---:|
| `host/checkpoint` | 6.25 | 1.00 | 2,500 | 1.00 | 400 |
| `host/wait` | 12.5 | 2.00 |  |  |  |
| `host/sleep` | not measured |  | 10,000 | 4.00 |  |

| rung | ns | × `floor/call` |
|---|---:|---:|
| `floor/call` | 1.00 | 1.00 |
| `host/spawn` | 98.5 | 98.5 |

| rung | ns | × `host/wait` |
|---|---:|---:|
| `peer/thread` | 22,881 | 1,830 |

1,000 parked, 2,000 idle
| what | figure |
|---|---:|
| bytes of a task | 6,877 |
| stacks of idle tasks | 0 |

## What could not run

- `peer/fiber`: no fibers here
"""

CHART = """\
<svg xmlns="http://www.w3.org/2000/svg" width="760" height="122" \
viewBox="0 0 760 122" font-family="sans-serif" font-size="12">
<rect width="760" height="122" fill="white"/>
<rect x="240" y="14" width="12" height="12" fill="grey"/>
<text x="257" y="24">the floor</text>
<rect x="350" y="14" width="12" height="12" fill="blue"/>
<text x="367" y="24">ours</text>
<line x1="240.0" y1="38" x2="240.0" y2="88" stroke="#ddd"/>
<text x="240.0" y="106" text-anchor="middle" fill="#555">1 ns</text>
<line x1="450.0" y1="38" x2="450.0" y2="88" stroke="#ddd"/>
<text x="450.0" y="106" text-anchor="middle" fill="#555">10 ns</text>
<line x1="660.0" y1="38" x2="660.0" y2="88" stroke="#ddd"/>
<text x="660.0" y="106" text-anchor="middle" fill="#555">100 ns</text>
<text x="232" y="57" text-anchor="end">a call</text>
<rect x="240" y="44" width="2.0" height="16" fill="grey"/>
<text x="247.0" y="57">1.00</text>
<text x="232" y="79" text-anchor="end">a spawn</text>
<rect x="240" y="66" width="418.6" height="16" fill="blue"/>
<text x="663.6" y="79">98.5</text>
</svg>
"""


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


class ReportTest(unittest.TestCase):

    def setUp(self):
        self.maxDiff = None
        recorded = json.loads(read("benchmarks/testdata/recorded.json"))
        times, errors = report_text.quickest(recorded["rungs"],
                                             recorded["results"])
        self.measured = report_text.Measured(
            times=times, errors=errors,
            context=recorded["results"][-1]["context"],
            memory=recorded["memory"], machine="a machine", processes=2,
            repetitions=2, brief=False)
        self.template = read("benchmarks/performance_template.md")

    def test_the_quickest_of_all_processes_counts(self):
        self.assertEqual(list(self.measured.times.items()), [
            ("floor/call", 1.0),
            ("host/checkpoint", 6.25),
            ("host/wait", 12.5),
            ("host/spawn", 98.5),
            ("peer/thread", 22881.0),
        ])
        self.assertEqual(self.measured.errors, {"peer/fiber": "no fibers here"})

    def test_the_document(self):
        self.assertEqual(
            report_text.document(TEMPLATE, DATA, self.measured), DOCUMENT)

    def test_a_document_without_errors_has_no_section_for_them(self):
        text = report_text.document(TEMPLATE, DATA,
                                    self.measured._replace(errors={}))
        self.assertEqual(
            text, DOCUMENT[:DOCUMENT.index("\n## What could not run")])

    def test_figures_that_mean_little_are_marked(self):
        measured = self.measured._replace(
            brief=True, context={"compiler": "clang", "optimised": "no"},
            errors={})
        text = report_text.document("{conditions}", DATA, measured)
        self.assertEqual(text, """\
- Machine: a machine.
- Compiler: clang, `-c opt`; Boost ?, abseil ?.
- **Not optimised**: these figures mean nothing. Give `-c opt`.
- **A brief run**: these figures mean little.""")

    def test_the_chart(self):
        self.assertEqual(report_text.chart(DATA, self.measured.times), CHART)

    def test_the_chart_of_nothing_has_no_bars(self):
        self.assertEqual(report_text.chart(DATA, {}).count("<rect "),
                         1 + len(DATA.COLOURS))

    def test_the_template_has_a_place_for_each_table(self):
        places = [place for _, place, _, _ in
                  string.Formatter().parse(self.template) if place]
        for table in [*report_data.PYTHON_US, *report_data.LISTINGS, "bars",
                      "memory", "conditions"]:
            self.assertEqual(places.count(table), 1, table)
        # A place for something else would be an error here.
        text = report_text.document(self.template, report_data, self.measured)
        for bar in report_data.BARS:
            self.assertIn("| %s | not measured |" % bar.what, text)

    def test_the_document_in_docs_is_of_this_template_and_this_data(self):
        text = read("docs/performance.md")
        end = 0
        for prose, _, _, _ in string.Formatter().parse(self.template):
            begin = text.find(prose, end)
            self.assertNotEqual(begin, -1, "docs/performance.md lacks: " +
                                prose)
            end = begin + len(prose)
        rungs = {rung for bar in report_data.BARS
                 for rung in (bar.rung, bar.base)}
        rungs |= {row[0] for row in report_data.CHART}
        rungs |= {"%s/%s" % (host, rung) for host in report_data.PYTHON_US
                  for rung in report_data.LADDER}
        for rung in sorted(rungs):
            self.assertIn("| `%s` |" % rung, text)
        for bar in report_data.BARS:
            self.assertIn("| %s |" % bar.what, text)


if __name__ == "__main__":
    unittest.main()
