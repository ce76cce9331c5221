"""Makes the report's Markdown and its chart from what was measured.

All of this depends on nothing but the arguments. `data` is report_data, or has
the same names.
"""

import math
from typing import NamedTuple

NOT_MEASURED = "not measured"
# What times in google/benchmark's JSON are multiplied with.
NS = {"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9}


class Measured(NamedTuple):
    times: dict  # ns by rung, in the order in which they are shown
    errors: dict  # messages by rung
    context: dict  # what the benchmarks say of their build
    memory: dict  # what //benchmarks:memory prints
    machine: str
    processes: int
    repetitions: int  # in each process
    brief: bool


def quickest(rungs, results):
    """The ns of each rung and the errors, by rung.

    `rungs` are all of a benchmark's in order. `results` are what several
    processes of it wrote, as JSON objects.
    """
    times, errors = {}, {}
    for result in results:
        for entry in result["benchmarks"]:
            if entry.get("run_type") != "iteration":
                continue
            rung = entry.get("run_name", entry["name"])
            if entry.get("error_occurred"):
                errors[rung] = entry.get("error_message", "error")
                continue
            # Blocking costs no processor time.
            wall = entry.get("label") == "wall clock"
            time = entry["real_time" if wall else "cpu_time"]
            time *= NS[entry["time_unit"]]
            # The rest of the machine only ever adds to a time.
            times[rung] = min(time, times.get(rung, time))
    # They ran in a random order, so that a disturbance hits more than one.
    return {rung: times[rung] for rung in rungs if rung in times}, errors


# ------------------------------------------------------------------- Markdown


def document(template, data, measured):
    """The report: the template with all that stands there in braces."""
    times, memory = measured.times, measured.memory
    rows = ([_bar(bar, times) for bar in data.BARS] +
            [_memory_bar(bar, memory) for bar in data.MEMORY_BARS])
    verdicts = [row[-1] for row in rows]
    tables = {host: _ladder(host, data, times) for host in data.PYTHON_US}
    for name, listing in data.LISTINGS.items():
        tables[name] = _listing(listing, data, times)
    text = template.format(
        command=data.COMMAND,
        repetitions=measured.processes * measured.repetitions,
        processes=measured.processes,
        conditions=_conditions(measured),
        bars=_table(("what", "measured", "bar", ""), rows),
        reached=verdicts.count(_verdict(True)),
        missed=verdicts.count(_verdict(False)),
        absent=verdicts.count(""),
        python_versions=data.PYTHON_VERSIONS,
        parked=memory["parked"],
        idle=memory["idle"],
        memory=_table(("what", "figure"),
                      [(what, "{:,.0f}".format(memory[figure]))
                       for what, figure in data.MEMORY_FIGURES]),
        **tables)
    if measured.errors:
        text += "\n## What could not run\n\n"
        for rung, error in sorted(measured.errors.items()):
            text += "- `%s`: %s\n" % (rung, error)
    return text


def _number(value):
    """With three significant digits, or all before the decimal point."""
    if value is None:
        return NOT_MEASURED
    if abs(value) >= 100:
        return "{:,.0f}".format(value)
    if abs(value) >= 10:
        return "%.1f" % value
    return "%.2f" % value if abs(value) >= 0.1 else "%.2g" % value


def _ratio(value, base):
    if value is None or not base:
        return ""
    return _number(value / base)


def _table(head, rows):
    lines = ["| %s |" % " | ".join(row) for row in rows]
    rule = "|---" + "|---:" * (len(head) - 1) + "|"
    return "\n".join(["| %s |" % " | ".join(head), rule] + lines)


def _conditions(measured):
    about = measured.context
    lines = [
        "- Machine: %s." % measured.machine,
        "- Compiler: %s, `-c opt`; Boost %s, abseil %s." % tuple(
            about.get(key, "?") for key in ("compiler", "boost", "abseil")),
    ]
    if about.get("optimised") != "yes":
        lines.append("- **Not optimised**: these figures mean nothing. Give "
                     "`-c opt`.")
    if measured.brief:
        lines.append("- **A brief run**: these figures mean little.")
    return "\n".join(lines)


def _verdict(reached):
    return "reached" if reached else "**missed**"


def _bar(bar, times):
    """A row of the table; the verdict is empty for what is not measured."""
    if bar.more_ns is not None:
        text = "≤ %g ns" % bar.more_ns
    else:
        text = "< 1" if bar.times == 1 else "≤ %g" % bar.times
    time, base = times.get(bar.rung), times.get(bar.base)
    if time is None or base is None:
        return bar.what, NOT_MEASURED, text, ""
    if bar.more_ns is not None:
        more = time - base
        return (bar.what, _number(more) + " ns", text,
                _verdict(more <= bar.more_ns))
    return (bar.what, _number(time / base), text,
            _verdict(time / base <= bar.times))


def _memory_bar(bar, memory):
    value = memory[bar.figure]
    reached = (value >= memory[bar.at_least] if bar.most is None else
               value <= bar.most)
    return (bar.what.format(**memory), "{:,.0f}".format(value), bar.bar,
            _verdict(reached))


def _ladder(host, data, times):
    base = times.get("%s/%s" % (host, data.LADDER[0]))
    python_us = data.PYTHON_US[host]
    rows = []
    for step in data.LADDER:
        rung = "%s/%s" % (host, step)
        time = times.get(rung)
        python = ("", "", "")
        if step in python_us:
            python = (_number(python_us[step] * 1000),
                      _ratio(python_us[step], python_us[data.LADDER[0]]),
                      _ratio(python_us[step] * 1000, time))
        rows.append(("`%s`" % rung, _number(time), _ratio(time, base)) +
                    python)
    return _table(("rung", "ns", "× checkpoint", "Python, ns", "× checkpoint",
                   "Python / C++"), rows)


def _listing(listing, data, times):
    in_ladders = {"%s/%s" % (host, step) for host in data.PYTHON_US
                  for step in data.LADDER}
    base = times.get(listing.base)
    return _table(("rung", "ns", "× `%s`" % listing.base), [
        ("`%s`" % rung, _number(time), _ratio(time, base))
        for rung, time in times.items()
        if rung.startswith(listing.prefixes) and rung not in in_ladders])


# ------------------------------------------------------------------------ SVG


def chart(data, times):
    """Horizontal bars on a logarithmic scale."""
    rows = [(times[rung], text, data.COLOURS[entry])
            for rung, text, entry in data.CHART if times.get(rung)]
    left, width, row, top = 240, 420, 22, 44
    high = 10
    while rows and high < max(time for time, _, _ in rows):
        high *= 10
    decades = len(str(high)) - 1
    bottom = top + row * len(rows)
    height = bottom + 34
    out = [
        '<svg xmlns="http://www.w3.org/2000/svg" width="760" height="%d" '
        'viewBox="0 0 760 %d" font-family="sans-serif" font-size="12">'
        % (height, height),
        '<rect width="760" height="%d" fill="white"/>' % height,
    ]
    for index, (name, colour) in enumerate(data.COLOURS.items()):
        x = left + index * 110
        out.append('<rect x="%d" y="14" width="12" height="12" fill="%s"/>' %
                   (x, colour))
        out.append('<text x="%d" y="24">%s</text>' % (x + 17, name))
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
                   (left, y, length, colour))
        out.append('<text x="%.1f" y="%d">%s</text>' %
                   (left + length + 5, y + 13, _number(time)))
    out.append("</svg>")
    return "\n".join(out) + "\n"
